"""Recipe: how a start wants to be personalised; kept in the start's file, so that a user need not know it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gan_meta as gm
from gan_meta.checkpoint import pair_facts
from gan_meta.models.pix2pixhd import Pix2PixHDObjective
from metapix.errors import InputError
from metapix.plain import build
from metapix.poses.pose_input import flip

LARGEST = 4096
"""Side of the largest pictures, in pixels."""


@dataclass(frozen=True)
class Recipe:
    """The game of a personalisation and the size it is played at.

    Attributes:
        size: side of the pictures that the network sees, in pixels.
        lr, discriminator_lr, schedule, batch_size: as for :class:`gan_meta.InnerLoop`.
        mirror: whether each frame is turned over half of the time.
        perceptual, perceptual_weight, pixel, feature_matching: as for :class:`Pix2PixHDObjective`.
        person_weight: how much more the pixels near the skeleton weigh in the pixel term; 0 for all alike.

    Raises:
        ValueError: for a size that no network of metapix works at.
    """

    size: int
    lr: float
    discriminator_lr: float | None = None
    schedule: str = "constant_then_linear"
    batch_size: int = 8
    mirror: bool = False
    perceptual: str | None = None
    perceptual_weight: float = 1.0
    pixel: float = 10.0
    feature_matching: float = 10.0
    person_weight: float = 0.0

    def __post_init__(self) -> None:
        if not 8 <= self.size <= LARGEST:
            raise ValueError(f"size must be 8 to {LARGEST} pixels, got {self.size}")

    def objective(self) -> Pix2PixHDObjective:
        """What both players minimise."""
        return Pix2PixHDObjective(
            feature_matching=self.feature_matching,
            perceptual=self.perceptual,
            perceptual_weight=self.perceptual_weight,
            pixel=self.pixel,
        )

    def inner(self, steps: int) -> gm.InnerLoop:
        """A game of this many steps."""
        return gm.InnerLoop(
            steps=steps,
            lr=self.lr,
            discriminator_lr=self.discriminator_lr,
            schedule=self.schedule,
            batch_size=self.batch_size,
            augment=(flip,) if self.mirror else (),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dataclasses.asdict(self)


def recipe_of(path: Path) -> Recipe:
    """The recipe that a start's file holds.

    Raises:
        FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
        InputError: when the file has none, or one that this release does not know.
    """
    kept = facts_of(path).get("recipe")
    if not isinstance(kept, Mapping):
        raise InputError(f"{path} does not say how to personalise it; use a start that metapix made")
    unknown = set(kept) - {option.name for option in dataclasses.fields(Recipe)}
    if unknown:
        raise InputError(f"{path} was made by another release of metapix: its recipe has {', '.join(sorted(unknown))}")
    return build(Recipe, kept, f"the recipe of {path}")


def facts_of(path: Path) -> Mapping[str, Any]:
    """What metapix, or whoever made the file, noted beside a pair.

    Raises:
        FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
        InputError: when it holds no pair, or its notes are no table.
    """
    facts = pair_facts(path).get("facts")
    if not isinstance(facts, Mapping):
        raise InputError(f"{path} holds no pair that says how it was made; use a file that metapix made")
    return facts
