"""Tables in Parquet: values and types come back, what does not is named; and arrays of `.npz`, never unpickled."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import Column, Tracks
from diffcodec.files import npz, parquet, read_signal, tables, write_signal
from diffcodec.files.grids import bits_of, of_bits, off_grid, on_grid
from diffcodec.media.metadata import EMPTY, Text
from diffcodec.runtime.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
FEW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def file_of(table: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def back(data: bytes, format: str = "PARQUET") -> bytes:
    """Through a stream."""
    return write_signal(diffcodec.decode_signal(diffcodec.encode(read_signal(data))), format)


def long_table(frames: int = 12) -> Any:
    """Of every type that is kept, with nulls; frames and agents are found."""
    t, a = np.repeat(np.arange(frames), 3), np.tile([7, 3, 5], frames)
    n, random = len(t), np.random.default_rng(0)
    return pa.table({
        "frame": pa.array(t, pa.int16()),
        "player": [f"p{k}" for k in a],
        "x": random.normal(0, 9, n).cumsum().round(2),
        "y": pa.array(random.normal(0, 9, n).cumsum().round(3).astype(np.float32)),
        "exactly": random.normal(0, 1, n),
        "single": pa.array(random.normal(0, 1, n).astype(np.float32)),
        "there": random.random(n) < 0.5,
        "word": [None if k % 7 == 0 else "ab"[k % 2] for k in range(n)],
        "when": pa.array(t * 40, pa.int64()).cast(pa.timestamp("ms", "Europe/Paris")),
        "count": pa.array([None if k % 5 == 0 else k for k in range(n)], pa.uint16()),
        "odd": np.where(t % 4 == 0, np.nan, t / 4),
        "day": pa.array(t.astype(np.int32)).cast(pa.date32()),
        "lasts": pa.array(t, pa.int64()).cast(pa.duration("us")),
        "price": pa.array([None, *(Decimal(k) / 4 for k in range(n - 1))], pa.decimal128(10, 2)),
    })  # fmt: skip


def test_every_type_comes_back() -> None:
    table = long_table()
    signal = read_signal(file_of(table))
    assert isinstance(signal, Tracks) and signal.shape == (12, 3, 12) and signal.names == ("p7", "p3", "p5")
    assert [str(column.step) for column in signal.columns[:2]] == ["0.01", "0.001"]
    found = pq.read_table(io.BytesIO(back(file_of(table))))
    assert found.schema.equals(table.schema)
    for name in table.column_names:
        mine, theirs = found[name].to_pylist(), table[name].to_pylist()
        assert np.array_equal(mine, theirs, equal_nan=True) if name == "odd" else mine == theirs, name


def test_a_table_of_text_becomes_parquet_and_the_other_way_round() -> None:
    lines = (b"%d,%d,%.2f,%s\n" % (t, a, t / 4, b"ab"[a : a + 1]) for t in range(9) for a in (0, 1))
    text = b"frame,id,x,what\n" + b"".join(lines)
    found = pq.read_table(io.BytesIO(back(text)))
    assert [str(kind) for kind in found.schema.types] == ["int64", "int64", "double", "string"]
    assert found["x"].to_pylist() == [t / 4 for t in range(9) for _ in (0, 1)]
    again = tables.read(back(file_of(found), "CSV"))
    assert (again.values == tables.read(text).values * [[[1, 1]]]).all() and again.names == ("0", "1")


CELLS = st.one_of(st.none(), st.floats(allow_infinity=True, width=32), st.integers(-999, 999).map(lambda n: n / 100))
WORDS = st.one_of(st.none(), st.sampled_from(["", "a", "ä b"]))


@FEW
@given(st.lists(st.tuples(CELLS, WORDS, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2)), min_size=1, max_size=9))
def test_any_table_comes_back(rows: list[tuple[Any, Any, int, int]]) -> None:
    floats, words, numbers, frames = map(list, zip(*rows, strict=True))
    ids = [n % 2 for n in range(len(rows))]
    table = pa.table({
        "v": pa.array(floats, pa.float64()), "w": pa.array(words, pa.string()), "n": pa.array(numbers, pa.int64()),
        "frame": pa.array(sorted(frames)), "id": ids,
    })  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nulls beside NaN
        found = pq.read_table(io.BytesIO(write_signal(read_signal(file_of(table)), "PARQUET")))
    assert found.schema.equals(table.schema)
    for name in ("w", "n", "frame", "id"):
        assert found[name].to_pylist() == table[name].to_pylist()
    nulls = None in floats
    for mine, theirs in zip(found["v"].to_pylist(), floats, strict=True):
        odd = theirs is not None and theirs != theirs
        assert mine == theirs or (odd and (mine is None if nulls else mine != mine))


def test_what_is_not_kept_is_named() -> None:
    table = pa.table({"x": [1, 2], "y": [1.5, 2.5]}).replace_schema_metadata({"pandas": "{}"})
    with pytest.warns(UserWarning, match=r"notes of its schema \(pandas\)"):
        read_signal(file_of(table))
    with pytest.warns(UserWarning, match="nulls and NaN"):
        read_signal(file_of(pa.table({"x": pa.array([1.0, None, float("nan")]), "y": [1, 2, 3]})))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"x": [[1], [2]]}, "'x' holds list"), ({"x": pa.array([2**63], pa.uint64())}, "from 2\\^63"),
        ({"x": pa.array([b"a"])}, "'x' holds binary"), ({}, "found none|at least one"),
    ],
)  # fmt: skip
def test_what_has_no_place_is_refused_by_name(columns: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_signal(file_of(pa.table(columns)))


def test_damaged_files_are_our_error() -> None:
    data = file_of(long_table())
    random = np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(data)
        for _ in range(4):
            bad[random.integers(4, len(bad))] ^= 1 << random.integers(8)
        try:
            parquet.read(bytes(bad))
        except InputError as error:
            assert "\n" not in str(error)
    with pytest.raises(InputError, match="damaged"):
        read_signal(data[:-20])
    with pytest.raises(InputError, match="over the limit"):
        parquet.read(data, max_pixels=20)


def test_a_damaged_layout_is_our_error() -> None:
    signal = read_signal(file_of(long_table()))
    assert isinstance(signal, Tracks)
    told = json.loads(signal.metadata.text[0].text)
    for change in ({"types": ["list"]}, {"types": ["int8"] * 14}, {"types": told["types"][::-1]}, {"rows": [[500, 0]]}):
        text = Text(signal.metadata.text[0].keyword, json.dumps({**told, **change}))
        with pytest.raises(InputError, match="table"):
            parquet.write(replace(signal, metadata=replace(EMPTY, text=(text,))))


def test_the_command_takes_parquet(run: Callable[..., tuple[int, bytes, str]], tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(file_of(long_table()))
    for names in (("a.parquet", "a.dfc"), ("a.dfc", "b.parquet"), ("a.dfc", "b.npz")):
        code, _, err = run("encode" if names[1] == "a.dfc" else "decode", *(tmp_path / name for name in names))
        assert code == 0, err
    found = pq.read_table(tmp_path / "b.parquet").drop_columns(["odd"])
    assert found.equals(long_table().drop_columns(["odd"]))


# ---- floats as whole numbers


@FEW
@given(st.lists(st.floats(allow_nan=False), min_size=1), st.sampled_from([np.float32, np.float64]))
def test_bits_come_back_and_keep_their_order(numbers: list[float], dtype: Any) -> None:
    with np.errstate(over="ignore"):
        floats = np.array(numbers).astype(dtype)
    bits = bits_of(floats)
    assert of_bits(bits, dtype).tobytes() == floats.tobytes()
    order = np.argsort(bits, kind="stable")
    assert (np.diff(floats[order].astype(np.float64)[np.isfinite(floats[order])]) >= 0).all()


@FEW
@given(st.lists(st.integers(-(10**9), 10**9), min_size=1), st.integers(0, 6))
def test_decimals_have_a_grid(numbers: list[int], decimals: int) -> None:
    floats = off_grid(np.array(numbers), decimals, np.float64)
    found = on_grid(floats)
    assert found is not None and found[1] <= decimals
    assert (off_grid(*found, np.float64) == floats).all()
    assert on_grid(np.array([np.pi * 1e-9, 1e9])) is None


# ---- arrays


def archive(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_arrays_come_back() -> None:
    random = np.random.default_rng(0)
    given = {
        "x": random.normal(0, 1, (9, 3)).round(2),
        "yz": random.normal(0, 1, (9, 3, 2)).round(1).astype(np.float32),
        "kind": random.integers(0, 9, (9, 3)).astype(np.uint8),
        "exactly": random.normal(0, 1, (9, 3)),
        "gaps": np.where(random.random((9, 3)) < 0.3, np.nan, 2.5),
        "names": np.array(["a", "b", "ä"]),
        "teams": np.array(["home", "home", "away"]),
        "rate": np.array([25, 2]),
    }
    signal = read_signal(archive(**given))
    assert isinstance(signal, Tracks) and signal.names == ("a", "b", "ä") and signal.rate == Fraction(25, 2)
    assert [column.name for column in signal.columns] == ["x", "yz 0", "yz 1", "kind", "exactly", "gaps"]
    with np.load(io.BytesIO(back(archive(**given), "NPZ")), allow_pickle=False) as found:
        assert set(found) == set(given)
        for name, array in given.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f")


def test_other_tracks_become_arrays() -> None:
    values = np.arange(12).reshape(3, 2, 2)
    walk = Tracks(values, (Column("x", Decimal("0.1")), Column("y")), names=("Ada", "Grace"), rate=Fraction(10))
    with np.load(io.BytesIO(write_signal(walk, "NPZ")), allow_pickle=False) as found:
        assert found["x"].tolist() == (values[..., 0] / 10).tolist() and found["y"].dtype == np.int64
        assert found["names"].tolist() == ["Ada", "Grace"] and found["rate"].tolist() == [10, 1]


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros((3, 3))}, "of one size"), ({"x": np.zeros(3)}, r"x float64 \(3,\)"),
        ({"x": np.array([["a"]])}, "of numbers"), ({"x": np.array([[object()]])}, "damaged"), ({}, "."),
        ({"x": np.array([[2**63]], np.uint64)}, "from 2\\^63"), ({"x": np.zeros((2, 2), np.float16)}, "float16"),
    ],
)  # fmt: skip
def test_other_arrays_are_refused_by_name(arrays: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        npz.read(archive(**arrays))


def test_arrays_are_limited_before_they_are_unpacked() -> None:
    with pytest.raises(InputError, match="over the limit"):
        npz.read(archive(x=np.zeros((100, 100))), max_pixels=1000)
    assert npz.sniff(archive(x=np.zeros((1, 1)))) and not npz.sniff(b"PK\3\4" + bytes(40))
