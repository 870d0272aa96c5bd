"""The frame that the trainers share: a schedule in minutes, EMA, checkpoints, logs, several processes.

A run may be interrupted and resumed anywhere (--resume): RUN_DIR/state.pt is replaced whole every few minutes, with a
line of each log. Under `torchrun` every process draws its own batches and gradients are averaged; process 0 tells the
time, so that all take the same steps, validates and writes.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


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
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--init", type=Path, help="start from these float weights, where names and shapes agree")
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.set_defaults(**defaults)
    return ap


def low_precision(device: str) -> torch.autocast:
    """bfloat16 where the device has it: elsewhere it is emulated, twenty times slower than float32."""
    fast = device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device, torch.bfloat16, enabled=fast)


class Training:
    """One run of a network. ``state`` holds whatever else has to be resumed."""

    def __init__(
        self, args: argparse.Namespace, net: nn.Module, config: dict[str, Any], betas: tuple[float, float] = (0.9, 0.99)
    ):
        self.args, self.config = args, config
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        if args.device == "cuda" and self.world > 1:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
        args.run.mkdir(parents=True, exist_ok=True)
        self.net = net.to(args.device, memory_format=torch.channels_last)
        self.started_from = self._init(load_file(args.init)) if args.init else set()
        self.ema = copy.deepcopy(self.net)
        decay = [p for p in net.parameters() if p.ndim >= 3]
        rest = [p for p in net.parameters() if p.ndim < 3]
        self.opt = torch.optim.AdamW(
            [{"params": decay, "weight_decay": 1e-3}, {"params": rest, "weight_decay": 0.0}],
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
        window: list[float] = []
        clock = time.process_time if args.core_minutes else time.perf_counter
        last = clock()
        next_save = self.minutes + args.every
        while self.minutes < args.minutes and (not args.steps or self.step < args.steps):
            if prepare:
                prepare()
            warm = min(1.0, max((self.step + 1) / 300, self.progress / 0.05))  # a short schedule warms up in time
            lr = args.lr * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * self.progress)) / 2)
            for group in self.opt.param_groups:
                group["lr"] = lr
            value = loss()
            self.opt.zero_grad(set_to_none=True)
            value.backward()
            self._average_gradients()
            norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            if torch.isfinite(norm):
                self.opt.step()
            self.step += 1
            with torch.no_grad():
                m = min(args.ema, self.step / (self.step + 20))
                torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - m)
            window.append(float(value.detach()))
            now = clock()
            self.minutes, last = self._agree(self.minutes + (now - last) / 60), now
            if self.step % 200 == 0 and self.rank == 0:
                print(f"{self.step} {self.minutes:.1f} min lr {lr:.2e} loss {np.mean(window[-200:]):.4f}", flush=True)
            if self.minutes >= next_save or self.minutes >= args.minutes or self.step == args.steps:
                if self.rank == 0:
                    self._write(files, validate(self.ema), lr, float(np.mean(window)))
                window.clear()
                next_save = self.minutes + args.every
                last = clock()
        for file in files.values():
            file.close()
        if self.rank == 0:
            print("done", self.step, flush=True)
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()

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
        save_file(half, self.args.run / "ema-float16.safetensors")
