"""The page: everything in one file, which asks nobody for anything and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from importlib import resources

from .. import console
from .seen import Layer, Seen, Thumbnail, grouped

_BARS = 128  # of a chart; more passes than that are told together
_TEXT = 2000  # characters of one fact
_HEIGHT = 60  # of a chart, whose bars are 10 wide


def render(every: Sequence[Seen]) -> str:
    """The HTML text. What files say of themselves is escaped: markup and script are the template's and ours."""
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    style, script = (_between(template, tag) for tag in ("style", "script"))
    sources = f"img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    names = [f'<li><a href="#f{number}">{_text(seen.name)}</a></li>' for number, seen in enumerate(every)]
    parts = {
        "policy": f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'",
        "title": _text(every[0].name if len(every) == 1 else f"{len(every)} files"),
        "list": f"<nav><ul>{''.join(names)}</ul></nav>" if len(every) > 1 else "",
        "files": "\n".join(_section(number, seen) for number, seen in enumerate(every)),
    }
    # in one go: what is put in is not searched for further names
    return re.sub("@(policy|title|list|files)@", lambda match: parts[match[1]], template)


def _between(template: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", template, re.S)
    assert found is not None
    return found[1]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(words: object, most: int = _TEXT) -> str:
    """For an element or an attribute: one line, no control characters, nothing that is markup."""
    line = console.line(words)
    return html.escape(line if len(line) <= most else f"{line[:most]} …")


def _section(number: int, seen: Seen) -> str:
    parts = [f'<section class="file" id="f{number}">']
    size = f"{grouped(seen.size)} bytes" if seen.size else ""
    parts.append(f"<h2>{_text(seen.name)}<small>{_text(', '.join(filter(None, (seen.what, size))))}</small></h2>")
    if seen.problem:
        parts.append(f'<p class="problem">{_text(seen.problem)}</p>')
    if seen.layers:
        parts.append(_viewer(seen))
    if seen.passes:
        parts.append(_chart(seen))
    if seen.thumbnails:
        parts.append(f'<div class="contact">{"".join(map(_figure, seen.thumbnails))}</div>')
    if seen.left_out:
        parts.append(f"<p>and {grouped(seen.left_out)} more</p>")
    if seen.facts:
        rows = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in seen.facts)
        parts.append(
            f"<details{'' if seen.thumbnails else ' open'}><summary>what it says</summary><dl>{rows}</dl></details>"
        )
    return "\n".join([*parts, "</section>"])


# ---- a stream

_COMPARE = """<label>compare <select class="compare"><option value="off">off</option>
<option value="wipe" selected>wipe</option><option value="side">side by side</option></select></label>"""
_KEYS = "+ and - zoom, 0 fits, 1 is 1:1, arrows move, [ and ] take fewer and more bytes"
_PLAYED = "+ and - zoom, 0 fits, 1 is 1:1, arrows move, p plays, [ and ] take the frame before and behind"


def _viewer(seen: Seen) -> str:
    last = len(seen.layers) - 1
    first, own, axis = (0, _PLAYED, "frame") if seen.rate else (last, _KEYS, "bytes")
    layers = "".join(_image(layer, "layer on" if n == first else "layer") for n, layer in enumerate(seen.layers))
    play = '<button data-do="play">play</button>' if seen.rate and last else ""
    rate = f' data-rate="{seen.rate:.6g}"' if seen.rate else ""
    second = compare = keys = ""
    if seen.original is not None:
        original = _image(seen.original, "layer on")
        second = f'<div class="pane second"><div class="sheet">{original}</div></div><div class="bar"></div>'
        compare, keys = _COMPARE, ", c compares, shift and arrows move the wipe"
    steps = f'min="0" max="{last}" value="{first}" aria-label="{axis}"'
    scrub = f'<input class="scrub" type="range" {steps}>' if last else ""
    return f"""<div class="viewer" data-width="{seen.width}" data-height="{seen.height}"{rate}>
<div class="tools"><button data-do="out" title="smaller">-</button><output class="zoom"></output>
<button data-do="in" title="larger">+</button><button data-do="fit">fit</button><button data-do="one">1:1</button>
{play}{compare}</div>
<div class="stage" tabindex="0" role="application" aria-label="{_text(seen.name)}: {own}{keys}">
<div class="pane first"><div class="sheet">{layers}</div></div>{second}
<div class="tag a"></div><div class="tag b"></div></div>
{scrub}<output class="told">{_text(seen.layers[first].note)}</output>
<p class="keys">{own}{keys}; the wheel zooms once the picture has the focus.</p></div>"""


def _image(layer: Layer, kind: str) -> str:
    note = _text(layer.note)
    return f'<img class="{kind}" alt="{note}" data-size="{layer.size}" src="{layer.url}">'


def _chart(seen: Seen) -> str:
    """Bytes of each pass as bars, in the order in which they are read."""
    step = -(-len(seen.passes) // _BARS)
    bars = []
    for first in range(0, len(seen.passes), step):
        some = seen.passes[first : first + step]
        which = f"pass {first}" if len(some) == 1 else f"passes {first} to {first + len(some) - 1}"
        bars.append((which, sum(one["bytes"] for one in some), sum(one["bpp"] for one in some), some[-1]["end"]))
    most = max(1, *(size for _, size, _, _ in bars))
    drawn, rows = [], []
    for n, (which, size, bpp, end) in enumerate(bars):
        height = max(1.0, _HEIGHT * size / most)
        told = f"{which}: {grouped(size)} bytes, {bpp:.4f} bits per pixel, decodes from byte {grouped(end)}"
        drawn.append(
            f'<rect class="read" data-end="{end}" x="{10 * n + 1}" y="{_HEIGHT - height:.1f}" width="8" '
            f'height="{height:.1f}"><title>{told}</title></rect>'
        )
        cells = (which.split(" ", 1)[1], grouped(size), f"{bpp:.4f}", grouped(end))
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = ("pass", "bytes", "bits per pixel", "decodes from byte")
    head = "".join(f"<th>{name}</th>" for name in names)
    many = f"{len(seen.passes)} pass{'es' * (len(seen.passes) > 1)}, at most {grouped(most)}"
    return f"""<figure class="chart"><svg viewBox="0 0 {10 * len(bars)} {_HEIGHT}" preserveAspectRatio="none" role="img"
 aria-label="bytes of each pass">{"".join(drawn)}</svg>
<figcaption>Bytes of {many}; darker: read for the preview.</figcaption>
<details><summary>in numbers</summary><div class="wide"><table><thead><tr>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></details></figure>"""


# ---- an archive


def _figure(one: Thumbnail) -> str:
    name = _text(one.name, 200)
    image = f'<img loading="lazy" alt="{name}" src="{one.url}">' if one.url else '<div class="none"></div>'
    return f"<figure>{image}<figcaption><b>{name}</b> {_text(one.note, 300)}</figcaption></figure>"
