"""How large files from strangers may be; looked at before anything is unpacked or allocated."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metapix.errors import InputError

PIXEL_LIMIT = 64 * 10**6
"""Of one picture or video frame: 8K video has 33 million."""
FILE_LIMIT = 512 * 2**20
"""Bytes of one file that is read whole: hours of keypoints."""


def check_pixels(width: int, height: int, where: object) -> None:
    """Refuse a picture of so many pixels.

    Raises:
        InputError: when it has none, or more than :data:`PIXEL_LIMIT`.
    """
    if width < 1 or height < 1 or width * height > PIXEL_LIMIT:
        raise InputError(f"{where} has pictures of {width} x {height} pixels; 1 to {PIXEL_LIMIT:,} pixels can be read.")


def read_limited(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        InputError: when it is larger than :data:`FILE_LIMIT`.
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise InputError(f"{path} has more than {FILE_LIMIT:,} bytes, which no file of this kind should: prepare the clip again.")
    return data


def decode_png(data: bytes, where: object) -> NDArray[np.uint8] | None:
    """A PNG picture as (H, W) or, in RGB, (H, W, 3); ``None`` when it is none.

    By Pillow, since OpenCV's reader takes gigabytes for a damaged chunk of a small file.

    Raises:
        InputError: when its header claims more than :data:`PIXEL_LIMIT` pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            check_pixels(picture.width, picture.height, where)
            return np.array(picture if picture.mode == "L" else picture.convert("RGB"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, struct.error, LookupError, ArithmeticError, Image.DecompressionBombError):
        return None
