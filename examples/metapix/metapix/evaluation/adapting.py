"""How a cell's start becomes this video's: T steps on K frames, or epochs over all frames of the first part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import gan_meta as gm
from metapix.conditioning import Poses, conditioning_of
from metapix.data.clip import Clip
from metapix.evaluation.grid import Cell, Count
from metapix.evaluation.videos import TestVideo
from metapix.personalize import OnStep, personalize, pose_inputs
from metapix.poses.pose_input import flip
from metapix.tasks import ClipSamples
from metapix.training.preset import Preset
from metapix.training.subjects import FolderSamples

_HELD_VALUES = 300_000_000
"""A first part of up to so many values is held in memory."""


def shots_of(cell: Cell, video: TestVideo) -> Clip:
    """The frames that a cell's pair is shown as frames: K of them, or a few where it learns from all."""
    count = cell.shots if isinstance(cell.shots, int) else cell.protocol.memory_shots
    return video.read(video.shots(count, cell.protocol.selection, cell.seed), cell.protocol.size)


def adapt(start: gm.GANPair, preset: Preset, cell: Cell, video: TestVideo, shots: Clip, on_step: OnStep | None = None) -> gm.GANPair:
    """The start, adapted as the cell says; the start stays as it is.

    Args:
        preset: its recipe and game are those of the personalisation.
        shots: of :func:`shots_of`.
        on_step: as for :func:`gan_meta.adapt`; not called where K = T = all.

    Raises:
        InputError: when the pair cannot learn from these frames.
        NonFiniteLossError: when the game diverges.
    """
    objective = preset.recipe.objective()
    if cell.steps == "all":
        return _learn_from_all(start, preset, objective, cell, video)
    inner = dataclasses.replace(preset.game(), steps=int(cell.steps))
    return personalize(start, shots, objective, inner, cell.seed, on_step, preset.recipe.person_weight)


def poses_of(adapted: gm.GANPair, shots: Clip, truth: Clip) -> Poses:
    """The scored frames' poses, as the pair is told of them."""
    return pose_inputs(adapted, shots, truth)


def steps_of(steps: Count, frames: int, protocol_epochs: float, batch_size: int) -> int:
    """How many steps a cell takes; ``"all"``: as :func:`gan_meta.pretrain` counts them."""
    return int(steps) if steps != "all" else -int(-protocol_epochs * frames // batch_size)


def _learn_from_all(start: gm.GANPair, preset: Preset, objective: gm.Objective, cell: Cell, video: TestVideo) -> gm.GANPair:
    conditioning = conditioning_of(start)
    size, rows = cell.protocol.size, range(video.border)
    if len(rows) * 3 * size * size <= _HELD_VALUES:
        frames: gm.BatchSource = ClipSamples([video.read(rows, size)], conditioning.pose)
    else:
        frames = FirstPart(video.folder, len(rows), size, conditioning.pose)
    inner = conditioning.fit(dataclasses.replace(preset.recipe.inner(0), augment=(flip,)))
    # An epoch is as many targets as there are frames: Posewarp's samples are pairs, eight for each target.
    steps = steps_of("all", len(rows), cell.protocol.epochs, inner.batch_size)
    return gm.pretrain(start.clone(), objective, conditioning.examples(frames), steps=steps, inner=inner, seed=cell.seed)


class FirstPart:
    """The first frames of a clip folder as samples, read when asked for."""

    def __init__(self, folder: Path, count: int, size: int, pose: str) -> None:
        self._samples, self._count = FolderSamples(folder, size, pose), count

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Sequence[int]) -> gm.Batch:
        """The samples at these indices."""
        return self._samples.batch(indices)
