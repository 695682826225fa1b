"""What Posewarp learns from: pairs of frames of one video, each turned into the other; K frames as a few-shot task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_meta.objective import Batch
from gan_meta.seeds import derive_seed
from gan_meta.tasks import FewShotTasks, Samples, Task, count_samples, take

LEAST_GAP = 0.02
"""The frames of a training pair lie further apart than this share of their video, as published."""

_ONE_FRAME = "Posewarp learns by turning one frame of a person into another, so it needs at least 2 frames of each; got {}"


def frame_pairs(frames: Batch) -> Batch:
    """All ordered pairs of K frames: each frame is a source for each of the others.

    Args:
        frames: ``"image"`` (K, 3, H, W), ``"joints"`` (K, J, 2) in pixels, NaN where missing, and maybe ``"weight"`` (K, 1, H, W).

    Returns:
        K (K - 1) samples for :class:`PosewarpObjective`: ``"source"``, ``"image"``, ``"source_joints"``, ``"target_joints"`` and maybe
        the target's ``"weight"``; target by target.

    Raises:
        ValueError: for fewer than two frames, or when a key is missing.
    """
    count = len(_entry(frames, "image"))
    if count < 2:
        raise ValueError(_ONE_FRAME.format(count))
    pairs = [(source, target) for target in range(count) for source in range(count) if source != target]
    sources, targets = (torch.tensor(numbers) for numbers in zip(*pairs, strict=True))
    return _paired(frames, sources, frames, targets)


class FramePairs:
    """Pairs of the frames of one video for joint training, read when asked for: a :class:`gan_meta.BatchSource`.

    Every frame is a target with ``sources`` of the others, drawn at random once and for all; the number of all pairs of a long video
    would be its square.

    Args:
        frames: samples as for :func:`frame_pairs`, in the video's order.
        sources: pairs a target.
        seed: of the draw.

    Raises:
        ValueError: for a video of fewer than two frames.
    """

    def __init__(self, frames: Samples, sources: int = 8, seed: int = 0) -> None:
        self._frames, self._sources, self._seed = frames, sources, seed
        self._count = count_samples(frames)
        if self._count < 2:
            raise ValueError(_ONE_FRAME.format(self._count))

    def __len__(self) -> int:
        return self._count * self._sources

    def pair(self, index: int) -> tuple[int, int]:
        """The frames' numbers (source, target) of a sample."""
        target, number = divmod(index, self._sources)
        least = int(LEAST_GAP * self._count) + 1
        before, after = max(target - least + 1, 0), max(self._count - target - least, 0)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "source", target, number))
        place = int(torch.randint(before + after, (), generator=generator))
        return (place if place < before else target + least + place - before), target

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these indices."""
        sources, targets = zip(*(self.pair(index) for index in indices), strict=True)
        used = sorted({*sources, *targets})
        row = {number: place for place, number in enumerate(used)}
        frames = take(self._frames, used)
        return _paired(frames, torch.tensor([row[n] for n in sources]), frames, torch.tensor([row[n] for n in targets]))


class PairTasks:
    """Few-shot tasks for Posewarp: the support is all pairs of K frames, and the query further frames drawn from the K.

    Each frame of the query has the one of the K frames whose pose is nearest as its source, as when the person is drawn.

    Args:
        subjects: one entry a person (a video), frames as for :func:`frame_pairs`.
        shots, queries, names: as for :class:`gan_meta.FewShotTasks`; ``queries`` counts frames.

    Raises:
        ValueError: for one shot, or as for :class:`gan_meta.FewShotTasks`.
    """

    def __init__(self, subjects: Sequence[Samples], shots: int, queries: int = 0, names: Sequence[str] | None = None) -> None:
        if shots < 2:
            raise ValueError(f"shots={shots}: {_ONE_FRAME.format(shots)}")
        self._frames = FewShotTasks(subjects, shots, queries, names)

    def sample(self, seed: int) -> Task:
        """The task of this seed."""
        task = self._frames.sample(seed)
        shots = take(task.support, range(self._frames.shots))
        if task.query is None:
            return Task(frame_pairs(shots), None, task.name)
        rest = take(task.query, range(self._frames.queries))
        nearest = nearest_sources(shots["joints"], rest["joints"])
        return Task(frame_pairs(shots), _paired(shots, nearest, rest, torch.arange(len(nearest))), task.name)


def nearest_sources(source_joints: Tensor, target_joints: Tensor) -> Tensor:
    """For each target the source whose pose is nearest: mean squared distance of the joints that both have, centred on their mean.

    A source that has fewer than two joints in common with a target tells nothing about it and is taken only when all are so.

    Args:
        source_joints: (K, J, 2); a joint that is not finite is missing.
        target_joints: (N, J, 2), in the same pixels.

    Returns:
        (N,) long: numbers of sources.
    """
    difference = target_joints[:, None] - source_joints[None]
    common = difference.isfinite().all(-1, keepdim=True)
    count = common.sum(dim=2, keepdim=True).clamp(min=1)
    difference = torch.where(common, difference, difference.new_zeros(()))
    centred = torch.where(common, difference - difference.sum(dim=2, keepdim=True) / count, difference.new_zeros(()))
    mean = centred.square().sum(dim=(2, 3)) / count[..., 0, 0]
    return mean.masked_fill(common.sum(dim=(2, 3)) < 2, float("inf")).argmin(dim=1)


def _paired(sources: Batch, source_rows: Tensor, targets: Batch, target_rows: Tensor) -> Batch:
    pairs = {
        "source": _entry(sources, "image")[source_rows],
        "image": _entry(targets, "image")[target_rows],
        "source_joints": _entry(sources, "joints")[source_rows],
        "target_joints": _entry(targets, "joints")[target_rows],
    }
    return {**pairs, "weight": targets["weight"][target_rows]} if "weight" in targets else pairs


def _entry(frames: Batch, key: str) -> Tensor:
    if key not in frames:
        raise ValueError(f"frames for Posewarp need 'image' and 'joints', these have: {', '.join(sorted(frames))}")
    return frames[key]
