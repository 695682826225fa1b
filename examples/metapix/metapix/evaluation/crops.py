"""Where the person and the face are in a picture: rectangles around joints, and scores inside them."""

from __future__ import annotations

import torch
from torch import Tensor

import gan_meta as gm
from metapix.poses.skeleton import INDEX

SMALLEST = 11
"""Side of the smallest crop in pixels, SSIM's window with some room."""

_FACE = [INDEX[name] for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
_FACE_MARGIN = 1.0
"""How far a face's crop goes beyond its joints, as a share of their extent: chin and hair lie outside eyes and ears."""
_PERSON_MARGIN = 0.1


def face_box(joints: Tensor, size: int) -> tuple[int, int, int, int] | None:
    """The face: a square around nose, eyes and ears; as :func:`person_box`. None also for a face seen at a single joint."""
    return _box(joints[_FACE], size, _FACE_MARGIN, square=True)


def person_box(joints: Tensor, size: int) -> tuple[int, int, int, int] | None:
    """The person: a rectangle around all joints that are seen.

    Args:
        joints: (18, 3) in pixels of a ``size`` x ``size`` picture.

    Returns:
        (left, top, right, bottom) in whole pixels, right and bottom outside, at least 11 a side and inside the picture; None where
        fewer than two joints are seen or all lie outside the picture.
    """
    return _box(joints, size, _PERSON_MARGIN, square=False)


def crop_scores(generated: Tensor, real: Tensor, box: tuple[int, int, int, int]) -> dict[str, float]:
    """``psnr`` and ``ssim`` inside a rectangle of one picture (3, S, S) in [-1, 1]."""
    left, top, right, bottom = box
    parts = [picture[None, :, top:bottom, left:right] for picture in (generated, real)]
    scores = gm.metrics.image_metrics(*parts)
    return {name: float(scores[name]) for name in ("psnr", "ssim")}


def _box(joints: Tensor, size: int, margin: float, *, square: bool) -> tuple[int, int, int, int] | None:
    points = joints[joints[:, 2] > 0, :2]
    if len(points) < 2:
        return None
    low, high = points.amin(0), points.amax(0)
    if bool((high < 0).any()) or bool((low > size - 1).any()):
        return None
    half = (high - low) / 2
    half = half.max().expand(2) if square else half
    reach = (half * (1 + 2 * margin)).clamp(min=SMALLEST / 2)
    centre = (low + high) / 2 + 0.5  # the centre of the first pixel is 0, its edge lies half a pixel before
    first = torch.floor(centre - reach).clamp(min=0, max=size - SMALLEST)
    last = torch.maximum(torch.ceil(centre + reach).clamp(max=size), first + SMALLEST)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])
