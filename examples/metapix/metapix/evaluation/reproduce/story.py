"""run_reproduction: make the people, train the starts, score the cells, and put the results together; what is done is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_meta.distributed import ALONE, World
from gan_meta.naming import unknown_name
from metapix.errors import InputError
from metapix.evaluation.frame_scores import forget_damaged
from metapix.evaluation.reproduce.data import find_people
from metapix.evaluation.reproduce.folder import FOLDERS_ORDER, claim_folder
from metapix.evaluation.reproduce.jobs import Workshop, all_jobs
from metapix.evaluation.reproduce.plans import PARTS, Entry, entries_of
from metapix.evaluation.reproduce.results import write_results
from metapix.evaluation.reproduce.shown import shown_jobs
from metapix.evaluation.reproduce.suite import Suite
from metapix.evaluation.run import Note, run_jobs
from metapix.evaluation.videos import TestVideo


@dataclass(frozen=True)
class Order:
    """What the user asked for.

    Attributes:
        suite: what is reproduced.
        parts: names of :data:`metapix.evaluation.reproduce.plans.PARTS`.
        out: the run's folder.
        seeds: how many; the suite's own number where 0.
        training, test: the user's videos; both empty for the suite's own people.
        workers: processes of each rank.
        device: where the networks work.
        given: {model: a file that is its pretrained start}.
    """

    suite: Suite
    parts: tuple[str, ...]
    out: Path
    seeds: int = 0
    training: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    workers: int = 2
    device: str = "cpu"
    given: Mapping[str, Path] = field(default_factory=dict)

    @property
    def all_seeds(self) -> range:
        """The seeds, from 0."""
        return range(self.seeds or self.suite.seeds)


@dataclass(frozen=True)
class Plan:
    """An order with its people in place.

    Attributes:
        order: what was asked for.
        workshop: where things are made.
        entries: lines and points, in the order of the parts.
        videos: the test videos that can be used.
        problems: {what: why not}, of models and videos left out.
    """

    order: Order
    workshop: Workshop
    entries: tuple[Entry, ...]
    videos: tuple[TestVideo, ...]
    problems: dict[str, str] = field(default_factory=dict)


def check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts in the paper's order; all of them where none are named.

    Raises:
        InputError: for an unknown one, with the nearest.
    """
    for part in parts:
        if part not in PARTS:
            raise InputError(unknown_name("part", part, PARTS))
    return tuple(part for part in PARTS if not parts or part in parts)


def check_given(named: Sequence[str], models: Sequence[str]) -> dict[str, Path]:
    """Pretrained starts as the user names them, ``"model=file"``.

    Raises:
        InputError: for another form, a model that is not among these, or a file that is not there.
    """
    given = {}
    for text in named:
        model, equals, file = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} names no start: write model=file, for example posewarp=posewarp.safetensors")
        if model not in models:
            raise InputError(unknown_name("model", model, models))
        if not Path(file).is_file():
            raise InputError(f"there is no start at {file}")
        given[model] = Path(file)
    return given


def prepare(order: Order, world: World, note: Note) -> Plan:
    """Claim the folder, make the people, and lay out the entries.

    Raises:
        InputError: when the folder is another run's, or there is nothing to train on or to be scored on.
    """
    suite = order.suite
    models, problems = _usable_models(suite)
    suite = dataclasses.replace(suite, models=models)
    people = find_people(suite, suite.training_preset(models[0]), order.out, order.training, order.test)
    world.on_first(lambda: claim_folder(order.out, {"preset": suite.name, "training": _names(order.training), "test": _names(order.test)}))
    problems |= run_jobs(people.jobs, order.workers, world, note)
    videos, unusable = people.open_test()
    problems |= unusable
    if not videos:
        raise InputError(f"no video can be scored on: {next(iter(problems.values()))}")
    training = tuple(path for path in people.training if path.exists())
    digest = dataclasses.replace(people, training=training).training_digest()
    device = str(world.device) if order.device == "cuda" else order.device  # each rank has a GPU of its own
    workshop = Workshop(suite, order.out, training, digest, device, order.given)
    entries = tuple(entries_of(order.parts, suite, models))
    return Plan(order, workshop, entries, tuple(videos), problems)


def run_reproduction(order: Order, world: World, note: Note) -> dict[str, Any]:
    """Do all of an order that is not done yet, and write ``results.json``, ``report.html``, ``results.md`` and ``scores.csv``.

    Returns:
        The contents of ``results.json``.

    Raises:
        InputError: as :func:`prepare`, or when a worker process dies.
    """
    plan = prepare(order, world, note)
    workshop, seeds = plan.workshop, order.all_seeds
    for folder in (workshop.cache.folder, workshop.starts):
        folder.mkdir(parents=True, exist_ok=True)
    world.on_first(lambda: forget_damaged(workshop.cache.folder.glob("*.json"), lambda result: result.get("scores")))
    problems = plan.problems | run_jobs(all_jobs(workshop, plan.entries, plan.videos, seeds), order.workers, world, note)
    problems |= run_jobs(shown_jobs(workshop, plan.entries, plan.videos), order.workers, world, note)
    results: dict[str, Any] = world.on_first(lambda: write_results(workshop, plan.entries, plan.videos, seeds, order.parts, problems))
    return results


def collect_reproduction(order: Order) -> dict[str, Any]:
    """Put together what is done of an order, as :func:`run_reproduction` does at its end, and name what is not.

    Raises:
        InputError: when the folder holds no reproduction, or another one.
    """
    if not (order.out / FOLDERS_ORDER).is_file():
        raise InputError(f"{order.out} holds no reproduction to collect; run the same command without --collect first")
    plan = prepare(order, ALONE, lambda *_: None)
    forget_damaged(plan.workshop.cache.folder.glob("*.json"), lambda result: result.get("scores"))
    return write_results(plan.workshop, plan.entries, plan.videos, order.all_seeds, order.parts, plan.problems)


def _usable_models(suite: Suite) -> tuple[tuple[str, ...], dict[str, str]]:
    """The models that have a training preset, and what is wrong with the others; at least one must have."""
    problems = {}
    for model in suite.models:
        try:
            suite.training_preset(model)
        except InputError as error:
            problems[f"model {model}"] = f"not run: {error}"
    usable = tuple(model for model in suite.models if f"model {model}" not in problems)
    if not usable:
        raise InputError(next(iter(problems.values())))
    return usable, problems


def _names(paths: Sequence[Path]) -> list[str]:
    return [path.name for path in paths]
