"""Recipe: how a start wants to be personalised; kept in the start's file, so that a user need not know it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor, nn

import gan_meta as gm
from gan_meta.checkpoint import load_extra, pair_facts
from gan_meta.game.inner import SCHEDULES
from gan_meta.models.pix2pixhd import Pix2PixHDObjective
from gan_meta.models.posewarp import PosewarpAugmentation, PosewarpObjective
from gan_meta.models.posewarp.features import POSEWARP_FEATURES, posewarp_features
from gan_meta.models.posewarp.inputs import image_size
from gan_meta.naming import unknown_name
from metapix.conditioning.from_source import limb_width
from metapix.data.clip import LARGEST, SMALLEST
from metapix.errors import InputError
from metapix.plain import OneOf, Within, build, check_fields
from metapix.poses.pose_input import flip

STATISTICS = "statistics."
"""Prefix of the response statistics among a start's further tensors."""
MOST_LR, MOST_WEIGHT, MOST_SAMPLES = 10.0, 1e6, 4096
"""Beyond these no game has gone well: learning rates, weights of losses' terms, and samples of a batch."""
PERCEPTUAL = POSEWARP_FEATURES
"""Networks whose features can be compared; the same for both models."""


MODELS = ("pix2pixhd", "posewarp")
"""The models that MetaPix trains and personalises."""


@dataclass(frozen=True)
class Recipe:
    """The game of a personalisation and the size it is played at.

    Attributes:
        size: side of the pictures that the network sees, in pixels; for Posewarp a multiple of 32.
        lr, discriminator_lr, schedule, batch_size: as for :class:`gan_meta.InnerLoop`.
        mirror: whether each frame is turned over half of the time.
        perceptual, perceptual_weight, pixel: as for the model's objective.
        feature_matching: as for :class:`Pix2PixHDObjective`; Posewarp has none.
        person_weight: how much more the pixels near the skeleton weigh in the pixel term; 0 for all alike.
        model: whose objective it is: ``"pix2pixhd"`` or ``"posewarp"``.
        adversarial_weight: of the adversarial term, for a pair with a discriminator; the model's own by default.
        augment: Posewarp's published random change of every pair of frames.
        statistics: response statistics, (2, C) a map of Posewarp's features, which are compared as they are without; not a setting.

    Raises:
        ValueError: for a value out of its range, an unknown name, what the model does not have, a size that no network of metapix works
            at, or statistics that are none.
    """

    size: Annotated[int, Within(SMALLEST, LARGEST)]
    lr: Annotated[float, Within(0, MOST_LR)]
    discriminator_lr: Annotated[float | None, Within(0, MOST_LR)] = None
    schedule: Annotated[str, OneOf(SCHEDULES)] = "constant_then_linear"
    batch_size: Annotated[int, Within(1, MOST_SAMPLES)] = 8
    mirror: bool = False
    perceptual: Annotated[str | None, OneOf(PERCEPTUAL)] = None
    perceptual_weight: Annotated[float, Within(0, MOST_WEIGHT)] = 1.0
    pixel: Annotated[float, Within(0, MOST_WEIGHT)] = 10.0
    feature_matching: Annotated[float, Within(0, MOST_WEIGHT)] = 10.0
    person_weight: Annotated[float, Within(0, MOST_WEIGHT)] = 0.0
    model: Annotated[str, OneOf(MODELS)] = "pix2pixhd"
    adversarial_weight: Annotated[float | None, Within(0, MOST_WEIGHT)] = None
    augment: bool = False
    statistics: tuple[Tensor, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self)
        _check_statistics(self.statistics)
        if self.model == "posewarp":
            image_size(self.size)
        elif self.augment:
            raise ValueError(f"augment=true is Posewarp's way to change pairs of frames; model {self.model!r} has mirror=true")

    def objective(self) -> gm.Objective:
        """What both players minimise."""
        return _OBJECTIVES[self.model](self)

    def inner(self, steps: int) -> gm.InnerLoop:
        """A game of this many steps."""
        return gm.InnerLoop(
            steps=steps,
            lr=self.lr,
            discriminator_lr=self.discriminator_lr,
            schedule=self.schedule,
            batch_size=self.batch_size,
            augment=(flip,) if self.mirror else (),
            random_augment=PosewarpAugmentation() if self.augment else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form of the settings."""
        return {name: getattr(self, name) for name in SETTINGS}

    def extra(self) -> dict[str, Tensor]:
        """The tensors that belong to it, by the names they have in a start's file."""
        return {f"{STATISTICS}{number}": table for number, table in enumerate(self.statistics)}


SETTINGS = tuple(option.name for option in dataclasses.fields(Recipe) if option.name != "statistics")


def _pix2pixhd(recipe: Recipe) -> gm.Objective:
    return Pix2PixHDObjective(
        feature_matching=recipe.feature_matching,
        perceptual=recipe.perceptual,
        perceptual_weight=recipe.perceptual_weight,
        pixel=recipe.pixel,
        adversarial_weight=1.0 if recipe.adversarial_weight is None else recipe.adversarial_weight,
    )


def _posewarp(recipe: Recipe) -> gm.Objective:
    features: str | nn.Module | None = recipe.perceptual
    if features is not None and not recipe.statistics:
        features = posewarp_features(str(features))
    return PosewarpObjective(
        features,
        recipe.statistics or None,
        perceptual_weight=recipe.perceptual_weight,
        pixel=recipe.pixel,
        adversarial_weight=0.1 if recipe.adversarial_weight is None else recipe.adversarial_weight,
        limb_width=limb_width(recipe.size),
    )


def _check_statistics(tables: tuple[Tensor, ...]) -> None:
    """Response statistics are a mean and a spread for each channel of each map."""
    for number, table in enumerate(tables):
        if table.ndim != 2 or len(table) != 2 or not table.is_floating_point() or not table.isfinite().all() or (table[1] < 0).any():
            wanted = "(2, C) finite numbers, a mean and a spread of 0 or more for each channel"
            raise ValueError(f"the response statistics of map {number} must be {wanted}; got {tuple(table.shape)} {table.dtype}")


_OBJECTIVES = {"pix2pixhd": _pix2pixhd, "posewarp": _posewarp}


def has_recipe(path: Path) -> bool:
    """Whether a start's file says how to personalise it; converted files of published weights do not."""
    return "recipe" in facts_of(path)


def model_of(path: Path) -> str:
    """Which of :data:`MODELS` the pair in a file is of.

    Raises:
        FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
    """
    return "posewarp" if pair_facts(path).get("model") == "posewarp" else "pix2pixhd"


def start_model(path: Path, asked: str | None) -> str:
    """The model of a start's file, which must be the one that was asked for, if any.

    Raises:
        FileNotFoundError, CheckpointError: as :func:`model_of`.
        InputError: when it is another.
    """
    if asked is not None and asked not in MODELS:
        raise InputError(unknown_name("model", asked, MODELS))
    found = model_of(path)
    if asked not in (None, found):
        raise InputError(f"{path} holds a {found} pair, and {asked!r} was asked for; give another file, or another --model")
    return found


def recipe_of(path: Path) -> Recipe:
    """The recipe that a start's file holds.

    Raises:
        FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
        InputError: when the file has none, or one that this release does not know.
    """
    kept = facts_of(path).get("recipe")
    if not isinstance(kept, Mapping):
        raise InputError(f"{path} does not say how to personalise it; use a start that metapix made")
    unknown = set(kept) - set(SETTINGS)
    if unknown:
        raise InputError(f"{path} was made by another release of metapix: its recipe has {', '.join(sorted(unknown))}")
    tables = {name.removeprefix(STATISTICS): table for name, table in load_extra(path).items() if name.startswith(STATISTICS)}
    try:
        statistics = tuple(tables[str(number)] for number in range(len(tables)))
    except KeyError as error:
        raise InputError(f"{path} is damaged: it lacks the response statistics of map {error}") from error
    return build(Recipe, kept, f"the recipe of {path}", statistics=statistics)


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
