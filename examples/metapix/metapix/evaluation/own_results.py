"""results.json of `metapix evaluate`: a row for each start, K and T, with intervals over clips, and paired comparisons of rows."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gan_meta as gm
from gan_meta.distributed import World
from metapix.data.clip import Clip
from metapix.evaluate import SCORES, Row, make_row
from metapix.evaluation.own import Grid, OwnCell, OwnStart, Tick, cells_of, score_cells
from metapix.evaluation.starts import LEARNS, file_digest
from metapix.evaluation.statistics import bootstrap, compare
from metapix.people import conditioning_by
from metapix.recipe import Recipe, facts_of

COMPARED = ("person_psnr", "psnr", "ssim", "mse")


@dataclass(frozen=True, eq=False)
class _Line:
    """A row with its cells and its scores by clip."""

    cell: OwnCell
    videos: list[dict[str, Any]]

    def by_clip(self, score: str) -> dict[str, float]:
        """{the clip's place: its score}; two clips may have one name."""
        return {str(place): video[score] for place, video in enumerate(self.videos) if score in video}

    def title(self, is_one: bool) -> str:
        """What messages call the row."""
        cell = self.cell
        name = cell.init if is_one or cell.start is None else f"{cell.init} ({cell.start.file.name})"
        return f"{name}, K={cell.shots}" + (f", T={cell.steps}" if cell.start is not None else "")


def own_start(file: Path, pair: gm.GANPair, recipe: Recipe, source: str, choosing: bool) -> OwnStart:
    """A start with all that its cells depend on.

    Raises:
        InputError: when the source is unknown.
    """
    kept = str(facts_of(file).get("start", "metapix"))
    init = kept if kept in LEARNS else "metapix"
    return OwnStart(file, file_digest(file), init, pair, recipe, conditioning_by(pair, source), source, choosing)


def evaluation(
    starts: Sequence[OwnStart], clips: Sequence[Clip], grid: Grid, folder: Path, world: World, tick: Tick | None = None
) -> dict[str, Any]:
    """Score the grid; returns the contents of ``results.json``.

    Args:
        folder: where cells are kept.
        world: the processes that share the cells; each gets all scores.

    Raises:
        InputError, OSError, NonFiniteLossError: as :func:`metapix.evaluation.own.score_cells`.
    """
    cells = cells_of(starts, clips, grid)
    for cell in cells:
        cell.chosen()  # every clip is long enough, seen before the long work
    lines = _lines(cells, score_cells(cells, folder, world, tick), clips)
    data = "real" if any(clip.kind == "real" for clip in clips) else "drawn"
    reference = starts[0].conditioning.reference
    return {
        "settings": _settings(starts, grid),
        "rows": [_row(line, data, reference, len(starts) == 1) for line in lines],
        "comparisons": _comparisons(lines, len(starts) == 1) if len(clips) > 1 else [],
        "people": [{"name": clip.name, "kind": clip.kind, "role": "scored"} for clip in clips],
    }


def _lines(cells: Sequence[OwnCell], scores: Sequence[Mapping[str, Any]], clips: Sequence[Clip]) -> list[_Line]:
    lines = []
    for _, group in itertools.groupby(zip(cells, scores, strict=True), lambda pair: pair[0].line):
        members = list(group)
        videos = [_mean_over_seeds([found for cell, found in members if cell.clip is clip]) for clip in clips]
        lines.append(_Line(members[0][0], videos))
    return lines


def _mean_over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One clip's scores; what is no score is the first seed's."""
    first = dict(found[0])
    for name, value in first.items():
        values = [one[name] for one in found if name in one]
        if isinstance(value, float):
            first[name] = statistics.fmean(values)
    return first


def _row(line: _Line, data: str, reference: str, is_one: bool) -> Row:
    cell = line.cell
    model = "none" if cell.start is None else cell.start.conditioning.title
    row = make_row(model, cell.init, cell.shots, cell.steps, line.videos, data, reference)
    if cell.start is not None:
        row["reference"] = cell.start.conditioning.reference
        if not is_one:
            row["start"] = cell.start.file.name
    intervals = {}
    for score in SCORES:
        values = list(line.by_clip(score).values())
        if len(values) > 1:
            found = bootstrap(values)
            intervals[score] = [found.low, found.high]
    return {**row, "interval": intervals} if intervals else row


def _comparisons(lines: Sequence[_Line], is_one: bool) -> list[dict[str, Any]]:
    """Of personalised starts with what they began as, with what learns nothing, and with each other, at the same K and T."""
    found = []
    for number, line in enumerate(lines):
        for place, other in enumerate(lines):
            if line.cell.steps and _are_compared(line.cell, other.cell, comes_first=place < number):
                found += [_comparison(line, other, score, is_one) for score in COMPARED]
    return [one for one in found if one]


def _are_compared(cell: OwnCell, other: OwnCell, *, comes_first: bool) -> bool:
    """Whether a personalised start's row is compared with another row; two personalised ones once only."""
    if other.shots != cell.shots:
        return False
    if other.steps:
        return comes_first and other.steps == cell.steps
    return other.start is None or other.start is cell.start


def _comparison(line: _Line, other: _Line, score: str, is_one: bool) -> dict[str, Any]:
    told = compare(line.by_clip(score), other.by_clip(score))
    if told is None:
        return {}
    return {
        "first": line.title(is_one), "second": other.title(is_one), "score": score,
        "difference": told.difference.mean, "low": told.difference.low, "high": told.difference.high,
        "p": told.p, "higher_on": told.better, "clips": told.videos,
    }  # fmt: skip


def _settings(starts: Sequence[OwnStart], grid: Grid) -> dict[str, Any]:
    def one(values: Sequence[Any]) -> Any:
        return values[0] if len(values) == 1 else list(values)

    return {
        "init": one([start.file.name for start in starts]),
        "K": one(grid.shots),
        "T": one(grid.steps),
        "seed": one(grid.seeds),
        "frames": grid.selection,
        "choosing": one([start.choosing for start in starts]),
        "source": starts[0].source,
        "recipe": one([start.recipe.as_dict() for start in starts]),
    }
