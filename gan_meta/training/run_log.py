"""What an iteration said, written down: JSON lines, CSV, TensorBoard, or the program's own log."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from gan_meta.files import json_text, write_text
from gan_meta.naming import unknown_name

logger = logging.getLogger(__name__)

LOGS = ("jsonl", "csv", "tensorboard", "console")
_CONSOLE_SECONDS = 10.0


class RunLog(Protocol):
    """Takes an iteration's values by name."""

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """Note the values of this iteration, counted from 1."""

    def close(self) -> None:
        """Bring to the disk what is still held back."""


def check_logs(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if all are known.

    Raises:
        ValueError: for an unknown one, or a string where a list of them belongs.
    """
    for name in [names] if isinstance(names, str) else names:
        if name not in LOGS:
            raise ValueError(unknown_name("log", name, LOGS))
    return (names,) if isinstance(names, str) else tuple(names)


def open_logs(names: Sequence[str], folder: Path | None, kind: str, done: int) -> list[RunLog]:
    """The logs of these names; those that are files lie in the folder, and are left out where there is none.

    Args:
        kind: what the files are called.
        done: iterations that a resumed training has behind it; what a log says of later ones is forgotten, as they come again.

    Raises:
        ImportError: for ``"tensorboard"`` where it is not installed (with what to do).
    """
    makers: dict[str, Callable[[Path], RunLog]] = {
        "jsonl": lambda path: JsonLines(path / f"{kind}.jsonl", done),
        "csv": lambda path: CommaSeparated(path / f"{kind}.csv", done),
        "tensorboard": lambda path: TensorBoard(path / "tensorboard", done),
    }
    logs: list[RunLog] = [makers[name](folder) for name in names if name in makers and folder is not None]
    return [*logs, *([Console(kind)] if "console" in names else [])]


class JsonLines:
    """A JSON object a line, an iteration each."""

    def __init__(self, path: Path, done: int) -> None:
        _keep_lines(path, lambda line: _iteration_of(line) in range(1, done + 1))
        self._file = path.open("a", encoding="utf-8")

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        # JSON has no NaN; null says that there was a value and that it was no number.
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json_text({"iteration": iteration, **finite}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class CommaSeparated:
    """A table with a column for each value; one that comes later is a further column, and empty in the lines before."""

    def __init__(self, path: Path, done: int) -> None:
        def is_kept(line: str) -> bool:
            first = line.partition(",")[0]
            return first == "iteration" or (first.isdigit() and int(first) <= done)

        self._path = path
        _keep_lines(path, is_kept)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                self._columns = next(csv.reader(file), [])
        except csv.Error:  # a damaged first line; the next iteration writes another
            self._columns = []
        self._file = path.open("a", encoding="utf-8", newline="")

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        columns = list(dict.fromkeys([*(self._columns or ["iteration"]), *values]))
        if columns != self._columns:
            self._widen(columns)
        self._file.write(_csv_line([iteration, *(values.get(name, "") for name in columns[1:])]))
        self._file.flush()

    def _widen(self, columns: list[str]) -> None:
        """Write the table again with these columns, the old ones first."""
        self._file.close()
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if self._columns else []
        empty = "," * (len(columns) - len(self._columns))
        write_text(self._path, _csv_line(columns) + "".join(line.rstrip("\r\n") + empty + "\r\n" for line in lines))
        self._columns = columns
        self._file = self._path.open("a", encoding="utf-8", newline="")

    def close(self) -> None:
        self._file.close()


def _csv_line(values: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


class TensorBoard:
    """Scalars for TensorBoard."""

    def __init__(self, folder: Path, done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError('this log needs tensorboard: install it with: pip install "gan-meta[tensorboard]"') from error
        self._writer = SummaryWriter(str(folder), purge_step=done + 1)

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def picture(self, iteration: int, name: str, picture: Tensor) -> None:
        """A (3, H, W) uint8 RGB picture as it is after this iteration."""
        self._writer.add_image(name, picture, iteration)

    def close(self) -> None:
        self._writer.close()


class Console:
    """Lines in the program's own log, at level INFO, at most one every few seconds."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._next = time.monotonic()

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _CONSOLE_SECONDS
        logger.info("%s %d: %s", self._kind, iteration, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def close(self) -> None:
        """Nothing is held back."""


def _keep_lines(path: Path, is_kept: Callable[[str], bool]) -> None:
    """Of an earlier run's log only the lines that still hold; a process that was killed may have left half a line."""
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    kept = "".join(line for line in before.splitlines(keepends=True) if line.endswith("\n") and is_kept(line.rstrip("\r\n")))
    if not path.is_file() or kept.encode() != path.read_bytes():
        write_text(path, kept)


def _iteration_of(line: str) -> int | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number = document.get("iteration") if isinstance(document, dict) else None
    return number if isinstance(number, int) else None
