"""Presets: all settings of a training run in one TOML file, whose keys are the names of the constructors' arguments."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import tomllib

import gan_meta as gm
from gan_meta.naming import unknown_name
from metapix.errors import InputError
from metapix.poses.pose_labels import POSE_INPUTS
from metapix.recipe import MODELS, SETTINGS, Recipe

T = TypeVar("T")

PRESETS = ("demo", "paper", "posewarp-demo", "posewarp-paper")
_OF_POSEWARP = "posewarp-"


@dataclass(frozen=True)
class Data:
    """What is trained on.

    Attributes:
        pose: ``"heatmaps"`` (the paper's words) or ``"labels"`` (the released data); ``"joints"`` for Posewarp.
        people, frames, fps: drawn people, and frames of each, where no data is named.
    """

    pose: str = "heatmaps"
    people: int = 32
    frames: int = 40
    fps: float = 12.0


@dataclass(frozen=True)
class Pretrain:
    """Arguments of :func:`gan_meta.pretrain`; ``steps`` wins over ``epochs``."""

    epochs: float = 10
    steps: int | None = None
    checkpoint_every: int = 500


@dataclass(frozen=True)
class MetaTrain:
    """Arguments of :class:`gan_meta.FewShotTasks` (``shots``), :func:`gan_meta.algorithms.create` and :class:`gan_meta.MetaTrainer`."""

    shots: int = 5
    queries: int = 0
    algorithm: str = "reptile"
    iterations: int = 300
    meta_lr: float = 1.0
    meta_schedule: str = "linear"
    meta_batch_size: int = 1
    meta_optimizer: str = "sgd"
    clip_norm: float | None = None
    carry_optimizer: bool = False
    checkpoint_every: int = 25


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
            data=_build(Data, "data", tables),
            model=tables.get("model", {}),
            recipe=_build(Recipe, "recipe", tables),
            inner=_inner(tables),
            pretrain=_build(Pretrain, "pretrain", tables),
            meta_train=_build(MetaTrain, "meta_train", tables),
        )
        if preset.data.pose not in POSE_INPUTS:
            raise InputError(unknown_name("pose input", preset.data.pose, POSE_INPUTS))
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
    try:
        return tomllib.loads(Path(name).read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not TOML: {error}") from error


def _change(tables: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    section, dot, option = key.strip().partition(".")
    if not (equals and dot and option):
        raise InputError(f"{change!r} does not change a setting: write section.key=value, for example recipe.size=128")
    if not value.strip():
        tables.setdefault(section, {}).pop(option, None)
        return
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    tables.setdefault(section, {})[option] = parsed


def _build(kind: type[T], section: str, tables: Mapping[str, Any]) -> T:
    known = set(SETTINGS) if kind is Recipe else set(inspect.signature(kind).parameters)
    given = tables.get(section, {})
    for key in given:
        if key not in known:
            raise InputError(unknown_name(f"key of [{section}]", key, known))
    return kind(**given)


def _inner(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of InnerLoop that the recipe does not have already."""
    given = dict(tables.get("inner", {}))
    ours = set(SETTINGS)
    known = {option.name for option in dataclasses.fields(gm.InnerLoop)} - ours - {"random_augment"}
    for key in given:
        if key in ours:
            raise InputError(f"{key!r} is said once, in [recipe], for pretraining, meta-training and personalising alike")
        if key not in known:
            raise InputError(unknown_name("key of [inner]", key, known))
    return given
