"""From a picture that Pillow has opened, of whatever kind, to upright 8-bit sRGB; what cannot be said in 0 to 255 is refused."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_TIFF_BITS, _TIFF_PLANES, _SEPARATE, _TIFF_SAMPLES, _SIGNED = 258, 284, 2, 339, 2
_LEAST_TOP = 100  # floats above 1 count as 0 to 255 where the largest is at least this; below, they may as well be bright light
_SAME = 2  # levels: a colour profile that changes colours by no more is sRGB's own
_USUAL_GAMMA, _NEAR_USUAL = 2.2, 0.05  # as a PNG file says it, a number near 1 / 2.2 is sRGB's
_COLOURS = ("icc_profile", "gamma", "srgb")  # what Pillow notes of the colours of a file
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def upright_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """The picture (its first, where there are several) as (H, W, 3) uint8 sRGB, turned as its EXIF orientation says.

    - 16 bits are 0 to 65535, also where 32 hold them. Floats are 0 to 1, or 0 to 255 where the largest is at least 100.
    - What is transparent lies on white: the colours that a file hides under it are never seen.
    - Colours of an embedded profile (Display P3, Adobe RGB, CMYK, ...) are taken to sRGB; a profile that cannot be used is left out.
      So are those of a PNG file that says another gamma.

    Raises:
        ValueError: when its values are in no such range, or of a kind of TIFF that Pillow reads wrongly.
        OSError and others: Pillow's, of a damaged file.
    """
    from PIL import ImageOps

    if picture.format == "TIFF":
        _check_tiff(picture)
    ImageOps.exif_transpose(picture, in_place=True)  # without copies: a large photograph fills memory as it is
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _grey_of_many_levels(picture)
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        return _on_white(picture)
    return np.array(_in_srgb(picture))


def _check_tiff(picture: Image.Image) -> None:
    bits = _tag(picture, _TIFF_BITS)
    deepest = max(bits) if isinstance(bits, tuple) and bits else 8
    if picture.mode in ("RGB", "RGBA", "RGBX", "CMYK") and deepest > 8 and _tag(picture, _TIFF_PLANES) == _SEPARATE:
        raise ValueError(
            f"its colours have {deepest} bits and lie in separate planes, which cannot be read; save it interleaved, or with 8 bits"
        )
    samples = _tag(picture, _TIFF_SAMPLES)
    if deepest <= 16 and isinstance(samples, tuple) and _SIGNED in samples:
        raise ValueError("its values have a sign, and which of them is white is not known; save it with 8 or 16 bits without a sign")


def _grey_of_many_levels(picture: Image.Image) -> NDArray[np.uint8]:
    from PIL import Image

    values = np.asarray(picture)
    grey = Image.fromarray(_eight_bits(picture, values))
    _keep_colours(picture, grey)
    levels = np.array(_in_srgb(grey))
    hidden = picture.info.get("transparency")
    if isinstance(hidden, int):
        levels[values == hidden] = 255
    return levels


def _eight_bits(picture: Image.Image, values: NDArray[Any]) -> NDArray[np.uint8]:
    top = 65535.0 if picture.mode.startswith("I") else _float_top(values)
    if picture.mode == "I" and not (values.min() >= 0 and values.max() <= top and (picture.format == "PNG" or values.max() > 255)):
        raise ValueError(
            f"it has 32-bit values from {values.min()} to {values.max()}, and which of them is white is not known: "
            "16 bits from 0 to 65535 are read; save it with 8 or 16 bits"
        )
    scaled = np.multiply(values, np.float32(255 / top), dtype=np.float32)
    levels: NDArray[np.uint8] = np.rint(scaled, out=scaled).astype(np.uint8)
    if picture.format == "TIFF" and _tag(picture, _TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = np.uint8(255) - levels
    return levels


def _float_top(values: NDArray[Any]) -> float:
    """Which of a picture's floating-point values is white."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return 1.0
    if low >= 0 and _LEAST_TOP <= high <= 255:
        return 255.0
    raise ValueError(
        f"it has floating-point values from {low:g} to {high:g}, and which of them is white is not known: "
        f"0 to 1, or 0 to 255 with a largest of at least {_LEAST_TOP}, are read; scale it to 0 to 1, or save it with 8 bits"
    )


def _on_white(picture: Image.Image) -> NDArray[np.uint8]:
    from PIL import Image

    key = picture.info.get("transparency")
    if isinstance(key, tuple) and max(key) > 255:  # of a PNG of 16 bits, of which Pillow keeps the upper 8
        picture.info["transparency"] = tuple(value >> 8 for value in key)
    straight = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
    layer = (picture if straight is None else picture.convert(straight)).convert("RGBA")
    alpha = layer.getchannel("A")
    if picture.format == "BMP" and alpha.getextrema() == (0, 0):  # programs that do not know of transparency leave it 0
        alpha = Image.new("L", picture.size, 255)
    colours = picture.convert("L") if picture.mode in ("L", "LA") else layer.convert("RGB")
    _keep_colours(picture, colours)
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(_in_srgb(colours), mask=alpha)
    return np.array(white)


def _in_srgb(picture: Image.Image) -> Image.Image:
    """RGB, its colours taken from an embedded profile's to sRGB's."""
    from PIL import ImageCms

    profile = picture.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):  # damaged, or Pillow has no littlecms
            found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = _SPACES.get(found.profile.xcolor_space)
            matches = mode == picture.mode or (mode == "RGB" and picture.mode in ("P", "RGBX", "YCbCr"))
            if mode is not None and matches:
                transform = ImageCms.buildTransform(
                    found, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
                )
                if mode != "RGB" or _changes_colours(transform):
                    return transform.apply(picture if picture.mode == mode else picture.convert(mode))
    if picture.mode == "LAB":  # by default littlecms looks Lab up in a coarse table, up to 28 levels off
        exact = ImageCms.Flags.NOOPTIMIZE
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(*profiles, "LAB", "RGB", flags=exact).apply(picture)
    colours = picture if picture.mode == "RGB" else picture.convert("RGB")
    gamma = picture.info.get("gamma")
    if not gamma or "srgb" in picture.info or abs(gamma * _USUAL_GAMMA - 1) < _NEAR_USUAL:
        return colours
    light = np.linspace(0, 1, 256) ** (1 / gamma)
    levels = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return colours.point(np.rint(255 * levels).astype(int).tolist() * 3)


def _keep_colours(picture: Image.Image, made_of_it: Image.Image) -> None:
    made_of_it.info.update({name: picture.info[name] for name in _COLOURS if name in picture.info})


def _changes_colours(transform: Any) -> bool:
    """Whether a transform of RGB does more than round: most profiles in photographs are sRGB's, which need no second pass."""
    from PIL import Image

    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    changed = np.asarray(transform.apply(Image.fromarray(cube)))
    return bool(np.abs(changed.astype(int) - cube).max() > _SAME)


def _tag(picture: Image.Image, number: int) -> object:
    tags = getattr(picture, "tag_v2", {})
    return tags.get(number)
