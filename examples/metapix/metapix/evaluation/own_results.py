"""results.json of `metapix evaluate`: a row for each start, K and T, with intervals over videos, and paired comparisons of rows."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_meta.distributed import World
from metapix.errors import InputError
from metapix.evaluate import Row, make_row
from metapix.evaluation.frame_scores import HIGHER_IS_BETTER, forget_damaged
from metapix.evaluation.own import Grid, OwnCell, OwnStart, cells_of, job_of, result_file
from metapix.evaluation.own_videos import Holes, Tick
from metapix.evaluation.run import run_jobs
from metapix.evaluation.statistics import bootstrap, compare
from metapix.evaluation.videos import TestVideo
from metapix.files import read_json

COMPARED = ("person_psnr", "psnr", "ssim", "mse")

Scores = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Line:
    """A row with one of its cells, and {the video's place: its scores}; two videos may have one name."""

    cell: OwnCell
    videos: dict[int, Scores]

    def by_video(self, score: str) -> dict[str, float]:
        """{the video's place: its score}."""
        return {str(place): video[score] for place, video in self.videos.items() if score in video}

    def title(self, is_one: bool) -> str:
        """What messages call the row."""
        cell = self.cell
        name = cell.init if is_one or cell.start is None else f"{cell.init} ({cell.start.file.name})"
        return f"{name}, K={cell.shots}" + (f", T={cell.steps}" if cell.start is not None else "")


def evaluation(
    starts: Sequence[OwnStart],
    videos: Sequence[TestVideo],
    grid: Grid,
    folder: Path,
    world: World,
    *,
    workers: int = 1,
    holes: Holes | None = None,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Score the grid; returns the contents of ``results.json``.

    What cannot be scored is named there among the holes, and the rest is scored.

    Args:
        folder: where cells are kept; all processes of ``world`` share it and its cells.
        workers: processes of this rank at work at once, one thread each.
        holes: what is missing already.

    Raises:
        InputError: when nothing could be scored, a kept cell is damaged, or a worker process dies.
    """
    cells, missing = _that_can_be(cells_of(starts, videos, grid))
    missing = [*(holes or []), *missing]

    def note(done: int, total: int, _name: str) -> None:
        if tick is not None:
            tick(done, total)

    world.on_first(lambda: forget_damaged([result_file(cell, folder) for cell in cells], lambda result: result))
    jobs = {job.made: job for job in (job_of(cell, folder) for cell in cells)}
    missing += run_jobs(list(jobs.values()), workers, world, note).items()
    lines = _lines(cells, folder)
    if not lines:
        raise InputError(missing[0][1])
    kinds = {video.kind for video in videos}
    return {
        "settings": _settings(starts, grid),
        "rows": [_row(line, "real" if "real" in kinds else "drawn", starts) for line in lines],
        "comparisons": _comparisons(lines, len(starts) == 1) if len(videos) > 1 else [],
        "people": [{"name": video.name, "kind": video.kind, "role": "scored"} for video in videos],
        "holes": [{"what": what, "why": why} for what, why in missing],
        "not_computed": _not_computed(lines[0], grid),
    }


def _that_can_be(cells: Sequence[OwnCell]) -> tuple[list[OwnCell], Holes]:
    """The cells whose video has enough frames, and the videos that have too few for a K, seen before the long work."""
    short: dict[tuple[int, int], tuple[str, str]] = {}
    for cell in cells:
        try:
            cell.video.shots(cell.shots, cell.grid.selection, cell.seed)
        except InputError as error:
            short[cell.place, cell.shots] = (f"{cell.video.name}, K = {cell.shots}", str(error))
    return [cell for cell in cells if (cell.place, cell.shots) not in short], list(short.values())


def _lines(cells: Sequence[OwnCell], folder: Path) -> list[_Line]:
    """The rows of which something is done."""
    lines = []
    for _, group in itertools.groupby(cells, lambda cell: cell.line):
        members, found = list(group), {}
        for place, of_video in itertools.groupby(members, lambda cell: cell.place):
            files = [result_file(cell, folder) for cell in of_video]
            kept: list[Scores] = [read_json(file, dict, "delete it and run again") for file in files if file.is_file()]
            if kept:
                found[place] = _mean_over_seeds(kept)
        if found:
            lines.append(_Line(members[0], found))
    return lines


def _mean_over_seeds(found: Sequence[Mapping[str, Any]]) -> Scores:
    """One video's scores; what is no score is the first seed's."""
    first = dict(found[0])
    for name, value in first.items():
        if isinstance(value, float):
            first[name] = statistics.fmean(one[name] for one in found if name in one)
    return first


def _row(line: _Line, data: str, starts: Sequence[OwnStart]) -> Row:
    cell = line.cell
    start = cell.start or starts[0]
    videos = [{name: value for name, value in video.items() if name != "not_computed"} for video in line.videos.values()]
    row = make_row("none" if cell.start is None else start.title, cell.init, cell.shots, cell.steps, videos, data, start.reference)
    if cell.start is not None and len(starts) > 1:
        row["start"] = start.file.name
    intervals = {}
    for score in HIGHER_IS_BETTER:
        values = list(line.by_video(score).values())
        if values:
            row.setdefault(score, statistics.fmean(values))
        if len(values) > 1:
            found = bootstrap(values)
            intervals[score] = [found.low, found.high]
    return {**row, "interval": intervals} if intervals else row


def _not_computed(line: _Line, grid: Grid) -> dict[str, str]:
    first: Scores = next(iter(line.videos.values()))
    poses = {} if grid.pose_frames else dict.fromkeys(("pck", "joint_error"), "no poses were estimated; --pose-frames has them estimated")
    return {**first["not_computed"], **poses}


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
    return other.start in (None, cell.start)


def _comparison(line: _Line, other: _Line, score: str, is_one: bool) -> dict[str, Any]:
    told = compare(line.by_video(score), other.by_video(score))
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
