"""From entries to cells, and from cells to jobs: starts are trained once, however many cells need them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metapix.evaluation.grid import Cache, Cell
from metapix.evaluation.reproduce.plans import Entry
from metapix.evaluation.reproduce.suite import Suite
from metapix.evaluation.run import Job
from metapix.evaluation.score_cell import score_cell
from metapix.evaluation.starts import Start, digest_of, file_digest
from metapix.evaluation.train_start import start_file, train_start
from metapix.evaluation.videos import TestVideo
from metapix.training.preset import Preset

_TRAINED_IN = {"random": 0, "pretrain": 0, "pretrain-equal-steps": 1, "metapix": 1}
_SCORED_IN = 2


@dataclass(frozen=True)
class Workshop:
    """Where a suite's starts and cells are made.

    Attributes:
        suite: what is reproduced.
        out: the run's folder.
        training: what is trained on, and its digest.
        device: where the networks work.
        given: {model: a file that is its pretrained start}, in place of pretraining.
    """

    suite: Suite
    out: Path
    training: tuple[Path, ...]
    training_digest: str
    device: str = "cpu"
    given: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def cache(self) -> Cache:
        """Where cells are kept."""
        return Cache(self.out / "cells")

    @property
    def starts(self) -> Path:
        """Where starts are kept."""
        return self.out / "starts"

    def preset(self, entry: Entry) -> Preset:
        """How an entry's start is trained and personalised."""
        preset = self.suite.training_preset(entry.model, entry.changes)
        if not entry.meta_steps:
            return preset
        meta_train = dataclasses.replace(preset.meta_train, shots=entry.meta_shots)
        return dataclasses.replace(preset, meta_train=meta_train, inner={**preset.inner, "steps": entry.meta_steps})

    def start(self, entry: Entry, seed: int) -> Start:
        """An entry's start."""
        if entry.init not in _TRAINED_IN:
            return Start(entry.model, entry.init, seed)
        meta = _TRAINED_IN[entry.init] == 1
        preset = self.preset(entry) if meta else self.suite.training_preset(entry.model)
        settings = _settings(preset, entry.init)
        settings["training_data"] = self.training_digest
        if entry.init != "random" and entry.model in self.given:
            settings["given"] = file_digest(self.given[entry.model])
        if not meta:
            return Start(entry.model, entry.init, seed, settings=settings)
        return Start(entry.model, entry.init, seed, entry.meta_shots, entry.meta_steps, entry.changes, settings)

    def cell(self, entry: Entry, video: TestVideo, seed: int) -> Cell:
        """An entry's cell for a video and a seed."""
        learns = entry.init in _TRAINED_IN
        preset = self.preset(entry if learns else dataclasses.replace(entry, model=self.suite.models[0]))
        rest = {name: value for name, value in preset.inner.items() if name != "steps"}
        game = digest_of([preset.recipe.as_dict(), rest]) if learns else ""
        protocol = self.suite.protocol(preset)
        return Cell(self.start(entry, seed), entry.shots, entry.steps, video.name, video.digest, seed, protocol, entry.snapshots, game)

    def training_jobs(self, entry: Entry, seed: int) -> list[Job]:
        """What trains an entry's start, and the start it goes on from."""
        if entry.init not in _TRAINED_IN:
            return []
        start, level = self.start(entry, seed), _TRAINED_IN[entry.init]
        file, jobs = start_file(self.starts, start), []
        before = self.given.get(entry.model) if entry.init == "pretrain" else None
        if level:
            base = dataclasses.replace(entry, init="pretrain", meta_shots=0, meta_steps=0, changes=())
            jobs, before = self.training_jobs(base, seed), start_file(self.starts, self.start(base, seed))
        preset = self.preset(entry) if level else self.suite.training_preset(entry.model)
        arguments = (start, preset, self.training, self.starts, before, self.device)
        name = f"train {entry.model} {entry.variant if level else entry.init}{_meta(entry) if level else ''}, seed {seed}"
        return [*jobs, Job(name, file, train_start, arguments, (before,) if before else (), level)]

    def scoring_job(self, entry: Entry, video: TestVideo, seed: int) -> Job:
        """What scores a cell."""
        cell = self.cell(entry, video, seed)
        file = start_file(self.starts, cell.start) if cell.start.learns else None
        preset = self.preset(entry) if cell.start.learns else None
        name = f"{entry.part}: {entry.model} {entry.variant}, K = {entry.shots}, T = {entry.steps}, {video.name}, seed {seed}"
        arguments: tuple[Any, ...] = (cell, video, file, preset, self.cache, self.device)
        return Job(name, self.cache.result_file(cell), score_cell, arguments, (file,) if file else (), _SCORED_IN)


def all_jobs(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo], seeds: Sequence[int]) -> list[Job]:
    """Every job once, a part and a seed after the other, so that what is done first is a whole table."""
    jobs: dict[Path, Job] = {}
    for part in dict.fromkeys(entry.part for entry in entries):
        mine = [entry for entry in entries if entry.part == part]
        for seed in seeds:
            found = [job for entry in mine for job in workshop.training_jobs(entry, seed)]
            found.sort(key=lambda job: job.level)
            found += [workshop.scoring_job(entry, video, seed) for entry in mine for video in videos if _plays(entry, seed)]
            for job in found:
                jobs.setdefault(job.made, job)
    return list(jobs.values())


def cells_of(entry: Entry, workshop: Workshop, videos: Sequence[TestVideo], seeds: Sequence[int]) -> list[tuple[Cell, TestVideo]]:
    """The cells of an entry."""
    return [(workshop.cell(entry, video, seed), video) for seed in seeds if _plays(entry, seed) for video in videos]


def _plays(entry: Entry, seed: int) -> bool:
    """What learns nothing has no seeds: one is enough."""
    return entry.init in _TRAINED_IN or seed == 0


def _meta(entry: Entry) -> str:
    return f" (K = {entry.meta_shots}, T = {entry.meta_steps})"


def _settings(preset: Preset, init: str) -> dict[str, Any]:
    """Those settings of a preset that a start depends on."""
    settings = preset.as_dict()
    needless = {"random": ("inner", "pretrain", "meta_train"), "pretrain": ("inner", "meta_train")}.get(init, ())
    return {name: value for name, value in settings.items() if name not in needless}
