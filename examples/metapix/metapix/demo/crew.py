"""Crew: stages of the demo in processes of their own, one thread each, with a progress bar a stage.

Two processes with a thread each use two cores better than one process with two: the networks of the demo are small, and
threads that wait for each other cost more than they bring, above all on a machine that has something else to do.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from metapix.errors import InputError

_POLL_SECONDS = 0.2
_MOST_STAGES = 16


@dataclass(frozen=True)
class Stage:
    """One unit of work.

    Attributes:
        name: what the progress bar says.
        run: a module-level function ``(*arguments, tick)``; what it makes goes into files.
        arguments: what it is called with; must be picklable.
        ticks: what its progress counts up to.
    """

    name: str
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    ticks: int


class Crew:
    """Runs groups of stages side by side; use it in a ``with`` statement.

    Args:
        workers: processes at work at once.
    """

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._counters = [context.Value("i", 0) for _ in range(_MOST_STAGES)]
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(self._counters,))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error nobody waits for the other stages: what they were making is not finished and leaves no file.
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, stages: Sequence[Stage]) -> dict[str, float]:
        """Run the stages side by side and return how many seconds each took.

        Raises:
            InputError: when a worker dies, as it does when memory runs out; errors of a stage come through as they are.
        """
        columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        if len(stages) > _MOST_STAGES:
            raise ValueError(f"at most {_MOST_STAGES} stages can run side by side, got {len(stages)}")
        with Progress(*columns) as progress:
            bars = [progress.add_task(stage.name, total=stage.ticks) for stage in stages]
            for counter, _ in zip(self._counters, stages, strict=False):
                counter.value = 0
            futures = [self._pool.submit(_work, stage.run, stage.arguments, number) for number, stage in enumerate(stages)]
            self._watch(futures, lambda number: progress.update(bars[number], completed=self._counters[number].value))
            for bar, stage in zip(bars, stages, strict=True):
                progress.update(bar, completed=stage.ticks)
        return {stage.name: round(future.result(), 1) for stage, future in zip(stages, futures, strict=True)}

    @staticmethod
    def _watch(futures: Sequence[Future[Any]], show: Callable[[int], None]) -> None:
        while not all(future.done() for future in futures):
            for number, future in enumerate(futures):
                show(number)
                error = future.exception() if future.done() else None
                if isinstance(error, BrokenProcessPool):
                    raise InputError("a worker process ended unexpectedly; usually memory ran out (the demo needs about 4 GB)") from error
                if error is not None:
                    raise error
            time.sleep(_POLL_SECONDS)


_ticks: list[Synchronized[int]] = []


def _start_worker(counters: list[Synchronized[int]]) -> None:
    torch.set_num_threads(1)
    _ticks[:] = counters


def _work(run: Callable[..., Any], arguments: tuple[Any, ...], number: int) -> float:
    def tick(done: int) -> None:
        _ticks[number].value = done

    start = time.perf_counter()
    run(*arguments, tick)
    return time.perf_counter() - start
