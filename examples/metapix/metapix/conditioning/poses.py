"""Poses to be drawn, perhaps again and again while a pair adapts: a pair's inputs are made a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from metapix.conditioning.protocol import Inputs, Memory

KEPT_VALUES = 50_000_000
"""Inputs of up to so many numbers (200 MB) are kept for the next time; memory does not grow with the length of a video."""


class Poses:
    """Poses of a person as a pair with this memory is told of them.

    Args:
        memory: what the pair knows of the person.
        joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.
        size: side of the pictures to draw.
        boxes: (N, 3) each picture's part of the camera's picture; ``None``: the K frames' own.
    """

    def __init__(self, memory: Memory, joints: Tensor, size: int, boxes: Tensor | None = None) -> None:
        self._memory, self._joints, self._size, self._boxes = memory, joints, size, boxes
        self._kept: dict[tuple[int, int], Inputs] = {}
        self._room = KEPT_VALUES

    def __len__(self) -> int:
        return len(self._joints)

    def batches(self, batch_size: int) -> Iterator[Inputs]:
        """The inputs, up to ``batch_size`` pictures at a time, made when they are asked for."""
        for first in range(0, len(self), batch_size):
            yield self._inputs(first, min(first + batch_size, len(self)))

    def base(self) -> Tensor | None:
        """(N, 3, S, S): the pictures that the network changes; ``None`` where it draws the whole."""
        return self._memory.base(self._joints, self._boxes, self._size)

    def _inputs(self, first: int, last: int) -> Inputs:
        if (first, last) not in self._kept:
            boxes = None if self._boxes is None else self._boxes[first:last]
            made = self._memory.inputs(self._joints[first:last], boxes, self._size)
            count = sum(tensor.numel() for tensor in made)
            if count > self._room:
                return made
            self._room -= count
            self._kept[first, last] = made
        return self._kept[first, last]
