"""Jobs over processes and ranks: each makes one file, begins when what it needs is there, and is skipped when its file is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

import gan_meta as gm
from gan_meta.distributed import World
from gan_meta.memory import memory_problem
from metapix.errors import InputError
from metapix.workers import interrupts_not_inherited, leave_with_parent, unwinding_when_told_to_end

_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.5
_DIED = "a worker process ended unexpectedly; usually memory ran out: try fewer --workers. What is done is kept, run again to go on"
_OF_TORCHRUN = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells a rank; a worker of a rank is none, and its games must not wait for the others."""

Note = Callable[[int, int, str], None]
"""Told (jobs done or failed, jobs in all, the name of the last one)."""


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes:
        name: what messages call it.
        made: the file that shows it is done.
        run: a module-level function; what it makes goes into files.
        arguments: what it is called with; must be picklable.
        needs: files that must be there first; other jobs may make them.
        level: on several ranks, jobs of a level begin when those of the lower ones are done.
    """

    name: str
    made: Path
    run: Callable[..., None]
    arguments: tuple[Any, ...]
    needs: tuple[Path, ...] = ()
    level: int = 0


def run_jobs(jobs: Sequence[Job], workers: int, world: World, note: Note) -> dict[str, str]:
    """Do what is not done, earlier jobs first where there is a choice.

    Every rank is given the same jobs and does its share of each level; the ranks share the folders.

    Args:
        workers: processes of this rank at work at once, one thread each.

    Returns:
        {name: why it could not be done}, the same on every rank; the other jobs are done.

    Raises:
        InputError: when a worker dies, as it does when memory runs out.
    """
    failures: dict[str, str] = {}
    makers = {job.made: job.name for job in jobs}
    levels = [list(jobs)] if world.size == 1 else [[job for job in jobs if job.level == level] for level in sorted({j.level for j in jobs})]
    for level in levels:
        mine = [job for job in level[world.rank :: world.size] if not job.made.is_file()]
        found = _Pool(mine, workers, note, makers).run() if mine else {}
        for told in world.gather(found):
            failures.update(told)
    return failures


class _Pool:
    """The jobs of one rank, from a queue into processes."""

    def __init__(self, jobs: Sequence[Job], workers: int, note: Note, makers: Mapping[Path, str]) -> None:
        self._waiting = list(jobs)
        self._to_come = {job.made for job in jobs}
        self._total, self._workers, self._note = len(jobs), workers, note
        self._makers = makers
        self._failures: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        pool = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"), initializer=_start_worker)
        ended = False
        try:
            self._feed(pool)
            ended = True
        except BrokenProcessPool as error:
            raise InputError(_DIED) from error
        finally:
            if not ended:
                _end(pool)
            pool.shutdown(wait=True, cancel_futures=True)
        return self._failures

    def _feed(self, pool: ProcessPoolExecutor) -> None:
        running: dict[Future[str], Job] = {}
        while self._waiting or running:
            while len(running) < self._workers and (job := self._next()) is not None:
                with interrupts_not_inherited():
                    running[pool.submit(_work, job.run, job.arguments)] = job
            if not running:
                continue
            done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            # The pool may not notice a death of its own accord: it began to watch before the last worker was started.
            if not done and any(process.exitcode for process in _processes(pool)):
                raise InputError(_DIED)
            for future in done:
                job = running.pop(future)
                self._finish(job, future.result())

    def _next(self) -> Job | None:
        """The first job that can begin; those that never can are given up on the way."""
        for job in list(self._waiting):
            lacking = [file for file in job.needs if not file.is_file()]
            if any(file in self._to_come for file in lacking):
                continue
            self._waiting.remove(job)
            if not lacking:
                return job
            self._finish(job, f"it needs what could not be made: {self._makers.get(lacking[0], lacking[0].name)}")
        return None

    def _finish(self, job: Job, problem: str) -> None:
        if problem:
            self._failures[job.name] = problem
        self._to_come.discard(job.made)
        self._note(self._total - len(self._to_come), self._total, job.name)


def _work(run: Callable[..., None], arguments: tuple[Any, ...]) -> str:
    """Do a job; returns what is wrong where its input cannot be used, and "" where all is well."""
    try:
        with unwinding_when_told_to_end():
            run(*arguments)
    except (SystemExit, gm.TrainingInterrupted):  # told to end; a training saves first
        os._exit(1)  # the pool would take it for the job's answer and begin the next
    except InputError as error:
        return " ".join(str(error).split())
    except Exception as error:
        problem = memory_problem(error)
        if problem is None and not isinstance(error, OSError | gm.CheckpointError | gm.NonFiniteLossError):
            raise
        return problem or " ".join(str(error).split())
    return ""


def _start_worker() -> None:
    for name in _OF_TORCHRUN:
        os.environ.pop(name, None)
    torch.set_num_threads(1)
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _end(pool: ProcessPoolExecutor) -> None:
    """After an error nobody waits for the other jobs: they tidy up what they were making and end."""
    processes = _processes(pool)
    for process in processes:
        process.terminate()
    limit = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, limit - time.monotonic()))
        process.kill()


def _processes(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    return list((pool._processes or {}).values())
