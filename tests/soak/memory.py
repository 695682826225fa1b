"""Memory and open files of a long meta-training: python -m tests.soak.memory [ITERATIONS]. Ends with 1 if either grows."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import torch

import gan_meta as gm
from tests.conftest import SquaresObjective, small_batch, smooth_pair

ALLOWED_MB = 8.0


def watch(iterations: int, every: int) -> list[tuple[int, float, int]]:
    """(iteration, resident MB, open files) of a training that logs and saves all along."""
    page = os.sysconf("SC_PAGE_SIZE")
    seen: list[tuple[int, float, int]] = []

    def look(iteration: int, _logs: object) -> None:
        if iteration % every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append((iteration, pages * page / 1e6, len(os.listdir("/proc/self/fd"))))

    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=2))
    tasks = gm.FewShotTasks([small_batch(10, seed) for seed in range(3)], shots=5)
    with tempfile.TemporaryDirectory() as folder:
        options = {"meta_optimizer": "adam", "meta_lr": 1e-3, "checkpoint_every": 5, "logs": ("jsonl", "csv")}
        gm.MetaTrainer(smooth_pair(), algorithm, tasks, iterations, run_dir=folder, on_iteration=look, **options).fit()
    return seen


def is_flat(seen: list[tuple[int, float, int]]) -> bool:
    """Whether neither grew after the first tenth, in which caches fill."""
    later = seen[max(1, len(seen) // 10) :]
    return later[-1][1] - later[0][1] < ALLOWED_MB and later[-1][2] == later[0][2]


if __name__ == "__main__":
    torch.set_num_threads(1)
    total = int((sys.argv[1:] or ["2000"])[0])
    curve = watch(total, max(1, total // 20))
    for iteration, megabytes, files in curve:
        sys.stdout.write(f"iteration {iteration:6d}: {megabytes:8.1f} MB, {files} open files\n")
    raise SystemExit(0 if is_flat(curve) else 1)
