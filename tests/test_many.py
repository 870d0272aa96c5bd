"""Many files by one command: each whole or not at all, what was there is kept, one bad file stops no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec import files
from diffcodec.archive import coding, many
from diffcodec.runtime import atomic as output
from diffcodec.runtime.errors import InputError, ModelNotFound

Run = Callable[..., tuple[int, bytes, str]]
CASES = Path(__file__).parent / "data" / "cases"
PHOTOS = [np.random.default_rng(n).integers(0, 256, (8 + n, 9, 3), dtype=np.uint8) for n in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures, one damaged, notes, and a stream that is there already."""
    root = tmp_path / "in"
    (root / "deep" / "er").mkdir(parents=True)
    for n, name in enumerate(("a.png", "b.bmp", "deep/a.png", "deep/er/c.tif")):
        Image.fromarray(PHOTOS[n]).save(root / name)
    (root / "notes.txt").write_text("no picture")
    (root / "old.dfc").write_bytes(b"a stream is not coded again")
    return root


def below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("fake_codec")
class TestCommand:
    """The commands encode and decode, of a codec that takes no time."""

    def test_a_folder_and_back(self, run: Run, folder: Path, tmp_path: Path) -> None:
        out, back = tmp_path / "out", tmp_path / "back"
        code, stdout, err = run("encode", "-r", folder, "--out-dir", out)
        assert (code, stdout) == (0, b"")
        assert sorted(below(out)) == ["a.png.dfc", "b.bmp.dfc", "deep/a.png.dfc", "deep/er/c.tif.dfc"]
        lines = [line for line in err.splitlines() if not line.startswith("warning")]
        assert len(lines) == 5 and all(" bytes in, " in line and " %)" in line for line in lines)
        before = sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in (".png", ".bmp", ".tif"))
        after = sum(map(len, below(out).values()))
        assert lines[-1].startswith(f"4 files: {before} bytes in, {after} bytes out") and "2 left out" in lines[-1]
        code, _, err = run("decode", "-r", out, "--out-dir", back)
        assert code == 0 and sorted(below(back)) == ["a.png", "b.bmp", "deep/a.png", "deep/er/c.tif"]
        for n, name in enumerate(("a.png", "b.bmp", "deep/a.png", "deep/er/c.tif")):
            assert (np.asarray(Image.open(back / name)) == PHOTOS[n]).all()

    def test_json_is_a_line_for_each(self, run: Run, folder: Path, tmp_path: Path) -> None:
        (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        code, stdout, err = run("encode", "-r", folder, "--out-dir", tmp_path / "out", "--json")
        found = [json.loads(line) for line in stdout.splitlines()]
        assert code == 1 and [one["status"] for one in found] == ["written", "written", "failed", "written", "written"]
        assert found[2]["error"] and found[2]["source"].endswith("bad.png")
        assert found[0]["bytes"] == found[0]["output_bytes"] == (tmp_path / "out/a.png.dfc").stat().st_size
        assert (found[0]["codec"], found[0]["width"], found[0]["deleted"]) == ("ardm", 9, False)
        assert [line for line in err.splitlines() if line.startswith("error: ")] == err.splitlines()

    def test_one_bad_file_stops_no_other(self, run: Run, folder: Path, tmp_path: Path) -> None:
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])
        out = tmp_path / "out"
        code, _, err = run("encode", "-r", folder, folder / "gone.png", folder / "no*.xyz", "--out-dir", out)
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 1 and len(errors) == 3
        assert "a.png: the picture is damaged" in errors[0] and "gone.png: No such file" in errors[1]
        assert "no file has a name like this" in errors[2] and "3 failed" in err.splitlines()[-1]
        assert sorted(below(out)) == ["b.bmp.dfc", "deep/a.png.dfc", "deep/er/c.tif.dfc"]
        (out / "b.bmp.dfc").write_bytes((out / "b.bmp.dfc").read_bytes()[:-1])
        code, _, err = run("decode", "-r", out, "--out-dir", tmp_path / "back")
        assert code == 1 and sorted(below(tmp_path / "back")) == ["deep/a.png", "deep/er/c.tif"]

    def test_a_fault_of_ours_stops_no_other(
        self, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = files.read_signal

        def odd(data: bytes, **options: object) -> object:
            if data == (folder / "b.bmp").read_bytes():
                raise ZeroDivisionError("odd")
            return real(data, **options)

        monkeypatch.setattr(files, "read_signal", odd)
        code, _, err = run("encode", "-r", folder, "--out-dir", tmp_path / "out")
        assert code == 1 and "b.bmp: ZeroDivisionError: odd; please report" in err and len(below(tmp_path / "out")) == 3

    def test_what_is_there_is_kept(self, run: Run, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        (out / "deep").mkdir(parents=True)
        (out / "deep" / "a.png.dfc").write_bytes(b"mine")
        code, _, err = run("encode", "-r", folder, "--out-dir", out)
        assert code == 1 and "a.png.dfc exists already" in err and (out / "deep/a.png.dfc").read_bytes() == b"mine"
        before = below(out)
        code, _, err = run("encode", "-r", folder, "--out-dir", out, "--skip-existing")
        assert code == 0 and below(out) == before and "0 files" in err and "4 skipped" in err
        assert run("encode", "-r", folder, "--out-dir", out, "--overwrite")[0] == 0
        assert diffcodec.decode((out / "deep/a.png.dfc").read_bytes()).shape == PHOTOS[2].shape
        code, _, err = run("encode", "-r", folder, "--out-dir", out, "--overwrite", "--skip-existing")
        assert code == 1 and "leave overwrite or skip_existing out" in err

    def test_beside_each_source(self, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        assert run("encode", "a.png", "b.bmp", "deep/a.png")[0] == 0
        assert {"a.png.dfc", "b.bmp.dfc", "deep/a.png.dfc"} < set(below(folder))
        os.unlink("a.png")
        assert run("decode", "a.png.dfc")[0] == 0 and Path("a.png").is_file()

    def test_patterns_where_the_shell_expands_none(self, run: Run, folder: Path, tmp_path: Path) -> None:
        for pattern, names in {
            "**/*.png": ["a.png.dfc", "deep/a.png.dfc"],
            "*/a.p?g": ["deep/a.png.dfc"],
            "[ab].*": ["a.png.dfc", "b.bmp.dfc"],
        }.items():
            out = tmp_path / f"out{len(pattern)}"
            assert run("encode", folder / pattern, "--out-dir", out)[0] == 0
            assert sorted(below(out)) == names
        Image.fromarray(PHOTOS[0]).save(folder / "[x].png")
        assert run("encode", folder / "[x].png", folder / "a.png", "--out-dir", tmp_path / "o")[0] == 0
        assert sorted(below(tmp_path / "o")) == ["[x].png.dfc", "a.png.dfc"]

    def test_names_that_meet(self, run: Run, folder: Path, tmp_path: Path) -> None:
        """Two sources never become one file, nor a source another's result."""
        code, _, err = run("encode", folder / "a.png", folder / "deep/a.png", "--out-dir", tmp_path / "o")
        assert code == 1 and "is what " in err and len(below(tmp_path / "o")) == 1
        assert run("encode", folder / "a.png", folder / "a.png", "--out-dir", tmp_path / "p")[0] == 0
        pairs = {folder / "a.png": folder / "b.bmp", folder / "b.bmp": tmp_path / "x.dfc"}
        before = (folder / "b.bmp").read_bytes()
        first, second = diffcodec.encode_files(pairs, overwrite=True)
        assert "is one of the files to encode" in str(first.error) and second.status == "written"
        assert (folder / "b.bmp").read_bytes() == before

    def test_results_below_the_folder_are_no_sources(self, run: Run, folder: Path) -> None:
        for _ in range(2):
            code, _, _ = run("encode", "-r", folder, "--out-dir", folder / "out", "--overwrite")
            assert code == 0 and sorted(below(folder / "out"))[0] == "a.png.dfc" and len(below(folder / "out")) == 4
        assert run("decode", "-r", folder / "out", "--out-dir", folder / "out")[0] == 0
        assert run("encode", "-r", folder / "deep", "--out-dir", folder)[0] == 0
        assert (folder / "er" / "c.tif.dfc").is_file()

    def test_dry_run_writes_nothing(self, run: Run, folder: Path, tmp_path: Path) -> None:
        (folder / "bad.png").write_bytes(b"nothing")
        before = below(tmp_path)
        code, _, err = run("encode", "-r", folder, "--out-dir", tmp_path / "out", "--dry-run")
        assert code == 1 and below(tmp_path) == before and not (tmp_path / "out").exists()
        assert "a.png.dfc: PNG, 9×8, " in err and "bad.png: no picture" in err and "4 files of " in err
        assert run("encode", "-r", folder, "--out-dir", tmp_path / "out")[0] == 1
        before = below(tmp_path)
        code, stdout, _ = run("decode", "-r", tmp_path / "out", "-n", "--json")
        found = [json.loads(line) for line in stdout.splitlines()]
        assert code == 0 and below(tmp_path) == before and {one["status"] for one in found} == {"planned"}
        assert found[0]["found"] == "RGB, 9×8, ardm" and found[0]["target"].endswith("a.png")

    def test_quiet_and_verbose(self, run: Run, folder: Path, tmp_path: Path) -> None:
        code, _, err = run("encode", "-r", folder, "--out-dir", tmp_path / "a", "-q")
        assert code == 0 and err == ""
        code, _, err = run("encode", "-r", folder, "--out-dir", tmp_path / "b", "-v")
        assert "notes.txt: left out, nothing to encode" in err and "9×8 RGB, ardm by fake" in err
        err = run("encode", folder / "b.bmp", tmp_path / "x.dfc", "--quiet")[2]
        assert all(line.startswith("warning: ") for line in err.splitlines())
        assert "ardm by fake" in run("encode", folder / "b.bmp", tmp_path / "y.dfc", "-v")[2]

    def test_folders_need_to_be_asked_for(self, run: Run, folder: Path, tmp_path: Path) -> None:
        code, _, err = run("encode", folder, folder / "a.png", "--out-dir", tmp_path / "o")
        assert code == 1 and "found a folder: give recursive (-r)" in err
        assert list(below(tmp_path / "o")) == ["a.png.dfc"]
        (tmp_path / "empty").mkdir()
        code, _, err = run("encode", "-r", tmp_path / "empty")
        assert code == 1 and "found no file to encode" in err
        code, _, err = run("encode", "-r", folder, "--out-dir", folder / "a.png")
        assert code == 1 and "expected a folder to write to" in err

    def test_names_of_other_formats(self, run: Run, folder: Path, tmp_path: Path) -> None:
        code, _, err = run("encode", folder / "a.png", tmp_path / "x.jxl")
        assert code == 0 and "x.jxl will hold a .dfc stream, which nothing that reads .jxl takes" in err
        before = (folder / "deep/a.png").read_bytes()
        code, _, err = run("encode", folder / "a.png", folder / "deep/a.png", "--overwrite")
        assert code == 1 and "for several files give --out-dir" in err
        assert (folder / "deep/a.png").read_bytes() == before
        assert run("encode", folder / "a.png", tmp_path / "x.jxl", "--overwrite")[0] == 0

    def test_the_source_is_deleted_once_it_is_safe(self, run: Run, folder: Path, tmp_path: Path) -> None:
        before = {name: data for name, data in below(folder).items() if name not in ("old.dfc", "notes.txt")}
        code, _, err = run("encode", "-r", folder, "--delete-source")
        assert code == 0 and err.count(" deleted") == 4
        assert set(below(folder)) == {*(f"{name}.dfc" for name in before), "old.dfc", "notes.txt"}
        os.unlink(folder / "old.dfc")
        assert run("decode", "-r", folder, "--delete-source")[0] == 0
        assert set(below(folder)) == {*before, "notes.txt"}
        for name, data in before.items():
            assert files.read_signal(data).equals(files.read_signal(folder / name)), name

    def test_a_source_stays_where_anything_would_be_lost(
        self, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def encode(*more: object) -> str:
            code, _, err = run("encode", folder / "a.png", tmp_path / "x.dfc", "--delete-source", *more)
            assert (folder / "a.png").is_file()
            return f"{code} {err}"

        assert "leave the rate out" in encode("--bpp", 2)
        assert "leave first out" in encode("--first")
        with monkeypatch.context() as patch:  # what the reader says of a file is kept by nobody
            real = files.read_signal
            patch.setattr(files, "read_signal", lambda data, **o: (coding.warnings.warn("lost"), real(data, **o))[1])
            assert "not deleted: something of it is in no stream" in encode()
        with monkeypatch.context() as patch:
            patch.setattr(coding, "decode_all", lambda *_: files.read_signal(folder / "b.bmp"))
            assert "not deleted: its stream decodes to something else" in encode("--overwrite")
        with monkeypatch.context() as patch:
            real_write = output.write
            patch.setattr(output, "write", lambda path, data, overwrite: real_write(path, data[:-1], overwrite))
            assert "does not hold what was written" in encode("--overwrite")
        lossy = tmp_path / "lossy.png.dfc"
        lossy.write_bytes(diffcodec.encode(np.zeros((64, 64, 3), np.uint8), "diffc", bpp=1))
        err = run("decode", lossy, tmp_path / "y.png", "--delete-source")[2]
        assert lossy.is_file() and (tmp_path / "y.png").is_file() and "more than one picture" in err

    def test_an_interrupt_says_how_to_go_on(
        self, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, left = tmp_path / "out", [2]
        real = output.write

        def write(*one: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            real(*one)

        with monkeypatch.context() as patch:
            patch.setattr(output, "write", write)
            code, _, err = run("encode", "-r", folder, "--out-dir", out)
        assert code == 130 and "interrupted: 2 files are written, each whole: with --skip-existing" in err
        assert len(below(out)) == 2
        code, _, err = run("encode", "-r", folder, "--out-dir", out, "--skip-existing")
        assert code == 0 and "2 files: " in err and "2 skipped" in err

    def test_a_model_that_is_not_there_is_said_once(self, run: Run, folder: Path, tmp_path: Path) -> None:
        code, _, err = run("encode", "-r", folder, "--out-dir", tmp_path / "o", "--model", "nothing")
        assert code == 1 and err.count("no model") == 1

    def test_one_file_by_the_same_way(self, run: Run, folder: Path, tmp_path: Path) -> None:
        assert run("encode", folder / "a.png", "-o", tmp_path / "x.dfc")[0] == 0
        assert run("encode", folder / "a.png", tmp_path / "x.dfc", "--skip-existing")[0] == 0
        assert run("decode", tmp_path / "x.dfc", tmp_path / "x.tif", "--skip-existing")[0] == 0
        assert (tmp_path / "x.tif").read_bytes()[:2] in (b"II", b"MM")
        code, _, err = run("decode", tmp_path / "x.dfc", tmp_path / "x.jpg", "--skip-existing")
        assert code == 1 and ".jpg" in err and not (tmp_path / "x.jpg").exists()


# ---- in Python


@pytest.mark.usefixtures("fake_codec")
def test_results_come_as_they_are_done(folder: Path, tmp_path: Path) -> None:
    told: list[float] = []
    results = diffcodec.encode_files(folder, tmp_path / "out", recursive=True, progress=told.append)
    seen = []
    for one in results:
        seen.append(one)
        assert one.status == "left out" or (Path(one.target).is_file() and one.facts["mode"] == "RGB")
    assert told == sorted(told) and told[-1] == 1.0
    assert [one.status for one in seen].count("written") == 4
    back = list(diffcodec.decode_files({seen[0].target: tmp_path / "y.npy"}))
    assert back[0].status == "written" and (np.load(tmp_path / "y.npy") == PHOTOS[0]).all()
    with pytest.raises(InputError):
        diffcodec.encode_files(folder, bpp=-1.0)
    with pytest.raises(ModelNotFound):
        list(diffcodec.encode_files(folder / "a.png", tmp_path / "z", model="nothing"))
    with pytest.raises(InputError, match="jobs=1"):
        diffcodec.encode_files(folder / "a.png", tmp_path / "z", model=object(), jobs=2)


@pytest.mark.usefixtures("fake_codec")
def test_every_odd_file_is_coded_and_deleted_or_stays(tmp_path: Path) -> None:
    """Of the corpus: what is deleted is what decodes to all of it."""
    root = tmp_path / "in"
    root.mkdir()
    for path in sorted(CASES.iterdir()):
        if path.is_file():
            (root / path.name).write_bytes(path.read_bytes())
    before = below(root)
    results = list(diffcodec.encode_files(root, tmp_path / "out", recursive=True, delete_source=True))
    deleted = {os.path.basename(one.source): one.target for one in results if one.deleted}
    assert len(deleted) > 5 and set(below(root)) == set(before) - set(deleted)
    for name, target in deleted.items():
        was, back = files.read_signal(before[name]), diffcodec.decode_signal(target, frames=True)
        assert all(a.equals(b) for a, b in zip((was, *was.following), (back, *back.following), strict=True)), name
    kept = [one for one in results if one.status == "written" and not one.deleted]
    assert all(any("is not deleted: " in said for said in one.warnings) for one in kept)


names = st.text("ab./*[]?\u00e9 ", min_size=1, max_size=12)


@given(st.lists(names, max_size=4), st.booleans(), st.none() | names)
def test_any_names_give_a_plan(found: list[str], recursive: bool, out: str | None) -> None:
    """Whatever is named: nothing is written, and what cannot be is said of the name itself."""
    placing = many.Placing(out and f"/nowhere/{out}", recursive=recursive, dry_run=True)
    plan = many.plan([f"/nowhere/{name}" for name in found], coding.Encoding(), placing)
    assert len(plan) == 0 and all(one is not None and one.status == "failed" for one in plan.results)


def test_processes_write_the_same(tmp_path: Path) -> None:
    """Without a network, so that it is quick: pictures of 16 bits in black and white."""
    for n in range(3):
        grey = np.random.default_rng(n).integers(0, 2, (9, 9)).astype(bool)
        Image.fromarray(grey).save(tmp_path / f"{n}.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    told: list[float] = []
    alone = list(diffcodec.encode_files(tmp_path / "*.png", tmp_path / "one"))
    several = list(diffcodec.encode_files(tmp_path / "*.png", tmp_path / "two", jobs=2, progress=told.append))
    assert [one.status for one in several] == [one.status for one in alone] == ["written"] * 3 + ["failed"]
    assert below(tmp_path / "one") == below(tmp_path / "two") and told[-1] == 1.0
    assert str(several[3].error) == str(alone[3].error)


def test_what_no_network_codes_needs_no_torch(tmp_path: Path) -> None:
    """Neither way, where the planes are none of a photograph's; nor to decode what the context coder had smaller."""
    values = np.arange(30, dtype=np.float32).reshape(5, 6)
    np.save(tmp_path / "a.npy", values)
    (tmp_path / "b.png.dfc").write_bytes(diffcodec.encode(np.eye(9, dtype=bool)))
    code = (
        "import sys; from diffcodec.cli import main as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as stop: print(stop.code, 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for command in (("encode", "a.npy"), ("decode", "a.npy.dfc", "b.png.dfc", "--out-dir", "out")):
        line = [sys.executable, "-c", code, *command]
        assert subprocess.check_output(line, cwd=tmp_path, env=environment, text=True) == "0 False\n"
    assert (np.load(tmp_path / "out/a.npy") == values).all()
    assert (np.asarray(Image.open(tmp_path / "out/b.png")) == np.eye(9, dtype=bool)).all()
