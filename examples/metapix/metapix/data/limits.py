"""How large files from strangers may be; looked at before anything is unpacked or allocated."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metapix.errors import InputError

PIXEL_LIMIT = 64 * 10**6
"""Of one picture or video frame: 8K video has 33 million."""
FILE_LIMIT = 512 * 2**20
"""Bytes of one file that is read whole: hours of keypoints."""

_SIGNATURE, _SIZE_AT = b"\x89PNG\r\n\x1a\n", slice(16, 24)


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
    """A PNG picture as OpenCV gives it, (H, W) or (H, W, 3) in BGR; ``None`` when it is none.

    Raises:
        InputError: when its header claims more than :data:`PIXEL_LIMIT` pixels.
    """
    if data[:8] != _SIGNATURE or len(data) < _SIZE_AT.stop:
        return None
    header = data[_SIZE_AT]
    check_pixels(int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big"), where)
    picture: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return picture
