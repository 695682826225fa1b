"""Retarget: put one person's poses where another person stands, at that person's size."""

from __future__ import annotations

import torch
from torch import Tensor

from metapix.errors import InputError
from metapix.poses.skeleton import INDEX

_BODY = (
    ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
)  # fmt: skip
_STRETCHED = 0.9
"""Quantile over frames that stands for a bone's length: projection only ever shortens a bone, and the maximum is noise."""


def align_poses(driver: Tensor, target: Tensor) -> Tensor:
    """The driver's poses scaled to the target's body and moved to where the target stands.

    One scale and one offset for the whole video, so that the motion itself stays as it is: the scale is the ratio of body
    lengths (neck to hips to ankles), the offset puts the driver's mean hips over the target's and the feet on the
    target's floor.

    Args:
        driver: (N, 18, 3) poses whose motion is wanted.
        target: (K, 18, 3) poses of the person who shall move so, in the pixels of the result.

    Returns:
        (N, 18, 3); confidences are the driver's.

    Raises:
        InputError: when hips, knees and ankles are never seen in one of the two.
    """
    scale = _body_length(target, "target") / _body_length(driver, "driver")
    moved = driver.clone()
    moved[..., :2] = driver[..., :2] * scale
    offset = torch.stack([_hip_column(target) - _hip_column(moved), _floor(target) - _floor(moved)])
    moved[..., :2] += offset
    return moved


def _body_length(joints: Tensor, whose: str) -> Tensor:
    lengths = []
    for first, second in _BODY:
        a, b = joints[:, INDEX[first]], joints[:, INDEX[second]]
        seen = (a[:, 2] > 0) & (b[:, 2] > 0)
        if bool(seen.any()):
            lengths.append(torch.quantile((a - b)[seen, :2].norm(dim=1), _STRETCHED))
    if len(lengths) < len(_BODY):
        raise InputError(
            f"the {whose}'s body is not seen from neck to ankles in any frame, so its size is unknown; use a clip that shows the whole body"
        )
    return torch.stack(lengths).sum()


def _hip_column(joints: Tensor) -> Tensor:
    hips = joints[:, [INDEX["right_hip"], INDEX["left_hip"]]]
    return hips[..., 0][hips[..., 2] > 0].mean()


def _floor(joints: Tensor) -> Tensor:
    """Where the lower foot stands, in the median of the frames that show one."""
    ankles = joints[:, [INDEX["right_ankle"], INDEX["left_ankle"]]]
    lower = ankles[..., 1].masked_fill(ankles[..., 2] == 0, -torch.inf).amax(dim=1)
    return lower[lower > -torch.inf].median()
