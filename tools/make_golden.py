"""Write the golden files that a set of tests/golden lacks, and their rows of its table.

    python -m tools.make_golden 1.4 [NAME ...]

A set is named by the format version that its encoder writes at most, and holds what no older set does: new files, and
those whose bytes that version changed. What is there is never replaced: an encoder that gives other bytes is a fault,
or begins a new set. Rows say how a file comes about (`tests/golden/recipes.py`), the
SHA-256 of what it decodes to, as a whole and after every pass, and the environment it was made in.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from golden import recipes  # noqa: E402
from golden.table import newest, row  # noqa: E402

from diffcodec.codecs.diffc import chain  # noqa: E402


def main() -> None:
    chain.MIRRORED = ()  # the mean is one answer of the network's, as of the files that are kept
    folder = recipes.FOLDER / sys.argv[1]
    folder.mkdir(exist_ok=True)
    table = folder / "golden.json"
    rows = json.loads(table.read_text()) if table.exists() else {}
    for name, recipe in recipes.RECIPES.items():
        path = folder / name
        if name in rows or (len(sys.argv) > 2 and name not in sys.argv[2:]):
            continue
        inputs = recipe.inputs()
        data = recipe.encode(inputs)
        older = newest(name)
        before = None if older is None else older.read_bytes()
        exactly = recipe.kind in (recipes.EXACT, recipes.FITTED)
        if before is not None and (before == data or (not exactly and before[8:10] == data[8:10])):
            continue  # the last two bytes of a signature's ten are the version
        path.write_bytes(data)
        rows[name] = row(recipe, inputs, data, path)
        print(f"{len(data):6} bytes  {name}  {rows[name]['format']}", flush=True)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows[name], sort_keys=True)}" for name in sorted(rows))
    table.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
