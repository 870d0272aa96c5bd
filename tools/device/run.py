"""A few minutes on a lent GPU machine, in one command, from the repository's root.

    tools/device_run.sh [--train NAME] [--minutes 9]       results under $OUT, or device/out
    tools/device_run.sh --rehearse                         the same on a CPU, tiny, in two minutes

Training starts first and goes on to the end: numba's kernels and the identity of streams between CPU and device are
compiled and checked beside it, and it stands still while the device's figures are taken. A stage that fails or takes
too long is reported, and the next one begins. tools/README.md says how to prepare, call and use what comes back.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.device.plan import DATA, DEVICE, MODULES, ROOT, TRAINED, WHEELS, cards

TRAINING = "tools.training."
FILE_LIMIT, FILES_LIMIT = 16 * 2**20, 8  #: of what comes back
RESERVE = 25  #: seconds between the end of training's schedule and the end of everything: its last validation


class Stages:
    """Commands with time limits, each in a process group of its own; what became of them."""

    def __init__(self, out: Path, end: float):
        self.out, self.end = out, end
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self.results: dict[str, dict[str, Any]] = {}
        self.running: list[subprocess.Popen[bytes]] = []
        self.start = time.time()

    def begin(self, command: list[str], log: Path | None = None) -> subprocess.Popen[bytes]:
        """``command`` in the background."""
        to = log.open("ab") if log else None
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.env, stdout=to, stderr=subprocess.STDOUT if to else None, start_new_session=True
        )
        if to:
            to.close()
        self.running.append(process)
        return process

    def finish(self, name: str, process: subprocess.Popen[bytes], limit: float, since: float) -> bool:
        """Wait for at most ``limit`` seconds, never beyond the end; note and return whether all went well."""
        try:
            code = process.wait(max(0.1, min(limit, self.end - time.time())))
            result = "ok" if code == 0 else f"failed with {code}"
        except subprocess.TimeoutExpired:
            result = "stopped: it ran out of time"
        self.stop(process)
        took = round(time.time() - since, 1)
        self.results[name] = {"result": result, "seconds": took}
        print(f"== {name}: {result}, {took} s", flush=True)
        return result == "ok"

    def run(self, name: str, command: list[str], limit: float) -> bool:
        """`begin` and `finish`; False too where the command cannot be started."""
        since = time.time()
        print(f"== {name}: {limit:.0f} s at most", flush=True)
        try:
            return self.finish(name, self.begin(command), limit, since)
        except OSError as error:
            self.results[name] = {"result": f"failed: {error}", "seconds": 0.0}
            return False

    def send(self, process: subprocess.Popen[bytes], number: int) -> None:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """The whole group, whether or not its first process has ended."""
        self.send(process, signal.SIGKILL)
        process.wait()
        if process in self.running:
            self.running.remove(process)

    def stop_all(self) -> None:
        for process in list(self.running):
            self.stop(process)


def install_wheels(stages: Stages, site: Path) -> None:
    """Carried packages that are not installed, in a folder of their own."""
    missing = [module for module in MODULES if importlib.util.find_spec(module) is None]
    if not missing:
        print("== packages: all there", flush=True)
        return
    wheels = [
        str(path)
        for module in missing
        for path in sorted(WHEELS.glob("*.whl"))
        if path.name.split("-")[0].lower() == MODULES[module].replace("-", "_")
    ]
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(site)]
    stages.run("packages", [sys.executable, "-m", "pip", "install", *options, *wheels], 60)
    stages.env["PYTHONPATH"] += os.pathsep + str(site)


def rehearsal_data(kind: str, folder: Path) -> Path:
    """A data file like device/data's, of a few made-up pictures."""
    import io
    import zipfile

    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    path = folder / f"{kind}.zip"
    sizes = {"photos": [(140, 150)] * 4, "cifar": [(800, 1280)] * 2}[kind]
    names = {"photos": ["a.webp", "b.webp", "c.webp", "held-5.webp"], "cifar": ["val-8.webp", "train-0.webp"]}[kind]
    with zipfile.ZipFile(path, "w") as z:
        for name, size in zip(names, sizes, strict=True):
            file = io.BytesIO()
            walk = rng.normal(0, 4, (*size, 3)).cumsum(0).cumsum(1) / 12 + 128
            Image.fromarray(np.clip(walk, 0, 255).astype(np.uint8)).save(file, "WEBP", lossless=True, method=0)
            z.writestr(name, file.getvalue())
    return path


def prepare_command(kind: str, packed: Path, out: Path) -> list[str]:
    if kind == "photos":
        return [sys.executable, "-m", TRAINING + "prepare_photos", str(out), str(packed)]
    return [sys.executable, "-m", TRAINING + "prepare_cifar", str(packed), str(out)]


def training_command(
    train: str, data: Path, work: Path, out: Path, until: float, args: argparse.Namespace
) -> list[str]:
    """This program again, as what sees to the training."""
    plan = TRAINED[train]
    init = ["--init", str(ROOT / plan.init)] if plan.init else []
    cifar = ["--cifar", str(data)] if plan.data == "cifar" else []
    loaders = max(1, min(14, (os.cpu_count() or 2) - 4))
    options = [*plan.options, *(plan.rehearsed if args.rehearse else ())]
    if args.rehearse:  # compiling takes minutes on a CPU
        options = [option for option in options if option != "--compile"]
    trainer = [
        "-m", TRAINING + plan.trainer, str(data), str(work), *cifar, *init, *options, "--until", str(until),
        "--every", "1", "--device", args.device, "--loaders", str(loaders), "--out", str(out), "--resume",
    ]  # fmt: skip
    return [sys.executable, "-m", "tools.device.run", "--attempt", str(until), *trainer]


def check_command(what: str, out: Path, args: argparse.Namespace, models: list[str]) -> list[str]:
    """Of what is done beside the training."""
    if what == "tests":
        on_cuda = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if "cuda.is_available" in p.read_text()]
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *on_cuda, "-k", "cuda"]
    named = ["--models", *models] if what == "identity" else []
    small = ["--small"] if args.rehearse else []
    checks = [sys.executable, "-m", "tools.device.checks", what, str(out / f"{what}.jsonl")]
    return [*checks, "--device", args.device, *small, *named]


def attempt(until: float, command: list[str]) -> int:
    """Train; where that fails, again from the last checkpoint with less that may fail, while it is worth it."""
    fewer = {"as planned": [], "not compiled": ["--compile"], "no loader processes": ["--compile", "--loaders"]}
    code, tried = 1, None
    for label, without in fewer.items():
        if until - time.time() < 3:
            break
        now = list(command)
        for option in (o for o in without if o in now):
            at = now.index(option)
            del now[at : at + (2 if option == "--loaders" else 1)]
        if now == tried:
            continue
        tried = now
        print(f"-- {label}: {' '.join(now)}", flush=True)
        code = subprocess.run([sys.executable, *now], check=False).returncode
        if code == 0:
            return 0
        print(f"-- {label}: failed with {code}", flush=True)
    return code


def machine() -> dict[str, Any]:
    """What this runs on; torch is asked in a process of its own."""
    asked = (
        "import torch, json; c = torch.cuda.is_available(); print(json.dumps({'torch': torch.__version__, 'cuda': c, "
        "'gpu': torch.cuda.get_device_name() if c else None, "
        "'memory': torch.cuda.get_device_properties(0).total_memory if c else None}))"
    )
    try:
        told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=20, check=True)
        found = json.loads(told.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        found = {"torch": f"{type(error).__name__}: {getattr(error, 'stderr', None) or error}"[-500:]}
    shm = os.statvfs("/dev/shm")
    return {**found, "cores": os.cpu_count(), "python": sys.version.split()[0], "/dev/shm": shm.f_bavail * shm.f_frsize}


def last_line(path: Path) -> dict[str, str] | None:
    lines = path.read_text().splitlines() if path.is_file() else []
    return dict(zip(lines[0].split(","), lines[-1].split(","), strict=False)) if len(lines) > 1 else None


def summarise(stages: Stages, out: Path, about: dict[str, Any]) -> bool:
    def lines(name: str) -> list[dict[str, Any]]:
        path = out / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    compared, figures = lines("identity.jsonl"), lines("figures.jsonl")
    files = {str(p.relative_to(out)): p.stat().st_size for p in sorted(out.rglob("*")) if p.is_file()}
    too_large = [name for name, size in files.items() if size > FILE_LIMIT]
    good = all(stage["result"] == "ok" for stage in stages.results.values()) and not too_large
    summary = {
        **about,
        "ok": good,
        "seconds": round(time.time() - stages.start, 1),
        "stages": stages.results,
        "identity": {"compared": len(compared), "not ok": [line for line in compared if not line["ok"]]},
        "figures": {line["figure"]: line.get("seconds", line.get("error")) for line in figures},
        "training": last_line(out / "train" / "log.csv"),
        "files": files,
        "too large to come back": too_large,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1), flush=True)
    if len(files) + 1 > FILES_LIMIT:
        print(f"{len(files) + 1} files in {out}, {FILES_LIMIT} come back", flush=True)
    return good


def announce(args: argparse.Namespace, out: Path, models: list[str]) -> None:
    plan = TRAINED[args.train]
    for line in (
        f"device run: {args.minutes:g} minutes in all on {args.device}, results in {out}",
        f"1. packages that are missing: {', '.join(MODULES)}, from {WHEELS.relative_to(ROOT)}",
        f"2. data: {plan.data}, unpacked to tiles",
        f"3. training of {args.train} from {plan.init or 'nothing'}, a checkpoint a minute, until {RESERVE} s are left",
        f"4. beside it, 4 minutes at most: streams of CPU and device compared: {', '.join(models)}",
        "   before them, 90 s at most: the tests that need CUDA",
        "5. figures of the device, 2 minutes at most, training standing still",
        "6. summary.json",
    ):
        print(line, flush=True)


def conduct(args: argparse.Namespace) -> bool:
    out = Path(os.environ.get("OUT") or DEVICE / "out").resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in [p for name in ("*.json*", "train.txt", "train/*") for p in out.glob(name)]:
        old.unlink()
    end = time.time() + 60 * args.minutes
    stages = Stages(out, end)
    models = args.models or sorted(cards())
    slack = 3 if args.rehearse else 1  # machines that rehearse may be busy with something else
    announce(args, out, models)
    about: dict[str, Any] = {"train": args.train, "minutes": args.minutes, "device": args.device}
    plan = TRAINED[args.train]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        trained: subprocess.Popen[bytes] | None = None
        began = time.time()
        try:
            install_wheels(stages, work / "site")
            packed = rehearsal_data(plan.data, work) if args.rehearse else DATA / f"{plan.data}.zip"
            data = work / f"{plan.data}.npz"
            if stages.run("data", prepare_command(plan.data, packed, data), 90):
                until = end - RESERVE
                command = training_command(args.train, data, work / "run", out / "train", until, args)
                began, trained = time.time(), stages.begin(command, out / "train.txt")
            about["machine"] = machine()
            print(json.dumps(about["machine"]), flush=True)
            stages.run("tests", check_command("tests", out, args, models), 90 * slack)
            stages.run("identity", check_command("identity", out, args, models), 240 * slack)
            if trained:
                stages.send(trained, signal.SIGSTOP)
            try:
                stages.run("figures", check_command("figures", out, args, models), 120 * slack)
            finally:
                if trained:
                    stages.send(trained, signal.SIGCONT)
            if trained:
                stages.finish("training", trained, end - 4 - time.time(), began)
        except Exception as error:  # what there is, is told all the same
            stages.results["device_run"] = {"result": f"failed: {type(error).__name__}: {error}", "seconds": 0.0}
        finally:
            stages.stop_all()
        log = out / "train.txt"
        if log.is_file():
            print("== the end of train.txt", *log.read_text(errors="replace").splitlines()[-12:], sep="\n", flush=True)
        return summarise(stages, out, about)


def main() -> None:
    if sys.argv[1:2] == ["--attempt"]:
        sys.exit(attempt(float(sys.argv[2]), sys.argv[3:]))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--minutes", type=float, help="of everything; 9, rehearsed 15 at most")
    ap.add_argument("--train", choices=sorted(TRAINED), default="photo-ardm-wide")
    ap.add_argument("--device", help="cuda, rehearsed cpu")
    ap.add_argument("--models", nargs="+", help="whose streams are compared; all whose weights are at hand")
    ap.add_argument("--rehearse", action="store_true", help="tiny sizes, the CPU as both devices")
    args = ap.parse_args()
    args.minutes = args.minutes or (15 if args.rehearse else 9)
    args.device = args.device or ("cpu" if args.rehearse else "cuda")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(not conduct(args))


if __name__ == "__main__":
    main()
