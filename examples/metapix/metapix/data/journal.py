"""Journal: what a long look at a video has found so far, kept in a folder beside the result, so that an interrupted look goes on."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from metapix.files import read_limited, write_bytes

CHUNK = 128
"""Frames between two entries; estimators start afresh at each, so that a look that was interrupted finds the same as one that was not."""

_KEY = "journal.json"


@dataclass(frozen=True, eq=False)
class Found:
    """The person in some frames of a video, in the camera's pixels.

    Attributes:
        indices: (N,) the frames' numbers in the video.
        joints: (N, 18, 3) float32, as found.
        bounds: (N, 4) left, top, right, bottom of the person.
        masks: N PNG files, or where to load them, or None where there is no mask.
    """

    indices: NDArray[np.int64]
    joints: NDArray[np.float32]
    bounds: NDArray[np.float64]
    masks: tuple[bytes | StoredMask | None, ...]

    @staticmethod
    def nothing() -> Found:
        """No frame."""
        return Found(np.zeros(0, np.int64), np.zeros((0, 18, 3), np.float32), np.zeros((0, 4)), ())

    @staticmethod
    def together(parts: list[Found]) -> Found:
        """One after the other."""
        parts = [Found.nothing(), *parts]
        return Found(
            np.concatenate([part.indices for part in parts]),
            np.concatenate([part.joints for part in parts]),
            np.concatenate([part.bounds for part in parts]),
            tuple(mask for part in parts for mask in part.masks),
        )


@dataclass(frozen=True, slots=True)
class StoredMask:
    """A mask that lies in an entry of a journal: those of hours would fill memory."""

    journal: Journal
    entry: int
    row: int

    def load(self) -> bytes:
        """The PNG file; empty where the entry cannot be read any more."""
        masks = self.journal.masks(self.entry)
        return masks[self.row] or b"" if self.row < len(masks) else b""


class Journal:
    """Entries of :data:`CHUNK` frames each, in a folder; entries of another key are thrown away.

    Args:
        folder: made when the first entry is written.
        key: JSON values that say what was looked at, and how.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        self._key = json.dumps(key, sort_keys=True)
        self._masks: tuple[int, tuple[bytes | None, ...]] = (-1, ())  # of the entry that was asked for last
        if folder.is_dir() and not self._is_ours():
            self.close()

    def read(self, number: int) -> Found | None:
        """An entry; ``None`` where there is none that can be read."""
        path = self._path(number)
        if not path.is_file():
            return None
        try:
            stored = load(read_limited(path))
            return _found(stored)
        except (OSError, ValueError, LookupError, TypeError, SafetensorError):
            return None

    def masks(self, number: int) -> tuple[bytes | None, ...]:
        """An entry's masks; none where it cannot be read."""
        if self._masks[0] != number:
            found = self.read(number)
            self._masks = (number, () if found is None else _in_memory(found))
        return self._masks[1]

    def stored(self, number: int, found: Found) -> Found:
        """An entry that is in the folder, with masks that are loaded when they are needed."""
        masks = (None if mask is None else StoredMask(self, number, row) for row, mask in enumerate(found.masks))
        return replace(found, masks=tuple(masks))

    def write(self, number: int, found: Found) -> None:
        """Keep an entry, whole or not at all.

        Raises:
            OSError: when the folder cannot be written or the disk is full.
        """
        self.folder.mkdir(exist_ok=True)
        if not (self.folder / _KEY).exists():
            write_bytes(self.folder / _KEY, self._key.encode())
        masks = [mask or b"" for mask in _in_memory(found)]
        sizes = np.array([len(mask) for mask in masks], np.int64)
        packed = np.frombuffer(b"".join(masks), np.uint8)
        columns = {"indices": found.indices, "joints": found.joints, "bounds": found.bounds, "mask_sizes": sizes, "masks": packed}
        write_bytes(self._path(number), save({name: np.ascontiguousarray(column) for name, column in columns.items()}))

    def close(self) -> None:
        """The look is done, or of no use: remove the folder, unless somebody else's files are in it."""
        if self.folder.is_dir() and (self.folder / _KEY).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self) -> bool:
        with contextlib.suppress(OSError):
            return (self.folder / _KEY).read_text() == self._key
        return False

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"


def _in_memory(found: Found) -> tuple[bytes | None, ...]:
    return tuple(mask.load() if isinstance(mask, StoredMask) else mask for mask in found.masks)


def _found(stored: Mapping[str, NDArray[Any]]) -> Found:
    """An entry's columns, if they are of one entry.

    Raises:
        ValueError, LookupError: when they are not.
    """
    indices, joints, bounds, sizes = (stored[name] for name in ("indices", "joints", "bounds", "mask_sizes"))
    packed, count = stored["masks"].tobytes(), len(indices)
    kinds = (
        (indices, (count,), np.int64),
        (joints, (count, 18, 3), np.float32),
        (bounds, (count, 4), np.float64),
        (sizes, (count,), np.int64),
    )
    if any(column.shape != shape or column.dtype != dtype for column, shape, dtype in kinds):
        raise ValueError("a column has another shape or type")
    if (sizes < 0).any() or int(sizes.sum()) != len(packed) or not (np.isfinite(joints).all() and np.isfinite(bounds).all()):
        raise ValueError("a number is out of range")
    ends = np.cumsum(sizes)
    masks = tuple(packed[end - size : end] or None for end, size in zip(ends, sizes, strict=True))
    return Found(indices, joints, bounds, masks)
