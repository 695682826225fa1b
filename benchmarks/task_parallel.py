"""Claim: whole games per rank scale: two processes of one thread do at least 0.85 of twice the work of one.

    python benchmarks/task_parallel.py [--ranks 2] [--repeats 3]

Baseline: the same meta-training in one process of one thread, in the same run; best of the repeats, which alternate. The
machine must have a free core for each process, or the seconds on the clock say nothing; the CPU seconds of rank 0, waiting for
the other ranks left out, say what they would be with equal games on cores of their own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import time

import torch

import gan_meta as gm
from gan_meta.models.pix2pixhd import Pix2PixHDObjective

SIZE, STEPS, ITERATIONS = 64, 5, 3


def train(rank: int, ranks: int, port: int, meta_batch_size: int, seconds: multiprocessing.Queue[tuple[float, float]]) -> None:
    """Meta-train as one of the ranks; rank 0 tells how long the iterations after the first took, by the clock and in CPU time."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", pose_channels=18, base_channels=16, n_downsample=2, n_blocks=3, discriminator_channels=16)
    videos = [{"pose": torch.rand(8, 18, SIZE, SIZE), "image": torch.rand(8, 3, SIZE, SIZE) * 2 - 1} for _ in range(4)]
    algorithm = gm.algorithms.create("reptile", objective=Pix2PixHDObjective(), inner=gm.InnerLoop(steps=STEPS))
    times: list[tuple[float, float]] = []
    with gm.distributed.connect("cpu"):
        gm.MetaTrainer(
            pair,
            algorithm,
            gm.FewShotTasks(videos, shots=5),
            iterations=ITERATIONS + 1,
            meta_batch_size=meta_batch_size,
            on_iteration=lambda _iteration, _logs: times.append((time.perf_counter(), time.process_time())),
        ).fit()
    if rank == 0:
        seconds.put((times[-1][0] - times[0][0], times[-1][1] - times[0][1]))


def measure(ranks: int, meta_batch_size: int) -> tuple[float, float]:
    """Seconds of the iterations with this many processes, by the clock and in CPU time of rank 0."""
    context = multiprocessing.get_context("spawn")
    seconds = context.Queue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [context.Process(target=train, args=(rank, ranks, port, meta_batch_size, seconds)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    clock, cpu = seconds.get()
    return float(clock), float(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    games = 2 * options.ranks
    alone, together = [], []
    for _ in range(options.repeats):
        alone.append(measure(1, games))
        together.append(measure(options.ranks, games))
        print(
            f"one process {alone[-1][0]:.2f} s, {options.ranks} processes {together[-1][0]:.2f} s for {ITERATIONS} x {games} games",
            flush=True,
        )
    for number, name in enumerate(("clock", "CPU time of rank 0")):
        speedup = min(times[number] for times in alone) / min(times[number] for times in together)
        print(f"by {name}: speed-up {speedup:.2f} on {options.ranks} processes, {speedup / options.ranks:.2f} of linear (claim: 0.85)")


if __name__ == "__main__":
    main()
