"""Performer: a personalised model, or the puppet alone, drawing its person in any pose at any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import gan_meta as gm
from gan_meta.checkpoint import load_extra, pair_facts
from metapix.conditioning import Memory, Poses, conditioning_of
from metapix.conditioning.on_reference import OnReference
from metapix.data.clip import Clip, scale_joints
from metapix.errors import InputError
from metapix.personalize import draw
from metapix.poses.pose_labels import check_pose_facts

_AT_ONCE = 16


class Performer:
    """Draws one person in poses given in the pixels of the K frames.

    A network that was trained at a smaller size than the K frames have is asked at its own size. What it changes in its
    reference there is enlarged and added to the reference at the full size, which stays as sharp as the frames are.

    Args:
        shots: the K frames at the size of the pictures to come.
        pair: the personalised pair; ``None`` for the puppet alone.
        network_size: the size that the pair was trained at; default the frames' own.
        choice: what the personalisation says of itself: ``"steps"`` taken, and the ``"strength"`` of a pair with a reference.
        source: which of the K frames a Posewarp pair draws a pose from, as for :func:`metapix.conditioning.conditioning_of`.
    """

    def __init__(
        self,
        shots: Clip,
        pair: gm.GANPair | None = None,
        network_size: int | None = None,
        choice: Mapping[str, float] | None = None,
        source: str = "nearest",
    ) -> None:
        self.shots = shots
        self.choice = dict(choice or {})
        self.pair = pair
        self.network_size = shots.size if network_size is None else network_size
        # Without a pair nothing is learned, and the puppet is all there is.
        conditioning = OnReference("puppet") if pair is None else conditioning_of(pair, source)
        self._large: Memory = conditioning.memory(shots)
        same = self.network_size == shots.size
        self._small = self._large if same else conditioning.memory(shots.resized(self.network_size))

    def perform(self, joints: Tensor, boxes: Tensor | None = None) -> Iterator[Tensor]:
        """Draw the person in these poses, some at a time.

        Args:
            joints: (N, 18, 3) in pixels of the K frames' size.
            boxes: (N, 3) each picture's part of the camera's picture; ``None``: the K frames' own.

        Yields:
            (n, 3, S, S) float32, about [-1, 1].
        """
        for first in range(0, len(joints), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            yield self._draw(joints[part], None if boxes is None else boxes[part])

    def _draw(self, joints: Tensor, boxes: Tensor | None) -> Tensor:
        size = self.shots.size
        base = self._large.base(joints, boxes, size)
        if base is None:
            base = torch.zeros(len(joints), 3, size, size)
        if self.pair is None:
            return base
        small = Poses(self._small, scale_joints(joints, self.network_size / size), self.network_size, boxes)
        drawn, small_base = draw(self.pair, small), small.base()
        return base + _enlarged(drawn if small_base is None else drawn - small_base, size)


def save_performer(path: Path, pair: gm.GANPair, shots: Clip, facts: dict[str, object]) -> None:
    """Keep a personalised pair with its K frames: the frames are part of the model, since references are made from them."""
    extra = {"frames": shots.frames, "joints": shots.joints}
    extra.update({name: tensor for name, tensor in (("masks", shots.masks), ("boxes", shots.boxes)) if tensor is not None})
    gm.save_pair(pair, path, {**facts, "clip": shots.name, "fps": shots.fps, "kind": shots.kind}, extra)


def load_performer(path: Path) -> Performer:
    """What :func:`save_performer` kept.

    Raises:
        FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
        InputError: when it holds a start rather than a personalised model, or was trained on another skeleton.
    """
    pair, extra, facts = gm.load_pair(path), load_extra(path), pair_facts(path)["facts"]
    if "frames" not in extra:
        raise InputError(f"{path} is a start, not a personalised model; run `metapix personalize` first")
    check_pose_facts(path, facts.get("pose"))
    shots = Clip(facts["clip"], extra["frames"], extra["joints"], facts["fps"], extra.get("masks"), extra.get("boxes"), facts["kind"])
    choice = {name: facts[name] for name in ("steps", "strength") if name in facts}
    return Performer(shots, pair, int(facts["size"]), choice, str(facts.get("source", "nearest")))


def _enlarged(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, size=(size, size), mode="bicubic", align_corners=False)
