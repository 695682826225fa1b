"""Whole files or none, and JSON from strangers: written beside their place and moved into it; read with a limit."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTIAL = ".partial"
"""How a file's name ends while it is being written."""
JSON_LIMIT = 64 * 2**20
"""No JSON of this library comes near this many bytes."""


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A file beside ``path`` to write into, which takes its place when the block ends well; an earlier file stays whole until then.

    Args:
        durable: whether the content must be on the disk before it takes the place, and the new name before the block is left.

    Raises:
        OSError: when the folder cannot be written or the disk is full; nothing is left behind then.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        if durable:
            with open(name, "rb") as written:
                os.fsync(written.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        if durable:
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8")


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: when it is not one, is nested too deeply, or is too large; the message begins with ``where``.
    """
    if len(text) > JSON_LIMIT:
        raise ValueError(f"{where} has {len(text):,} bytes of JSON, more than the {JSON_LIMIT:,} that are read")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON, or is damaged: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{where} is damaged: a JSON object belongs there, it holds a {type(document).__name__}")
    return document


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OSError: when it cannot be read.
        ValueError: as for :func:`parse_json`.
    """
    with open(path, "rb") as file:
        return parse_json(file.read(JSON_LIMIT + 1), str(path))


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left half-written; call it only where no other process writes."""
    for leftover in folder.glob(f".*{PARTIAL}"):
        leftover.unlink(missing_ok=True)
