"""Personalise: play the game on K frames of one person, and draw that person in new poses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.pose_input import joint_heatmaps
from metapix.tasks import ClipSamples


def personalize(
    start: gm.GANPair,
    shots: Clip,
    objective: gm.Objective,
    inner: gm.InnerLoop,
    seed: int = 0,
    on_step: Callable[[int, gm.GANPair, Mapping[str, Tensor]], None] | None = None,
) -> gm.GANPair:
    """The start adapted to the person in these frames; the start stays as it is.

    Args:
        start: a pose-to-image pair.
        shots: the K frames.
        objective, inner, seed, on_step: as for :func:`gan_meta.adapt`.

    Raises:
        NonFiniteLossError: when the game diverges.
    """
    samples = ClipSamples([shots])
    return gm.adapt(start, objective, samples.batch(range(len(shots))), inner, seed, on_step)


@torch.no_grad()
def generate(pair: gm.GANPair, joints: Tensor, size: int, batch_size: int = 16) -> Iterator[Tensor]:
    """Draw the person in these poses, a batch at a time, so that memory does not grow with the length of the video.

    Args:
        joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.

    Yields:
        (n, 3, size, size) float32 in [-1, 1], n up to ``batch_size``.

    Raises:
        InputError: when the model takes another number of pose channels.
    """
    device = next(pair.parameters()).device
    expected = pair.model_arguments.get("pose_channels")
    if expected is not None and expected != joints.shape[1]:
        raise InputError(
            f"the model takes {expected} pose channels, but these poses have {joints.shape[1]} joints; it was trained on another skeleton"
        )
    for first in range(0, len(joints), batch_size):
        yield pair.generator(joint_heatmaps(joints[first : first + batch_size].to(device), size)).cpu()
