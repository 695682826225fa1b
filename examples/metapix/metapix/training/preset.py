"""Presets: all settings of a training run in one TOML file, whose keys are the names of the constructors' arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import tomllib

import gan_meta as gm
from gan_meta.game.inner import FREEZE_D, OPTIMIZERS, PRECISIONS, UPDATES
from gan_meta.naming import unknown_name
from gan_meta.trainer import META_SCHEDULES
from gan_meta.training.outer_step import optimizer_names
from metapix.errors import InputError
from metapix.files import read_toml
from metapix.plain import OneOf, Within, build, check_fields
from metapix.poses.pose_labels import POSE_INPUTS
from metapix.recipe import MODELS, SETTINGS, Recipe

MOST_STEPS = 10**9
PRESETS = ("demo", "paper", "posewarp-demo", "posewarp-paper")
_OF_POSEWARP = "posewarp-"


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Attributes:
        pose: ``"heatmaps"`` (the paper's words) or ``"labels"`` (the released data); ``"joints"`` for Posewarp.
        people, frames, fps: drawn people, and frames of each, where no data is named.
    """

    pose: Annotated[str, OneOf(POSE_INPUTS)] = "heatmaps"
    people: Annotated[int, Within(1, 100_000)] = 32
    frames: Annotated[int, Within(2, 100_000)] = 40
    fps: Annotated[float, Within(0, 1000, above=True)] = 12.0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Inner:
    """Further arguments of :class:`gan_meta.InnerLoop`, which says what they mean; ``None``: its own default."""

    steps: Annotated[int | None, Within(0, MOST_STEPS)] = None
    optimizer: Annotated[str | None, OneOf(OPTIMIZERS)] = None
    betas: Annotated[tuple[float, float] | None, Within(0, 1)] = None
    eps: Annotated[float | None, Within(0, 1)] = None
    update: Annotated[str | None, OneOf(UPDATES)] = None
    update_ratio: Annotated[tuple[int, int] | None, Within(1, 1000)] = None
    freeze_d: Annotated[str | None, OneOf(FREEZE_D)] = None
    roles: Mapping[str, str] | None = None
    unique_samples: bool | None = None
    precision: Annotated[str | None, OneOf(PRECISIONS)] = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Pretrain:
    """Arguments of :func:`gan_meta.pretrain`; ``steps`` wins over ``epochs``."""

    epochs: Annotated[float, Within(0, 1e6, above=True)] = 10
    steps: Annotated[int | None, Within(1, MOST_STEPS)] = None
    checkpoint_every: Annotated[int, Within(1, MOST_STEPS)] = 500

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class MetaTrain:
    """Arguments of :class:`gan_meta.FewShotTasks` (``shots``), :func:`gan_meta.algorithms.create` and :class:`gan_meta.MetaTrainer`."""

    shots: Annotated[int, Within(1, 1000)] = 5
    queries: Annotated[int, Within(0, 1000)] = 0
    algorithm: Annotated[str, OneOf(gm.algorithms.available)] = "reptile"
    iterations: Annotated[int, Within(1, MOST_STEPS)] = 300
    meta_lr: Annotated[float, Within(0, 1000)] = 1.0
    meta_schedule: Annotated[str, OneOf(META_SCHEDULES)] = "linear"
    meta_batch_size: Annotated[int, Within(1, 1000)] = 1
    meta_optimizer: Annotated[str, OneOf(optimizer_names)] = "sgd"
    clip_norm: Annotated[float | None, Within(0, 1e9, above=True)] = None
    carry_optimizer: bool = False
    checkpoint_every: Annotated[int, Within(1, MOST_STEPS)] = 25

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Preset:
    """A training run.

    Attributes:
        data: what is trained on.
        model: arguments of :func:`gan_meta.models.create`, ``name`` included.
        recipe: the objective, the rates, and the size of the pictures.
        inner: further arguments of :class:`gan_meta.InnerLoop` for the games of meta-training, ``steps`` among them.
        pretrain, meta_train: the two stages.
    """

    data: Data
    model: Mapping[str, Any]
    recipe: Recipe
    inner: Mapping[str, Any] = field(default_factory=dict)
    pretrain: Pretrain = Pretrain()
    meta_train: MetaTrain = MetaTrain()

    def game(self) -> gm.InnerLoop:
        """The game of one task."""
        steps = int(self.inner.get("steps", 20))
        return dataclasses.replace(self.recipe.inner(steps), **self.inner)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**dataclasses.asdict(self), "recipe": self.recipe.as_dict()}


def load_preset(name: str, changes: Sequence[str] = (), model: str | None = None) -> Preset:
    """A preset that comes with metapix, or a TOML file of one's own, with single settings changed.

    Args:
        name: one of :data:`PRESETS`, or the path of a file that ends in ``.toml``.
        changes: ``"section.key=value"``, the value as in TOML; quotes around words may be left out, and no value at all means the
            constructor's default.
        model: what the preset must be of, and of ``"demo"`` and ``"paper"`` Posewarp's own for ``"posewarp"``; ``None``: anything.

    Raises:
        InputError: no such preset or file, not TOML, an unknown section or key (with the nearest), or a value that is refused.
    """
    name = _of_model(name, model)
    tables = _read(name)
    for change in changes:
        _change(tables, change)
    sections = {option.name for option in dataclasses.fields(Preset)}
    for section in tables:
        if section not in sections:
            raise InputError(f"{name}: {unknown_name('section', section, sections)}")
        if not isinstance(tables[section], dict):
            raise InputError(f"{name}: {section!r} must be a section, [{section}]")
    try:
        preset = Preset(
            data=build(Data, tables.get("data", {}), "[data]"),
            model=tables.get("model", {}),
            recipe=build(Recipe, tables.get("recipe", {}), "[recipe]"),
            inner=_inner(tables),
            pretrain=build(Pretrain, tables.get("pretrain", {}), "[pretrain]"),
            meta_train=build(MetaTrain, tables.get("meta_train", {}), "[meta_train]"),
        )
        preset.game()
        if model not in (None, preset.recipe.model):
            raise InputError(f"the preset {name!r} is of model {preset.recipe.model!r}, and {model!r} was asked for")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error
    return preset


def _of_model(name: str, model: str | None) -> str:
    if model is not None and model not in MODELS:
        raise InputError(unknown_name("model", model, MODELS))
    return f"{_OF_POSEWARP}{name}" if model == "posewarp" and f"{_OF_POSEWARP}{name}" in PRESETS else name


def _read(name: str) -> dict[str, Any]:
    if name in PRESETS:
        return tomllib.loads(resources.files("metapix").joinpath("presets", f"{name}.toml").read_text())
    if not name.endswith(".toml"):
        raise InputError(f"{unknown_name('preset', name, PRESETS)}, or the path of a .toml file")
    if not Path(name).is_file():
        raise InputError(f"there is no preset file {name}")
    return read_toml(Path(name))


def _change(tables: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    section, dot, option = key.strip().partition(".")
    if not (equals and dot and option):
        raise InputError(f"{change!r} does not change a setting: write section.key=value, for example recipe.size=128")
    if not value.strip():
        tables.setdefault(section, {}).pop(option, None)
        return
    tables.setdefault(section, {})[option] = _value(value.strip())


def _value(text: str) -> Any:
    """What TOML takes a text for; the text itself where that is no one value."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also a whole number of thousands of digits
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _inner(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of InnerLoop that the recipe does not have already."""
    given = tables.get("inner", {})
    for key in given:
        if key in SETTINGS:
            raise InputError(f"{key!r} is said once, in [recipe], for pretraining, meta-training and personalising alike")
    build(Inner, given, "[inner]")
    return dict(given)
