"""Posewarp pairs: the generator is given one of the K frames and moves its person, limb by limb, from that pose into another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import gan_meta as gm
from gan_meta.models.posewarp import FramePairs, PairTasks, frame_pairs, mirror_pairs, pose_inputs
from gan_meta.models.posewarp.augmentation import PUBLISHED_SIDE
from metapix.conditioning.protocol import Inputs
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.pose_input import flip, person_discs, to_unit
from metapix.poses.posewarp_joints import posewarp_joints
from metapix.tasks import nearest_frames

SOURCES = ("nearest", "first")
"""Which of the K frames a pose is drawn from: the one whose pose is nearest (the default), or always the first."""

_ARGUMENTS = ("source_pose", "target_pose", "log_masks", "transforms")


def limb_width(size: int) -> float:
    """Of the limb masks: the published one is for people in 256 x 256 pictures."""
    return size / PUBLISHED_SIDE


class FromSource:
    """Pairs of frames: a source picture and both poses.

    A picture's place in the camera's is not looked at: where the crop follows the person, the room moves behind them.

    Args:
        source: one of :data:`SOURCES`.
    """

    title, reference, pose, fewest = "Posewarp", "none", "joints", 2

    def __init__(self, source: str = SOURCES[0]) -> None:
        self.source = source

    def count(self, frames: int) -> int:
        """As the protocol has it."""
        return frames * max(frames - 1, 1)  # ordered pairs

    def samples(self, shots: Clip, person_weight: float = 0.0) -> gm.Batch:
        """All ordered pairs of the frames."""
        if len(shots) < self.fewest:
            raise InputError(
                f"Posewarp learns a person by turning one frame into another, so it takes at least 2 frames, and {len(shots)} was given; "
                "ask for more --frames, or use a Pix2PixHD start"
            )
        frames = {"image": to_unit(shots.frames), "joints": posewarp_joints(shots.joints)}
        if person_weight:
            frames["weight"] = 1 + person_weight * person_discs(shots.joints, shots.size)
        return frame_pairs(frames)

    def memory(self, shots: Clip) -> SourceMemory:
        """The frames, each a possible source."""
        return SourceMemory(shots, self.source)

    def fit(self, inner: gm.InnerLoop) -> gm.InnerLoop:
        """Flips that mirror both frames of a pair and swap their joints."""
        return dataclasses.replace(inner, augment=tuple(mirror_pairs if transform is flip else transform for transform in inner.augment))

    def examples(self, frames: gm.BatchSource) -> gm.BatchSource:
        """Pairs of a video's frames, not too close to each other."""
        return FramePairs(frames)

    def support(self, frames: gm.Batch) -> gm.Batch:
        """All ordered pairs."""
        return frame_pairs(frames)

    def tasks(self, people: Sequence[gm.BatchSource], shots: int, queries: int, names: Sequence[str]) -> gm.TaskSource:
        """All ordered pairs of K frames; the query is drawn from the nearest of them."""
        return PairTasks(people, shots, queries, names)

    def inputs_of(self, batch: gm.Batch) -> Inputs:
        """The source and what is told of both poses."""
        return _inputs(batch["source"], batch["source_joints"], batch["target_joints"])


class SourceMemory:
    """The K frames: for each pose one of them is the source."""

    def __init__(self, shots: Clip, source: str) -> None:
        self._shots, self._source = shots, source

    def inputs(self, joints: Tensor, _boxes: Tensor | None, size: int) -> Inputs:
        """The source (N, 3, size, size) and the four pose arguments of :class:`gan_meta.models.posewarp.PosewarpGenerator`."""
        shots = self._shots.resized(size)
        chosen = nearest_frames(shots, joints) if self._source == "nearest" else torch.zeros(len(joints), dtype=torch.long)
        return _inputs(to_unit(shots.frames[chosen]), posewarp_joints(shots.joints[chosen]), posewarp_joints(joints))

    def base(self, _joints: Tensor, _boxes: Tensor | None, _size: int) -> None:
        """The network draws the whole."""
        return


def _inputs(source: Tensor, source_joints: Tensor, target_joints: Tensor) -> Inputs:
    size = source.shape[-1]
    made = pose_inputs(source_joints, target_joints, size, limb_width=limb_width(size))
    return (source, *(made[name] for name in _ARGUMENTS))
