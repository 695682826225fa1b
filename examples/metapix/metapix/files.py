"""Whole files or none: text and pictures are written beside their place and then moved into it; and JSON and TOML read in words."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import tomllib
from torch import Tensor

from metapix.errors import InputError

T = TypeVar("T")

FILE_LIMIT = 512 * 2**20
"""Bytes of one file that is read whole: hours of keypoints."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; an earlier file of that name stays whole until then.

    Raises:
        OSError: when the folder cannot be written or the disk is full; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def read_json(path: Path, kind: type[T], advice: str = "delete it and run again") -> T:
    """What a JSON file holds, a dict or a list as ``kind`` says.

    Raises:
        InputError: when it is not JSON, of another kind, or too large; the message ends with the advice.
        OSError: when it cannot be read.
    """
    try:
        content = json.loads(read_limited(path))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
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
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise InputError(f"{path} has more than {FILE_LIMIT:,} bytes, which no file of this kind should.")
    return data


def write_picture(path: Path, picture: Tensor) -> None:
    """Write a (3, H, W) uint8 RGB picture as PNG, atomically."""
    channels = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()[..., ::-1])  # OpenCV has BGR
    write_bytes(path, cv2.imencode(".png", channels)[1].tobytes())
