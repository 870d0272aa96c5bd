"""The frame that the trainers share: a schedule in minutes, EMA, checkpoints, logs, several processes.

A run may be interrupted and resumed anywhere (--resume): RUN_DIR/state.pt is replaced whole every few minutes, with a
line of each log. Under `torchrun` every process draws its own batches and gradients are averaged; process 0 tells the
time, so that all take the same steps, validates and writes.

--until ends the schedule at a time of day, whatever start, compilation and validation take, and --out copies what is
worth fetching (logs, EMA in float16) to another folder at every checkpoint: for machines that are lent for minutes.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from diffcodec.models.protocols import bfloat16_serves


def arguments(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The options of every trainer."""
    ap = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path, help="tiles packed by prepare_photos.py")
    ap.add_argument("run", type=Path)
    ap.add_argument("--minutes", type=float, default=90, help="length of the whole schedule")
    ap.add_argument("--core-minutes", action="store_true", help="count processor time: one thread, busy machine")
    ap.add_argument("--cifar", type=Path, help="train on CIFAR-10 from this folder or .npz")
    ap.add_argument("--photos", type=float, default=0.4, help="with --cifar: share of downscaled photographs")
    ap.add_argument("--batch", type=int, default=16, help="of each process")
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--ema", type=float, default=0.999)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    ap.add_argument("--steps", type=int, default=0, help="stop after this many steps (a dry run)")
    ap.add_argument("--until", type=float, default=0, metavar="SECONDS", help="end then, in seconds since 1970")
    ap.add_argument("--out", type=Path, help="copy logs and the EMA in float16 to this folder at every checkpoint")
    ap.add_argument("--loaders", type=int, default=0, help="processes that draw batches; 0: between the steps")
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--init", type=Path, help="start from these float weights, where names and shapes agree")
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.set_defaults(**defaults)
    return ap


def low_precision(device: str) -> torch.autocast:
    """bfloat16 where the device has it: elsewhere it is emulated, twenty times slower than float32."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=bfloat16_serves(kind))


class _Draws(IterableDataset[Any]):
    def __init__(self, make: Callable[[int], Callable[[], Any]], seed: int):
        self.make, self.seed = make, seed

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        draw = self.make(self.seed + (7_919 * (worker.id + 1) if worker else 0))
        while True:
            yield draw()


def batches(make: Callable[[int], Callable[[], Any]], args: argparse.Namespace, seed: int) -> Iterator[Any]:
    """What ``make(seed)`` draws, a tensor or a tuple of such a batch, on args.device.

    With --loaders, processes draw ahead, each with a seed of its own. They are forked, so what ``make`` holds on to is
    shared, not copied; copies to a GPU overlap with its work.
    """
    cuda, ahead = torch.device(args.device).type == "cuda", args.loaders > 0
    source = DataLoader(
        _Draws(make, seed),
        batch_size=None,
        num_workers=args.loaders,
        pin_memory=cuda,
        prefetch_factor=4 if ahead else None,
        multiprocessing_context="fork" if ahead else None,
    )
    for item in source:
        if isinstance(item, Tensor):
            yield item.to(args.device, non_blocking=True)
        else:
            yield tuple(part.to(args.device, non_blocking=True) for part in item)


class Training:
    """One run of a network. ``state`` holds whatever else has to be resumed."""

    def __init__(
        self,
        args: argparse.Namespace,
        net: nn.Module,
        config: dict[str, Any],
        betas: tuple[float, float] = (0.9, 0.99),
        fit: Callable[[dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]] | None = None,
        pace: Callable[[str], float] = lambda name: 1.0,
    ):
        """``fit(weights of --init, own weights)`` gives what to start from, where shapes differ.

        pace: of a parameter's name, its share of the learning rate.
        """
        self.args, self.config = args, config
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        cuda = torch.device(args.device).type == "cuda"
        if cuda and self.world > 1:
            args.device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(args.device)
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        args.run.mkdir(parents=True, exist_ok=True)
        self.net = net.to(args.device, memory_format=torch.channels_last)
        self.started_from: set[str] = set()
        if args.init:
            start = load_file(args.init)
            self.started_from = self._init(fit(start, self.net.state_dict()) if fit else start)
        self.ema = copy.deepcopy(self.net)
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
        for name, p in net.named_parameters():
            groups.setdefault((pace(name), p.ndim >= 3), []).append(p)
        self.opt = torch.optim.AdamW(
            [
                {"params": every, "weight_decay": 1e-3 if decays else 0.0, "pace": share}
                for (share, decays), every in groups.items()
            ],
            lr=args.lr,
            betas=betas,
            fused=True,
        )
        self.step, self.minutes = 0, 0.0
        self.state: dict[str, Any] = {}
        self.path = args.run / "state.pt"
        if args.resume and self.path.exists():
            saved = torch.load(self.path, weights_only=True, map_location=args.device)
            self.net.load_state_dict(saved["net"])
            self.ema.load_state_dict(saved["ema"])
            self.opt.load_state_dict(saved["opt"])
            self.step, self.minutes, self.state = saved["step"], saved["minutes"], saved.get("state", {})
        self.same_weights()
        #: of this process's draws; resumed runs and other processes draw others
        self.seed = args.seed + self.step + 1_000_003 * self.rank

    def _init(self, start: dict[str, Tensor]) -> set[str]:
        own = self.net.state_dict()
        fits = {k: v for k, v in start.items() if k in own and own[k].shape == v.shape}
        self.net.load_state_dict(fits, strict=False)
        return set(fits)

    def same_weights(self) -> None:
        """Those of process 0 in all."""
        if self.world > 1:
            for tensor in (*self.net.state_dict().values(), *self.ema.state_dict().values()):
                dist.broadcast(tensor.data, 0)

    @property
    def progress(self) -> float:
        return min(1.0, self.minutes / self.args.minutes)

    def loop(
        self,
        loss: Callable[[], Tensor],
        validate: Callable[[nn.Module], dict[str, list[str]]],
        logs: dict[str, list[str]],
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Steps on ``loss()`` until the schedule's end: cosine learning rate to 1 %.

        ``validate(ema)`` gives the rest of a line of each of ``logs``, whose columns these are; the first log's lines
        begin with the step, minutes, learning rate and mean loss, the others' with the step. ``prepare`` runs before
        every step.
        """
        args = self.args
        files = self._open(logs)
        # of the losses since the last line printed and since the last checkpoint; read when a line is due, so that no
        # step waits for the device
        sums, counts = torch.zeros(2, device=args.device), [0, 0]
        clock = time.process_time if args.core_minutes else time.perf_counter
        last = clock()
        if args.until:
            args.minutes = self.minutes + (args.until - time.time()) / 60
        next_save = self.minutes + args.every
        while self.minutes < args.minutes and (not args.steps or self.step < args.steps):
            if prepare:
                prepare()
            lr = self._scheduled()
            sums += self._descend(loss())
            counts = [n + 1 for n in counts]
            now = clock()
            self.minutes, last = self._agree(self.minutes + (now - last) / 60), now
            if self.step % 200 == 0 and self.rank == 0:
                mean = float(sums[0]) / counts[0]
                print(f"{self.step} {self.minutes:.1f} min lr {lr:.2e} loss {mean:.4f}", flush=True)
                sums[0], counts[0] = 0, 0
            if self.minutes >= next_save or self.minutes >= args.minutes or self.step == args.steps:
                if self.rank == 0:
                    self._write(files, validate(self.ema), lr, float(sums[1]) / counts[1])
                sums[1], counts[1] = 0, 0
                next_save = self.minutes + args.every
                last = last if args.until else clock()
        for file in files.values():
            file.close()
        if self.rank == 0:
            print("done", self.step, flush=True)
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()
            # An interpreter that ends while a thread of gloo still lets go of a tensor ends that thread by force,
            # which C++ answers with an abort: once in some hundred runs. Nothing is left to do, so nothing is unwound.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    def _scheduled(self) -> float:
        """The learning rate of the step to come, which the optimiser is told."""
        warm = min(1.0, max((self.step + 1) / 300, self.progress / 0.05))  # a short schedule warms up in time
        lr: float = self.args.lr * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * self.progress)) / 2)
        for group in self.opt.param_groups:
            group["lr"] = lr * group.get("pace", 1.0)
        return lr

    def _descend(self, value: Tensor) -> Tensor:
        """One step down the gradient of the loss ``value``, and of the average behind the network; the loss alone."""
        self.opt.zero_grad(set_to_none=True)
        value.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.opt.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]  # the step is left out
        self.opt.step()
        self.step += 1
        with torch.no_grad():
            m = min(self.args.ema, self.step / (self.step + 20))
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - m)
        return value.detach()

    def _average_gradients(self) -> None:
        if self.world > 1:
            grads = [p.grad for p in self.net.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in grads])
            dist.all_reduce(flat)
            for g, part in zip(grads, flat.div_(self.world).split([g.numel() for g in grads]), strict=True):
                g.copy_(part.view_as(g))

    def _agree(self, minutes: float) -> float:
        if self.world == 1:
            return minutes
        value = torch.tensor(minutes, dtype=torch.float64, device=self.args.device)
        dist.broadcast(value, 0)
        return float(value)

    def _open(self, logs: dict[str, list[str]]) -> dict[str, Any]:
        files = {}
        for number, (name, columns) in enumerate(logs.items() if self.rank == 0 else ()):
            path = self.args.run / f"{name}.csv"
            fresh = not path.exists()
            files[name] = path.open("a", newline="")
            if fresh:
                head = ["step"] if number else ["step", "minutes", "lr", "train"]
                csv.writer(files[name]).writerow([*head, *columns])
        return files

    def _write(self, files: dict[str, Any], values: dict[str, list[str]], lr: float, mean: float) -> None:
        for number, (name, file) in enumerate(files.items()):
            head = [self.step] if number else [self.step, f"{self.minutes:.2f}", f"{lr:.3e}", f"{mean:.5f}"]
            csv.writer(file).writerow([*head, *values[name]])
            file.flush()
        print(f"== {self.step} {self.minutes:.1f} min {values}", flush=True)
        saved = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "opt": self.opt.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "state": self.state,
            "config": self.config,
        }
        torch.save(saved, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)
        half = {k: v.half().cpu().contiguous() for k, v in self.ema.state_dict().items()}
        described = {"config": json.dumps(self.config), "step": str(self.step), "minutes": f"{self.minutes:.1f}"}
        ema = self.args.run / "ema-float16.safetensors"
        save_file(half, ema.with_suffix(".tmp"), described)
        ema.with_suffix(".tmp").replace(ema)
        if self.args.out:
            self.args.out.mkdir(parents=True, exist_ok=True)
            for path in (ema, *(self.args.run / f"{name}.csv" for name in files)):
                part = self.args.out / f"{path.name}.tmp"
                shutil.copyfile(path, part)
                part.replace(self.args.out / path.name)
