#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""console/dist is what console/src builds: the bundle is committed so that users need no Node, and must not be older than
its sources. The bundler is taken from console/node_modules, installed from the lock file when it is missing."""
import pathlib
import subprocess
import tempfile

import house

FILES = ("console.js", "console.css", "index.html", "favicon.svg")


def violations(root):
    root = pathlib.Path(root)
    console = root / "console"
    if not (console / "package.json").is_file():
        return []
    try:
        if not (console / "node_modules" / "esbuild").is_dir():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=console, check=True, capture_output=True, text=True)
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(["node", "build.mjs", out], cwd=console, check=True, capture_output=True, text=True)
            return [f"console/dist/{name}: not what its sources build; run `make console`" for name in FILES
                    if (pathlib.Path(out) / name).read_bytes() != (console / "dist" / name).read_bytes()]
    except FileNotFoundError as missing:
        return [f"console: {missing.filename} is missing; tools/deps.sh test installs it"]
    except subprocess.CalledProcessError as failed:
        return [f"console: {failed.stderr.strip()[-500:]}"]


if __name__ == "__main__":
    args = house.arguments()
    house.finish(violations(args.root))
