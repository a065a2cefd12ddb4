#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was generated from schema/ is what the generator writes today; the generator compares (`generate.py --check`)."""
import subprocess
import sys

import house


def violations(root):
    generator = root / "schema" / "generate.py"
    if not generator.is_file():
        return ["schema/generate.py: missing"]
    run = subprocess.run([sys.executable, str(generator), "--check"], cwd=root, capture_output=True, text=True)
    if run.returncode == 0:
        return []
    return (run.stdout + run.stderr).strip().splitlines()[-20:] + ["schema/: generated code is not current; run schema/generate.py"]


if __name__ == "__main__":
    house.finish(violations(house.arguments().root))
