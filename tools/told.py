"""What a folder of test vectors says of each of them: one table, a line for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "told.json"


def tell(folder: Path, found: Mapping[str, Any]) -> None:
    """Add what is ``found`` of the vectors by these names to the folder's table, or put it in place of what was."""
    path = folder / NAME
    every = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    every |= found
    lines = (f"{json.dumps(name)}: {json.dumps(every[name], ensure_ascii=False)}" for name in sorted(every))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
