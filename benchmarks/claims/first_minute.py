"""What a newcomer sees of `diffcodec demo` on a terminal: how long it takes, whether it is ever silent, its bars.

    python -m benchmarks.claims.first_minute [--warm] [--save] [-- DEMO OPTIONS]

The command runs on a pseudo-terminal, and what it draws is watched: a row with seconds in all, the longest time in
which nothing that can be read changed, whether a bar ran backwards, the longest time in which the time that is left
stood still, and seconds of processor. Cold, which is the default: no kernel is compiled yet (NUMBA_CACHE_DIR is a
temporary folder). --warm runs it a second time in the same folder and adds its row. Seconds are those of two idle cores
only where the row's load is near 0, or where nothing else gets the cores (a session's priority:
/proc/self/autogroup). --save: rows go to benchmarks/results/first_minute/rows.csv.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import resource
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import arguments, save

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
BAR = re.compile(r"^\S (?P<what>.*?) [━╸╺ ]{8,} *(?:(?P<percent>\d+) %)? +[\d:]+(?:, (?P<left>[\d:]+) left)?")


@dataclass
class Watch:
    """What was seen on the terminal, a line at a time, and when."""

    start: float
    text: str = ""
    changed: float = 0.0
    silence: float = 0.0
    after: str = ""  #: which line the longest silence followed
    what: str = ""
    percent: int = 0
    backwards: list[str] = field(default_factory=list)
    left: str = ""
    left_since: float = 0.0
    frozen: float = 0.0
    compiling: float = 0.0  #: seconds for which it was said that kernels are compiled
    last: float = 0.0
    lines: list[tuple[float, str]] = field(default_factory=list)

    def see(self, line: str, now: float) -> None:
        """Take a line as it is drawn."""
        line = CONTROL.sub("", line).rstrip()
        if "compiling kernels" in self.text:
            self.compiling += now - self.last
        self.last = now
        if not line or line == self.text:
            return
        if now - self.changed > self.silence:
            self.silence, self.after = now - self.changed, self.text
        self.text, self.changed = line, now
        bar = BAR.match(line)
        if bar is None:
            self.lines.append((now - self.start, line))
            self.what = self.left = ""
            return
        if bar["what"] != self.what:
            self.what, self.percent, self.left = bar["what"], 0, ""
        percent = int(bar["percent"] or 0)
        if percent < self.percent:
            self.backwards.append(f"{bar['what'].strip()}: {self.percent} % to {percent} %")
        self.percent = percent
        if self.left and bar["left"] == self.left:
            self.frozen = max(self.frozen, now - self.left_since)
        else:
            self.left, self.left_since = bar["left"] or "", now


def watched(command: list[str], environment: dict[str, str]) -> tuple[Watch, float, int]:
    """What a command showed on a terminal of 120 columns, its seconds and its exit status."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, close_fds=True)
    os.close(its)
    watch, rest = Watch(start, changed=start, last=start), ""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while True:
        ready, _, _ = select.select([own], [], [], 0.5)
        if not ready:
            if process.poll() is not None:
                break
            continue
        try:
            data = os.read(own, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        *whole, rest = re.split(r"[\r\n]+", rest + decode(data))
        for line in whole:
            watch.see(line, time.monotonic())
    watch.see(rest, time.monotonic())
    os.close(own)
    status = process.wait()
    end = time.monotonic()
    watch.silence = max(watch.silence, end - watch.changed)
    return watch, end - start, status


def measured(kind: str, folder: Path, options: list[str]) -> dict[str, Any]:
    """A row, its lines printed."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "kernels"), "TERM": "xterm-256color", "COLUMNS": "120"}
    environment.pop("OMP_NUM_THREADS", None)
    load, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "diffcodec", "demo", "--out", str(folder / "demo"), *options]
    watch, seconds, status = watched(command, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for when, line in watch.lines:
        print(f"{when:7.1f} s  {line}")
    if status:
        sys.exit(f"the demo failed with status {status}")
    print(f"longest silence {watch.silence:.2f} s, after: {watch.after}")
    for line in watch.backwards:
        print(f"backwards: {line}")
    return {
        "kernels": kind,
        "seconds": round(seconds, 1),
        "longest silence": round(watch.silence, 2),
        "bars that ran backwards": len(watch.backwards),
        "longest that the time left stood still": round(watch.frozen, 2),
        "first line after": round(watch.lines[0][0], 2),
        "said to compile": round(watch.compiling, 1),
        "processor seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "load before": round(load, 2),
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    """Run the demo and print a row for each run."""
    parser = arguments(__doc__)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("options", nargs="*", help="of the demo, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured("none", Path(folder), args.options)]
        if args.warm:
            rows.append(measured("there", Path(folder), args.options))
    for row in rows:
        print(", ".join(f"{key}: {value}" for key, value in row.items()))
    save(args.save, rows, 2)


if __name__ == "__main__":
    main()
