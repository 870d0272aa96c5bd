"""The engine `ray`: the same results as processes give, on a cluster of two nodes, one of which may be lost."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diffcodec
from diffcodec.archive import engines
from diffcodec.archive.cluster import TRIES
from diffcodec.archive.folder import pack
from diffcodec.bench import Codec, codec_of
from diffcodec.bench import run as bench_run
from diffcodec.runtime.errors import CorruptStream, InputError

HERE = Path(__file__).parent


def slowly(task: tuple[float, int], progress: Any) -> int:
    progress(0.5)
    time.sleep(task[0])
    return task[1] ** 2


def failing(task: int, progress: Any) -> int:
    if task % 3 == 1:
        raise CorruptStream(f"number {task}")
    return task


def fatal(task: int, progress: Any) -> int:
    os._exit(1)


def where(task: float, progress: Any) -> str:
    import ray

    time.sleep(task)
    return str(ray.get_runtime_context().get_node_id())


def of_bytes() -> Codec:
    def decode(data: bytes) -> Any:
        return np.frombuffer(data, np.uint8).reshape(9, -1, 3)

    return codec_of("bytes", lambda picture: bytes(picture.tobytes()), decode, "nothing")


@pytest.mark.parametrize("name", engines.ENGINES)
def test_an_engine_needs_a_model_by_its_name(name: engines.EngineName) -> None:
    engines.check(1, "photo-ardm", name)
    engines.check(1, None, name)
    with pytest.raises(InputError, match="by its name"):
        engines.check(2, object(), name)
    with pytest.raises(InputError, match="processes or ray, found 'dask'"):
        engines.engine_of("dask", 1)  # type: ignore[arg-type]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'diffcodec\[ray\]'"), engines.engine_of("ray", 1):
        pass


@pytest.mark.parametrize("words", [("encode", "-r"), ("pack",)])
def test_the_command_hands_the_engine_on(
    words: tuple[str, ...], run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "in" / "a.png")
    monkeypatch.setitem(sys.modules, "ray", None)
    out = ("--out-dir", tmp_path / "out") if words[0] == "encode" else (tmp_path / "x.dfca",)
    code, _, err = run(*words, tmp_path / "in", *out, "--engine", "ray")
    assert code == 1 and "pip install 'diffcodec[ray]'" in err


class TestCluster:
    """Of two nodes with a core each, and none at the head, at 127.0.0.1."""

    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls) -> Iterator[Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # every address is 127.0.0.1, on Linux as well
            # the nodes import the package and these tests
            patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE, HERE.parent))))
            ray = pytest.importorskip("ray")
            from ray.cluster_utils import Cluster

            made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
            for _ in range(2):
                made.add_node(num_cpus=1)
            ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
            yield made
            ray.shutdown()
            made.shutdown()

    def test_results_come_in_order_and_progress_ends_at_one(self, cluster: Any) -> None:
        seen: list[float] = []
        tasks = [(1.0, (0.3 * (n % 2), n)) for n in range(7)]
        with engines.engine_of("ray", engines.ALL) as engine:
            assert list(engine.map(slowly, tasks, 7, seen.append)) == [n * n for n in range(7)]
        assert seen == sorted(seen) and seen[-1] == 1.0

    def test_errors_are_results_where_they_are_wanted(self, cluster: Any) -> None:
        with engines.engine_of("ray", 2) as engine:
            found = list(engine.map(failing, [(1, n) for n in range(5)], 5, errors=True))
            assert [type(one) for one in found] == [int, CorruptStream, int, int, CorruptStream]
            with pytest.raises(CorruptStream, match="number 1"):
                list(engine.map(failing, [(1, n) for n in range(5)], 5))

    def test_a_task_that_kills_its_worker_is_given_up(self, cluster: Any) -> None:
        with engines.engine_of("ray", 1) as engine, pytest.raises(InputError, match=f"lost {TRIES} times"):
            list(engine.map(fatal, [(1, 0)], 1))

    def test_no_gpu_is_named(self, cluster: Any) -> None:
        with engines.engine_of("ray", 1, "cuda") as engine, pytest.raises(InputError, match="no GPU"):
            list(engine.map(slowly, [(1, (0.0, 0))], 1))

    def test_the_same_bytes_with_a_node_killed_in_the_middle(self, cluster: Any, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        rng = np.random.default_rng(0)
        for number in range(8):
            y, x = np.mgrid[:24, :30]
            picture = (np.stack([y * 3, x * 2, y + x], 2) + rng.integers(0, 30, (24, 30, 3))).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "in" / f"{number}.png")
        source = str(tmp_path / "in")
        pack(source, str(tmp_path / "here.dfca"), group=1)
        killed: list[float] = []

        def kill(fraction: float) -> None:
            if fraction > 0.3 and not killed:
                killed.append(fraction)
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)

        done = pack(source, str(tmp_path / "there.dfca"), group=1, jobs=2, engine="ray", progress=kill)
        assert killed and done["groups"] == 8
        assert (tmp_path / "there.dfca").read_bytes() == (tmp_path / "here.dfca").read_bytes()
        cluster.add_node(num_cpus=1)

    def test_the_suite_measures_the_same_rows(self, cluster: Any, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for number in range(2):
            picture = np.random.default_rng(number).integers(0, 99, (9, 9 + number, 3)).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "in" / f"{number}.png")
        how: dict[str, Any] = {"names": ["png", "test_cluster:of_bytes"]}
        found = []
        for name, more in (("here", {}), ("there", {"engine": "ray", "jobs": 2})):
            bench_run.run(str(tmp_path / "in"), str(tmp_path / name), **how, **more)
            with (tmp_path / name / "rows.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            found.append([[row[key] for key in ("image", "codec", "bytes", "psnr")] for row in rows])
        assert found[0] == found[1] and [row[1] for row in found[0]] == ["png", "bytes"] * 2
        about = json.loads((tmp_path / "there" / "about.json").read_text())
        assert "engine ray" in about["measured"]
        assert bench_run.run(str(tmp_path / "in"), str(tmp_path / "there"), **how)["rows"] == 4  # goes on without

    def test_files_are_coded_as_here(self, cluster: Any, tmp_path: Path) -> None:
        for number in range(3):
            Image.fromarray(np.full((9, 9 + number, 3), 30 * number, np.uint8)).save(tmp_path / f"{number}.png")
        sources = [tmp_path / f"{number}.png" for number in range(3)]
        here = list(diffcodec.encode_files(sources, tmp_path / "here"))
        there = list(diffcodec.encode_files(sources, tmp_path / "there", engine="ray", jobs=2))
        assert [one.status for one in there] == ["written"] * 3
        for one, other in zip(here, there, strict=True):
            assert Path(one.target).read_bytes() == Path(other.target).read_bytes()
