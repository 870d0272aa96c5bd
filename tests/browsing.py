"""A page of ours in a browser: what a script on it sees."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
_FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update".split()


def browser() -> str:
    """The path of one; without any the test is skipped."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium")
    return found


def dumped(path: Path, profile: Path) -> str:
    """The elements of a page once its script has run."""
    flags = [*_FLAGS, f"--user-data-dir={profile}", "--window-size=1000,1200", "--virtual-time-budget=5000"]
    line = [browser(), *flags, "--dump-dom", path.as_uri()]
    done = subprocess.run(line, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


def seen(page: str, script: str, folder: Path) -> Any:
    """What ``script`` leaves as JSON in ``data-seen`` of a page, which is written to page.html of ``folder``."""
    path = folder / "page.html"
    path.write_text(page.replace("</html>", f"<script>{script}</script></html>"), encoding="utf-8")
    told = re.search(r'data-seen="([^"]*)"', dumped(path, folder / "profile"))
    assert told is not None
    return json.loads(unescape(told[1]))
