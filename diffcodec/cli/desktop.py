"""desktop: what Linux desktops know of our files, by the specifications of freedesktop.org."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from typing import Annotated, Literal

import typer

from ..runtime import atomic
from ..runtime.errors import InputError
from . import console
from .options import DryRun, Json

_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="image/x-diffcodec">
    <comment>diffcodec picture</comment>
    <generic-icon name="image-x-generic"/>
    <magic priority="60"><match type="string" offset="0" value="\\213DFC\\r\\n\\032\\n"/></magic>
    <glob pattern="*.dfc"/>
  </mime-type>
  <mime-type type="application/x-diffcodec-archive">
    <comment>diffcodec archive of pictures</comment>
    <generic-icon name="package-x-generic"/>
    <magic priority="60"><match type="string" offset="0" value="\\213DFA\\r\\n\\032\\n"/></magic>
    <glob pattern="*.dfca"/>
  </mime-type>
</mime-info>
"""
_THUMBNAILER = """[Thumbnailer Entry]
TryExec=diffcodec
Exec=diffcodec thumbnail %i %o --size %s --overwrite
MimeType=image/x-diffcodec;application/x-diffcodec-archive;
"""
FILES = {  #: below $XDG_DATA_HOME
    "mime/packages/diffcodec.xml": _TYPES,
    "thumbnailers/diffcodec.thumbnailer": _THUMBNAILER,
}


def desktop(
    action: Annotated[Literal["install", "uninstall"], typer.Argument(help="install or uninstall, for this user.")],
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let a Linux desktop know .dfc and .dfca files, and show small pictures of them in its file manager."""
    _require_linux()
    home = _data_home()
    paths = {os.path.join(home, *name.split("/")): text for name, text in FILES.items()}
    done = _ACTIONS[action](paths, dry_run)
    known = False if dry_run else _update(os.path.join(home, "mime"))
    if as_json:
        print(json.dumps({"action": action, "files": done, "dry_run": dry_run, "database_updated": known}))
        return
    if not dry_run:
        verb = "installed" if action == "install" else "uninstalled"
        console.tell(f"{verb}: {', '.join(done) or 'nothing was there'}")
        if not known:
            console.say("update-mime-database is not there, or failed: files are known when it has run")


def _require_linux() -> None:
    """Raises InputError on systems whose desktops know nothing of these files."""
    if platform.system() in ("Windows", "Darwin"):
        raise InputError(f"desktop is for Linux desktops, and this is {platform.system()}")


def _data_home() -> str:
    """As the base directory specification has it, which tells to ignore paths that are not absolute."""
    told = os.environ.get("XDG_DATA_HOME", "")
    return told if os.path.isabs(told) else os.path.join(os.path.expanduser("~"), ".local", "share")


def _install(paths: dict[str, str], dry_run: bool) -> list[str]:
    """Files written, or with ``dry_run`` printed. Raises InputError, OSError."""
    for path, text in paths.items():
        if dry_run:
            print(f"# {console.line(path)}\n{text}")
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        atomic.write(path, text.encode(), overwrite=True)
    return list(paths)


def _uninstall(paths: dict[str, str], dry_run: bool) -> list[str]:
    """Files deleted, or with ``dry_run`` named. Raises OSError."""
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        if dry_run:
            print(f"# {console.line(path)} would be deleted")
        else:
            os.unlink(path)
    return there


_ACTIONS = {"install": _install, "uninstall": _uninstall}


def _update(folder: str) -> bool:
    """Have the database of types made anew; whether that was done."""
    command = shutil.which("update-mime-database")
    if command is None or not os.path.isdir(folder):
        return False
    return subprocess.run([command, folder], capture_output=True, check=False).returncode == 0
