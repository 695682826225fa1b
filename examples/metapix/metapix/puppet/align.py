"""Does the camera move? And if it does, the homographies that bring one frame's background onto another's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Pictures = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_STILL = 0.5  # of a pixel: measured 0.02 to 0.15 on still cameras, cropping and compression included
_BLOCKS = 8  # along each side
_SHARE = 0.3  # of the blocks: a large passer-by can spoil most of them, a moving camera spoils nearly all
_TEXTURE = 3.0  # grey levels a pixel: below it a block's difference is noise
_LEAST_INLIERS = 12
_DETECTION_SIDE = 512  # small frames are enlarged to it, or hardly any feature fits in


def camera_moves(frames: Pictures, person: Mask, matrices: Sequence[Matrix], size: tuple[int, int]) -> bool:
    """Whether neighbouring frames disagree outside the person once they lie on the canvas.

    In blocks with texture, the mean difference divided by the mean gradient is the shift in pixels that would explain it
    (constant differences of brightness left out). The camera moves when in 70% of the blocks it is more than half a pixel.

    Args:
        frames: (K, S, S, 3), RGB.
        person: (K, S, S), pixels that may show the person.
        matrices: K matrices (3, 3) from pixels of a frame to pixels of the canvas.
        size: width and height of the canvas.
    """
    greys, valid = [], []
    for frame, hidden, matrix in zip(frames, person, matrices, strict=True):
        grey = cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
        greys.append(onto_canvas(grey, matrix, size))
        valid.append(onto_canvas((~hidden).astype(np.float32), matrix, size) > 0.99)
    pairs = pairwise(range(len(frames)))
    shifts = [_shift(greys[a], greys[b], valid[a] & valid[b]) for a, b in pairs]
    return max(shifts, default=0.0) > _STILL


def onto_canvas(picture: NDArray[np.float32], matrix: Matrix, size: tuple[int, int]) -> NDArray[np.float32]:
    """A picture (H, W) or (H, W, C) laid onto a canvas of this width and height, bilinearly; 0 where it does not reach."""
    if np.array_equal(matrix, np.eye(3)) and picture.shape[1::-1] == size:
        return picture
    laid: NDArray[np.float32] = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=0)
    return laid


def homographies_to(reference: int, frames: Pictures, person: Mask) -> list[Matrix] | None:
    """Homographies from each frame's pixels to the reference frame's, from background features; ``None`` where one fails.

    AKAZE features outside the person, matched with a ratio test, RANSAC. Source: Alcantarilla et al. 2013; Lowe 2004 for the test.

    Args:
        reference: which frame stays as it is.
        frames: (K, S, S, 3), RGB.
        person: (K, S, S), pixels that may show the person.
    """
    found = [_features(frame, hidden) for frame, hidden in zip(frames, person, strict=True)]
    matrices: list[Matrix] = []
    for index, features in enumerate(found):
        matrix = np.eye(3) if index == reference else _homography(features, found[reference], frames.shape[1])
        if matrix is None:
            return None
        matrices.append(matrix)
    return matrices


def _shift(a: NDArray[np.float32], b: NDArray[np.float32], valid: Mask) -> float:
    """The shift in pixels between two grey pictures, as explained in :func:`camera_moves`; 0 where nothing can be compared."""
    gradient = (np.hypot(*np.gradient(a)) + np.hypot(*np.gradient(b))) / 2
    shifts = []
    for rows in np.array_split(np.arange(a.shape[0]), _BLOCKS):
        for columns in np.array_split(np.arange(a.shape[1]), _BLOCKS):
            block = np.ix_(rows, columns)
            seen = valid[block]
            if seen.mean() < 0.5 or gradient[block][seen].mean() < _TEXTURE:
                continue
            difference = (a[block] - b[block])[seen]
            shifts.append(float(np.abs(difference - np.median(difference)).mean() / gradient[block][seen].mean()))
    return float(np.quantile(shifts, _SHARE)) if len(shifts) >= 3 else 0.0


def _features(frame: NDArray[np.uint8], hidden: Mask) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Places (n, 2) in the frame's pixels and their descriptors."""
    factor = max(1, round(_DETECTION_SIDE / frame.shape[0]))
    grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    background = cv2.resize((~hidden).astype(np.uint8), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    points, descriptors = cv2.AKAZE.create(threshold=3e-4).detectAndCompute(grey, background)
    places = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    return (places + 0.5) / factor - 0.5, descriptors


def _homography(
    source: tuple[NDArray[np.float32], NDArray[np.uint8] | None], target: tuple[NDArray[np.float32], NDArray[np.uint8] | None], side: int
) -> Matrix | None:
    if source[1] is None or target[1] is None or len(target[1]) < 2:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(source[1], target[1], k=2)
    good = [best for best, second in matches if best.distance < 0.8 * second.distance]
    if len(good) < _LEAST_INLIERS:
        return None
    a, b = source[0][[match.queryIdx for match in good]], target[0][[match.trainIdx for match in good]]
    matrix, inliers = cv2.findHomography(a, b, cv2.RANSAC, max(0.5, side / 256))
    if matrix is None or inliers.sum() < max(_LEAST_INLIERS, 0.3 * len(good)) or not _plausible(matrix, side):
        return None
    result: Matrix = matrix
    return result


def _plausible(matrix: Matrix, side: int) -> bool:
    """A slow camera neither flips nor squeezes the picture: each corner region keeps its area within a factor of 2."""
    corners = np.array([[0, 0, 1], [side, 0, 1], [side, side, 1], [0, side, 1]], np.float64) @ matrix.T
    if (corners[:, 2] <= 0).any():
        return False
    x, y = (corners[:, :2] / corners[:, 2:]).T
    turns = [(x[i] - x[i - 1]) * (y[(i + 1) % 4] - y[i]) - (y[i] - y[i - 1]) * (x[(i + 1) % 4] - x[i]) for i in range(4)]
    return all(0.5 < turn / side**2 < 2 for turn in turns)
