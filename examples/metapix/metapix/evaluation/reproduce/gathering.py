"""From cells to lines: each entry's scores by video, averaged over seeds, with intervals over videos."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metapix.evaluation.frame_scores import HIGHER_IS_BETTER
from metapix.evaluation.reproduce.jobs import Workshop, cells_of
from metapix.evaluation.reproduce.plans import Entry
from metapix.evaluation.statistics import bootstrap
from metapix.evaluation.videos import TestVideo


@dataclass(frozen=True)
class Line:
    """What an entry came to.

    Attributes:
        entry: the entry.
        scores: {score: {video: mean over seeds}}; only videos that have it.
        frames: {video: how many were scored}.
        done, cells: how many of its cells are done, of how many.
        cpu_seconds: that they took.
        not_computed: {metric: why not}.
    """

    entry: Entry
    scores: Mapping[str, Mapping[str, float]]
    frames: Mapping[str, int]
    done: int
    cells: int
    cpu_seconds: float
    not_computed: Mapping[str, str]

    def describe(self) -> dict[str, Any]:
        """The line as it stands in ``results.json``: means, ``<score>_low`` and ``<score>_high``."""
        entry = self.entry
        row: dict[str, Any] = {
            "part": entry.part, "model": entry.model, "variant": entry.variant, "init": entry.init, "K": entry.shots, "T": entry.steps,
            "cells": self.cells, "done": self.done,
        }  # fmt: skip
        for name, by_video in self.scores.items():
            interval = bootstrap(list(by_video.values()))
            row[name] = interval.mean
            if len(by_video) > 1:
                row[f"{name}_low"], row[f"{name}_high"] = interval.low, interval.high
        return row

    def videos(self) -> list[dict[str, Any]]:
        """The scores of each video."""
        return [
            {"name": video, "frames": frames} | {name: by_video[video] for name, by_video in self.scores.items() if video in by_video}
            for video, frames in self.frames.items()
        ]


def gather(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo], seeds: Sequence[int]) -> list[Line]:
    """The lines of all entries, in their order; those of which no cell is done are there, without scores.

    Raises:
        InputError: when a cell's file is damaged.
    """
    lines = []
    for entry in entries:
        found: dict[str, list[dict[str, Any]]] = {}
        cells = cells_of(entry, workshop, videos, seeds)
        for cell, video in cells:
            result = workshop.cache.read(cell)
            if result is not None:
                found.setdefault(video.name, []).append(result)
        results = [result for of_video in found.values() for result in of_video]
        lines.append(
            Line(
                entry,
                {name: by_video for name in HIGHER_IS_BETTER if (by_video := _means(name, found))},
                {video: int(of_video[0]["frames"]) for video, of_video in found.items()},
                len(results),
                len(cells),
                sum(result["cpu_seconds"] for result in results),
                results[0]["not_computed"] if results else {},
            )
        )
    return lines


def _means(name: str, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    values = {video: [result["scores"][name] for result in results if name in result["scores"]] for video, results in found.items()}
    return {video: statistics.fmean(of_video) for video, of_video in values.items() if of_video}
