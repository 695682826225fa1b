"""Whole files or none: text and pictures are written beside their place and then moved into it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor


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


def write_picture(path: Path, picture: Tensor) -> None:
    """Write a (3, H, W) uint8 RGB picture as PNG, atomically."""
    channels = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()[..., ::-1])  # OpenCV has BGR
    write_bytes(path, cv2.imencode(".png", channels)[1].tobytes())
