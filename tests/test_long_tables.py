"""Long tables go group by group: what comes back is the same file, and memory is that of a group."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.files import grouped, long_reading, long_tables, parquet, tables
from diffcodec.media.groups import joined
from diffcodec.media.tracks import Tracks
from diffcodec.runtime.errors import InputError

FEW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def table(frames: int, agents: int, *, seed: int = 0, end: str = "\n", short: bool = False) -> bytes:
    """Agents that walk, some of whom come late, look somewhere, and are called something, at every fifth frame."""
    random = np.random.default_rng(seed)
    places = random.normal(0, 1, (frames, agents, 2)).cumsum(0)
    come = random.integers(0, max(1, frames // 2), agents) * (np.arange(agents) > 0)
    rows = ["frame,id,x,y,what"]
    for t in range(frames):
        for a in range(agents):
            if t >= come[a]:
                x, y = places[t, a]
                cells = (str(round(x, 2)), f"{y:.3f}" if random.random() > 0.1 else "NA")
                rows.append(f"{5 * t + 100},{7 * a},{cells[0] if short else f'{x:.2f}'},{cells[1]},{'ab'[t * a % 2]}")
    return (end.join(rows) + end).encode()


def opened(data: bytes) -> long_tables.LongTable:
    found = long_reading.opened(io.BytesIO(data), len(data), True)
    assert found is not None
    return found


def written(groups: list[Tracks], format: str = "CSV", first: int = 0) -> bytes:
    out = io.BytesIO()
    grouped.write(groups, out, format, first)
    return out.getvalue()


@FEW
@given(
    st.integers(1, 40), st.integers(1, 5), st.integers(0, 99), st.sampled_from(["\n", "\r\n"]), st.booleans(),
    st.sampled_from([1, 3, 7, 16, 100]), st.booleans(),
)  # fmt: skip
def test_groups_are_the_table(frames, agents, seed, end, short, length, last) -> None:
    data = table(frames, agents, seed=seed, end=end, short=short)
    data = data if last else data.removesuffix(end.encode())
    if not tables.sniff(data):  # of one line that does not end
        return
    source = opened(data)
    groups = list(source.groups(length, 10**6))
    assert [one.length for one in groups] == source.counts(length) and source.seen == source.count
    assert written(groups) == data
    whole = joined(groups)
    assert whole.equals(tables.read(data)) and tables.write(whole) == data
    stream = b"".join(diffcodec.encode_groups(groups)) if frames < 12 else b""
    if stream:
        assert written(list(diffcodec.decode_groups(stream))) == data
        assert tables.write(diffcodec.decode_signal(stream)) == data


def test_some_frames_keep_their_numbers() -> None:
    data = table(30, 3)
    stream = b"".join(diffcodec.encode_groups(opened(data).groups(7, 10**6)))
    some = list(diffcodec.decode_groups(stream, frames=slice(10, 20)))
    lines = [line for line in data.splitlines(True)[1:] if 150 <= int(line.split(b",")[0]) < 200]
    assert written(some, first=10) == data.splitlines(True)[0] + b"".join(lines)


def test_what_is_not_long_or_in_another_order_is_read_as_a_whole() -> None:
    data = table(9, 3)
    assert long_reading.opened(io.BytesIO(data), len(data)) is None
    assert long_reading.opened(io.BytesIO(data), long_reading.LONG) is not None
    lines = data.splitlines(True)
    for other in ([lines[0], *lines[:0:-1]], [*lines, lines[1]], [lines[0], *sorted(lines[1:], key=lambda x: x[4:])]):
        found = b"".join(other)
        assert long_reading.opened(io.BytesIO(found), len(found), True) is None
    assert long_reading.opened(io.BytesIO(b"\x89PNG"), 4, True) is None


def test_a_table_without_agents_is_of_rows() -> None:
    data = b"a,b\n" + b"".join(b"%d,%.1f\n" % (n * n, n / 3) for n in range(50))
    source = opened(data)
    groups = list(source.groups(20, 10**6))
    assert [one.shape for one in groups] == [(20, 1, 2), (20, 1, 2), (10, 1, 2)] and written(groups) == data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"90,2,-0.00\n", "come back"), (b"90,2\n", "as many cells"), (b'90,"2",3.00\n', "come back"),
        (b"90,2,\xff\n", "UTF-8"), (b"90,2,1\r1\n", "lines that are none"), (b'90,2,"1\n', "come back"),
    ],
)  # fmt: skip
def test_what_would_not_come_back_is_refused(data: bytes, told: str) -> None:
    data = b"frame,id,x\n" + b"".join(b"%d,1,1.50\n" % n for n in range(40)) + data
    with pytest.raises(InputError, match=told):
        list(opened(data).groups(5, 10**6))


def test_groups_are_limited() -> None:
    with pytest.raises(InputError, match="over the limit"):
        list(opened(table(9, 3)).groups(5, 10))


def test_memory_is_that_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 000 rows and 40 000 take the same."""
    monkeypatch.setattr(long_reading, "ROWS", 512)
    peaks = []
    for frames in (2000, 8000):
        path = tmp_path / f"{frames}.csv"
        path.write_bytes(table(frames, 5))
        with grouped.opened(path, tables=True) as source:
            assert isinstance(source, long_tables.LongTable)
            tracemalloc.start()
            rows = sum(int((~one.gaps[..., 0]).sum()) for one in source.groups(100, 10**6))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert rows > 3 * frames
    assert peaks[1] < 1.2 * peaks[0] + 10**5


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_the_command_takes_long_tables(
    run: Callable[..., tuple[int, bytes, str]], tmp_path: Path, format: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    data = table(60, 3)
    (tmp_path / "a.csv").write_bytes(data)
    source = tmp_path / f"a.{format}"
    if format == "parquet":
        source.write_bytes(parquet.write(tables.read(data)))
    code, _, err = run("encode", source, tmp_path / "a.dfc", "--group", 25)
    assert code == 0, err
    told = diffcodec.inspect((tmp_path / "a.dfc").read_bytes())
    assert [group["frames"] for group in told["groups"]] == [25, 25, 10] and told["frames"] == 60
    code, _, err = run("decode", tmp_path / "a.dfc", tmp_path / f"b.{format}")
    assert code == 0, err
    if format == "csv":
        assert (tmp_path / "b.csv").read_bytes() == data
    else:
        import pyarrow.parquet as pq

        assert pq.read_table(tmp_path / "b.parquet").equals(pq.read_table(source))
    code, _, err = run("decode", tmp_path / "a.dfc", tmp_path / "c.csv", "--frames", "30:31")
    assert code == 0, err
    assert {line.split(b",")[0] for line in (tmp_path / "c.csv").read_bytes().splitlines()[1:]} == {b"250"}
