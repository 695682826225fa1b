"""Personalise: play the game on K frames of one person, and draw that person in new poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.pose_labels import draw_poses, fit_flip, pose_of
from metapix.reference import Reference, reference_of, shot_samples

OnStep = Callable[[int, gm.GANPair, Mapping[str, Tensor]], None]


def personalize(
    start: gm.GANPair,
    shots: Clip,
    objective: gm.Objective,
    inner: gm.InnerLoop,
    seed: int = 0,
    on_step: OnStep | None = None,
    person_weight: float = 0.0,
) -> gm.GANPair:
    """The start adapted to the person in these frames; the start stays as it is.

    Args:
        start: a pair that draws pictures from poses, with the reference it was built with, if any.
        shots: the K frames. A pair with a reference needs two at least to learn from them: a frame's reference is made from the
            others. With one frame it stays as it is.
        objective, inner, seed, on_step: as for :func:`gan_meta.adapt`.
        person_weight: how much more the pixels near the skeleton weigh in the objective's pixel term.

    Raises:
        NonFiniteLossError: when the game diverges.
    """
    samples = shot_samples(shots, reference_of(start), person_weight=person_weight, pose=pose_of(start))
    inner = fit_flip(inner, pose_of(start))
    if len(samples["image"]) == 0:
        inner = dataclasses.replace(inner, steps=0)
        samples = {name: tensor.new_zeros(1, *tensor.shape[1:]) for name, tensor in samples.items()}
    return gm.adapt(start, objective, samples, inner, seed, on_step)


def generate(
    pair: gm.GANPair, joints: Tensor, size: int, batch_size: int = 16, reference: Reference | None = None, boxes: Tensor | None = None
) -> Iterator[Tensor]:
    """Draw the person in these poses, a batch at a time, so that memory does not grow with the length of the video.

    Args:
        joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.
        reference: what the K frames tell, for a pair that takes a reference.
        boxes: (N, 3) each picture's part of the camera's picture; ``None``: the K frames' own.

    Yields:
        (n, 3, size, size) float32, about [-1, 1], n up to ``batch_size``.

    Raises:
        InputError: when the model takes another number of pose channels, or another reference.
    """
    expected = pair.model_arguments.get("pose_channels")
    if expected is not None and expected != joints.shape[1]:
        raise InputError(
            f"the model takes {expected} pose channels, but these poses have {joints.shape[1]} joints; it was trained on another skeleton"
        )
    given = "none" if reference is None else reference.kind
    if given != reference_of(pair):
        raise InputError(f"the model takes the reference {reference_of(pair)!r}, but was given {given!r}")
    for first in range(0, len(joints), batch_size):
        part = slice(first, first + batch_size)
        pose = draw_poses(joints[part], size, pose_of(pair))
        if reference is not None:
            pose = torch.cat([pose, reference.channels(joints[part], None if boxes is None else boxes[part], size)], dim=1)
        yield draw(pair, pose)


def pose_inputs(clip: Clip, reference: Reference, pose: str = "heatmaps") -> Tensor:
    """(N, 18 + R, S, S): what a generator is told of a clip's frames, the reference's channels included."""
    return torch.cat([draw_poses(clip.joints, clip.size, pose), reference.channels(clip.joints, clip.boxes, clip.size)], dim=1)


@torch.no_grad()
def draw(pair: gm.GANPair, pose: Tensor, batch_size: int = 16) -> Tensor:
    """(N, 3, S, S) on the CPU: what the generator makes of (N, C, S, S) inputs."""
    device = next(pair.parameters()).device
    return torch.cat([pair.generator(pose[first : first + batch_size].to(device)).cpu() for first in range(0, len(pose), batch_size)])
