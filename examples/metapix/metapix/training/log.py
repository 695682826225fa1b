"""The log of a training run: a CSV file, TensorBoard events and sample pictures, in step with what a resumed run goes on from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from metapix.files import write_picture, write_text
from metapix.poses.pose_input import to_bytes

_FLUSH_EVERY = 20  # rows


class TrainingLog:
    """Keeps losses by step; use it in a ``with`` statement.

    A resumed run repeats the steps since its checkpoint: rows of the earlier run from there on are thrown away.

    Args:
        folder: the run's.
        stage: names the files: ``<stage>.csv``, ``samples/<stage>-000100.png`` and ``tensorboard/<stage>``.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        self._folder, self._stage = folder, stage
        self._rows: list[dict[str, str]] = []
        self._unwritten = 0
        self._events: Any = None

    def __enter__(self) -> TrainingLog:
        path = self._folder / f"{self._stage}.csv"
        if path.is_file():
            with path.open(newline="") as file:
                self._rows = list(csv.DictReader(file))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._events is not None:
            self._events.close()
        self._write()

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """The losses of a step, counted from 1."""
        if self._events is None:
            self._begin(step)
        self._rows.append({"step": str(step), **{name: f"{float(value):.6g}" for name, value in losses.items()}})
        for name, value in losses.items():
            self._events.add_scalar(name, float(value), step)
        self._unwritten += 1
        if self._unwritten >= _FLUSH_EVERY:
            self._write()

    def picture(self, step: int, images: Tensor) -> None:
        """Sample pictures (3, H, W) in [-1, 1] as they are after a step."""
        if self._events is None:
            self._begin(step + 1)
        folder = self._folder / "samples"
        folder.mkdir(exist_ok=True)
        write_picture(folder / f"{self._stage}-{step:06d}.png", to_bytes(images))
        self._events.add_image("samples", to_bytes(images), step)

    def _begin(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._rows = [row for row in self._rows if int(row["step"]) < step]
        self._events = SummaryWriter(str(self._folder / "tensorboard" / self._stage), purge_step=step)

    def _write(self) -> None:
        if not self._unwritten:
            return
        names = dict.fromkeys(name for row in self._rows for name in row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._folder / f"{self._stage}.csv", text.getvalue())
        self._unwritten = 0
