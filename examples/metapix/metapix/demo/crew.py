"""Crew: stages of the demo in processes of their own, one thread each, with a progress bar a stage.

Two processes with a thread each use two cores better than one process with two: the networks of the demo are small, and
threads that wait for each other cost more than they bring, above all on a machine that has something else to do.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from metapix.errors import InputError
from metapix.workers import interrupts_not_inherited, leave_with_parent, unwinding_when_told_to_end

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0
_MOST_STAGES = 16
_DIED = "a worker process ended unexpectedly; usually memory ran out (the demo needs about 4 GB)"


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
        # After an error nobody waits for the other stages: they tidy up what they were making (see _work) and end.
        if kind is not None:
            processes = self._processes()
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(_GRACE_SECONDS)
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, stages: Sequence[Stage]) -> dict[str, float]:
        """Run the stages side by side and return how many seconds each took.

        Raises:
            InputError: when a worker dies, as it does when memory runs out; errors of a stage come through as they are.
        """
        if len(stages) > _MOST_STAGES:
            raise ValueError(f"at most {_MOST_STAGES} stages can run side by side, got {len(stages)}")
        columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            bars = [progress.add_task(stage.name, total=stage.ticks) for stage in stages]
            for counter, _ in zip(self._counters, stages, strict=False):
                counter.value = 0
            with interrupts_not_inherited():
                futures = [self._pool.submit(_work, stage.run, stage.arguments, number) for number, stage in enumerate(stages)]
            self._watch(futures, lambda number: progress.update(bars[number], completed=self._counters[number].value))
            for bar, stage in zip(bars, stages, strict=True):
                progress.update(bar, completed=stage.ticks)
        return {stage.name: round(future.result(), 1) for stage, future in zip(stages, futures, strict=True)}

    def _processes(self) -> list[BaseProcess]:
        return list((self._pool._processes or {}).values())

    def _watch(self, futures: Sequence[Future[Any]], show: Callable[[int], None]) -> None:
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_EXCEPTION)
            for number in range(len(futures)):
                show(number)
            # The pool may not notice a death before another worker is done: it began to watch before the last one was started.
            if any(process.exitcode for process in self._processes()):
                raise InputError(_DIED)
            for future in done:
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise InputError(_DIED) from error


_ticks: list[Synchronized[int]] = []


def _start_worker(counters: list[Synchronized[int]]) -> None:
    torch.set_num_threads(1)
    _ticks[:] = counters
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _work(run: Callable[..., Any], arguments: tuple[Any, ...], number: int) -> float:
    def tick(done: int) -> None:
        _ticks[number].value = done

    start = time.perf_counter()
    try:
        with unwinding_when_told_to_end():
            run(*arguments, tick)
    except SystemExit:
        os._exit(1)  # the pool would take it for the stage's answer and begin the next stage
    return time.perf_counter() - start
