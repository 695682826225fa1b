"""Images from files: finding them, and reading one as a tensor."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg")
PIXEL_LIMIT = 64 * 10**6
"""Larger images are refused before they are unpacked: a few kilobytes can hold gigabytes of one colour."""


def find_images(places: Iterable[Path]) -> list[Path]:
    """The files named, and the images in the folders named and below, sorted within each.

    Raises:
        FileNotFoundError: when a place does not exist, or a folder has no images.
    """
    found: list[Path] = []
    for place in places:
        if place.is_file():
            found.append(place)
            continue
        inside = sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not inside:
            raise FileNotFoundError(f"there is no image at {place}: name image files, or folders with {', '.join(SUFFIXES)} files")
        found += inside
    return found


def read_image(path: Path, size: int | None = None) -> Tensor:
    """An image file as (1, 3, H, W), RGB in [-1, 1].

    Args:
        size: its height and width are brought to this, smoothed where it shrinks; by default they stay.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no image that can be read.
    """
    from PIL import Image  # only needed here

    if not path.is_file():
        raise FileNotFoundError(f"there is no image {path}")
    try:
        # By these two readers only: others, such as PostScript's, run programs.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=("PNG", "JPEG"))
        with opened:
            if opened.width * opened.height > PIXEL_LIMIT:
                raise ValueError(f"it has {opened.width} x {opened.height} pixels, more than the {PIXEL_LIMIT:,} that are read")
            pixels = torch.from_numpy(np.array(opened.convert("RGB")))
    except (OSError, SyntaxError, ValueError, struct.error, ArithmeticError, LookupError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not an image that can be read, or is damaged; give PNG or JPEG files: {error}") from error
    image = pixels.permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1
    if size is None:
        return image
    return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
