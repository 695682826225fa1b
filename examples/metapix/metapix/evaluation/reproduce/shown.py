"""The videos of a reproduction's report: real frames beside what a few starts of Table 1 make of them, drawn again from the starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from metapix.data.video_writer import VideoWriter
from metapix.evaluation.adapting import shots_of
from metapix.evaluation.grid import Cell
from metapix.evaluation.reproduce.jobs import Workshop
from metapix.evaluation.reproduce.plans import TITLES, Entry
from metapix.evaluation.run import Job
from metapix.evaluation.score_cell import drawn_frames
from metapix.evaluation.starts import LEARNS_NOTHING, digest_of
from metapix.evaluation.train_start import start_file
from metapix.evaluation.videos import TestVideo
from metapix.poses.pose_input import to_bytes
from metapix.report.words import variant_words
from metapix.training.preset import Preset

_INITS = ("pretrain", "metapix", "puppet")
_MOST_FRAMES = 120
_SMALLEST = 160
"""Side of a panel: smaller pictures are enlarged to it."""


@dataclass(frozen=True)
class Panel:
    """One column of a video: a cell, and the start and the preset of one that learns."""

    cell: Cell
    start: Path | None
    preset: Preset | None


def shown_jobs(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo]) -> list[Job]:
    """A job for the first test video of each kind that was scored, where Table 1 is among the entries; of seed 0."""
    jobs = []
    for video, panels in _shown(workshop, entries, videos):
        needs = tuple(panel.start for panel in panels if panel.start is not None)
        arguments = (video, panels, _file(workshop, panels), workshop)
        jobs.append(Job(f"video of {video.name}", _file(workshop, panels), write_video, arguments, needs))
    return jobs


def shown_videos(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo]) -> list[dict[str, Any]]:
    """Those that are there, as ``results.json`` has them."""
    found = []
    for video, panels in _shown(workshop, entries, videos):
        file, cell = _file(workshop, panels), panels[0].cell
        if file.is_file():
            models = {panel.cell.start.model for panel in panels if panel.start is not None}
            names = ", ".join(["real", *(_named(panel, len(models)) for panel in panels)])
            caption = f"From left to right: {names}; K = {cell.shots} frames, T = {cell.steps} steps, frames that were not learned from."
            found.append({"title": f"{video.name}:", "file": file.relative_to(workshop.out).as_posix(), "caption": caption})
    return found


def write_video(video: TestVideo, panels: Sequence[Panel], file: Path, workshop: Workshop) -> None:
    """Adapt and draw again, and write the frames side by side.

    Raises:
        InputError, OSError, CheckpointError, NonFiniteLossError: as :func:`metapix.evaluation.score_cell.score_cell`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = video.scored(min(panels[0].cell.protocol.most_frames, _MOST_FRAMES))
    truths = {size: video.read(rows, size) for size in dict.fromkeys(panel.cell.protocol.size for panel in panels)}
    first = truths[panels[0].cell.protocol.size]
    columns = [first.frames]
    for panel in panels:
        shots, truth = shots_of(panel.cell, video), truths[panel.cell.protocol.size]
        drawn = drawn_frames(panel.cell, video, panel.start, panel.preset, workshop.cache, workshop.device, shots, truth)
        columns.append(torch.cat([to_bytes(images) for images in drawn]))
    side = max(_grown(column.shape[-1]) for column in columns)
    with VideoWriter(file, first.fps) as writer:
        times = first.uneven_times
        for number, pictures in enumerate(zip(*columns, strict=True)):
            time = None if times is None else float(times[number])
            writer.write(torch.cat([_enlarged(picture, side) for picture in pictures], dim=2), time)


def _shown(workshop: Workshop, entries: Sequence[Entry], videos: Sequence[TestVideo]) -> list[tuple[TestVideo, list[Panel]]]:
    few = [entry for entry in entries if entry.part == "table1" and entry.shots != "all" and entry.init in _INITS]
    chosen = sorted(few, key=lambda entry: entry.init in LEARNS_NOTHING)  # model by model, and what learns nothing last
    found: dict[str, tuple[TestVideo, list[Panel]]] = {}
    for video in videos if chosen else ():
        panels = [_panel(workshop, entry, video) for entry in chosen]
        if all(workshop.cache.result_file(panel.cell).is_file() for panel in panels):
            found.setdefault(video.kind, (video, panels))
    return list(found.values())


def _panel(workshop: Workshop, entry: Entry, video: TestVideo) -> Panel:
    cell = workshop.cell(entry, video, 0)
    if not cell.start.learns:
        return Panel(cell, None, None)
    return Panel(cell, start_file(workshop.starts, cell.start), workshop.preset(entry))


def _file(workshop: Workshop, panels: Sequence[Panel]) -> Path:
    return workshop.out / "videos" / f"{digest_of([panel.cell.digest for panel in panels])}.mp4"


def _named(panel: Panel, models: int) -> str:
    """The start, with its model where there are several."""
    start = panel.cell.start
    return f"{TITLES[start.model]} {variant_words(start.init)}" if panel.start is not None and models > 1 else variant_words(start.init)


def _grown(size: int) -> int:
    """A multiple of a picture's side, at least 160, so that the pixels stay what they are."""
    return size * -(-_SMALLEST // size)


def _enlarged(picture: Tensor, side: int) -> Tensor:
    """(3, S, S) uint8 as (3, side, side)."""
    return functional.interpolate(picture[None].float(), size=(side, side), mode="nearest-exact")[0].to(torch.uint8)
