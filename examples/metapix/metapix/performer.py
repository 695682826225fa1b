"""Performer: a personalised model, or the puppet alone, drawing its person in any pose at any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

import gan_meta as gm
from gan_meta.checkpoint import load_extra
from metapix.conditioning import Memory, Poses, conditioning_of
from metapix.conditioning.from_source import SOURCES
from metapix.conditioning.on_reference import OnReference
from metapix.data.clip import KINDS, LARGEST, SMALLEST, Clip, check_clip, scale_joints
from metapix.errors import InputError
from metapix.personalize import draw
from metapix.plain import OneOf, Within, build, check_fields
from metapix.poses.pose_input import to_bytes
from metapix.poses.pose_labels import check_pose_facts
from metapix.recipe import facts_of
from metapix.room import check_drawing

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

        Raises:
            InputError: when the network draws what is no picture.
        """
        is_checked = self.pair is None
        for first in range(0, len(joints), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            images = self._draw(joints[part], None if boxes is None else boxes[part])
            somebody = (joints[part, :, 2] > 0).any(1)
            if not is_checked and somebody.any():
                check_drawn(images[somebody], self.shots)
                is_checked = True
            if not images.isfinite().all():
                raise InputError(f"the model of {self.shots.name!r} draws values that are no numbers; personalise it again")
            yield images

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


def check_drawn(images: Tensor, shots: Clip) -> None:
    """Pictures of one colour each are what weights that are none draw, unless the person's own frames are of one colour, too.

    Args:
        images: (N, 3, S, S) about [-1, 1], as the model draws them.
        shots: the K frames.

    Raises:
        InputError: when they are that.
    """
    if _is_flat(to_bytes(images.nan_to_num())) and not _is_flat(shots.frames):
        raise InputError(f"the model of {shots.name!r} draws pictures of one colour and nobody in them; personalise another start")


def _is_flat(pictures: Tensor) -> bool:
    values = pictures.flatten(2)
    return bool((values.amax(2) == values.amin(2)).all())


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
    pair, extra, facts = gm.load_pair(path).float(), load_extra(path), facts_of(path)
    if "frames" not in extra:
        raise InputError(f"{path} is a start, not a personalised model; run `metapix personalize` first")
    check_pose_facts(path, facts.get("pose"))
    noted = {name: facts.get(name) for name in ("clip", "fps", "kind", "size", "steps", "strength", "source")}
    kept = build(_Kept, {name: value for name, value in noted.items() if value is not None}, f"the model {path}")
    try:
        shots = Clip(kept.clip, extra["frames"], extra["joints"], kept.fps, extra.get("masks"), extra.get("boxes"), kept.kind)
        check_clip(shots)
    except (LookupError, ValueError) as error:
        raise InputError(f"{path} is damaged: the frames of its person cannot be used ({error})") from error
    check_drawing(pair, kept.size, str(path))
    choice = {name: value for name, value in (("steps", kept.steps), ("strength", kept.strength)) if value is not None}
    return Performer(shots, pair, kept.size, choice, kept.source)


@dataclass(frozen=True)
class _Kept:
    """What a model's file notes of itself, as far as it is read here."""

    clip: str
    fps: Annotated[float, Within(0, 1000, above=True)]
    kind: Annotated[str, OneOf(KINDS)]
    size: Annotated[int, Within(SMALLEST, LARGEST)]
    steps: Annotated[int | None, Within(0, 10**9)] = None
    strength: Annotated[float | None, Within(0, 1)] = None
    source: Annotated[str, OneOf(SOURCES)] = "nearest"

    def __post_init__(self) -> None:
        check_fields(self)


def _enlarged(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, size=(size, size), mode="bicubic", align_corners=False)
