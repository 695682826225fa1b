"""Pairs that start from a reference: the generator is told the pose and a picture made of the K frames, and says what to change in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import gan_meta as gm
from metapix.conditioning.protocol import Inputs
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.pose_input import joint_heatmaps
from metapix.reference import Reference, reference_image, shot_samples

_TRAINED_BY = "a start with a reference is trained by `metapix train-start`; give another start or model"


class OnReference:
    """Heatmaps with the channels of a reference behind them.

    Args:
        reference: ``"plate"`` or ``"puppet"``.
    """

    title, pose, fewest = "Pix2PixHD", "heatmaps", 2

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def count(self, frames: int) -> int:
        """As the protocol has it."""
        return frames * frames  # with references made of all the others, and of each of them

    def samples(self, shots: Clip, person_weight: float = 0.0) -> gm.Batch:
        """Each frame with references made of the others; none for a single frame, which has no others."""
        return shot_samples(shots, self.reference, person_weight=person_weight)

    def memory(self, shots: Clip) -> ReferenceMemory:
        """The reference made of all frames."""
        return ReferenceMemory(Reference(self.reference, shots))

    def fit(self, inner: gm.InnerLoop) -> gm.InnerLoop:
        """The game as it is: the flip of heatmaps mirrors further channels too."""
        return inner

    def examples(self, frames: gm.BatchSource) -> gm.BatchSource:
        """Refused: references are made of clips, see :class:`metapix.reference_tasks.ReferenceSamples`."""
        raise InputError(_TRAINED_BY)

    def support(self, frames: gm.Batch) -> gm.Batch:
        """Refused as :meth:`examples`."""
        raise InputError(_TRAINED_BY)

    def tasks(self, people: Sequence[gm.BatchSource], shots: int, queries: int, names: Sequence[str]) -> gm.TaskSource:
        """Refused: see :class:`metapix.reference_tasks.ReferenceTasks`."""
        raise InputError(_TRAINED_BY)

    def inputs_of(self, batch: gm.Batch) -> Inputs:
        """The pose with the reference's channels."""
        return (batch["pose"],)


class ReferenceMemory:
    """Draws poses, and the reference for each."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def inputs(self, joints: Tensor, boxes: Tensor | None, size: int) -> Inputs:
        """(N, 18 + R, size, size)."""
        return (torch.cat([joint_heatmaps(joints, size), self._reference.channels(joints, boxes, size)], dim=1),)

    def base(self, joints: Tensor, boxes: Tensor | None, size: int) -> Tensor:
        """The reference as a picture."""
        return reference_image(self._reference.channels(joints, boxes, size))
