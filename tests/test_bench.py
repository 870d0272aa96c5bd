"""The rate–distortion suite: rows of real files, resumable, errors collected; a page that works in a real browser."""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import json
import math
import re
import runpy
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffcodec

for package in ("torchmetrics", "bjontegaard", "scipy"):
    pytest.importorskip(package, reason="needs the extra bench")

import browsing  # noqa: E402
from conftest import White, needs_weights  # noqa: E402

from diffcodec.bench import (  # noqa: E402
    codec_of,
    codecs,
    coders,
    curves,
    features,
    measuring,
    metrics,
    ours,
    published,
    register_codec,
    report,
)
from diffcodec.bench import run as suite  # noqa: E402
from diffcodec.models.gaussian import WhiteInBoxes  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from skimage import data

    root = tmp_path_factory.mktemp("pictures")
    Image.fromarray(data.astronaut()[:200, 100:300]).save(root / "a.png")
    Image.fromarray(data.coffee()[:180, :190]).save(root / "b.png")
    (root / "c.txt").write_text("no picture")
    return root


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


CLASSICAL = ["png", "jpeg", "webp"]


def test_rows_report_and_resume(folder: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report"
    args = ["bench", folder, "--out", out, *(x for name in CLASSICAL for x in ("--codec", name))]
    code, stdout, stderr = run(*args, "--rate", 1, "--rate", 2, "--json")
    assert code == 0, stderr
    found = json.loads(stdout)
    assert found["images"] == 2 and found["rows"] == 2 + 2 * 2 * 2 and len(found["errors"]) == 1
    assert "c.txt" in found["errors"][0]
    rows = table(out / "rows.csv")
    for row in rows:
        pixels = 40_000 if row["image"] == "a.png" else 34_200
        assert float(row["bpp"]) == pytest.approx(8 * int(row["bytes"]) / pixels, abs=1e-5)
        if row["target_bpp"]:
            assert float(row["bpp"]) <= 1.02 * float(row["target_bpp"])
        else:
            assert float(row["psnr"]) == 100
    drawn = () if curves.missing() else curves.FILES
    assert all((out / name).stat().st_size for name in (*drawn, "summary.csv", "report.html"))

    monkeypatch.setattr(measuring, "of_source", lambda *args: pytest.fail("measured again"))
    assert run(*args, "--rate", 1, "--rate", 2)[0] == 0
    assert table(out / "rows.csv") == rows


def test_goes_on_where_it_was_cut_off(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt, and after a write that was cut off: what is there is kept, what is torn is made again."""
    measured, real = [], measuring.of_source

    def interrupted(path, codec, *rest):
        measured.append((path.name, codec.name))
        if len(measured) == 4:
            raise KeyboardInterrupt
        return real(path, codec, *rest)

    monkeypatch.setattr(measuring, "of_source", interrupted)
    run = [str(folder), str(tmp_path), CLASSICAL, [1, 2]]
    with pytest.raises(KeyboardInterrupt):
        suite.run(*run)
    assert len(table(tmp_path / "rows.csv")) == 1 + 2 + 2
    suite.run(*run)
    every = [(image, codec) for image in ("a.png", "b.png") for codec in CLASSICAL]
    assert measured == every[:4] + every[3:]

    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text[:-20])
    suite.run(*run)
    assert measured[7:] == every[-1:]
    rows = table(tmp_path / "rows.csv")
    assert len(rows) == 2 * 5 and {(r["image"], r["codec"]) for r in rows} == set(every)
    with pytest.raises(diffcodec.InputError, match="holds rows at 1, 2 bpp"):
        suite.run(*run[:3], [1, 4])


def test_errors_of_one_codec_cost_only_its_rows(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(original, rates):
        raise RuntimeError("a codec fell over")

    monkeypatch.setitem(codecs.BY_NAME, "jpeg", codecs.Codec("jpeg", False, broken))
    found = suite.run(str(folder), str(tmp_path), ["jpeg", "png"])
    assert found["rows"] == 2 and sum("fell over" in line for line in found["errors"]) == 2
    assert "fell over" in (tmp_path / "report.html").read_text()


# ---- codecs of one's own, where they are measured, and points of others


def zipped(picture: np.ndarray) -> bytes:
    return zlib.compress(repr(picture.shape).encode() + b";" + picture.tobytes())


def unzipped(data: bytes) -> np.ndarray:
    shape, _, samples = zlib.decompress(data).partition(b";")
    return np.frombuffer(samples, np.uint8).reshape(ast.literal_eval(shape.decode()))


def in_steps(picture: np.ndarray, quality: int) -> bytes:
    """Quality 1 to 7: so many upper bits of each sample."""
    return zipped(picture >> (8 - quality) << (8 - quality))


def for_a_rate(picture: np.ndarray, bpp: float) -> bytes:
    room = bpp * picture.shape[0] * picture.shape[1] / 8
    return next((data for q in range(7, 0, -1) if len(data := in_steps(picture, q)) <= room), in_steps(picture, 1))


def of_steps() -> diffcodec.bench.Codec:
    return codec_of("steps", in_steps, unzipped, "quality", qualities=(1, 7))


EXACT = codec_of("zip", zipped, unzipped, "nothing")


def no_codec() -> int:
    return 3


@pytest.fixture
def registered() -> Iterator[None]:
    before = dict(codecs.BY_NAME)
    yield
    codecs.BY_NAME.clear()
    codecs.BY_NAME.update(before)


@pytest.mark.usefixtures("registered")
def test_codecs_of_ones_own(folder: Path, tmp_path: Path, run) -> None:
    register_codec(codec_of("rated", for_a_rate, unzipped))
    names = ["rated", "test_bench:of_steps", "test_bench:EXACT", "png"]
    found = suite.run(str(folder), str(tmp_path), names, [4, 8, 12])
    assert found["codecs"] == ["rated", "steps", "zip", "png"] and len(found["errors"]) == 1  # the text among them
    rows = table(tmp_path / "rows.csv")
    sizes = {(row["image"], row["codec"], row["target_bpp"]): int(row["bytes"]) for row in rows}
    original = np.asarray(Image.open(folder / "a.png"))
    assert sizes["a.png", "zip", ""] == len(zipped(original))
    for codec in ("steps", "rated"):
        fit = [len(in_steps(original, q)) for q in range(1, 8) if len(in_steps(original, q)) <= 1.02 * 8 * 40_000 / 8]
        assert sizes["a.png", codec, "8"] == max(fit)
    args = ("bench", folder, "--out", tmp_path / "r", "--codec", "test_bench:EXACT")
    code, _, stderr = run(*args, "-q")
    assert code == 0 and "report.html" not in stderr
    assert [row["codec"] for row in table(tmp_path / "r" / "rows.csv")] == ["zip", "zip"]


@pytest.mark.usefixtures("registered")
def test_what_is_no_codec_is_named(folder: Path, tmp_path: Path) -> None:
    for name, told in (
        ("test_bench:no_codec", "expected a diffcodec.bench.Codec, found int"),
        ("test_bench:nothing", "'test_bench:nothing' makes no codec: .*nothing"),
        ("no_such_module:x", "makes no codec: No module"),
        ("jpeg:x", "expected codecs among"),
    ):
        with pytest.raises(diffcodec.InputError, match=told):
            suite.run(str(folder), str(tmp_path), [name])
    with pytest.raises(diffcodec.InputError, match="the suite has a codec jpeg"):
        register_codec(codec_of("jpeg", zipped, unzipped))
    register_codec(codec_of("zip", zipped, unzipped, "nothing"))
    with pytest.raises(diffcodec.InputError, match="two codecs are called zip"):
        suite.run(str(folder), str(tmp_path), ["zip", "test_bench:EXACT"])
    with pytest.raises(diffcodec.InputError, match="other processes do not know zip"):
        suite.run(str(folder), str(tmp_path), ["zip"], jobs=2)
    register_codec(codec_of("zip", zipped, lambda data: unzipped(data) / 255, "nothing"))
    with pytest.raises(diffcodec.InputError, match=r"expected a decoded picture uint8 .*, found float64"):
        suite.run(str(folder), str(tmp_path), ["zip"])


def test_the_same_rows_from_several_processes(tmp_path: Path, run) -> None:
    (folder := tmp_path / "in").mkdir()
    for number in range(2):  # too small for the metrics that take long to load
        picture = np.random.default_rng(number).integers(0, 99, (24, 30, 3)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
    names = [*CLASSICAL, "test_bench:of_steps"]
    words = ["--rate", 8, "--rate", 20, *(word for name in names for word in ("--codec", name))]
    kept = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        assert run("bench", folder, "--out", out, *words, "-j", jobs)[0] == 0
        rows = [{key: value for key, value in row.items() if not key.endswith("_s")} for row in table(out / "rows.csv")]
        kept.append((rows, {path.name: path.read_bytes() for path in (out / "pictures").iterdir()}))
    assert kept[0] == kept[1] and len(kept[0][0]) == 2 * 7


def test_codecs_that_show_the_same_files_are_one_task(folder: Path, tmp_path: Path) -> None:
    names = ("diffc", "png", "diffc-mean", "diffc@3", "diffc-flow@3")
    chosen = {name: codec for name in names if (codec := codecs.find(name))}
    rows = suite._Rows(tmp_path, [1])
    paths = [folder / "a.png", folder / "b.png"]
    found = [(task.paths[0].name, task.names) for task in suite._tasks({"picture": paths}, chosen, rows, 1, 8)]
    each = [("diffc", "diffc-mean"), ("png",), ("diffc@3", "diffc-flow@3")]
    assert found == [(path.name, names) for path in paths for names in each]
    rows.done = {("a.png", "diffc"), ("a.png", "png")}
    left = suite._tasks({"picture": paths[:1]}, chosen, rows, 1, 8)
    assert [task.names for task in left] == [("diffc-mean",), each[2]]


PUBLISHED = "codec,bpp,psnr_db,ms_ssim,source\n{}B,2,31,,x\nA & <b>,0.5,30,0.9,x\nB,1,30,0.95,x\n"


def test_published_points_are_drawn_in(folder: Path, tmp_path: Path, run) -> None:
    (tmp_path / "others.csv").write_text(PUBLISHED.format(""))
    args = ("bench", folder, "--out", tmp_path / "r", "--codec", "jpeg", "--rate", 1, "--rate", 2)
    assert run(*args, "--published", tmp_path / "others.csv")[0] == 0
    page = (tmp_path / "r" / "report.html").read_text()
    drawn = drawn_in(page)
    unknown = [None] * 7
    assert drawn["published"]["B"] == [[1, 30, 0.95, *unknown], [2, 31, None, *unknown]]
    assert "points of others.csv" in page and "<b>" not in page.split("<script>")[1].split("</script>")[0]
    assert [name for name, _ in drawn["pictures"]] == ["mean of 2 pictures", "a.png", "b.png"]
    rows = [row for row in table(tmp_path / "r" / "rows.csv") if row["image"] == "b.png"]
    assert [point[:2] for point in dict(drawn["pictures"])["b.png"]["jpeg"]] == [
        [float(row["bpp"]), float(row["psnr"])] for row in rows
    ]
    if not curves.missing():
        assert "A &amp; &lt;b&gt;, published" in (tmp_path / "r" / "curves.svg").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "expected columns codec, bpp, and psnr_db or ms_ssim"),
        ("codec,bpp,psnr_db\n", "expected points, found none"),
        ("codec,bpp,psnr_db\nx,1,many\n", "line 2: expected numbers"),
        ("codec,bpp,psnr_db\nx,1,2\nx,1\n", "line 3: a cell is missing"),
        ("codec,bpp,psnr_db\nx,0,2\n", "line 2: expected bits per pixel above 0, found 0"),
        ("codec,bpp,psnr_db\nx,nan,2\n", "above 0, found nan"),
        ("\udcff", "no table of text"),
    ],
)
def test_tables_that_cannot_be_drawn_in(text: str, told: str, folder: Path, tmp_path: Path, run) -> None:
    (tmp_path / "others.csv").write_bytes(text.encode(errors="surrogateescape"))
    args = ("bench", folder, "--out", tmp_path / "r", "--codec", "png", "--published", tmp_path / "others.csv")
    code, _, stderr = run(*args)
    assert code == 1 and told in stderr and not (tmp_path / "r").exists()


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_table_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_text(PUBLISHED.format(text), encoding="utf-8")
        with contextlib.suppress(diffcodec.InputError):
            found = published.read(str(path))
            assert all(points and all(p["bpp"] > 0 for p in points) for points in found.values())


def test_the_bundled_points_can_be_read() -> None:
    path = Path(__file__).parents[1] / "benchmarks" / "published" / "kodak.csv"
    if not path.is_file():
        pytest.skip("benchmarks/ is no part of this distribution")
    assert len(published.read(str(path))["VTM (H.266 intra)"]) == 8


def test_a_lossless_codec_that_lies_is_found(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codecs.BY_NAME, "png", codecs.Codec("png", True, codecs.BY_NAME["jpeg"].points))
    with pytest.raises(diffcodec.InputError, match="other pixels"):
        suite.run(str(folder), str(tmp_path), ["png"])


def test_bad_input(folder: Path, tmp_path: Path, run) -> None:
    for args, word in (
        ([folder, "--codec", "gif"], "expected codecs among"),
        ([tmp_path / "no"], "expected a folder"),
        ([tmp_path], "found none"),
    ):
        code, _, stderr = run("bench", *args, "--out", tmp_path / "r")
        assert code == 1 and word in stderr and stderr.count("\n") == 1
    (tmp_path / "r").mkdir(exist_ok=True)
    (tmp_path / "r" / "rows.csv").write_text("a,b\n1,2\n")
    code, _, stderr = run("bench", folder, "--out", tmp_path / "r", "--codec", "png")
    assert code == 1 and "not a table of this suite" in stderr


def test_diffc_has_a_file_of_its_own_at_every_rate(fake_codec: None) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(127, 60, (48, 64, 3)), 0, 255).astype(np.uint8)
    rates = [0.5, 1, 2]
    for name, kind in (("diffc", None), ("diffc-mean", "mean"), ("diffc-flow", "flow")):
        points = list(codecs.BY_NAME[name].points(image, rates))
        assert [p.target for p in points] == rates
        for point, rate in zip(points, rates, strict=True):
            data = diffcodec.encode(image, "diffc", bpp=rate)
            assert point.size == len(data)
            assert np.array_equal(point.image, diffcodec.decode(data, reconstruction=kind))


def test_a_picture_given_in_small_has_files_within_every_rate(
    fake_codec: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours.api, "CONDITIONAL", WhiteInBoxes())
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(127, 40, (12, 16, 3)).repeat(8, 0).repeat(8, 1), 0, 255).astype(np.uint8)
    for name in ("diffc-base4", "diffc-base4-mean", "diffc-base16-4"):
        points = list(codecs.BY_NAME[name].points(image, [1, 2]))
        assert [p.target for p in points] == [1, 2] and all(8 * p.size <= p.target * 12288 for p in points)
        assert all(p.image.shape == image.shape for p in points)
        assert codecs.BY_NAME[name].usual is False


def test_grey_pictures_in_colours_are_measured_as_such(fake_codec: None) -> None:
    grey = np.clip(np.random.default_rng(0).normal(127, 60, (40, 40, 1)), 0, 255).astype(np.uint8).repeat(3, 2)
    (point,) = codecs.BY_NAME["diffc"].points(grey, [1])
    assert point.image.shape == grey.shape and metrics.measure(point.image, grey)["psnr"] > 5


def test_the_network_runs_once_for_sender_and_receiver(fake_codec: None) -> None:
    class Counting(White):
        calls = 0

        def predict(self, z, logsnr):
            Counting.calls += 1
            return super().predict(z, logsnr)

    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    network = ours.Remembering(Counting())
    data = diffcodec.encode(image, "diffc", network.model, bpp=2)
    sent, network.saved = Counting.calls, 0.0
    shown = diffcodec.decode(data, model=network.model, reconstruction="mean")
    assert Counting.calls == sent + 1 and network.saved > 0  # the last z_t is the receiver's alone
    assert (shown == diffcodec.decode(data, model=Counting(), reconstruction="mean")).all()


def test_jpeg2000_joins_the_colours(folder: Path) -> None:
    """Pillow's defaults leave that out, which costs a third of the file."""
    original = np.asarray(Image.open(folder / "b.png"))
    (point,) = codecs.BY_NAME["jpeg2000-lossless"].points(original, [])
    plain = io.BytesIO()
    Image.fromarray(original).save(plain, "JPEG2000", irreversible=False)
    assert point.size < 0.95 * plain.tell() and (point.image == original).all()


def test_the_highest_quality_that_fits() -> None:
    for room in (5, 40, 41, 999, 10_000):
        asked: list[int] = []

        def size(quality: int, asked: list[int] = asked) -> int:
            asked.append(quality)
            return int(10 * 1.07**quality)

        found = coders.highest(size, room, 1, 98, [])
        fit = [q for q in range(1, 99) if int(10 * 1.07**q) <= room]
        assert found == (fit[-1] if fit else None) and len(set(asked)) < 15
        assert coders.highest(size, room, 1, 98, [1, 50, 97]) == found


def test_a_model_by_name() -> None:
    codec = codecs.find("ardm:no-such-model")
    assert codec is not None and codec.name == "ardm:no-such-model" and codec.lossless
    with pytest.raises(diffcodec.DiffcodecError, match="no-such-model"):
        list(codec.points(np.zeros((8, 8, 3), np.uint8), []))
    assert codecs.find("jpeg:x") is codecs.find("nothing") is codecs.find("ardm:") is None
    assert codecs.find("ardm@3") is codecs.find("diffc@x") is codecs.find("diffc@") is codecs.find("diffc@1:") is None


@needs_weights
def test_efforts_are_codecs_of_their_own() -> None:
    original = np.tile(np.arange(40, dtype=np.uint8)[:, None, None], (1, 40, 3))
    for name in ("diffc-mean@1", "diffc-mean@9:photo-vdm"):
        codec = codecs.find(name)
        assert codec is not None and codec.name == name
        (point,) = codec.points(original, [0.5])
        assert point.size <= 100
    codec = codecs.find("diffc@10")
    assert codec is not None
    with pytest.raises(diffcodec.InputError, match="effort"):
        list(codec.points(original, [0.5]))


def test_metrics_know_equal_and_worse(folder: Path) -> None:
    original = np.asarray(Image.open(folder / "a.png"))
    rng = np.random.default_rng(0)
    noisy = [np.clip(original + rng.normal(0, s, original.shape), 0, 255).astype(np.uint8) for s in (5, 20)]
    same, near, far = (metrics.measure(image, original) for image in (original, *noisy))
    assert same == metrics.EQUAL
    for key in ("psnr", "ms_ssim", "swd"):  # which need no weights
        higher = metrics.HIGHER_IS_BETTER[key]
        assert (near[key] > far[key]) == higher and (same[key] > near[key]) == higher
    assert math.isnan(metrics.measure(noisy[0][:100], original[:100])["ms_ssim"])
    assert math.isnan(metrics.measure(noisy[0][:27], original[:27])["swd"])
    with pytest.raises(ValueError, match="expected a picture"):
        metrics.measure(original[:100], original)


def test_networks_get_pictures_in_their_range(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LPIPS is made for [-1, 1]; given [0, 1] it returns a number all the same, and a wrong one."""
    seen: dict[str, list[float]] = {}

    class Network:
        def __init__(self, name: str):
            self.name = name

        def __call__(self, image, original):
            seen[self.name] = [float(f(x)) for x in (image, original) for f in (torch.min, torch.max)]
            return torch.tensor(0.25)

        def reset(self) -> None: ...

    monkeypatch.setattr(metrics, "missing", lambda name: "")
    monkeypatch.setattr(metrics, "_network", Network)
    monkeypatch.setattr(metrics.squeeze, "distance", lambda image, original: 0.5)
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    found = metrics.measure(black, white)
    assert found["lpips"] == found["dists"] == 0.25 and found["lpips_squeeze"] == 0.5
    assert seen == {"lpips": [-1, -1, 1, 1], "dists": [0, 0, 1, 1]}


def test_what_has_no_weights_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))
    monkeypatch.delenv(metrics.squeeze.FOLDER, raising=False)
    found = suite.run(str(folder), str(tmp_path / "r"), ["jpeg"], [2])
    for name in ("lpips", "dists", "lpips_squeeze", "fid", "kid"):
        assert "not measured: " in found["skipped"][f"metric {name}"]
    assert all(row["lpips"] == "nan" for row in table(tmp_path / "r" / "rows.csv"))
    assert "metric lpips not measured" in (tmp_path / "r" / "report.html").read_text()


def test_weights_that_are_not_what_their_name_says_are_left_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(features.importlib.util, "find_spec", lambda name: object())
    assert "no weights on disk" in features.missing()
    path = metrics.checkpoints() / features.WEIGHTS
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the network")
    assert "another file than its name says" in features.missing()


def test_fid_and_kid_of_features(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two Gaussians of equal spread, apart by 3: FID is the square of that. Then in the suite."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4_000, 4)).astype(np.float32) for _ in range(2))
    far = features.distances([a], [b[:900] + np.float32([3, 0, 0, 0]), b[900:] + np.float32([3, 0, 0, 0])])
    same = features.distances([a], [b])
    assert far["fid"] == pytest.approx(9, rel=0.1) and same["fid"] < 0.05
    assert far["kid"] > 100 * abs(same["kid"])
    assert math.isnan(features.distances([a[:8]], [b])["fid"]) and math.isnan(features.distances([], [])["kid"])
    ramp = np.arange(300, dtype=np.int64)[:, None, None] + np.zeros((300, 270, 3), np.int64)
    cut = features.patches(ramp.astype(np.uint8))
    assert cut.shape == (4, 3, 128, 128) and (cut[2] == ramp[128:256, :128].transpose(2, 0, 1)).all()

    monkeypatch.setattr(features, "missing", lambda: "")
    monkeypatch.setattr(features, "of", lambda x: x.reshape(-1, 200)[:100, :2].astype(np.float32))
    out = tmp_path / "r"
    assert "metric fid" not in suite.run(str(folder), str(out), ["jpeg"], [1, 2])["skipped"]
    near, nearer = (row for row in table(out / "summary.csv"))
    assert float(near["fid"]) > float(nearer["fid"]) > 0 and near["kid"] != ""
    assert features.NETWORK in json.loads((out / "about.json").read_text())["FID and KID"]


def test_an_archive_is_one_row(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(originals, rates):
        yield codecs.Point(1000, np.empty((0, 0, 3), np.uint8), 4.0, 2.0, "lossless")

    monkeypatch.setitem(codecs.BY_NAME, "vdm-archive", codecs.Codec("vdm-archive", True, points, archive=True))
    found = suite.run(str(folder), str(tmp_path), ["png", "vdm-archive"])
    assert found["rows"] == 3 and found["images"] == 2
    (row,) = [r for r in table(tmp_path / "rows.csv") if r["codec"] == "vdm-archive"]
    assert float(row["bpd"]) == pytest.approx(8000 / (3 * 74_200), abs=1e-5) and float(row["encode_s"]) == 2


@pytest.mark.parametrize(
    "name",
    [c.name for c in codecs.CODECS if c.medium == "picture" and (c.modules or (c.lossless and c.varied is None))],
)
def test_classical_codecs(folder: Path, name: str) -> None:
    codec = codecs.BY_NAME[name]
    if codec.missing():
        pytest.skip(codec.missing())
    original = np.ascontiguousarray(np.asarray(Image.open(folder / "a.png"))[:96, :128])
    points = list(codec.points(original, [1, 2, 4]))
    if codec.lossless:
        assert len(points) == 1 and (points[0].image == original).all() and points[0].target is None
    else:
        assert points and all(p.image.shape == original.shape for p in points)
        assert all(8 * p.size <= 1.02 * (p.target or 0) * 96 * 128 for p in points)


def test_a_peer_is_drawn_beside(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = Path(__file__).parents[1] / "benchmarks" / "peers" / "add.py"
    out, decoded = tmp_path / "r", tmp_path / "decoded"
    decoded.mkdir()
    suite.run(str(folder), str(out), ["jpeg"], [1, 2])
    for name in ("a.png", "b.png"):
        Image.open(folder / name).convert("L").convert("RGB").save(decoded / name)
    sizes = [f"{name},{5_000 * rate},{rate}" for name in ("a.png", "b.png") for rate in (1, 2)]
    (tmp_path / "sizes.csv").write_text("\n".join(["image,bytes,target_bpp", *sizes]))
    where = ["--originals", folder, "--decoded", decoded, "--sizes", tmp_path / "sizes.csv"]
    monkeypatch.setattr("sys.argv", [str(part) for part in [adapter, out, "--codec", "peer*", *where]])
    runpy.run_path(str(adapter), run_name="__main__")
    suite.run(str(folder), str(out), ["jpeg"], [1, 2])
    rows = [row for row in table(out / "summary.csv") if row["codec"] == "peer*"]
    assert [float(row["bpp"]) for row in rows] == pytest.approx(
        [(1 + 40_000 / 34_200) / 2, 1 + 40_000 / 34_200], abs=1e-4
    )
    assert rows[0]["encode_s"] == "" and "peer*" in (out / "report.html").read_text()


def test_parquet_holds_the_rows(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    suite.run(str(folder), str(tmp_path), ["png", "jpeg"], [2])
    found, rows = parquet.read_table(tmp_path / "rows.parquet").to_pylist(), table(tmp_path / "rows.csv")
    assert [(r["image"], r["codec"], int(r["bytes"])) for r in found] == [
        (r["image"], r["codec"], int(r["bytes"])) for r in rows
    ]


def test_bd_rate_of_half_the_bytes() -> None:
    full = [{"bpp": r, "psnr": 30 + 6 * math.log2(r), "swd": 1 / r} for r in (0.25, 0.5, 1, 2, 4)]
    half = [{**p, "bpp": p["bpp"] / 2} for p in full]
    assert report.bd_rate(full, half, "psnr") == pytest.approx(-50, abs=0.1)
    assert report.bd_rate(full, half, "swd") == pytest.approx(-50, abs=0.1)
    assert math.isnan(report.bd_rate(full[:3], half, "psnr"))


def test_ours_at_the_bytes_of_others() -> None:
    def row(image: str, codec: str, size: int, psnr: float, rate: float = 1) -> dict[str, str]:
        found = dict(psnr=f"{psnr}", swd=f"{-psnr}", lpips_squeeze="nan", flicker="nan")
        return dict(image=image, codec=codec, target_bpp=f"{rate}", bytes=f"{size}", **found)

    rows = [row("a", "jpeg", 200, 30), row("b", "jpeg", 800, 31), row("a", "avif", 100, 30)]
    for image in "ab":
        rows += [row(image, "diffc-mean", 100, 32, 0.5), row(image, "diffc-mean", 400, 36)]
    found = report.at_equal_bytes(rows)
    assert list(found) == [("jpeg", 1.0, "diffc-mean")]  # of avif a picture is missing
    # halfway in log bytes, and at the end beyond it
    one = found["jpeg", 1.0, "diffc-mean"]
    assert np.isnan([one.pop(name) for name in ("lpips_squeeze", "flicker")]).all()
    assert one == {"images": 2, "psnr": (30.5, 35.0, 4.5), "swd": (-30.5, -35.0, -4.5)}


def test_a_missing_rate_makes_no_mean() -> None:
    row = {
        "codec": "x",
        "target_bpp": "1",
        **dict.fromkeys(("bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s"), "1"),
    }
    lossy, _, missed = report.summarise(
        [{**row, "image": "a"}, {**row, "image": "b"}, {**row, "image": "a", "target_bpp": "2"}]
    )
    assert [p["target"] for p in lossy["x"]] == [1.0]
    assert missed == ["x has no mean at 2 bpp (1 of 2 pictures)"]
    plain = {**row, "target_bpp": ""}
    _, lossless, missed = report.summarise(
        [
            {**plain, "image": "a"},
            {**plain, "image": "b"},
            {**plain, "codec": "y", "image": "a"},
            {**plain, "codec": "z", "image": "(all in one file)"},
        ]
    )
    assert list(lossless) == ["x", "z"] and missed == ["y has no mean (1 of 2 pictures)"]


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As where these packages are not installed."""
    for name in names:
        for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            monkeypatch.setitem(sys.modules, loaded, None)
        monkeypatch.setitem(sys.modules, name, None)


def test_what_is_missing_is_told_before_anything_is_measured(
    folder: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line that names the extra; lossless codecs need nothing of it."""
    args = ("bench", folder, "--out", tmp_path / "r", "--codec", "png", "--rate", 2)
    with monkeypatch.context() as patch:
        without(patch, "scipy", "torchmetrics", "bjontegaard", "matplotlib")
        with patch.context() as inner:
            inner.setattr(measuring, "of_source", lambda *args: pytest.fail("measured"))
            code, _, stderr = run(*args, "--codec", "jpeg")
            assert code == 1 and stderr.count("\n") == 1
            assert "needs scipy, torchmetrics, bjontegaard: pip install 'diffcodec[bench]'" in stderr
            assert not (tmp_path / "r").exists()
        assert run(*args)[0] == 0
        assert len(table(tmp_path / "r" / "rows.csv")) == 2 and (tmp_path / "r" / "report.html").is_file()
    assert run(*args, "--codec", "jpeg")[0] == 0
    without(monkeypatch, "bjontegaard")
    code, _, stderr = run(*args)
    assert code == 1 and "needs bjontegaard" in stderr  # for the rows that are there


def drawn_in(page: str) -> dict[str, Any]:
    """What a page's script draws."""
    found = re.search(r"drawn = (.*);\n", page)
    assert found is not None
    return dict(json.loads(found[1]))


def test_without_matplotlib_there_are_tables_and_the_page(
    folder: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("bench", folder, "--out", tmp_path / "r", "--codec", "jpeg", "--codec", "webp", "--rate", 1, "--rate", 2)
    assert run(*args)[0] == 0
    with_files = (tmp_path / "r" / "report.html").read_text()
    without(monkeypatch, "matplotlib")
    code, _, stderr = run(*args)
    assert code == 0 and "left out: curves.png and curves.svg not drawn: needs matplotlib" in stderr
    page = (tmp_path / "r" / "report.html").read_text()
    assert "curves.svg not drawn: needs matplotlib" in page and drawn_in(page) == drawn_in(with_files)
    names = {path.name for path in (tmp_path / "r").iterdir() if path.is_file()}
    assert {"rows.csv", "summary.csv", "report.html", "about.json"} <= names
    assert not {"curves.png", "curves.svg"} & names


def test_no_report_among_the_pictures(folder: Path, tmp_path: Path, run) -> None:
    other = tmp_path / "link"
    other.symlink_to(folder)
    before = sorted(folder.iterdir())
    for out in (folder, other):
        code, _, stderr = run("bench", folder, "--out", out, "--codec", "png")
        assert code == 1 and "among the pictures" in stderr
    assert sorted(folder.iterdir()) == before


def test_an_interrupt_says_where_the_rows_are(
    folder: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = measuring.of_source, [0]

    def some(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(measuring, "of_source", some)
    args = ("bench", folder, "--out", tmp_path / "r", "--codec", "png")
    code, _, stderr = run(*args)
    assert code == 130 and "interrupted: nothing was measured yet" in stderr
    left[0] = 1
    code, _, stderr = run(*args)
    assert code == 130 and "rows.csv: the same command goes on" in stderr
    left[0] = 1
    assert run(*args)[0] == 0


#: of the curves: how many pictures there are to choose from, names in the key, panels and lines, of the first and last
_LOOKS = """
const of = document.getElementById("of"), seen = [of.options.length];
for (const number of [0, of.options.length - 1]) {
  of.selectedIndex = number;
  of.onchange();
  const count = path => document.querySelectorAll(path).length;
  seen.push(document.getElementById("key").textContent);
  seen.push(count("#plots svg"), count("#plots path"), count("#plots circle"));
}
document.documentElement.dataset.seen = JSON.stringify(seen);
"""


def test_curves_are_drawn_in_a_browser(folder: Path, tmp_path: Path) -> None:
    browsing.browser()
    (tmp_path / "others.csv").write_text(PUBLISHED.format(""))
    out = tmp_path / "r"
    suite.run(str(folder), str(out), ["jpeg", "webp"], [1, 2], published=str(tmp_path / "others.csv"))
    page = (out / "report.html").read_text(encoding="utf-8")
    count, key, panels, lines, dots, own_key, own_panels, own_lines, own_dots = browsing.seen(page, _LOOKS, out)
    assert count == 3 and panels == own_panels >= 3  # PSNR, MS-SSIM and SWD need no weights
    assert "A & <b>, published" in key and "jpeg" in own_key and "published" not in own_key
    assert own_lines == 2 * panels and own_dots == 4 * panels  # two codecs at two rates
    assert lines == own_lines + 4 and dots == own_dots + 5  # others have PSNR, three points, and MS-SSIM, two


def test_the_page_works_in_a_browser(folder: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("needs Chromium")
    suite.run(str(folder), str(tmp_path), ["jpeg", "webp"], [1, 2])
    asked: list[str] = []
    with playwright.sync_playwright() as p:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = p.chromium.launch(executable_path=browser_path, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 1800})
        page.on("request", lambda request: asked.append(request.url))
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("#picture option").count() == 2 and page.locator("#rate option").count() == 2
        assert page.locator("#a option").all_inner_texts() == ["original", "jpeg", "webp"]
        for image in ("#left", "#right"):
            page.wait_for_function(f"document.querySelector('{image}').naturalWidth > 0")
        before = page.locator("#right").evaluate("e => getComputedStyle(e).clipPath")
        box = page.locator("#slider").bounding_box()
        assert box is not None
        page.locator("#slider").click(position={"x": 0.8 * box["width"], "y": box["height"] / 2})
        after = page.locator("#right").evaluate("e => getComputedStyle(e).clipPath")
        assert before != after and "8" in after, (before, after)
        assert 75 < float(page.locator("#slider").input_value()) < 85
        page.locator("#slider").press("ArrowRight")
        assert page.locator("#right").evaluate("e => getComputedStyle(e).clipPath") != after
        stage = page.locator("#stage").bounding_box()
        assert stage is not None
        page.mouse.move(stage["x"] + 0.5 * stage["width"], stage["y"] + 20)
        page.mouse.down()
        page.mouse.move(stage["x"] + 0.25 * stage["width"], stage["y"] + 20)
        page.mouse.up()
        assert float(page.locator("#slider").input_value()) == pytest.approx(25, abs=0.5)
        assert "dB" in page.locator("#tag-a").inner_text()
        source = page.locator("#right").get_attribute("src")
        page.select_option("#b", "jpeg")
        assert page.locator("#right").get_attribute("src") != source
        page.select_option("#picture", "b.png")
        page.select_option("#rate", "2")
        page.wait_for_function("document.querySelector('#left').naturalHeight === 180")
        assert page.locator("#left").evaluate("e => e.clientWidth") == 5 * 190  # magnified by a whole number
        head = page.locator("th", has_text="1 bpp")
        first = []
        for _ in range(2):
            head.click()
            first.append(page.locator("tbody tr td").first.inner_text())
        assert set(first) == {"jpeg", "webp"}
        browser.close()
    assert not problems and not [url for url in asked if not url.startswith(("file:", "data:"))]


def test_a_model_of_a_module_is_measured() -> None:
    """NAME:package.module:what, of what makes a model: real bytes, and what its stream decodes to."""
    words = "diffcodec.models.gaussian_pictures:GaussianPictures.smooth"
    y, x = np.mgrid[0:64, 0:64]
    photo = np.stack([128 + 90 * np.sin(x / k) * np.cos(y / (k + 3)) for k in (9, 11, 13)], 2).astype(np.uint8)
    codec = codecs.find(f"diffc-mean:{words}")
    assert codec is not None and codec.name == f"diffc-mean:{words}"
    (point,) = codec.points(photo, [2.0])
    data = diffcodec.encode(photo, "diffc", words, bpp=2.0)
    assert point.size == len(data) and point.target == 2.0
    assert np.array_equal(point.image, diffcodec.decode(data, model=words, reconstruction="mean"))
