"""Tables of text: what is read comes back byte for byte, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffcodec
from diffcodec import Column, Tracks
from diffcodec.files import read_signal, tables, write_signal
from diffcodec.files.layout import KEYWORD
from diffcodec.media.metadata import EMPTY, Text
from diffcodec.runtime.errors import InputError

LONG = b"frame,id,x,y\n" + b"".join(
    b"%d,%d,%.2f,%.3f\n" % (t, a, a + t / 4, t * t / 9 - a) for t in range(20) for a in (7, 3, 5) if (t, a) != (4, 3)
)
FILES = {
    "long": LONG,
    "long by agent": b"\n".join([b"id;t;x", *(b"%d;%d;%d" % (a, t, a * t) for a in range(3) for t in range(5))]),
    "no names": b"".join(b"%d %d %.1f\n" % (a, t, a - t / 10) for a in range(1, 4) for t in range(6)),
    "another order in a frame": b"frame,id,x\n0,1,5\n0,2,6\n1,2,7\n1,1,8\n2,1,9\n",
    "an agent twice": b"frame,id,x\n0,1,5\n0,1,6\n",
    "gaps": b"frame,id,x,y\n0,1,,NA\n0,2,3,4\n1,1,5,6\n",
    "nothing but gaps": b"frame,id,x\n0,1,\n1,1,\n",
    "windows": b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4\r\n",
    "no last line": b"a,b\n1,2\n3,4",
    "short": b"a,b\n1.5,0.25\n-2,0\n10.125,-0.5\n",
    "as floats are printed": b"a,b\n1.0,0.25\n-2.0,0.0\n10.125,-0.5\n",
    "doubles": b"a,b\n184.651306916648,56.30813254250421\n166.78222219504696,45.325800842709015\n",
    "words": 'name,"a, b",n\nAda,"x ""y""",1\nBö,z,2\n'.encode(),
    "header alone": b"a,b,1x\n",
    "zeros": b"a,b\n-0,00\n0,1\n",
    "large": b"a,b\n999999999999999999,-999999999999999999\n1,2\n",
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_read_comes_back(name: str) -> None:
    data = FILES[name]
    table = tables.read(data)
    assert tables.write(table) == data
    back = diffcodec.decode_signal(diffcodec.encode(table))
    assert isinstance(back, Tracks) and tables.write(back) == data


def test_agents_are_found() -> None:
    table = tables.read(LONG)
    assert table.values.shape == (20, 3, 2) and set(table.names) == {"3", "5", "7"}
    assert [column.name for column in table.columns] == ["x", "y"]
    assert table.missing is not None and table.missing.sum() == 2 and table.missing[4, table.names.index("3")].all()
    assert tables.read(FILES["no names"]).values.shape == (6, 3, 1)
    assert tables.read(FILES["long by agent"]).values.shape == (5, 3, 1)
    assert tables.read(FILES["an agent twice"]).values.shape == (2, 1, 3)


CELLS = ["0", "1", "-1", "12", "0.5", "1.50", "2.0", "", "NA", "x", "a b", '"', "-0", "1e3", "007", "9" * 19]
cells = st.sampled_from(CELLS)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8), st.sampled_from(",;\t"), st.booleans(),
       st.sampled_from(["\n", "\r\n"]))  # fmt: skip
def test_any_table_comes_back_or_is_refused(rows, separator, named, newline) -> None:
    lines = [separator.join(row) for row in ([("frame", "id", "x")] if named else []) + rows]
    data = (newline.join(lines) + newline).encode()
    try:
        table = tables.read(data)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert tables.write(table) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert tables.write(tables.read(data)) == data
    except InputError:
        pass


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xff\xfe1,2\n", "UTF-8"), (b"one\n", "two columns"), (b"1,2\n3\n", "as many cells"),
        (b'a,b\n"1",2\n', "byte for byte"), (b"a,b\n1,2\r\n3,4\n", "byte for byte"),
    ],
)  # fmt: skip
def test_what_would_not_come_back_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        tables.read(data)


def test_tables_are_limited() -> None:
    with pytest.raises(InputError):
        tables.read(LONG, max_pixels=20)


def test_prose_is_no_table() -> None:
    for data in (b"Once upon a time, there was\na fox, and a hen, and 3 of them\n", b"\x89PNG\r\n\x1a\n", b"", b"1,2"):
        assert not tables.sniff(data)
    assert all(tables.sniff(data) for name, data in FILES.items() if name not in ("header alone", "words"))


def test_other_tracks_become_a_plain_table() -> None:
    values = np.arange(12).reshape(3, 2, 2)
    walk = Tracks(values, (Column("x", Decimal("0.1")), Column("y")), names=("Ada", "Grace"))
    data = write_signal(walk, "CSV")
    assert data.startswith(b"frame,agent,x,y\n0,Ada,0.0,1\n0,Grace,0.2,3\n")
    again = read_signal(data)
    assert isinstance(again, Tracks) and (again.values == values).all() and again.names == walk.names
    odd = Tracks(values, (Column("x", Decimal("0.25")), Column("y")))
    with pytest.raises(InputError, match="floats"):
        write_signal(odd, "CSV")


def test_a_damaged_layout_is_our_error() -> None:
    table = tables.read(LONG)
    told = json.loads(table.metadata.text[0].text)
    wide = [{**told["forms"][0], "decimals": 10**12}, *told["forms"][1:]]
    for change in ({"frame": 99}, {"rows": [[500, 0]]}, {"forms": []}, {"orders": [[0, 1, 1, 1]]}, {"separator": ""},
                   {"forms": wide}, {"start": "x"}, {"newline": "?"}):  # fmt: skip
        text = Text(KEYWORD, json.dumps({**told, **change}))
        with pytest.raises(InputError, match="table"):
            tables.write(replace(table, metadata=replace(EMPTY, text=(text,))))
    for text in ("", "[]", "{}"):
        with pytest.raises(InputError, match="damaged"):
            tables.write(replace(table, metadata=replace(EMPTY, text=(Text(KEYWORD, text),))))


def test_the_command_takes_tables(run: Callable[..., tuple[int, bytes, str]], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(LONG)
    code, _, err = run("encode", tmp_path / "a.csv", tmp_path / "a.dfc")
    assert code == 0, err
    code, _, err = run("decode", tmp_path / "a.dfc", tmp_path / "b.csv")
    assert code == 0, err
    assert (tmp_path / "b.csv").read_bytes() == LONG
    code, _, err = run("decode", tmp_path / "a.dfc", tmp_path / "b.png")
    assert code == 1 and "CSV" in err
