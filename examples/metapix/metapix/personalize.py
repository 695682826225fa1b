"""Personalise: play the game on K frames of one person, and draw that person in new poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

import gan_meta as gm
from metapix.conditioning import Conditioning, Inputs, Poses, conditioning_of
from metapix.data.clip import Clip

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
        start: a pair that draws pictures from poses; how it is told of them follows from the model it was built as.
        shots: the K frames. A pair with a reference needs two at least to learn from them: a frame's reference is made from the
            others. With one frame it stays as it is.
        objective, inner, seed, on_step: as for :func:`gan_meta.adapt`.
        person_weight: how much more the pixels near the skeleton weigh in the objective's pixel term.

    Raises:
        InputError: when the pair cannot learn from so few frames.
        NonFiniteLossError: when the game diverges.
    """
    conditioning = conditioning_of(start)
    samples, inner = conditioning.samples(shots, person_weight), conditioning.fit(inner)
    if len(samples["image"]) == 0:
        inner = dataclasses.replace(inner, steps=0)
        samples = {name: tensor.new_zeros(1, *tensor.shape[1:]) for name, tensor in samples.items()}
    return gm.adapt(start, objective, samples, inner, seed, on_step)


def pose_inputs(pair: gm.GANPair, shots: Clip, clip: Clip, conditioning: Conditioning | None = None) -> Poses:
    """A clip's poses as the pair, or one adapted from it, is told of them.

    Args:
        shots: the K frames, all that is known of the person.
        clip: its joints and boxes are looked at, not its frames.
        conditioning: default: the pair's own.
    """
    memory = (conditioning or conditioning_of(pair)).memory(shots)
    return Poses(memory, clip.joints, clip.size, clip.boxes)


def generate(pair: gm.GANPair, poses: Poses, batch_size: int = 16) -> Iterator[Tensor]:
    """Draw the person in these poses, a batch at a time, so that memory does not grow with the length of the video.

    Yields:
        (n, 3, S, S) float32 on the CPU, about [-1, 1], n up to ``batch_size``.
    """
    for inputs in poses.batches(batch_size):
        yield draw_inputs(pair, inputs)


def draw(pair: gm.GANPair, poses: Poses, batch_size: int = 16) -> Tensor:
    """(N, 3, S, S) on the CPU: the person in all of these poses."""
    return torch.cat(list(generate(pair, poses, batch_size)))


@torch.no_grad()
def draw_inputs(pair: gm.GANPair, inputs: Inputs) -> Tensor:
    """(N, 3, S, S) on the CPU: what the generator makes of its arguments, all in one batch."""
    device = next(pair.parameters()).device
    drawn: Tensor = pair.generator(*(tensor.to(device) for tensor in inputs))
    return drawn.cpu()
