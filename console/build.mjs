// SPDX-License-Identifier: Apache-2.0
// Bundles src/ into dist/, which is committed: who builds the broker needs no Node.
import { build } from "esbuild";
import { copyFileSync } from "node:fs";

const out = process.argv[2] ?? "dist";
await build({
  entryPoints: { console: "src/main.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  outdir: out,
  legalComments: "inline",
  logLevel: "warning",
});
for (const file of ["index.html", "favicon.svg"]) copyFileSync(`src/${file}`, `${out}/${file}`);
