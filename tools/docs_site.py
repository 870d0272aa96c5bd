"""What `mkdocs build` needs beside mkdocs.yml: files outside of docs/, and docstrings as Markdown.

Pages say `../bitstream_spec/SPEC.md`, as readers of the repository need it. The site keeps the repository's folders:
what lies in docs/ is at its root, and the files that pages link to outside of docs/ come along at their own paths.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: a link or picture of Markdown: what stands before its target, the target, what follows
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
ELSEWHERE = re.compile(r"[a-z]+:|/")
#: "name:  what it is", as parameters stand in docstrings
ENTRY = re.compile(r"^([A-Za-z_*][\w, *]*):\s+(\S.*)$")


def links(text: str) -> list[str]:
    """Targets of a page's links within the repository, without anchors; none of its code blocks."""
    found = (match[2] for match in LINK.finditer(FENCE.sub("", text)))
    return [target for target in found if not ELSEWHERE.match(target)]


def place(site_path: str) -> str:
    """Path in the repository of a page of the site."""
    inside = f"docs/{site_path}"
    return site_path if (ROOT / site_path).exists() and not (ROOT / inside).exists() else inside


def site_path(repository_path: str) -> str:
    """Path in the site's sources of a file of the repository."""
    return repository_path.removeprefix("docs/")


def target(page: str, link: str) -> str:
    """Path in the repository that ``link`` means on the page of this path in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def on_files(files: Any, *, config: Any) -> Any:
    """Add what pages link to, what the added pages link to, and so on."""
    from mkdocs.structure.files import File

    waiting = [file.src_uri for file in files.documentation_pages()] + _outside(config.nav)
    while waiting:
        name = waiting.pop()
        path = place(name)
        if files.get_file_from_path(name) is None and (ROOT / path).is_file():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
        if name.endswith(".md") and (ROOT / path).is_file():
            found = {site_path(target(path, link)) for link in links((ROOT / path).read_text(encoding="utf-8"))}
            waiting += [link for link in found if files.get_file_from_path(link) is None and link not in waiting]
            waiting = [link for link in waiting if (ROOT / place(link)).is_file()]
    return files


def _outside(nav: Any) -> list[str]:
    """Pages of the navigation that docs/ does not have."""
    if isinstance(nav, str):
        return [] if (ROOT / "docs" / nav).exists() else [nav]
    return [name for item in (nav.values() if isinstance(nav, dict) else nav) for name in _outside(item)]


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links as the site has them: relative to the page's place there."""
    here = page.file.src_uri
    path = place(here)

    def moved(match: re.Match[str]) -> str:
        if ELSEWHERE.match(match[2]):
            return match[0]
        wanted = site_path(target(path, match[2]))
        return match[1] + posixpath.relpath(wanted, posixpath.dirname(here) or ".") + match[3]

    return LINK.sub(moved, markdown)


def listed(docstring: str) -> str:
    """A docstring as Markdown: what stands as "name: what it is" becomes a list."""
    out: list[str] = []
    inside = False
    for line in docstring.split("\n"):
        entry = ENTRY.match(line)
        if entry and "," not in entry[1].replace(", ", "") and not entry[1].startswith(("Raises", "Keys")):
            if not inside and out and out[-1]:
                out.append("")
            out.append(f"- `{entry[1]}`: {entry[2]}")
            inside = True
        elif inside and line.startswith(" "):
            out.append(f"  {line.strip()}")
        else:
            if inside and line:
                out.append("")
            inside = False
            out.append(line)
    return "\n".join(out)


try:
    from griffe import Extension
except ImportError:  # the tests use the functions above where the extra "docs" is not installed
    pass
else:

    class PlainDocstrings(Extension):  # type: ignore[misc]
        """Docstrings through `listed`."""

        def on_object(self, *, obj: Any, **_: Any) -> None:
            if obj.docstring is not None:
                obj.docstring.value = listed(obj.docstring.value)
