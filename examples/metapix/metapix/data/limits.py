"""How large pictures from strangers may be; looked at before anything is unpacked or allocated."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gan_meta.image_files import open_image
from gan_meta.image_pixels import upright_rgb
from gan_meta.memory import free, in_words
from metapix.errors import InputError

_LOWER = "lower the size (recipe.size), recipe.batch_size or the widths of [model], take fewer --frames, or a machine with more memory"
PIXEL_LIMIT = 64 * 10**6
"""Of one picture or video frame: 8K video has 33 million."""


BROKEN_PICTURE = (OSError, SyntaxError, ValueError, TypeError, struct.error, LookupError, ArithmeticError, Image.DecompressionBombError)
"""What Pillow raises for files that are no pictures or are damaged."""


def check_pixels(width: int, height: int, where: object) -> None:
    """Refuse a picture of so many pixels.

    Raises:
        InputError: when it has none, or more than :data:`PIXEL_LIMIT`.
    """
    if width < 1 or height < 1 or width * height > PIXEL_LIMIT:
        raise InputError(f"{where} has pictures of {width} x {height} pixels; 1 to {PIXEL_LIMIT:,} pixels can be read.")


def check_room(needed: float, what: str, lower: str = _LOWER, device: torch.device | None = None) -> None:
    """Refuse work for which there is no memory.

    Args:
        needed: bytes, about.
        what: the work, as the subject of a sentence.

    Raises:
        InputError: saying how much it takes, how much there is, and what to lower.
    """
    there = free_on(device) if device is not None and device.type == "cuda" else free()
    if needed > there:
        raise InputError(f"{what} takes about {in_words(needed)} of memory, and {in_words(there)} are free; {lower}")


def free_on(device: torch.device) -> float:
    """Bytes that this process may still take of a GPU; what torch keeps of its own for the next time among them."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + kept)


def decode_png(data: bytes, where: object) -> NDArray[np.uint8] | None:
    """A PNG picture as (H, W) or, in RGB, (H, W, 3); ``None`` when it is none.

    By Pillow, since OpenCV's reader takes gigabytes for a damaged chunk of a small file.

    Raises:
        InputError: when its header claims more than :data:`PIXEL_LIMIT` pixels.
    """
    try:
        with open_picture(io.BytesIO(data), ("PNG",), where) as picture:
            return np.array(picture) if picture.mode == "L" else upright_rgb(picture)
    except InputError:
        raise
    except BROKEN_PICTURE:
        return None


@contextlib.contextmanager
def open_picture(file: Path | io.BytesIO, formats: tuple[str, ...], where: object = None) -> Iterator[Image.Image]:
    """:func:`gan_meta.image_files.open_image` of a picture whose size is known to be small enough; nothing is unpacked yet.

    Raises:
        InputError: when its header claims more than :data:`PIXEL_LIMIT` pixels.
        OSError and others of :data:`BROKEN_PICTURE`: when it is no picture of these formats, or damaged; also in the block.
    """
    with open_image(file, formats) as picture:
        check_pixels(picture.width, picture.height, where or file)
        yield picture
