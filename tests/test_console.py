"""What the command says on a terminal: lines that it shows and does not obey, bars, interrupts."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from diffcodec.cli import console
from diffcodec.runtime import compiling, stages
from diffcodec.runtime.errors import InputError


def test_line_makes_one_line() -> None:
    assert console.line("a\n  b\r\nc  d.png ") == "a b c  d.png"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("gnp.\u202egpj", r"gnp.\u202egpj"),
        ("a\u2066b\u200fc\u061cd", r"a\u2066b\u200fc\u061cd"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
        ("photo\u2028\x85\x9b2J", r"photo\u2028\x85\x9b2J"),
        ("Straße × 写真", "Straße × 写真"),
    ],
)
def test_terminals_show_names_and_do_not_obey_them(text: str, shown: str) -> None:
    assert console.line(text) == shown


# ---- how far, and how long still


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_meter_never_goes_back_and_ends_at_one() -> None:
    meter = console.Meter(clock := Clock())
    seen = []
    for fraction in (0.0, 0.2, 0.1, 0.2, 0.7, 0.69, 1.0, 1.5, 0.0):
        clock.now += 1
        meter.report(fraction)
        seen.append(meter.fraction)
    assert seen == sorted(seen) and seen[-1] == 1
    assert meter.elapsed() == 9 and meter.left() is None


def test_what_is_left_moves_with_every_second() -> None:
    """It falls while reports are on time, grows when one is late, and falls again at the next."""
    meter = console.Meter(clock := Clock())
    assert meter.left() is None
    for _ in range(6):
        clock.now += 5
        meter.report(meter.fraction + 0.1)
    assert meter.left() == pytest.approx(20)
    left = []
    for _ in range(30):
        clock.now += 0.5
        left.append(meter.left())
    on_time, late = left[:10], left[10:]
    assert on_time == pytest.approx([20 - 0.5 * n for n in range(1, 11)])
    assert late == pytest.approx([15 + 0.5 * n for n in range(1, 21)])
    meter.report(0.9)
    assert 0 < meter.left() < late[-1]


def test_the_end_is_late_as_anything_else() -> None:
    """What is left is less than the time between two reports: it is late from its own end on."""
    meter = console.Meter(clock := Clock())
    for fraction in (0.3, 0.6, 0.9):
        clock.now += 6
        meter.report(fraction)
    left = []
    for _ in range(6):
        left.append(meter.left())
        clock.now += 1
    assert left == pytest.approx([2, 1, 0, 1, 2, 3])
    meter.report(1.0)
    assert meter.left() is None


def test_a_slow_beginning_is_forgotten() -> None:
    """Compiling and loading, before the first report, say nothing about what follows."""
    meter = console.Meter(clock := Clock())
    clock.now += 60
    for fraction in (0.1, 0.2, 0.3, 0.4):
        clock.now += 1
        meter.report(fraction)
    assert meter.left() == pytest.approx(6)


def test_one_report_only() -> None:
    meter = console.Meter(clock := Clock())
    meter.report(0.5)  # at once: nothing is known of its rate
    assert meter.left() is None
    clock.now += 1
    meter.report(1.0)
    assert meter.left() is None


# ---- bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Within the test itself: what captures its output takes the streams anew for it."""
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return shown


def drawn(terminal: Terminal) -> list[str]:
    """Lines as they stood on the terminal, one after another."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def until(terminal: Terminal, pattern: str) -> None:
    """Bars are drawn ten times a second by another thread."""
    while not any(re.search(pattern, line) for line in drawn(terminal)):
        time.sleep(0.02)


def test_a_bar_moves_where_the_work_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with console.bar("encoding") as progress:
        assert progress is not None
        until(terminal, "encoding .* 0:00$")
        until(terminal, "encoding .* 0:01$")
        progress(0.25)
        until(terminal, "encoding .* 25 % +0:01")
        progress(0.2)
        progress(0.5)
        until(terminal, "encoding .* 50 % +0:0[1-9], 0:0[0-9] left$")
        progress(1.0)
        until(terminal, "encoding .* 100 % +0:0[1-9], finishing$")
    percents = [int(n) for line in drawn(terminal) for n in re.findall(r"(\d+) %", line)]
    assert percents == sorted(percents)
    assert not any("compil" in line for line in drawn(terminal))


def test_compiling_is_said_only_while_it_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(compiling, "LINGERS", 0.0)
    with console.bar("encoding"):
        until(terminal, "encoding")
        compiling.begin()
        until(terminal, "compiling kernels, which a first run does$")
        compiling.end()
        at = len(drawn(terminal))
        while not any("compiling" not in line for line in drawn(terminal)[at + 1 :]):
            time.sleep(0.02)


def test_a_bar_names_what_is_done_before_anything_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within another the inner one, and nothing when it is over, or has failed."""
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(compiling, "LINGERS", 0.0)
    with console.bar("encoding"):
        with stages.stage("measuring"):
            until(terminal, "encoding .* measuring$")
            with contextlib.suppress(InputError), stages.stage("loading a\x1b[2Jmodel"):
                until(terminal, r"encoding .* loading a\\x1b\[2Jmodel$")
                raise InputError("gone")
            assert stages.now() == "measuring"
        assert stages.now() == ""


def test_what_a_bar_is_of_may_change_and_quiet_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, count = on_terminal(monkeypatch), [1]
    with console.bar(lambda: f"encoding {count[0]} of 2"):
        until(terminal, "encoding 1 of 2 ")
        count[0] = 2
        until(terminal, "encoding 2 of 2 ")
    console.hush(True)
    try:
        with console.bar("encoding") as progress:
            assert progress is None
        before = terminal.getvalue()
        console.tell("done")
        assert terminal.getvalue() == before
        console.say("warning: something")
        assert "warning" in terminal.getvalue()
    finally:
        console.hush(False)


def test_no_bar_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    with console.bar("encoding") as progress:
        assert progress is None
    assert shown.getvalue() == ""


# ---- compiling


def test_the_compiler_is_asked_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is compiled counts, however many lie within it; one that was compiled before does not."""
    import numba

    import diffcodec.runtime.kernels  # noqa: F401 -- listens

    told: list[bool] = []
    monkeypatch.setattr(compiling, "_watchers", [told.append])
    inner = numba.njit(lambda x: x + 1)
    outer = numba.njit(lambda x: inner(x) * 2)
    before = compiling.seconds()
    assert outer(1) == 4
    assert told == [True, False] and compiling.seconds() > before
    after = compiling.seconds()
    assert outer(2) == 6 and told == [True, False] and compiling.seconds() == after


def test_kernels_are_found_on_disk_the_second_time(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from diffcodec.entropy.stack import AnsStack\n"
        "from diffcodec.runtime import compiling\n"
        "AnsStack().push_intervals(np.array([0, 1]), np.array([5, 7]))\n"
        "print(compiling.seconds() > 0)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    told = [subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) for _ in range(2)]
    assert told == ["True\n", "False\n"]


def test_workers_compile_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "LINGERS", 0.0)
    assert not compiling.now()
    compiling.elsewhere(True)
    assert compiling.now()
    compiling.elsewhere(False)
    assert not compiling.now()


def test_two_threads_that_compile() -> None:
    """Their seconds are counted once."""
    before = compiling.seconds()
    compiling.begin()
    other = threading.Thread(target=lambda: (compiling.begin(), compiling.end()))
    other.start()
    other.join()
    assert compiling.now()
    compiling.end()
    assert compiling.seconds() >= before


# ---- interrupts


def test_an_interrupt_says_what_is_kept() -> None:
    with pytest.raises(console.Interrupted, match="all of it"), console.interruptible(lambda: "all of it"):
        raise KeyboardInterrupt

    def unknown() -> str:
        raise InputError("damaged")

    with pytest.raises(console.Interrupted, match="nothing is known"), console.interruptible(unknown):
        raise KeyboardInterrupt
    with contextlib.suppress(InputError), console.interruptible(unknown):
        raise InputError("an error stays what it is")
