"""Curves over K and T with bands, and the picture strips of figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metapix.evaluation.reproduce.gathering import Line
from metapix.evaluation.reproduce.jobs import Workshop
from metapix.evaluation.reproduce.plans import TITLES, Entry
from metapix.evaluation.score_cell import SNAPSHOT_PICTURES
from metapix.evaluation.videos import TestVideo
from metapix.report.reproduction import PARTS
from metapix.report.words import variant_words

_SWEEPS = {"fig5": ("shots", "K frames"), "fig6": ("steps", "T steps")}
_AXES = {"ssim": "SSIM", "psnr": "PSNR (dB)", "mse": "MSE"}
_STRIP_VIDEOS = 3


def curves(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """A chart for each sweep, model and score, with the 95% intervals over videos as bands."""
    found = []
    for part, (attribute, x_label) in _SWEEPS.items():
        models = dict.fromkeys(line.entry.model for line in lines if line.entry.part == part)
        for model in models:
            mine = [line for line in lines if line.entry.part == part and line.entry.model == model]
            for score, y_label in _AXES.items():
                series = _series(mine, attribute, score)
                if series:
                    title = f"{PARTS[part].partition(':')[0]}: {y_label.split()[0]} of {TITLES.get(model, model)} over {x_label}"
                    found.append({"title": title, "x_label": x_label, "y_label": y_label, "x_scale": "log", "series": series})
    return found


def strips(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo]) -> list[dict[str, Any]]:
    """For each start of figure 7 and a few videos: the truth, and five poses after each of the steps; of seed 0."""
    found = []
    for video in videos[:_STRIP_VIDEOS]:
        for entry in entries:
            cell = workshop.cell(entry, video, 0)
            if not entry.snapshots or not workshop.cache.result_file(cell).is_file():
                continue
            files = [[workshop.cache.snapshot_file(cell, step, n) for step in (-1, *entry.snapshots)] for n in range(SNAPSHOT_PICTURES)]
            rows = [[file.relative_to(workshop.out).as_posix() for file in row] for row in files if all(file.is_file() for file in row)]
            found.append(
                {
                    "title": f"{TITLES.get(entry.model, entry.model)}, {variant_words(entry.init)}, adapts to {video.name}",
                    "caption": f"The real frame, and the picture after so many of T = {entry.steps} steps on K = {entry.shots} frames.",
                    "columns": ["real", *(f"{step} steps" for step in entry.snapshots)],
                    "rows": rows,
                }
            )
    return found


def _series(lines: Sequence[Line], attribute: str, score: str) -> list[dict[str, Any]]:
    by_variant: dict[str, list[tuple[float, float, float, float]]] = {}
    for line in lines:
        row = line.describe()
        if score in row:
            mean = row[score]
            point = (float(getattr(line.entry, attribute)), mean, row.get(f"{score}_low", mean), row.get(f"{score}_high", mean))
            by_variant.setdefault(line.entry.variant, []).append(point)
    return [
        {"label": variant, **dict(zip(("x", "y", "low", "high"), map(list, zip(*sorted(points), strict=True)), strict=True))}
        for variant, points in by_variant.items()
    ]
