"""The log of a training run: losses of every step and sample pictures, in step with what a resumed run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from torch import Tensor

from gan_meta.training.run_log import CommaSeparated, TensorBoard
from metapix.files import write_picture
from metapix.poses.pose_input import to_bytes
from metapix.training.run_options import RunOptions


class TrainingLog:
    """Keeps losses and pictures by step; use it in a ``with`` statement.

    A resumed run repeats the steps since its checkpoint: what the earlier run said of them is thrown away.

    Args:
        folder: the run's.
        stage: names the files: ``<stage>.csv``, ``samples/<stage>-000100.png`` and ``tensorboard/<stage>``.
        options: which of these, and how often.
        is_active: whether this process is the one that writes; the others keep nothing.
    """

    def __init__(self, folder: Path, stage: str, options: RunOptions, *, is_active: bool = True) -> None:
        self._folder, self._stage, self._options = folder, stage, options
        self._is_active = is_active
        self._table: CommaSeparated | None = None
        self._events: TensorBoard | None = None
        self._has_begun = False

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for log in (self._table, self._events):
            if log is not None:
                log.close()

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """The losses of a step, counted from 1."""
        self._begin(step - 1)
        for log in (self._table, self._events):
            if log is not None:
                log.write(step, losses)

    def picture(self, step: int, steps: int, draw: Callable[[], Tensor]) -> None:
        """Sample pictures (3, H, W) in [-1, 1] as they are after a step, if they are due; they are drawn only then."""
        if not self._is_active or (step % self._options.sample_every and step != steps):
            return
        self._begin(step)
        picture = to_bytes(draw())
        folder = self._folder / "samples"
        folder.mkdir(exist_ok=True)
        write_picture(folder / f"{self._stage}-{step:06d}.png", picture)
        if self._events is not None:
            self._events.picture(step, "samples", picture)

    def _begin(self, done: int) -> None:
        """Only now is it known after how many steps this run goes on."""
        if self._has_begun or not self._is_active:
            return
        self._has_begun = True
        if "csv" in self._options.logs:
            self._table = CommaSeparated(self._folder / f"{self._stage}.csv", done)
        if "tensorboard" in self._options.logs:
            self._events = TensorBoard(self._folder / "tensorboard" / self._stage, done)
