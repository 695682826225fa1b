"""Posewarp's 14 joints from the 18 of these clips: the one place where the two skeletons meet.

Thirteen of them are the same joint under the same name. Posewarp was published for MPII's annotations, whose "head" is the top of the
head. OpenPose has no such joint, so it is the nose here, and where no nose is seen (a person from behind) the middle of the eyes and
ears that are. The published weights thus see a head that is some pixels lower than the ones they were trained on, in the source and in
the target alike. The eyes and ears are otherwise left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metapix.poses.skeleton import INDEX

NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
)  # fmt: skip
"""Which of these clips' joints each of the 14 is, in MPII's order; the first is the head."""

_FROM = [INDEX[name] for name in NAMES]
_REST_OF_HEAD = [INDEX[name] for name in ("right_eye", "left_eye", "right_ear", "left_ear")]


def posewarp_joints(joints: Tensor) -> Tensor:
    """A joint that is not seen is not a number, as :func:`gan_meta.models.posewarp.pose_inputs` wants it.

    Args:
        joints: (N, 18, 3): x, y and a confidence, 0 for a joint that is not seen.

    Returns:
        (N, 14, 2) in the same pixels.
    """
    picked = _with_holes(joints[:, _FROM])
    head = _with_holes(joints[:, _REST_OF_HEAD]).nanmean(dim=1)
    picked[:, 0] = torch.where(picked[:, 0].isnan(), head, picked[:, 0])
    return picked


def _with_holes(joints: Tensor) -> Tensor:
    return joints[..., :2].masked_fill(joints[..., 2:] <= 0, float("nan"))
