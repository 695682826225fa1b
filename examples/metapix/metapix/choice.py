"""Choice: how long to play on a person's K frames and how far to trust the network, by leaving some of the frames out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

import gan_meta as gm
from metapix.conditioning import Conditioning, conditioning_of
from metapix.data.clip import Clip
from metapix.personalize import OnStep, draw, personalize, pose_inputs
from metapix.poses.pose_input import person_discs, to_bytes, to_unit
from metapix.reference import trusted

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
_FOLDS = 5


@dataclass(frozen=True)
class Choice:
    """What leaving frames out recommends.

    Attributes:
        steps: how many steps to play.
        strength: how much of the network's change to its reference to keep, in [0, 1]; 1 for a pair without a reference.
        gains: {number of steps: mean gain over learning nothing, in dB, at the best strength, on the frames left out}.
    """

    steps: int
    strength: float
    gains: Mapping[int, float]


def choose(
    start: gm.GANPair,
    shots: Clip,
    objective: gm.Objective,
    inner: gm.InnerLoop,
    seed: int = 0,
    every: int = 5,
    person_weight: float = 0.0,
    conditioning: Conditioning | None = None,
) -> Choice:
    """Find what helps this person; never looks beyond the K frames.

    Each of up to five groups of the frames is left out in turn, the start adapts to the others, and each pair of a number of
    steps and a strength is scored on the frames left out, by the mean of PSNR on the picture and on the person. The best pair
    is taken when its mean gain over learning nothing is more than its standard error; otherwise nothing is learned: a pair with
    a reference is left at strength 0, which is the reference itself, another at 0 steps.

    Args:
        inner: the game; its ``steps`` is the longest one tried, and its schedule must be ``"constant"``, so that the first t
            steps of a long game are a game of t steps.
        every: the numbers tried are 0, ``every``, ``2 * every``, ...
        person_weight: as for :func:`metapix.personalize.personalize`.
        conditioning: how the frames left out are drawn; default: the start's own.

    Raises:
        ValueError: for another schedule.
    """
    if inner.schedule != "constant":
        raise ValueError(f'choose needs schedule="constant", got {inner.schedule!r}: a cut-short decaying game is another game')
    conditioning = conditioning or conditioning_of(start)
    has_reference = conditioning.reference != "none"
    tried = list(range(0, inner.steps + 1, every))
    if len(shots) <= conditioning.fewest:
        return Choice(0, 0.0, {}) if has_reference else Choice(inner.steps, 1.0, {})
    strengths = STRENGTHS if has_reference else (1.0,)
    table = []
    for fold in range(min(_FOLDS, len(shots))):
        held = list(range(fold, len(shots), _FOLDS))
        others = shots.select([number for number in range(len(shots)) if number not in held])
        watch = _HeldOut(start, shots.select(held), others, tried, strengths, conditioning)
        personalize(start, others, objective, inner, seed, watch.note, person_weight)
        table.append(watch.gains())
    gains = torch.cat(table)  # (frames, numbers of steps, strengths)
    mean, error = gains.mean(dim=0), gains.std(dim=0) / len(gains) ** 0.5
    by_steps = dict(zip(tried, mean.amax(dim=1).tolist(), strict=True))
    best, strength = divmod(int(mean.argmax()), len(strengths))
    if bool(mean[best, strength] > error[best, strength]):
        return Choice(tried[best], strengths[strength], by_steps)
    return Choice(0, 0.0 if has_reference else 1.0, by_steps)


def personalize_by_choice(
    start: gm.GANPair,
    shots: Clip,
    objective: gm.Objective,
    inner: gm.InnerLoop,
    seed: int = 0,
    on_step: OnStep | None = None,
    person_weight: float = 0.0,
    conditioning: Conditioning | None = None,
) -> tuple[gm.GANPair, Choice]:
    """The start adapted to the person for as long, and trusted as far, as :func:`choose` recommends; arguments and errors as there."""
    found = choose(start, shots, objective, inner, seed, person_weight=person_weight, conditioning=conditioning)
    steps = dataclasses.replace(inner, steps=found.steps)
    return trusted(personalize(start, shots, objective, steps, seed, on_step, person_weight), found.strength), found


class _HeldOut:
    """Scores of frames left out while a start adapts to the others."""

    def __init__(
        self,
        start: gm.GANPair,
        frames: Clip,
        others: Clip,
        tried: list[int],
        strengths: tuple[float, ...],
        conditioning: Conditioning,
    ) -> None:
        self.frames, self.tried, self.strengths = frames, tried, strengths
        self.poses = pose_inputs(start, others, frames, conditioning)
        base = self.poses.base()
        self.floor = draw(start, self.poses) if base is None else base
        self.scores = {0: self._scores(start)}

    def note(self, step: int, pair: gm.GANPair, _losses: Mapping[str, Tensor]) -> None:
        """Called after each step."""
        if step in self.tried:
            self.scores[step] = self._scores(pair)

    def gains(self) -> Tensor:
        """(frames, numbers of steps, strengths) dB over the floor, in double precision."""
        floor = _score(self.floor, self.frames)
        return torch.stack([self.scores[step] for step in self.tried], dim=1) - floor[:, None, None]

    def _scores(self, pair: gm.GANPair) -> Tensor:
        change = draw(pair, self.poses) - self.floor
        images = [self.floor + strength * change for strength in self.strengths]
        return torch.stack([_score(image, self.frames) for image in images], dim=1)


def _score(images: Tensor, frames: Clip) -> Tensor:
    """(N,) float64: the mean of PSNR on the picture and on the person, in dB; on the picture alone where no pose is known."""
    generated, real, region = to_unit(to_bytes(images)), to_unit(frames.frames), person_discs(frames.joints, frames.size)
    scores = gm.metrics.image_metrics(generated, real)["psnr"].to(torch.float64)
    seen = region.flatten(1).any(dim=1)
    if bool(seen.any()):
        person = gm.metrics.masked_psnr(generated[seen], real[seen], region[seen]).to(torch.float64)
        scores[seen] = (scores[seen] + person) / 2
    return scores
