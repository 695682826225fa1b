"""The two stages of a start: pretraining on everybody together, and meta-training across them; each goes on where it was interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gan_meta as gm
from gan_meta.checkpoint import CheckpointError, pair_facts
from gan_meta.distributed import ALONE, World
from gan_meta.models.outline import outline
from metapix.conditioning import conditioning_of
from metapix.data.limits import check_room
from metapix.errors import InputError
from metapix.people import check_model, objective_of, on_device
from metapix.poses.pose_input import flip
from metapix.poses.pose_labels import LABEL_MODEL, pose_facts, pose_of, pose_of_model
from metapix.ranks import in_turn
from metapix.recipe import MODELS, has_recipe, recipe_of
from metapix.reference import reference_of
from metapix.room import check_game
from metapix.training.claim import claim
from metapix.training.log import TrainingLog
from metapix.training.preset import Preset
from metapix.training.run_options import USUAL, RunOptions
from metapix.training.shown import Shown
from metapix.training.statistics import with_statistics
from metapix.training.subjects import Subject, Together, samples_on

Tick = Callable[[int, int | None], None]

_MOST_WEIGHTS = 2 * 10**9
"""The paper's pair has 188 million; a preset from somebody else may ask for more memory than there is."""

PRETRAINED, THETA = "pretrained.safetensors", "theta.safetensors"


def pretrain(
    preset: Preset,
    subjects: Sequence[Subject],
    out: Path,
    *,
    seed: int = 0,
    world: World = ALONE,
    options: RunOptions = USUAL,
    tick: Tick,
) -> Path:
    """Train a pair on all subjects together; returns the file of the start.

    Args:
        out: the run's folder, which exists; a checkpoint of an interrupted run there is taken up.
        world: the processes that share each batch; the first alone reads and writes ``out``.

    Raises:
        InputError, CheckpointError: when settings do not fit each other, or ``out`` holds a run of other settings.
        NonFiniteLossError: when training diverges.
        TrainingInterrupted: when it was asked to stop.
    """
    given, settings = preset, {**preset.as_dict(), "meta_train": None, "inner": None}
    world.on_first(lambda: claim(out, "pretrain", settings, subjects, seed, options.resume, PRETRAINED))
    preset = in_turn(world, lambda: with_statistics(given, subjects, out))
    torch.manual_seed(seed)
    pair, objective = in_turn(world, lambda: (on_device(create_pair(preset), str(world.device)), objective_of(preset.recipe)))
    conditioning = conditioning_of(pair)
    check_game(pair, preset.recipe, preset.recipe.batch_size, "[recipe]")
    samples = Together([conditioning.examples(samples) for samples in samples_on(subjects, world.device)])
    shown = Shown(subjects, conditioning)
    inner = conditioning.fit(dataclasses.replace(preset.recipe.inner(0), augment=(flip,)))
    with TrainingLog(out, "pretrain", options, is_active=world.is_first) as log, _refused(ValueError):

        def note(step: int, steps: int, losses: Mapping[str, Tensor]) -> None:
            log.add(step, {name: float(value) for name, value in losses.items()})
            log.picture(step, steps, lambda: shown.of(pair))
            tick(step, steps)

        gm.pretrain(
            pair,
            objective,
            samples,
            inner=inner,
            run_dir=out,
            seed=seed,
            on_step=note,
            **_kept(options),
            resume=options.resume,
            **dataclasses.asdict(preset.pretrain),
        )
    return _save(pair, out / PRETRAINED, "pretrain", preset, subjects, seed, world)


def meta_train(
    preset: Preset,
    subjects: Sequence[Subject],
    init: Path,
    out: Path,
    *,
    seed: int = 0,
    world: World = ALONE,
    parallel: str = "auto",
    options: RunOptions = USUAL,
    tick: Tick,
) -> Path:
    """Meta-train a start across subjects; returns the file of theta.

    Args:
        preset: its recipe should be the start's; see :func:`with_recipe_of`.
        init: the start to begin from.
        out: the run's folder, which exists; a checkpoint of an interrupted run there is taken up.
        world, parallel: the processes, and how they share the work, as for :class:`gan_meta.MetaTrainer`; the first alone reads
            and writes ``out``.
        options: sample pictures are of a subject after a game, as theta itself draws nobody.

    Raises:
        InputError, CheckpointError: when settings do not fit each other, or ``out`` holds a run of other settings.
        NonFiniteLossError: when training diverges.
        TrainingInterrupted: when it was asked to stop.
    """
    given, settings = preset, {**preset.as_dict(), "model": None, "pretrain": None}
    world.on_first(lambda: claim(out, "meta-train", settings, subjects, seed, options.resume, THETA))
    preset = in_turn(world, lambda: with_statistics(given, subjects, out))
    iterations = preset.meta_train.iterations
    with TrainingLog(out, "meta-train", options, is_active=world.is_first) as log:

        def note(iteration: int, losses: Mapping[str, float]) -> None:
            log.add(iteration, losses)
            log.picture(iteration, iterations, lambda: _adapted(trainer, subjects[:1], preset.meta_train.shots, seed))
            tick(iteration, iterations)

        kept = {**_kept(options), "run_dir": out, "parallel": parallel, "on_iteration": note}
        trainer = in_turn(world, lambda: _trainer(preset, subjects, init, seed, str(world.device), kept))
        with _refused(ValueError):
            trainer.fit(options.resume)
    return _save(trainer.pair, out / THETA, "metapix", preset, subjects, seed, world)


def with_recipe_of(preset: Preset, init: Path, changed: bool) -> Preset:
    """The preset with the recipe and the pose input that a start was trained with; its own recipe where the start's file has none.

    Args:
        changed: whether the user changed the recipe, which is then kept but for the size and the pose.

    Raises:
        FileNotFoundError, CheckpointError, InputError: as :func:`metapix.recipe.recipe_of`.
    """
    pose = pose_of_model(str(pair_facts(init).get("model")))
    if not has_recipe(init):  # published weights, converted
        return dataclasses.replace(preset, data=dataclasses.replace(preset.data, pose=pose))
    recipe = recipe_of(init)
    kept = dataclasses.replace(preset.recipe, size=recipe.size, statistics=recipe.statistics) if changed else recipe
    return dataclasses.replace(preset, recipe=kept, data=dataclasses.replace(preset.data, pose=pose))


def create_pair(preset: Preset) -> gm.GANPair:
    """An untrained pair of a preset's model, from the global random state.

    Raises:
        InputError: as :func:`plan_pair`, or when there is no room for it.
    """
    planned = plan_pair(preset)
    weights = sum(weight.numel() for weight in planned.parameters())
    check_room(4 * weights, f"a pair of {weights:,} weights")
    return gm.models.create(str(planned.model_name), **planned.model_arguments)


def plan_pair(preset: Preset) -> gm.GANPair:
    """A preset's pair, shapes only; to be asked for before the long work.

    Raises:
        InputError: when the arguments do not fit the model, or the model the pose input.
    """
    arguments = dict(preset.model)
    name = str(arguments.pop("name", "pix2pixhd"))
    if preset.data.pose == "labels" and name == "pix2pixhd":
        name = LABEL_MODEL
    try:
        pair = outline(name, arguments)
        weights = sum(weight.numel() for weight in pair.parameters())
        if weights > _MOST_WEIGHTS:
            raise InputError(f"a pair of {weights:,} weights; {_MOST_WEIGHTS:,} can be trained here")
    except (ValueError, TypeError) as error:
        raise InputError(f"[model]: {error}") from error
    if reference_of(pair) != "none" or (pose_of(pair) != "joints" and "pose_channels" not in pair.model_arguments):
        raise InputError(
            f"[model]: {name!r} takes more than poses; `metapix pretrain` trains {', '.join(MODELS)} (see `metapix train-start`)"
        )
    check_model(pair, preset.recipe, "[model]")
    if pose_of(pair) != preset.data.pose:
        raise InputError(f"[model]: {name!r} takes its poses as {pose_of(pair)}, and [data] says pose = {preset.data.pose!r}")
    return pair


def _trainer(preset: Preset, subjects: Sequence[Subject], init: Path, seed: int, device: str, kept: Mapping[str, Any]) -> gm.MetaTrainer:
    """The trainer of these settings, from the start in a file."""
    pair = on_device(gm.load_pair(init).float(), device)
    check_model(pair, preset.recipe, str(init))
    conditioning = conditioning_of(pair)
    check_game(pair, preset.recipe, conditioning.count(preset.meta_train.shots), "[recipe]", preset.game().precision)
    options = dataclasses.asdict(preset.meta_train)
    shots, queries, name, carry = (options.pop(key) for key in ("shots", "queries", "algorithm", "carry_optimizer"))
    objective, game = objective_of(preset.recipe), conditioning.fit(preset.game())
    people, names = samples_on(subjects, device), [subject.name for subject in subjects]
    with _refused(ValueError, TypeError):
        tasks = conditioning.tasks(people, shots, queries, names)
        algorithm = gm.algorithms.create(name, objective=objective, inner=game, carry_optimizer=carry)
        return gm.MetaTrainer(pair, algorithm, tasks, seed=seed, **options, **kept)


def _adapted(trainer: gm.MetaTrainer, subjects: Sequence[Subject], shots: int, seed: int) -> Tensor:
    """Sample pictures of the first subject after a game from theta."""
    shown, algorithm = Shown(subjects, conditioning_of(trainer.pair)), trainer.algorithm
    return shown.of(gm.adapt(trainer.pair, algorithm.objective, shown.support(shots), algorithm.inner, seed))


def _kept(options: RunOptions) -> dict[str, Any]:
    """What the library's trainers are told to keep."""
    return {"logs": options.library_logs, "keep": options.keep, "profile": options.profile}


@contextlib.contextmanager
def _refused(*errors: type[Exception]) -> Iterator[None]:
    """What the library refuses in settings or data was given by the user."""
    try:
        yield
    except CheckpointError:
        raise
    except errors as error:
        raise InputError(str(error)) from error


def _save(pair: gm.GANPair, path: Path, start: str, preset: Preset, subjects: Sequence[Subject], seed: int, world: World) -> Path:
    """Write a start, by the first process."""
    facts = {
        "start": start,
        "recipe": preset.recipe.as_dict(),
        "pose": pose_facts(pair),
        "settings": preset.as_dict(),
        "seed": seed,
        "trained_on": [subject.name for subject in subjects],
        "frames": sum(len(subject.samples) for subject in subjects),
    }
    world.on_first(lambda: gm.save_pair(pair.to("cpu"), path, facts, preset.recipe.extra()))
    return path
