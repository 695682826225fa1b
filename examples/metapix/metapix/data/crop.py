"""Square crops of a camera's picture: where the square lies in each frame, and the picture inside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from metapix.data.video_times import is_even
from metapix.errors import InputError

CROPS = ("follow", "fixed")
MARGIN = 0.06
FOLLOW_SECONDS = 0.5
_TAILS = 8.0  # standard deviations beyond which a weight, under 2e-14, is left out


def plan_boxes(
    bounds: NDArray[np.float64], picture: tuple[int, int], fps: float, crop: str, times: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """The square of each frame: left, top, side in whole camera pixels, the side the same in all.

    ``"fixed"`` is one square around the whole track. ``"follow"`` moves with the person: its centre is the person's, smoothed
    over half a second (Gaussian), and its side is the smallest that never cuts the person. Both have 6% to spare on each side
    as far as the picture has room, and are moved into the picture; a square that is larger than the picture holds all of it.

    Args:
        bounds: (N, 4): left, top, right, bottom of the person.
        picture: width and height of the camera's picture.
        fps: frames (rows) per second, on average.
        crop: ``"follow"`` or ``"fixed"``.
        times: (N,) when each frame is shown, in seconds; ``None``: at the even rate ``fps``.

    Returns:
        (N, 3) float32.

    Raises:
        InputError: another ``crop``.
    """
    if crop not in CROPS:
        raise InputError(f"Unknown crop {crop!r}: choose one of {', '.join(CROPS)}.")
    low, high = bounds[:, :2], bounds[:, 2:]
    if crop == "fixed":
        low, high = (np.broadcast_to(edge, low.shape) for edge in (low.min(0), high.max(0)))
    centre = (low + high) / 2
    if crop == "follow":
        centre = _followed(centre, fps, times)
    reach = np.maximum(high - centre, centre - low).max()
    least = max(8.0, 2 * reach + 1)
    side = int(np.ceil(max(least, min(least * (1 + 2 * MARGIN), min(picture)))))  # the margin goes before the picture is left
    corner = np.rint(centre + 0.5 - side / 2)
    spare = np.array(picture) - side  # negative where the square is larger than the picture
    corner = corner.clip(np.minimum(spare, 0), np.maximum(spare, 0))
    boxes: NDArray[np.float32] = np.column_stack([corner, np.full(len(bounds), side)]).astype(np.float32)
    return boxes


def crop_picture(image: NDArray[np.uint8], box: NDArray[np.float32], size: int, *, pad: str) -> NDArray[np.uint8]:
    """The picture inside a box, resized without aliasing (area average; bicubic when it grows).

    Args:
        image: (H, W) or (H, W, 3) uint8.
        box: left, top, side in whole pixels.
        size: side of the result.
        pad: outside the picture: ``"edge"`` repeats the border, ``"zero"`` is 0.

    Returns:
        (size, size) or (size, size, 3) uint8.
    """
    left, top, side = (int(v) for v in box)
    height, width = image.shape[:2]
    x0, x1, y0, y1 = max(left, 0), min(left + side, width), max(top, 0), min(top + side, height)
    part = image[y0:y1, x0:x1]
    outside = (y0 - top, top + side - y1, x0 - left, left + side - x1)
    if any(outside):
        part = cv2.copyMakeBorder(part, *outside, cv2.BORDER_REPLICATE if pad == "edge" else cv2.BORDER_CONSTANT, value=0)
    method = cv2.INTER_AREA if size <= side else cv2.INTER_CUBIC
    resized: NDArray[np.uint8] = cv2.resize(part, (size, size), interpolation=method)
    return resized


def camera_to_crop(points: NDArray[np.float32], boxes: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Camera pixels (N, J, 2) as pixels of the crops with these boxes (N, 3): the inverse of :class:`Clip`'s box formula."""
    corner, side = boxes[:, None, :2].astype(np.float64), boxes[:, None, 2:].astype(np.float64)
    return ((points + 0.5 - corner) * (size / side) - 0.5).astype(np.float32)


def _followed(centre: NDArray[np.float64], fps: float, times: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if times is None or is_even(times, fps):
        return _smooth(centre, sigma=FOLLOW_SECONDS * fps)
    return _smooth_uneven(centre, times / FOLLOW_SECONDS)


def _smooth(track: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian mean along the rows, of the rows that exist near the ends; memory and time grow with the number of rows."""
    reach = min(len(track) - 1, int(np.ceil(_TAILS * sigma)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)

    def summed(column: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.convolve(column, weights)[reach : reach + len(column)]

    total = summed(np.ones(len(track)))
    return np.column_stack([summed(column) / total for column in track.T])


def _smooth_uneven(track: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for rows at these times, in standard deviations."""
    smooth = np.empty_like(track)
    for row, (first, end) in enumerate(zip(np.searchsorted(times, times - _TAILS), np.searchsorted(times, times + _TAILS), strict=True)):
        weights = np.exp(-0.5 * (times[first:end] - times[row]) ** 2)
        smooth[row] = weights @ track[first:end] / weights.sum()
    return smooth
