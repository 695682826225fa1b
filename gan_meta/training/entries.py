"""Entries: a checkpoint's document, read entry by entry: each of its type and within its range, or a CheckpointError that names it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_meta.checkpoint import CheckpointError


class Entries:
    """A JSON object of a file.

    Args:
        path: the file, for messages.
        document: the object.
        where: the object's own name in the file.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], where: str = "") -> None:
        self.path = path
        self.document = document
        self.where = where

    def section(self, name: str) -> Entries:
        """The object of this name."""
        return Entries(self.path, self._of(name, dict, "an object"), self._place(name))

    def items(self, name: str) -> list[Any]:
        """The list of this name."""
        found: list[Any] = self._of(name, list, "a list")
        return found

    def whole(self, name: str, least: int, most: int) -> int:
        """The whole number of this name, between two others."""
        value = self.document.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str) -> float:
        """The finite number of this name."""
        value = self.document.get(name)
        if type(value) not in (int, float) or not _is_finite(value):
            raise self.wrong(name, "a finite number")
        return float(value)  # type: ignore[arg-type]

    def wrong(self, name: str, right: str) -> CheckpointError:
        """The error for an entry that is not what it should be."""
        found = repr(self.document[name])[:100] if name in self.document else "missing"
        place = f"{self.path} is damaged, or no checkpoint of this training: {self._place(name)}"
        return CheckpointError(f"{place} is {found}; {right} belongs there")

    def _of(self, name: str, kind: type, right: str) -> Any:
        value = self.document.get(name)
        if type(value) is not kind:
            raise self.wrong(name, right)
        return value

    def _place(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all others
        return False
