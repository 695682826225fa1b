"""Pose fidelity: is the person in the generated picture where the driver's joints are? Poses are estimated again and compared."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from metapix.data.clip import scale_joints
from metapix.data.pose import MIN_CONFIDENCE, PoseEstimator
from metapix.poses.skeleton import INDEX

PCK_SHARE = 0.2
"""A joint counts as right within this share of the torso's length (PCK@0.2; Yang and Ramanan 2013 with a torso in place of a head)."""

ESTIMATED_AT = 256
"""Smaller pictures are enlarged to this side first: the estimator was made for people of some size."""

_TORSO = (("right_shoulder", "left_hip"), ("left_shoulder", "right_hip"))


def pose_scores(picture: Tensor, joints: Tensor, estimator: PoseEstimator) -> dict[str, float]:
    """How well a picture shows a pose.

    Args:
        picture: (3, S, S) uint8, one on its own: the estimator is told to forget the one before.
        joints: (18, 3), the pose that was to be drawn, in the picture's pixels.

    Returns:
        ``pck``, the share of the driver's joints that are found within 0.2 torsos; ``joint_error``, the mean distance of those that
        are found at all, in torsos, absent where none is. Empty where the driver's torso is not known.
    """
    torso = torso_length(joints)
    size = picture.shape[-1]
    inside = (joints[:, 2] >= MIN_CONFIDENCE) & (joints[:, :2] >= 0).all(1) & (joints[:, :2] <= size - 1).all(1)
    if torso == 0 or not bool(inside.any()):
        return {}
    found = _estimate(picture, estimator)
    if found is None:
        return {"pck": 0.0}
    seen = inside & (found[:, 2] >= MIN_CONFIDENCE)
    error = (found[:, :2] - joints[:, :2]).norm(dim=1) / torso
    right = float((seen & (error <= PCK_SHARE)).sum() / inside.sum())
    return {"pck": right, "joint_error": float(error[seen].mean())} if bool(seen.any()) else {"pck": right}


def torso_length(joints: Tensor) -> float:
    """From shoulder to the opposite hip in pixels, the mean of both diagonals that are seen; 0 where none is."""
    lengths = []
    for first, second in _TORSO:
        ends = joints[[INDEX[first], INDEX[second]]]
        if bool((ends[:, 2] >= MIN_CONFIDENCE).all()):
            lengths.append(math.dist(*ends[:, :2].tolist()))
    return sum(lengths) / len(lengths) if lengths else 0.0


def _estimate(picture: Tensor, estimator: PoseEstimator) -> Tensor | None:
    size = picture.shape[-1]
    larger = max(size, ESTIMATED_AT)
    shown = picture
    if larger != size:
        grown = functional.interpolate(picture[None].float(), size=(larger, larger), mode="bicubic", align_corners=False)
        shown = grown[0].round().clamp(0, 255).to(torch.uint8)
    detection = estimator.estimate(shown.permute(1, 2, 0).contiguous().numpy())
    return None if detection is None else scale_joints(torch.from_numpy(detection.joints), size / larger)
