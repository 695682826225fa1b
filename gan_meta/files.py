"""Whole files or none, and JSON from strangers: written beside their place and moved into it; read with a limit."""

from __future__ import annotations

import contextlib
import enum
import json
import numbers
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_meta.partial import output_of, partial_beside

JSON_LIMIT = 64 * 2**20
"""No JSON of this library comes near this many bytes."""
JSON_DEPTH = 100
"""Nor this many levels of lists and objects in each other."""
_TOO_DEEP = f"it is nested in more than {JSON_DEPTH} levels"


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A file beside ``path`` to write into, which takes its place when the block ends well; an earlier file stays whole until then.

    What a link points at is replaced, and the link stays; an earlier file's mode stays, too. What killed writers left is swept.

    Args:
        durable: whether the content must be on the disk before it takes the place, and the new name before the block is left.

    Raises:
        OSError: as :func:`gan_meta.partial.output_of`, or when the disk is full; nothing is left behind then.
    """
    target = output_of(path)
    with partial_beside(target) as folder:
        partial = folder / target.name
        partial.touch()
        # An earlier file's own, or as the user's umask has it, and not every library that writes files.
        mode = stat.S_IMODE((target if target.exists() else partial).stat().st_mode)
        yield partial
        partial.chmod(mode)
        if durable:
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
        os.replace(partial, target)
        if durable:
            sync_folder(target.parent)


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


def json_text(document: Mapping[str, Any], indent: int | None = None) -> str:
    """A document as JSON. Numbers may be numpy's or tensors; paths become words, tuples, sets and arrays lists.

    Raises:
        TypeError: naming an entry that JSON cannot hold.
    """
    return json.dumps(_plain(document, ""), indent=indent)


def _plain(value: Any, where: str) -> Any:
    """A value as JSON's own types."""
    if value is None or (isinstance(value, bool | str) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, where)
    if isinstance(value, Mapping):
        return _plain_entries(value, where)
    if isinstance(value, set | frozenset):
        return sorted((_plain(entry, where) for entry in value), key=repr)
    if isinstance(value, list | tuple | range):
        return [_plain(entry, f"{where}[{number}]") for number, entry in enumerate(value)]
    if isinstance(value, Tensor | np.ndarray | np.bool_):
        return _plain(value.tolist(), where)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, os.PathLike | torch.dtype | torch.device):
        return str(value)
    raise TypeError(f"{where} is a {type(value).__name__}, which JSON cannot hold; give numbers, words, and lists or dicts of them")


def _plain_entries(entries: Mapping[Any, Any], where: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, entry in entries.items():
        name = key if isinstance(key, str) else str(_plain(key, f"a key of {where or 'the document'}"))
        if name in plain:
            raise TypeError(f"{where or 'the document'} has two entries that JSON calls {name!r}")
        plain[name] = _plain(entry, f"{where}.{name}" if where else name)
    return plain


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: when it is not one, is nested too deeply, or is too large; the message begins with ``where``.
    """
    if len(text) > JSON_LIMIT:
        raise ValueError(f"{where} has {len(text):,} bytes of JSON, more than the {JSON_LIMIT:,} that are read")
    try:
        document = load_json(text)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON, or is damaged: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{where} is damaged: a JSON object belongs there, it holds a {type(document).__name__}")
    return document


def load_json(text: str | bytes, keep: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Any JSON value that is nested in no more than :data:`JSON_DEPTH` levels, so that what goes through it need not fear for the stack.

    Args:
        keep: from each object, as soon as it was read, to what is kept in its place: a large document is never held whole then.

    Raises:
        ValueError: when it is not JSON, or nested more deeply.
    """
    try:
        document = json.loads(text, object_hook=keep)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level: list[Any] = [document]
    for _ in range(JSON_DEPTH):
        level = [
            inner for value in level if isinstance(value, dict | list) for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return document
    raise ValueError(_TOO_DEEP)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OSError: when it cannot be read.
        ValueError: as for :func:`parse_json`.
    """
    with open(path, "rb") as file:
        return parse_json(file.read(JSON_LIMIT + 1), str(path))
