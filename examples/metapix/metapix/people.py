"""What the commands for people of one's own do: load a start, personalise it, score it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import gan_meta as gm
from metapix.choice import personalize_by_choice
from metapix.conditioning import Conditioning, conditioning_of
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.files import writable
from metapix.held_out import HeldOut, Report
from metapix.performer import check_drawn, save_performer
from metapix.personalize import generate, pose_inputs
from metapix.personalize import personalize as play
from metapix.poses.pose_labels import check_pose_facts, pose_facts, pose_of
from metapix.recipe import Recipe, facts_of, recipe_of, start_model
from metapix.reference import REFERENCE_CHANNELS, reference_of
from metapix.room import check_drawing, check_game

Tick = Callable[[int, int | None], None]


def start_with_recipe(path: Path, reference: str | None, device: str = "cpu", model: str | None = None) -> tuple[gm.GANPair, Recipe]:
    """A start and how it wants to be personalised.

    Args:
        reference, model: insist on these; ``None``: whatever the start has.

    Raises:
        FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
        InputError: when it has no recipe, another skeleton, another reference or model than the one insisted on, or there is no such
            device.
    """
    if reference is not None and reference not in REFERENCE_CHANNELS:
        raise InputError(f"unknown reference {reference!r}; known: {', '.join(REFERENCE_CHANNELS)}")
    start_model(path, model)
    recipe, start = recipe_of(path), gm.load_pair(path).float()  # whatever it was saved in
    check_pose_facts(path, facts_of(path).get("pose"))
    if reference is not None and reference != reference_of(start):
        raise InputError(f"{path} was trained with the reference {reference_of(start)!r}, not {reference!r}; use another start")
    check_model(start, recipe, str(path))
    check_drawing(start, recipe.size, str(path))
    return on_device(start, device), recipe


def check_model(pair: gm.GANPair, recipe: Recipe, where: str) -> None:
    """See that a recipe is of the pair's model.

    Raises:
        InputError: when it is not.
    """
    if (pose_of(pair) == "joints") != (recipe.model == "posewarp"):
        raise InputError(f"{where}: the pair is built as {pair.model_name!r}, and its recipe says model = {recipe.model!r}; make them one")
    if recipe.model == "posewarp" and pair.discriminator is not None and pair.model_arguments.get("size") != recipe.size:
        built = pair.model_arguments.get("size")
        raise InputError(f"{where}: its discriminator is built for {built} pixels, and its recipe says size = {recipe.size}; make them one")


def on_device(pair: gm.GANPair, device: str) -> gm.GANPair:
    """The pair, moved to a device.

    Raises:
        InputError: when there is no such device.
    """
    try:
        return pair.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"cannot work on the device {device!r}: {str(error).splitlines()[0]}") from error


@dataclasses.dataclass(frozen=True)
class Personalized:
    """What a personalisation came to.

    Attributes:
        steps: the steps taken.
        held_out_psnr: {steps: mean PSNR on the held-out frames}; empty without such frames.
    """

    steps: int
    held_out_psnr: dict[int, float]


def personalize_to(
    start: gm.GANPair,
    recipe: Recipe,
    shots: Clip,
    steps: int,
    out: Path,
    *,
    choosing: bool = False,
    keep_best: bool = False,
    held_out: Clip | None = None,
    source: str = "nearest",
    seed: int = 0,
    tick: Tick | None = None,
    report: Report | None = None,
) -> Personalized:
    """Adapt a start to a person and save it with the K frames.

    Args:
        shots: the K frames at the size of the videos to come.
        choosing: take the number of steps, up to ``steps``, that leaving one frame out recommends; the rate is constant then.
        keep_best: keep the step whose held-out score is best, rather than the last one.
        held_out: frames of the person that are not learnt from, to be scored on the way.
        source: which of the K frames a Posewarp pair draws a pose from: the ``"nearest"``, or always the ``"first"``.
        report: told each score on the held-out frames.

    Raises:
        InputError: when the file cannot be written, the source is unknown, the best step is to be kept and no frame is held out, there is
            no room for the game, or what was adapted draws nothing.
    """
    writable(out)
    if keep_best and choosing:
        raise InputError("--choose and --keep-best are two ways to find the number of steps; use one of them")
    if keep_best and held_out is None:
        raise InputError(f"the best step is found on frames that are not learnt from, and all {len(shots)} are; ask for fewer --frames")
    conditioning = conditioning_by(start, source)
    check_game(start, recipe, conditioning.count(len(shots)), f"a start's recipe and {len(shots)} frames")
    small, objective = shots.resized(recipe.size), objective_of(recipe)
    score = None if held_out is None else HeldOut(start, small, held_out.resized(recipe.size), report, conditioning)

    def note(step: int, pair: gm.GANPair, *_: object) -> None:
        if score is not None:
            score.look(step, pair, steps)
        if tick is not None:
            tick(step, steps)

    facts: dict[str, Any] = {"size": recipe.size, "seed": seed, "recipe": recipe.as_dict(), "pose": pose_facts(start), "source": source}
    if choosing:
        inner = dataclasses.replace(recipe.inner(steps), schedule="constant")
        adapted, chosen = personalize_by_choice(start, small, objective, inner, seed, note, recipe.person_weight, conditioning)
        taken, facts["strength"] = chosen.steps, chosen.strength
        facts["held_out_gains_db"] = {str(number): gain for number, gain in chosen.gains.items()}
    else:
        adapted, taken = play(start, small, objective, recipe.inner(steps), seed, note, recipe.person_weight), steps
    if keep_best and score is not None:
        adapted, taken = score.best_pair, score.best_steps
    check_drawn(next(generate(adapted, pose_inputs(adapted, small, small.select([0]), conditioning))), small)
    facts["steps"] = taken
    scores = {} if score is None else score.scores
    if scores:
        facts["held_out_psnr"] = {str(number): psnr for number, psnr in scores.items()}
    save_performer(out, adapted.to("cpu"), shots, facts)
    return Personalized(taken, scores)


def objective_of(recipe: Recipe) -> gm.Objective:
    """What both players minimise.

    Raises:
        InputError: when its features are not on this machine, or its statistics are of other features.
    """
    try:
        return recipe.objective()
    except (ValueError, ImportError, FileNotFoundError) as error:
        raise InputError(str(error)) from error


def conditioning_by(start: gm.GANPair, source: str) -> Conditioning:
    """How the start is told of the K frames.

    Raises:
        InputError: when the source is unknown.
    """
    try:
        return conditioning_of(start, source)
    except ValueError as error:
        raise InputError(str(error)) from error
