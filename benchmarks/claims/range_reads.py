"""How much of an archive elsewhere is fetched for the first preview of a picture in it.

    python -m benchmarks.claims.range_reads [--megapixels 10] [--pictures 1] [--save]

Photographs that come with scikit-image, side by side and mirrored, make pictures that together have so many pixels;
they are packed without loss. A server of this process, on 127.0.0.1, answers ranges and counts the bytes that it sends:
those for the first preview of the last picture, and those until all of it is there.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

import diffcodec
from benchmarks.common import SAMPLES, arguments, save

MOST = 0.01  #: share of the archive that the first preview may take


@dataclass
class Sent:
    """What a server has sent: bytes, and answers to requests of them."""

    bytes: int = 0
    requests: int = 0
    told: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving(data: bytes, *, ranges: bool = True, sized: bool = True) -> Iterator[tuple[str, Sent]]:
    """The address of a file that is served while this lasts, and what is sent; with or without ranges, or its size."""
    sent = Sent()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self._headers(len(data))

        def do_GET(self) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if ranges else None
            start, end = (int(asked[1]), int(asked[2] or len(data) - 1) + 1) if asked else (0, len(data))
            part = data[start:end]
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
            self._headers(len(part))
            sent.bytes, sent.requests = sent.bytes + len(part), sent.requests + 1
            with contextlib.suppress(ConnectionError):
                self.wfile.write(part)

        def _headers(self, size: int) -> None:
            if ranges:
                self.send_header("Accept-Ranges", "bytes")
            if sized:
                self.send_header("Content-Length", str(size))
            self.end_headers()

        def log_message(self, format: str, *words: object) -> None:
            sent.told.append(format % words)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/a.dfca", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def picture(pixels: int) -> np.ndarray:
    """Uint8 (H, W, 3) of at most so many pixels, 3 : 2."""
    from skimage import data

    row = np.concatenate([getattr(data, name)()[:300, :400] for name in SAMPLES], 1)
    row = np.concatenate([row, row[:, ::-1]], 1)
    height, width = round((pixels * 2 / 3) ** 0.5), round((pixels * 3 / 2) ** 0.5)
    field = np.concatenate([row, row[::-1]], 0)
    times = -(-height // field.shape[0]), -(-width // field.shape[1]), 1
    return np.ascontiguousarray(np.tile(field, times)[:height, :width])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--megapixels", type=float, default=10)
    parser.add_argument("--pictures", type=int, default=1)
    args = parser.parse_args()
    one = picture(round(args.megapixels * 1e6 / args.pictures))
    pictures = [np.roll(one, 16 * k, 1) for k in range(args.pictures)]
    archive = diffcodec.encode_archive(pictures, "photo-ardm")
    rows = []
    with serving(archive) as (address, sent), diffcodec.open_picture(address, len(pictures) - 1) as file:
        opened = sent.bytes
        for number, preview in enumerate(diffcodec.decode_progressive(file)):
            if number and not preview.complete:
                continue
            rows.append(
                {
                    "megapixels": args.megapixels,
                    "pictures": args.pictures,
                    "archive_bytes": len(archive),
                    "preview": "whole" if preview.complete else "first",
                    "opening_bytes": opened,
                    "bytes_read": sent.bytes,
                    "requests": sent.requests,
                    "share": sent.bytes / len(archive),
                }
            )
            print(rows[-1], flush=True)
        assert (preview.image == pictures[-1]).all()
    assert rows[0]["share"] <= MOST, f"the first preview takes {rows[0]['share']:.2%}, over {MOST:.0%}"
    save(args.save, rows)


if __name__ == "__main__":
    main()
