"""Whole files or none: text and pictures are written beside their place and then moved into it; and JSON and TOML read in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import tomllib
from torch import Tensor

from gan_meta.files import load_json, replacing
from gan_meta.partial import output_of
from metapix.errors import InputError

T = TypeVar("T")

FILE_LIMIT = 512 * 2**20
"""Bytes of one file that is read whole: hours of keypoints."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; an earlier file of that name stays whole until then.

    Raises:
        OSError: when the folder cannot be written or the disk is full; nothing is left behind.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


def writable(path: Path, *, folder: bool = False, inputs: Sequence[Path] = ()) -> Path:
    """Where what is written to a path lies in the end; see :func:`gan_meta.partial.output_of`. Call it before long work.

    Args:
        folder: whether a folder is to be made there.
        inputs: what the work reads, none of which may be written over.

    Raises:
        InputError: when nothing can be written there.
    """
    try:
        target = output_of(path, folder=folder)
    except OSError as error:
        raise InputError(str(error)) from error
    _check_not_read(path, target, inputs)
    return target


def _check_not_read(path: Path, target: Path, inputs: Sequence[Path]) -> None:
    for one in inputs:
        if target.exists() and one.exists() and target.samefile(one):
            raise InputError(f"cannot write {path}: it is {one}, which is read; give another name with --out")


def make_folder(path: Path, *, inputs: Sequence[Path] = ()) -> None:
    """A folder to write into, made with its parents where it is not there.

    Args:
        inputs: as for :func:`writable`.

    Raises:
        InputError: when it cannot be made or written.
    """
    check_folder(path, inputs=inputs)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}; give another one") from error


def check_folder(path: Path, *, inputs: Sequence[Path] = ()) -> None:
    """See that :func:`make_folder` can do its work, and make nothing yet; what lies above a folder that is there need not be writable.

    Raises:
        InputError: when it cannot.
    """
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise InputError(f"cannot make the folder {path}: {os.strerror(errno.ENOTDIR)}; give another one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"cannot write into the folder {there}: it is not yours to write; give another one")
    _check_not_read(path, path, inputs)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; what no UTF-8 can hold, half of a surrogate pair, becomes a question mark."""
    write_bytes(path, text.encode(errors="replace"))


def read_json(path: Path, kind: type[T], advice: str = "delete it and run again", keep: Callable[[dict[str, Any]], Any] | None = None) -> T:
    """What a JSON file holds, a dict or a list as ``kind`` says.

    Args:
        keep: as for :func:`gan_meta.files.load_json`.

    Raises:
        InputError: when it is not JSON, of another kind, or too large; the message ends with the advice.
        OSError: when it cannot be read.
    """
    try:
        content = load_json(read_limited(path), keep)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); {advice}") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} is damaged (a {kind.__name__} belongs there, it holds a {type(content).__name__}); {advice}")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        InputError: when it is not TOML, or too large.
        OSError: when it cannot be read.
    """
    try:
        return tomllib.loads(read_limited(path).decode())
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error


def read_limited(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        InputError: when it is larger than :data:`FILE_LIMIT`.
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        size = min(os.fstat(file.fileno()).st_size, FILE_LIMIT)  # a pipe's is 0
        data = file.read(size + 1)  # makes room for so much at once
        if len(data) > size:
            data += file.read(FILE_LIMIT + 1 - len(data))
    if len(data) > FILE_LIMIT:
        raise InputError(f"{path} has more than {FILE_LIMIT:,} bytes, which no file of this kind should.")
    return data


def write_picture(path: Path, picture: Tensor) -> None:
    """Write a (3, H, W) uint8 RGB picture as PNG, atomically."""
    channels = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()[..., ::-1])  # OpenCV has BGR
    write_bytes(path, cv2.imencode(".png", channels)[1].tobytes())
