"""A script as a user would start it with torchrun: trains a tiny pair in float64 and saves what came out.

python -m torch.distributed.run --standalone --nproc-per-node 2 -m tests.distributed.train OPTIONS.json
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import gan_meta as gm
from gan_meta import distributed, heartbeat
from gan_meta.checkpoint import save_tensors
from tests.conftest import SharedForwardObjective, SquaresObjective, small_batch, smooth_pair

OBJECTIVES = {"squares": SquaresObjective, "shared": SharedForwardObjective}


class NoisyObjective(SquaresObjective):
    """Draws random numbers of its own."""

    def generator_loss(self, pair, batch):
        return super().generator_loss(pair, {**batch, "pose": batch["pose"] + torch.rand_like(batch["pose"])})


class ScalarObjective(SquaresObjective):
    """Couples the samples of a batch."""

    def generator_loss(self, pair, batch):
        return super().generator_loss(pair, batch)["G_L2"].max()


class Augmenting:
    """A dataset whose pictures get another brightness at every reading."""

    def __init__(self, count: int) -> None:
        self.samples = small_batch(count)

    def __len__(self) -> int:
        return len(self.samples["image"])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        scale = random.random() + float(np.random.rand()) + float(torch.rand(()))  # noqa: NPY002
        return {"pose": self.samples["pose"][index], "image": self.samples["image"][index] * scale}


OBJECTIVES |= {"noisy": NoisyObjective, "scalar": ScalarObjective}


class SometimesPoisoned(gm.FewShotTasks):
    """Some tasks, chosen by their seed, hold a value that is not a number."""

    def sample(self, seed):
        task = super().sample(seed)
        if seed % 3 == 0:
            task.support["image"][0] = float("nan")
        return task


class Dawdling(gm.FewShotTasks):
    """Once, in the middle of an iteration, takes very long."""

    marker: Path | None = None
    calls = 0

    def sample(self, seed):
        self.calls += 1
        if self.marker is not None and self.calls == 2 and not self.marker.exists():
            self.marker.touch()
            time.sleep(60)
        return super().sample(seed)


def die_at_call(number: int) -> None:
    """Have the process killed instead of its n-th operation on the names or the durability of files."""
    calls = itertools.count(1)

    def deadly(function):
        def call(*args, **named):
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **named)

        return call

    for name in ("fsync", "replace", "link", "unlink", "chmod"):
        setattr(os, name, deadly(getattr(os, name)))


def compute_for(seconds: float) -> None:
    """Work without rest, in Python and in C++ by turns."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        torch.randn(300, 300) @ torch.randn(300, 300)
        sum(range(10**5))


def build(options: dict[str, Any]) -> tuple[gm.GANPair, gm.Objective, gm.InnerLoop]:
    pair = smooth_pair(seed=int(os.environ.get("RANK", "0")) if options.get("other_starts") else 0, norm=False)
    if options.get("buffers"):
        pair.generator.append(nn.BatchNorm2d(3).double())
    inner = gm.InnerLoop(**{"steps": 3, "lr": 1e-2, "optimizer": "sgd", **options.get("inner", {})})
    return pair, OBJECTIVES[options.get("objective", "squares")](), inner


def train(options: dict[str, Any]) -> gm.GANPair:
    rank = int(os.environ.get("RANK", "0"))
    options = {**options, **options.get("rank1", {})} if rank == 1 else options
    pair, objective, inner = build(options)

    def knock(iteration: int, *_: object) -> None:
        time.sleep(options.get("pause", 0.0))
        if options.get("busy") and rank == 1 and iteration == 1:
            compute_for(options["busy"])
        if iteration == options.get("disk_full_at"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        if options.get("come_apart") and rank == 1:
            with torch.no_grad():
                next(pair.parameters()).add_(1e-9)
        marker = Path(options["out"]).with_suffix(".knocked")
        if iteration == options.get("knock_at") and rank == options.get("knock_rank", 0) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.Signals[options["signal"]])

    if options.get("pretrain"):
        dataset = Augmenting(options["augmented"]) if "augmented" in options else small_batch(20, options.get("data", 0))
        return gm.pretrain(pair, objective, dataset, steps=options["steps"], inner=inner, on_step=knock, **options["trainer"])
    source = (SometimesPoisoned if options.get("poisoned") else Dawdling)(
        [small_batch(10, options.get("data", 0) + seed) for seed in range(3)], shots=options.get("shots", 5), queries=3
    )
    if "augmented" in options:
        source = gm.FixedTasks([gm.Task(Augmenting(options["augmented"]))])
    if options.get("dawdle"):
        source.marker = Path(options["out"]).with_suffix(".dawdling")
    algorithm = gm.algorithms.create(options.get("algorithm", "reptile"), objective=objective, inner=inner, **options.get("more", {}))
    return gm.MetaTrainer(pair, algorithm, source, on_iteration=knock, **options["trainer"]).fit()


def run(cases: list[dict[str, Any]]) -> int:
    """Train each case, save its weights or what went wrong, and return the exit code a command should have."""
    torch.set_num_threads(1)
    rank = int(os.environ.get("RANK", "0"))
    _hurry(cases[0].get("heartbeat", {}) if cases else {})
    if cases and "die_at_call" in cases[0]:
        die_at_call(cases[0]["die_at_call"])
    code = _run_connected(cases, rank)
    return 9 if code == 0 and left_behind() else code


def left_behind() -> list[str]:
    """Threads of the processes' connection that are still there; at the interpreter's end one of them may abort the process."""
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.is_dir() else []
    return [name for name in names if "gloo" in name]


def _hurry(options: dict[str, Any]) -> None:
    """Have silent processes noticed, and left, sooner."""
    for name, seconds in options.items():
        setattr(distributed if hasattr(distributed, name) else heartbeat, name, seconds)


def _run_connected(cases: list[dict[str, Any]], rank: int) -> int:
    with gm.distributed.connect("cpu"):
        for options in cases:
            out = Path(options["out"])
            if "heartbeat" in options:
                logging.getLogger("gan_meta").addHandler(logging.FileHandler(f"{out}-{rank}.log"))
            error_file = out.with_name(f"{out.name}-{rank}.txt")
            try:
                pair = train(options)
            except gm.TrainingInterrupted as stopped:
                error_file.write_text(f"{type(stopped).__name__}: {stopped}")
                return stopped.exit_code
            except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
                error_file.write_text(f"{type(error).__name__}: {error}")
                if not options.get("may_fail"):
                    return 2
            else:
                save_tensors(out.with_name(f"{out.name}-{rank}.safetensors"), pair.state_dict(), {})
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    raise SystemExit(run(json.loads(Path(sys.argv[1]).read_text())))
