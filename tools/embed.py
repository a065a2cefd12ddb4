#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs files into a C source: embed.py OUTPUT INPUT... Each becomes one of assets__all, compressed by gzip, always the
same bytes for the same file."""
import gzip
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml", ".json": "application/json"}


def main(output, inputs):
    text = '#include "http/http__.h"\n\n'
    rows = ""
    for number, name in enumerate(map(pathlib.Path, inputs)):
        data = gzip.compress(name.read_bytes(), 9, mtime=0)
        text += f"static const uint8_t ASSET_{number}[] = {{{','.join(map(str, data))}}};\n"
        path = "/api/v1/openapi.json" if name.name == "openapi.json" else f"/{name.name}"
        rows += f'    {{"{path}", "{TYPES[name.suffix]}", ASSET_{number}, sizeof ASSET_{number}}},\n'
    text += f"\nconst struct asset assets__all[] = {{\n{rows}}};\nconst size_t assets__count = COUNT_OF(assets__all);\n"
    pathlib.Path(output).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
