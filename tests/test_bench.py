"""The rate–distortion suite: rows of real files, resumable, errors collected; a page that works in a real browser."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import White
from PIL import Image

import diffcodec

for package in ("matplotlib", "torchmetrics", "bjontegaard", "scipy"):
    pytest.importorskip(package, reason="needs the extra bench")

from diffcodec.bench import codecs, metrics, report  # noqa: E402
from diffcodec.bench import run as suite  # noqa: E402
from diffcodec.bitstream import read  # noqa: E402


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
    assert all((out / name).stat().st_size for name in ("curves.png", "curves.svg", "summary.csv", "report.html"))

    monkeypatch.setattr(suite, "_measured", lambda *args: pytest.fail("measured again"))
    assert run(*args, "--rate", 1, "--rate", 2)[0] == 0
    assert table(out / "rows.csv") == rows


def test_errors_of_one_codec_cost_only_its_rows(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(original, rates):
        raise RuntimeError("a codec fell over")

    monkeypatch.setitem(codecs.BY_NAME, "jpeg", codecs.Codec("jpeg", False, broken))
    found = suite.run(str(folder), str(tmp_path), ["jpeg", "png"])
    assert found["rows"] == 2 and sum("fell over" in line for line in found["errors"]) == 2
    assert "fell over" in (tmp_path / "report.html").read_text()


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


def test_diffc_files_at_lower_rates_are_whole(fake_codec: None) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(127, 60, (48, 64, 3)), 0, 255).astype(np.uint8)
    data = diffcodec.encode(image, "diffc", White(), bpp=2)
    container = read(data)
    for k in range(1, len(container.passes) + 1):
        short = codecs.shortened(data, k)
        assert read(short).passes == container.passes[:k] and read(short).complete
        wanted = diffcodec.decode(data, upto_bytes=container.ends[k - 1], reconstruction="mean", model=White())
        assert (diffcodec.decode(short, reconstruction="mean", model=White()) == wanted).all()
    points = list(codecs.BY_NAME["diffc-mean"].points(image, [0.5, 1, 2]))
    assert [p.target for p in points] == [0.5, 1, 2] and points[-1].size <= 2 * 48 * 64 / 8


def test_metrics_know_equal_and_worse(folder: Path) -> None:
    original = np.asarray(Image.open(folder / "a.png"))
    rng = np.random.default_rng(0)
    noisy = [np.clip(original + rng.normal(0, s, original.shape), 0, 255).astype(np.uint8) for s in (5, 20)]
    same, near, far = (metrics.measure(image, original) for image in (original, *noisy))
    assert same == {"psnr": 100, "ms_ssim": pytest.approx(1), "swd": 0}
    for key, higher in metrics.HIGHER_IS_BETTER.items():
        assert (near[key] > far[key]) == higher and (same[key] > near[key]) == higher
    assert math.isnan(metrics.measure(original[:100], original[:100])["ms_ssim"])
    with pytest.raises(ValueError, match="expected a picture"):
        metrics.measure(original[:100], original)


def test_bd_rate_of_half_the_bytes() -> None:
    full = [{"bpp": r, "psnr": 30 + 6 * math.log2(r), "ms_ssim": 0.9, "swd": 1.0} for r in (0.25, 0.5, 1, 2, 4)]
    half = [{**p, "bpp": p["bpp"] / 2} for p in full]
    assert report.bd_rate(full, half, "psnr") == pytest.approx(-50, abs=0.1)
    assert math.isnan(report.bd_rate(full[:3], half, "psnr"))


def test_a_missing_rate_makes_no_mean() -> None:
    row = {
        "codec": "x",
        "target_bpp": "1",
        **dict.fromkeys(("bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s"), "1"),
    }
    lossy, _ = report.summarise(
        [{**row, "image": "a"}, {**row, "image": "b"}, {**row, "image": "a", "target_bpp": "2"}]
    )
    assert [p["target"] for p in lossy["x"]] == [1.0]


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
        page = browser.new_page()
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
        source = page.locator("#right").get_attribute("src")
        page.select_option("#b", "jpeg")
        assert page.locator("#right").get_attribute("src") != source
        page.select_option("#picture", "b")
        page.select_option("#rate", "2")
        page.wait_for_function("document.querySelector('#left').naturalHeight === 180")
        browser.close()
    assert not problems and not [url for url in asked if not url.startswith(("file:", "data:"))]
