"""The two stages of a start: pretraining on everybody together, and meta-training across them; each goes on where it was interrupted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gan_meta as gm
from gan_meta.checkpoint import pair_facts
from metapix.conditioning import conditioning_of
from metapix.errors import InputError
from metapix.files import read_json, write_text
from metapix.people import on_device
from metapix.poses.pose_input import flip
from metapix.poses.pose_labels import LABEL_MODEL, pose_facts, pose_of, pose_of_model
from metapix.recipe import MODELS, Recipe, has_recipe, recipe_of
from metapix.reference import reference_of
from metapix.training.log import TrainingLog
from metapix.training.preset import Preset
from metapix.training.shown import Shown
from metapix.training.statistics import with_statistics
from metapix.training.subjects import Subject, Together

Tick = Callable[[int, int | None], None]

PRETRAINED, THETA = "pretrained.safetensors", "theta.safetensors"


def pretrain(
    preset: Preset, subjects: Sequence[Subject], out: Path, *, seed: int = 0, device: str = "cpu", sample_every: int = 100, tick: Tick
) -> Path:
    """Train a pair on all subjects together; returns the file of the start.

    Args:
        out: the run's folder, which exists; a checkpoint of an interrupted run there is taken up.
        sample_every: steps between sample pictures.

    Raises:
        InputError, CheckpointError: when settings do not fit each other, or ``out`` holds a run of other settings.
        NonFiniteLossError: when training diverges.
    """
    preset = with_statistics(preset, subjects, out)
    _claim(out, "pretrain", {**preset.as_dict(), "meta_train": None, "inner": None}, subjects, seed)
    torch.manual_seed(seed)
    pair = on_device(create_pair(preset), device)
    conditioning = conditioning_of(pair)
    samples = Together([conditioning.examples(subject.samples) for subject in subjects])
    shown = Shown(subjects, conditioning)
    inner = conditioning.fit(dataclasses.replace(preset.recipe.inner(0), augment=(flip,)))
    with TrainingLog(out, "pretrain") as log:

        def note(step: int, steps: int, losses: Mapping[str, Tensor]) -> None:
            log.add(step, {name: float(value) for name, value in losses.items()})
            if step % sample_every == 0 or step == steps:
                log.picture(step, shown.of(pair))
            tick(step, steps)

        gm.pretrain(
            pair,
            _objective(preset.recipe),
            samples,
            inner=inner,
            run_dir=out,
            seed=seed,
            on_step=note,
            **dataclasses.asdict(preset.pretrain),
        )
    return _save(pair, out / PRETRAINED, "pretrain", preset, subjects, seed)


def meta_train(
    preset: Preset,
    subjects: Sequence[Subject],
    init: Path,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    sample_every: int = 25,
    tick: Tick,
) -> Path:
    """Meta-train a start across subjects; returns the file of theta.

    Args:
        preset: its recipe should be the start's; see :func:`with_recipe_of`.
        init: the start to begin from.
        out: the run's folder, which exists; a checkpoint of an interrupted run there is taken up.
        sample_every: iterations between sample pictures, which are of a subject after a game, as theta itself draws nobody.

    Raises:
        InputError, CheckpointError: when settings do not fit each other, or ``out`` holds a run of other settings.
        NonFiniteLossError: when training diverges.
    """
    preset = with_statistics(preset, subjects, out)
    _claim(out, "meta-train", {**preset.as_dict(), "model": None, "pretrain": None}, subjects, seed)
    pair = on_device(gm.load_pair(init), device)
    _check_model(pair, preset.recipe, str(init))
    conditioning = conditioning_of(pair)
    shots, queries = preset.meta_train.shots, preset.meta_train.queries
    objective, game = _objective(preset.recipe), conditioning.fit(preset.game())
    try:
        people, names = [subject.samples for subject in subjects], [subject.name for subject in subjects]
        tasks = conditioning.tasks(people, shots, queries, names)
        algorithm = gm.algorithms.create(
            preset.meta_train.algorithm, objective=objective, inner=game, carry_optimizer=preset.meta_train.carry_optimizer
        )
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error
    shown = Shown(subjects[:1], conditioning)
    with TrainingLog(out, "meta-train") as log:

        def note(iteration: int, losses: Mapping[str, float]) -> None:
            log.add(iteration, losses)
            if iteration % sample_every == 0 or iteration == preset.meta_train.iterations:
                log.picture(iteration, shown.of(gm.adapt(pair, objective, shown.support(shots), game, seed)))
            tick(iteration, preset.meta_train.iterations)

        options = dataclasses.asdict(preset.meta_train)
        for name in ("shots", "queries", "algorithm", "carry_optimizer"):
            del options[name]
        try:
            trainer = gm.MetaTrainer(pair, algorithm, tasks, run_dir=out, seed=seed, on_iteration=note, **options)
        except ValueError as error:
            raise InputError(str(error)) from error
        trainer.fit()
    return _save(pair, out / THETA, "metapix", preset, subjects, seed)


def with_recipe_of(preset: Preset, init: Path, changed: bool) -> Preset:
    """The preset with the recipe and the pose input that a start was trained with; its own recipe where the start's file has none.

    Args:
        changed: whether the user changed the recipe, which is then kept but for the size and the pose.

    Raises:
        FileNotFoundError, CheckpointError, InputError: as :func:`metapix.recipe.recipe_of`.
    """
    pose = pose_of_model(pair_facts(init)["model"])
    if not has_recipe(init):  # published weights, converted
        return dataclasses.replace(preset, data=dataclasses.replace(preset.data, pose=pose))
    recipe = recipe_of(init)
    kept = dataclasses.replace(preset.recipe, size=recipe.size, statistics=recipe.statistics) if changed else recipe
    return dataclasses.replace(preset, recipe=kept, data=dataclasses.replace(preset.data, pose=pose))


def create_pair(preset: Preset) -> gm.GANPair:
    """An untrained pair of a preset's model, from the global random state.

    Raises:
        InputError: when the arguments do not fit the model, or the model the pose input.
    """
    arguments = dict(preset.model)
    name = str(arguments.pop("name", "pix2pixhd"))
    if preset.data.pose == "labels" and name == "pix2pixhd":
        name = LABEL_MODEL
    try:
        pair = gm.models.create(name, **arguments)
    except (ValueError, TypeError) as error:
        raise InputError(f"[model]: {error}") from error
    if reference_of(pair) != "none" or (pose_of(pair) != "joints" and "pose_channels" not in pair.model_arguments):
        raise InputError(
            f"[model]: {name!r} takes more than poses; `metapix pretrain` trains {', '.join(MODELS)} (see `metapix train-start`)"
        )
    _check_model(pair, preset.recipe, "[model]")
    if pose_of(pair) != preset.data.pose:
        raise InputError(f"[model]: {name!r} takes its poses as {pose_of(pair)}, and [data] says pose = {preset.data.pose!r}")
    return pair


def _check_model(pair: gm.GANPair, recipe: Recipe, where: str) -> None:
    if (pose_of(pair) == "joints") != (recipe.model == "posewarp"):
        raise InputError(f"{where}: the pair is built as {pair.model_name!r}, and [recipe] says model = {recipe.model!r}; make them one")


def _objective(recipe: Recipe) -> gm.Objective:
    try:
        return recipe.objective()
    except (ValueError, ImportError) as error:
        raise InputError(str(error)) from error


def _claim(out: Path, stage: str, settings: Mapping[str, Any], subjects: Sequence[Subject], seed: int) -> None:
    """Refuse a folder with a run of other settings before anything in it is touched."""
    path = out / f"{stage}.json"
    people = [[subject.name, len(subject.samples)] for subject in subjects]
    now = json.loads(json.dumps({"settings": {**settings, "seed": seed}, "people": people}))
    if path.is_file():
        before = read_json(path, dict, "give another folder with --out")
        if before != now:
            raise InputError(f"{out} holds a run of other settings or data (see {path.name} there); give another folder with --out")
    write_text(path, json.dumps(now, indent=1) + "\n")


def _save(pair: gm.GANPair, path: Path, start: str, preset: Preset, subjects: Sequence[Subject], seed: int) -> Path:
    facts = {
        "start": start,
        "recipe": preset.recipe.as_dict(),
        "pose": pose_facts(pair),
        "settings": preset.as_dict(),
        "seed": seed,
        "trained_on": [subject.name for subject in subjects],
        "frames": sum(len(subject.samples) for subject in subjects),
    }
    gm.save_pair(pair.to("cpu"), path, facts, preset.recipe.extra())
    return path
