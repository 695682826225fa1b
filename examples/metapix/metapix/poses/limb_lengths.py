"""Limb lengths: give moves the proportions of the person who shall do them, a bone at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from metapix.poses.skeleton import BONES, INDEX, MIRROR

_STRETCHED = 0.9
"""Quantile over frames that stands for a bone's length: projection only ever shortens a bone, and the maximum is noise."""
_FARTHEST = 2.0  # no bone becomes more than so many times as long, or as short
_ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]


def match_limbs(poses: Tensor, target: Tensor) -> Tensor:
    """The poses with every bone as long as the target's, its direction kept, and the lower foot as high as it was.

    Both sides of the body get the same lengths. Bones that one of the two never shows keep their length.

    Args:
        poses: (N, 18, 3), aligned to the target as a whole (:func:`metapix.poses.retarget.align_poses`).
        target: (K, 18, 3) poses of the person who shall move so.

    Returns:
        (N, 18, 3); confidences as they were.
    """
    factors = _length_factors(poses, target)
    matched = poses.clone()
    for (parent, child), factor in zip(BONES, factors, strict=True):  # parents come before children
        matched[:, child, :2] = matched[:, parent, :2] + factor * (poses[:, child, :2] - poses[:, parent, :2])
    matched[..., 1] += (_lower_foot(poses) - _lower_foot(matched)).unsqueeze(1)
    return matched


def _length_factors(poses: Tensor, target: Tensor) -> list[float]:
    ours, wanted = _lengths(poses), _lengths(target)
    factors = {}
    for bone in BONES:
        twin = (MIRROR[bone[0]], MIRROR[bone[1]])
        pairs = [(wanted[b], ours[b]) for b in (bone, twin) if wanted[b] > 0 and ours[b] > 0]
        ratio = sum(a for a, _ in pairs) / sum(b for _, b in pairs) if pairs else 1.0
        factors[bone] = min(max(ratio, 1 / _FARTHEST), _FARTHEST)
    return [factors[bone] for bone in BONES]


def _lengths(joints: Tensor) -> dict[tuple[int, int], float]:
    """Each bone's length when it points across the picture; 0 where it is never seen."""
    lengths = {}
    for a, b in BONES:
        seen = (joints[:, a, 2] > 0) & (joints[:, b, 2] > 0)
        bone = (joints[seen, a, :2] - joints[seen, b, :2]).norm(dim=1)
        lengths[a, b] = float(torch.quantile(bone, _STRETCHED)) if len(bone) else 0.0
    return lengths


def _lower_foot(joints: Tensor) -> Tensor:
    """(N,): height of the lower seen ankle; where none is seen, that of the neck."""
    ankles = joints[:, _ANKLES]
    lower = ankles[..., 1].masked_fill(ankles[..., 2] == 0, -torch.inf).amax(dim=1)
    return torch.where(lower > -torch.inf, lower, joints[:, INDEX["neck"], 1])
