"""Left and right of a track: pose estimators swap them for some frames when a person shows their back or is half turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metapix.poses.skeleton import MIRROR

_BODY = slice(2, 14)  # shoulders to ankles; the face is too small to tell its sides by position
_CLEARLY = 0.5


def untangle_sides(joints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo swaps of left and right.

    Limbs do not change places from one frame to the next: where exchanging a frame's sides brings its body joints to less
    than half their distance from the frame before, they are exchanged. Which of the two namings is meant is what the estimator
    says in most frames.

    Args:
        joints: (N, 18, 3): x, y, confidence, as found.

    Returns:
        (N, 18, 3): whole rows of ``joints``, some with left and right exchanged.
    """
    mirror = list(MIRROR)
    swapped = np.zeros(len(joints), bool)
    before = joints[0]
    for i, now in enumerate(joints):
        swapped[i] = _distance(now[mirror], before) < _CLEARLY * _distance(now, before)
        before = now[mirror] if swapped[i] else now
    if swapped.mean() > 0.5:
        swapped = ~swapped
    result = joints.copy()
    result[swapped] = joints[swapped][:, mirror]
    return result


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean distance of the body's joints, weighted by confidence."""
    weight = np.minimum(a[_BODY, 2], b[_BODY, 2]) + 1e-6
    return float((weight * np.linalg.norm(a[_BODY, :2] - b[_BODY, :2], axis=-1)).sum() / weight.sum())
