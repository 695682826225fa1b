"""What a conditioning is: the few questions that personalising, drawing and training ask of a pair, whatever kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip

Inputs = tuple[Tensor, ...]
"""A generator's arguments in order, each with one entry a picture."""


class Memory(Protocol):
    """What a pair knows of a person from K frames."""

    def inputs(self, joints: Tensor, boxes: Tensor | None, size: int) -> Inputs:
        """The generator's arguments for these poses.

        Args:
            joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.
            boxes: (N, 3) each picture's part of the camera's, as in :class:`Clip`; ``None``: the frames' own.
        """

    def base(self, joints: Tensor, boxes: Tensor | None, size: int) -> Tensor | None:
        """(N, 3, size, size): the picture that the network changes; ``None`` where it draws the whole."""


class Conditioning(Protocol):
    """How pairs of one kind are told what to draw.

    Attributes:
        title: the model's name in reports.
        reference: what the network starts from: ``"none"``, ``"plate"`` or ``"puppet"``.
        pose: the form of a training frame's pose, one of :data:`metapix.poses.pose_labels.POSE_INPUTS`.
        fewest: how many frames it takes to learn from them.
    """

    title: str
    reference: str
    pose: str
    fewest: int

    def count(self, frames: int) -> int:
        """How many samples a game on so many frames has, about; for what it takes of memory."""

    def samples(self, shots: Clip, person_weight: float = 0.0) -> gm.Batch:
        """What a personalisation to these frames plays on; empty where a start is better left as it is.

        Args:
            person_weight: how much more the pixels near the skeleton weigh, as the key ``"weight"``; 0 leaves the key out.

        Raises:
            InputError: when there are too few frames to learn from.
        """

    def memory(self, shots: Clip) -> Memory:
        """What is known of a person from these frames, and from nothing else."""

    def fit(self, inner: gm.InnerLoop) -> gm.InnerLoop:
        """The game with this kind's own mirroring in place of :func:`metapix.poses.pose_input.flip`."""

    def examples(self, frames: gm.BatchSource) -> gm.BatchSource:
        """One person's frames (``"image"``, and a pose of the form ``pose``) as samples for joint training."""

    def support(self, frames: gm.Batch) -> gm.Batch:
        """K frames as the support of a task."""

    def tasks(self, people: Sequence[gm.BatchSource], shots: int, queries: int, names: Sequence[str]) -> gm.TaskSource:
        """Few-shot tasks from people's frames.

        Raises:
            ValueError: when somebody has too few frames, or ``shots`` are too few to learn from.
        """

    def inputs_of(self, batch: gm.Batch) -> Inputs:
        """The generator's arguments for training samples."""
