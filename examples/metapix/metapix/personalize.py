"""Personalise: play the game on K frames of one person, draw that person in new poses, and choose how long to play."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.pose_input import person_discs, to_bytes, to_unit
from metapix.pose_labels import draw_poses, fit_flip, pose_of
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


@dataclass(frozen=True)
class StepChoice:
    """How many steps leaving one frame out recommends.

    Attributes:
        steps: the number; 0 where no number is better than the start by more than its standard error.
        gains: {number of steps: mean gain over the start, in dB, on the frames left out}.
    """

    steps: int
    gains: Mapping[int, float]


def choose_steps(
    start: gm.GANPair,
    shots: Clip,
    objective: gm.Objective,
    inner: gm.InnerLoop,
    seed: int = 0,
    every: int = 5,
    person_weight: float = 0.0,
) -> StepChoice:
    """Find how many steps help this person, by leaving each of the K frames out in turn; never looks beyond the K frames.

    Args:
        inner: the game; its ``steps`` is the longest one tried, and its schedule must be ``"constant"``, so that the first t
            steps of a long game are a game of t steps.
        person_weight: as for :func:`personalize`.
        every: the numbers tried are 0, ``every``, ``2 * every``, ...

    Raises:
        ValueError: for another schedule.
    """
    if inner.schedule != "constant":
        raise ValueError(f'choose_steps needs schedule="constant", got {inner.schedule!r}: a cut-short decaying game is another game')
    kind = reference_of(start)
    tried = list(range(0, inner.steps + 1, every))
    if len(shots) < (3 if kind != "none" else 2):
        return StepChoice(0 if kind != "none" else inner.steps, {})
    table = []
    for held in range(len(shots)):
        others = shots.select([number for number in range(len(shots)) if number != held])
        frame = shots.select([held])
        pose = pose_inputs(frame, Reference(kind, others), pose_of(start))
        scores = {0: _held_out_score(draw(start, pose), frame)}

        def note(
            step: int,
            pair: gm.GANPair,
            _losses: Mapping[str, Tensor],
            frame: Clip = frame,
            pose: Tensor = pose,
            scores: dict[int, float] = scores,
        ) -> None:
            if step in tried:
                scores[step] = _held_out_score(draw(pair, pose), frame)

        personalize(start, others, objective, inner, seed, note, person_weight)
        table.append([scores[step] - scores[0] for step in tried])
    gains = torch.tensor(table, dtype=torch.float64)
    mean, error = gains.mean(dim=0), gains.std(dim=0) / len(table) ** 0.5
    best = int(mean.argmax())
    steps = tried[best] if best and bool(mean[best] > error[best]) else 0
    return StepChoice(steps, dict(zip(tried, mean.tolist(), strict=True)))


def _held_out_score(image: Tensor, frame: Clip) -> float:
    """Mean of PSNR on the picture and on the person, in dB."""
    generated, real, region = to_unit(to_bytes(image)), to_unit(frame.frames), person_discs(frame.joints, frame.size)
    whole = gm.metrics.image_metrics(generated, real)["psnr"]
    if not bool(region.any()):
        return float(whole)
    return float((whole + gm.metrics.masked_psnr(generated, real, region)) / 2)
