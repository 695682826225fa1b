"""RunMonitor: everything by which a training is seen from outside: logs, status file, warnings, profile; on rank 0 only."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch

from gan_meta.distributed import World
from gan_meta.training.best import BestSoFar
from gan_meta.training.divergence import DivergenceMonitor
from gan_meta.training.interruption import TrainingInterrupted
from gan_meta.training.profiling import Profile
from gan_meta.training.progress import Progress, StatusFile
from gan_meta.training.run_log import open_logs

logger = logging.getLogger(__name__)


class RunMonitor:
    """A context manager around a training's iterations.

    Args:
        folder: the run's; without one there are no files.
        kind: what runs; names its files.
        total, done: the iterations in all, and those behind a resumed training.
        world: the ranks; on all but the first nothing is written.
        device: where the networks are.
        logs: names of :data:`gan_meta.training.run_log.LOGS`.
        profile: how many iterations to profile; 0 for none.
    """

    def __init__(
        self,
        folder: Path | None,
        kind: str,
        total: int,
        done: int,
        world: World,
        device: torch.device,
        logs: Sequence[str] = (),
        profile: int = 0,
    ) -> None:
        self.is_active = world.is_first
        self.device = device
        self.progress = Progress(total, done)
        self._best: str | None = None
        self._divergence = DivergenceMonitor()
        self._logs = open_logs(logs, folder, kind, done) if self.is_active else []
        self._status = StatusFile(folder, kind, world.size) if folder is not None and self.is_active else None
        self._profile = Profile(folder, profile) if folder is not None and profile and self.is_active else None

    def __enter__(self) -> RunMonitor:
        self._write_status("running", always=True)
        if self._profile is not None:
            self._profile.start()
        return self

    def after(self, iteration: int, logs: Mapping[str, float], best: BestSoFar | None = None) -> None:
        """Take in an iteration that is done, and its logs.

        Args:
            best: the record of the best checkpoint, where one is kept.
        """
        if not self.is_active:
            return
        self.progress.tick(iteration)
        if self._profile is not None:
            self._profile.tick()
        for sentence in self._divergence.watch(logs):
            logger.warning("iteration %d: %s", iteration, sentence)
        score = {} if best is None else {"best_score": best.score}
        self._best = None if best is None else best.words
        values = {**logs, **score, **self.progress.figures(self.device)}
        for log in self._logs:
            log.write(iteration, values)
        self._write_status("running")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        state = "finished" if kind is None else "stopped" if issubclass(kind, TrainingInterrupted) else "failed"
        with contextlib.ExitStack() as endings:  # one that fails must not keep the others from closing
            for log in self._logs:
                endings.callback(log.close)
            if self._profile is not None:
                endings.callback(self._profile.stop)
            endings.callback(self._write_status, state, always=True, error=None if error is None else str(error))

    def _write_status(self, state: str, *, always: bool = False, error: str | None = None) -> None:
        """A status that cannot be written is no reason to lose a training."""
        if self._status is None:
            return
        more = {name: words for name, words in (("best", self._best), ("message", error)) if words is not None}
        try:
            self._status.write(state, self.progress, self.device, always=always, **more)
        except OSError as problem:
            logger.warning("the status could not be written: %s", problem)
