"""Clips as what gan_meta plays on: batches of pose and picture, few-shot tasks, and the protocol's choice of frames."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_meta import Batch
from gan_meta.models.posewarp import nearest_sources
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.pose_input import person_discs, to_unit
from metapix.poses.pose_labels import draw_poses
from metapix.poses.posewarp_joints import posewarp_joints

TRAIN_SHARE = 0.85
"""The first part of each test video is for personalisation, the rest for scores (the paper's section 4.1)."""


class ClipSamples:
    """The frames of clips as samples: a pose and ``"image"`` (3, S, S) in [-1, 1], made when asked for.

    Args:
        pose: the form of the pose: ``"heatmaps"`` or ``"labels"`` for ``"pose"`` (18, S, S), ``"joints"`` for Posewarp's
            ``"joints"`` (14, 2).
        device: where samples are made; frames and joints themselves, 8 bits a value and 18 points a frame, stay where the clips are.

    Raises:
        ValueError: when there is no clip, or clips differ in size.
    """

    def __init__(self, clips: Sequence[Clip], pose: str = "heatmaps", device: str | torch.device = "cpu") -> None:
        sizes = {clip.size for clip in clips}
        if len(sizes) != 1:
            raise ValueError(f"clips must be one or more, all of one size; got sizes {sorted(sizes)}")
        self.size = sizes.pop()
        self.pose = pose
        self.device = torch.device(device)
        self.frames = torch.cat([clip.frames for clip in clips])
        self.joints = torch.cat([clip.joints for clip in clips])

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these indices."""
        index = torch.as_tensor(list(indices), dtype=torch.long)
        joints, image = self.joints[index].to(self.device), to_unit(self.frames[index].to(self.device))
        if self.pose == "joints":
            return {"joints": posewarp_joints(joints), "image": image}
        return {"pose": draw_poses(joints, self.size, self.pose), "image": image}

    def made_on(self, device: str | torch.device) -> ClipSamples:
        """The same samples, made on another device."""
        samples = copy.copy(self)
        samples.device = torch.device(device)
        return samples


def with_pose(clip: Clip, reference: Tensor | None, person_weight: float = 0.0, pose_input: str = "heatmaps") -> Batch:
    """A clip's frames as one batch, its poses with the channels of a reference behind them where there is one.

    Args:
        person_weight: how much more the pixels near the skeleton weigh, as the key ``"weight"``; 0 leaves the key out.
        pose_input: ``"heatmaps"`` or ``"labels"``.
    """
    pose = draw_poses(clip.joints, clip.size, pose_input)
    batch = {"pose": pose if reference is None else torch.cat([pose, reference], dim=1), "image": to_unit(clip.frames)}
    if person_weight:
        batch["weight"] = 1 + person_weight * person_discs(clip.joints, clip.size)
    return batch


def split(clip: Clip, share: float = TRAIN_SHARE) -> tuple[Clip, Clip]:
    """The clip's first part, to learn from, and its last part, to be scored on.

    Raises:
        InputError: when the clip is too short to have both.
    """
    border = int(len(clip) * share)
    if border < 1 or border >= len(clip):
        raise InputError(f"clip {clip.name!r} has {len(clip)} frames; it takes at least 2 to learn from one part and score the other")
    return clip.select(slice(0, border)), clip.select(slice(border, None))


def evenly_spaced(clip: Clip, shots: int) -> Clip:
    """K frames evenly spaced over a clip, its first and its last among them; for K = 1 the middle one.

    Raises:
        InputError: when the clip has fewer frames than that.
    """
    if not 1 <= shots <= len(clip):
        raise InputError(f"{shots} frames were asked for, but clip {clip.name!r} has {len(clip)} to choose from; ask for 1 to {len(clip)}")
    if shots == 1:
        return clip.select([len(clip) // 2])
    return clip.select([number * (len(clip) - 1) // (shots - 1) for number in range(shots)])


def nearest_frames(shots: Clip, joints: Tensor) -> Tensor:
    """For each pose the number of the shot whose pose is nearest, in joints centred on their mean, seen joints only.

    A shot that has fewer than two joints in common with a pose tells nothing about it and is taken only when all are so.

    Args:
        shots: the K frames.
        joints: (N, 18, 3), in the shots' pixels.

    Returns:
        (N,) long.
    """
    known, asked = (places[..., :2].masked_fill(places[..., 2:] <= 0, float("nan")) for places in (shots.joints, joints))
    return nearest_sources(known, asked)
