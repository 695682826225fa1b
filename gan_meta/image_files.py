"""Images from files: finding them, and reading one as a tensor."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_meta.image_pixels import upright_rgb

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
"""Of the files that are looked for in folders, in small or capital letters."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIF", "AVIF")
"""What cameras, phones and browsers write, by what is in the file; other readers, such as PostScript's, run programs."""
PIXEL_LIMIT = 64 * 10**6
"""Larger images are refused before they are unpacked: a few kilobytes can hold gigabytes of one colour."""

_HEAD = 2**16  # bytes in which a format and its colours are named
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273


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
    """An image file as (1, 3, H, W), RGB in [-1, 1]; upright, 8 bits, on white, as :func:`gan_meta.image_pixels.upright_rgb` says.

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
        with open_image(path) as opened:
            if opened.width * opened.height > PIXEL_LIMIT:
                raise ValueError(f"it has {opened.width} x {opened.height} pixels, more than the {PIXEL_LIMIT:,} that are read")
            pixels = torch.from_numpy(upright_rgb(opened))
    except (OSError, SyntaxError, ValueError, struct.error, ArithmeticError, LookupError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not an image that can be read, or is damaged: {error}") from error
    image = pixels.permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1
    if size is None:
        return image
    return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


@contextlib.contextmanager
def open_image(file: Path | io.BytesIO, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """An image whose header was read, found by what is in the file and not by its name; nothing is unpacked yet.

    What Pillow has to say of oddities that it can live with is not said: the image is read, or it is not.

    Raises:
        ValueError: when it is no image of these formats, its light is HDR's, or the package that reads HEIC or AVIF is missing.
        OSError and others: Pillow's, when it is damaged; also in the block.
    """
    head = _head(file)
    _refuse_hdr(head)
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if brand in _HEIF_BRANDS and b"avif" not in head[8:32] and "HEIF" in formats:
            opened = _open_heif(file)
        elif brand and (brand in _AVIF_BRANDS or b"avif" in head[8:32]) and "AVIF" in formats:
            opened = _open_avif(file)
        else:
            opened = _open_other(file, [name for name in formats if name not in ("HEIF", "AVIF")])
        with opened:
            yield opened


def _open_other(file: Path | io.BytesIO, formats: list[str]) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise ValueError(
            f"it is no {', '.join(formats)}, or of a kind of them that is not read; save it as PNG or JPEG of 8 bits"
        ) from error


def _head(file: Path | io.BytesIO) -> bytes:
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return stream.read(_HEAD)
    head = file.read(_HEAD)
    file.seek(0)
    return head


def _refuse_hdr(head: bytes) -> None:
    """Refuse pictures whose levels are light of another scale (PQ, HLG): shown as they are, they are pale and wrong."""
    if head[4:8] == b"ftyp":
        place = head.find(b"colrnclx") + 11  # the low byte of the second of three 16-bit numbers
    elif head.startswith(b"\x89PNG"):
        place = head.find(b"cICP") + 5  # the second of four bytes
    else:
        return
    if 11 < place < len(head) and head[place] in _HDR:
        raise ValueError(f"it is an HDR picture ({_HDR[head[place]]}), whose light does not fit in 8 bits; save it as SDR (sRGB)")


def _open_heif(file: Path | io.BytesIO) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise ValueError("it is a HEIC picture, which needs a package: pip install pillow-heif; or save it as JPEG") from error
    opened = pillow_heif.open_heif(file)
    width, height = opened.size
    if width * height > PIXEL_LIMIT:
        raise ValueError(f"it has {width} x {height} pixels, more than the {PIXEL_LIMIT:,} that are read")
    picture: Image.Image = opened.to_pillow()  # upright
    return picture


def _open_avif(file: Path | io.BytesIO) -> Image.Image:
    from PIL import Image, features

    if not features.check("avif"):
        raise ValueError("it is an AVIF picture, which needs a newer Pillow: pip install 'pillow>=11.3'; or save it as JPEG")
    return Image.open(file, formats=["AVIF"])
