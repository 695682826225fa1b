"""RunFolder: a training's folder: its lock, its checkpoint, and which earlier ones are kept."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_meta.checkpoint import CheckpointError, save_tensors
from gan_meta.files import replacing, sync_folder
from gan_meta.partial import sweep

logger = logging.getLogger(__name__)

LOCK = ".lock"
_LOOKS, _LOOK = 5, 0.05


class RunFolder:
    """Where a training keeps its checkpoints::

        NAME.safetensors              the newest; training goes on from it
        NAME-00000025.safetensors     the last few, by iteration; links to the same content, no copies
        NAME-best.safetensors         the one with the lowest score

    Args:
        path: made when training starts.
        name: what the files are called.
        keep: how many of the last checkpoints are kept beside the newest, itself included; 1 keeps the newest alone.

    Raises:
        ValueError: when ``keep`` is below 1.
    """

    def __init__(self, path: str | Path, name: str, keep: int) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.path = Path(path)
        self.name = name
        self.keep = keep

    @property
    def newest(self) -> Path:
        """The checkpoint that training goes on from."""
        return self.path / f"{self.name}.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest score."""
        return self.path / f"{self.name}-best.safetensors"

    def kept(self) -> list[Path]:
        """The last checkpoints by iteration, the oldest first."""
        numbered = re.compile(re.escape(self.name) + r"-\d{8,}\.safetensors")
        found = [file for file in self.path.iterdir() if numbered.fullmatch(file.name)] if self.path.is_dir() else []
        return sorted(found, key=lambda file: int(file.stem.rpartition("-")[2]))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder for the length of a block, and clear away what a killed run left half-written.

        The lock belongs to the process, so the system takes it back however the process ends.

        Raises:
            CheckpointError: when another run works in the folder.
            OSError: when the folder cannot be made or written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / LOCK, "a+", encoding="utf-8") as file:
            if not _take_patiently(file.fileno()):
                file.seek(0)
                owner = file.read(200).strip() or "another process"
                raise CheckpointError(f"another run is at work in {self.path} ({owner}); wait for it, stop it, or use another run folder")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            sweep(self.path)
            try:
                yield
            finally:
                file.truncate(0)

    def save(self, tensors: Mapping[str, Tensor], document: Mapping[str, Any], iteration: int | None, *, is_best: bool = False) -> None:
        """Write the newest checkpoint, and let go of those that are no longer kept.

        Args:
            iteration: the number to keep it under; ``None``: it is the newest, but not one to keep.

        Raises:
            OSError: when it cannot be written; the checkpoint before it is untouched then.
        """
        if is_best:  # First, so that whoever is killed between the two finds a best one at least as new as the newest says.
            save_tensors(self.best, tensors, document)
        save_tensors(self.newest, tensors, document)
        if iteration is not None:
            self.settle(iteration)

    def settle(self, iteration: int) -> None:
        """Give the newest checkpoint its number, and remove the numbered ones beyond those kept and those of a future."""
        for file in self.kept():
            if int(file.stem.rpartition("-")[2]) > iteration:
                file.unlink(missing_ok=True)
        if self.keep > 1:
            numbered = self.path / f"{self.name}-{iteration:08d}.safetensors"
            numbered.unlink(missing_ok=True)
            _link(self.newest, numbered)
        for file in self.kept()[: -self.keep] if self.keep > 1 else self.kept():
            file.unlink(missing_ok=True)


def is_locked(path: Path) -> str | None:
    """Who works in a run folder, or ``None``."""
    try:
        with open(path / LOCK, "r+", encoding="utf-8") as file:
            return None if _take(file.fileno()) else file.read(200).strip() or "another process"
    except OSError:
        return None


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
        sync_folder(target.parent)
    except OSError:  # a file system without links
        with replacing(target) as partial:
            partial.write_bytes(source.read_bytes())


def _take_patiently(handle: int) -> bool:
    """Lock an open file; someone who only looks whether it is locked holds it for an instant."""
    for _ in range(_LOOKS):
        if _take(handle):
            return True
        time.sleep(_LOOK)
    return False


def _take(handle: int) -> bool:
    """Lock an open file, if no other process has."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        logger.warning("this file system has no locks (%s): see to it yourself that only one run works in a folder", error)
    return True
