"""One cell's work, in a process of its own: load the start, adapt it, draw the frames, score them, and keep the scores."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

import gan_meta as gm
from gan_meta.checkpoint import pair_facts
from metapix.data.clip import Clip
from metapix.data.pose import MediapipeEstimator
from metapix.errors import InputError
from metapix.evaluation.adapting import adapt, poses_of, shots_of
from metapix.evaluation.frame_scores import FrameScores, write_rows
from metapix.evaluation.grid import Cache, Cell
from metapix.evaluation.videos import TestVideo
from metapix.files import write_picture, write_text
from metapix.people import on_device
from metapix.personalize import draw, generate
from metapix.poses.pose_input import to_bytes, to_unit
from metapix.puppet.puppet import Puppet
from metapix.recipe import recipe_of
from metapix.tasks import nearest_frames
from metapix.training.preset import Preset

SNAPSHOT_PICTURES = 5
"""The paper's figure 7 shows five poses."""

_COPIED_AT_ONCE = 16


def score_cell(cell: Cell, video: TestVideo, start_file: Path | None, preset: Preset | None, cache: Cache, device: str = "cpu") -> None:
    """Score a cell and write its two files, the result last.

    Args:
        start_file, preset: of a start that learns; None for one that does not.

    Raises:
        InputError: when the start or the video cannot be used, or a picture holds NaN.
        OSError, CheckpointError, NonFiniteLossError: when a file cannot be read or the game diverges.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    truth, shots = video.read(video.scored(cell.protocol.most_frames), cell.protocol.size), shots_of(cell, video)
    with contextlib.ExitStack() as stack:
        estimator = stack.enter_context(MediapipeEstimator(tracking=False, masks=False)) if cell.protocol.pose_frames else None
        scores = FrameScores(truth, cell.protocol.pose_frames, estimator)
        for images in drawn_frames(cell, video, start_file, preset, cache, device, shots, truth):
            scores.add(images)
    write_rows(cache.frames_file(cell), scores.rows)
    result = {
        **cell.describe(),
        "frames": len(truth),
        "kind": video.kind,
        # Without what is infinite, which JSON cannot say: the PSNR of a frame that is met exactly, as only a copy of it can be.
        "scores": scores.summary(),
        "not_computed": scores.not_computed,
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }
    write_text(cache.result_file(cell), json.dumps(result, indent=1))


def load_start(file: Path, digest: str) -> gm.GANPair:
    """The start of this digest.

    Raises:
        InputError: when it is missing, or another start's file lies in its place.
        CheckpointError: when it is damaged.
    """
    if not file.is_file():
        raise InputError(f"the start {file} is missing")
    if pair_facts(file)["facts"].get("digest") != digest:
        raise InputError(f"{file} is another start than its name says; delete it and run again")
    return gm.load_pair(file)


def drawn_frames(
    cell: Cell, video: TestVideo, start_file: Path | None, preset: Preset | None, cache: Cache, device: str, shots: Clip, truth: Clip
) -> Iterator[Tensor]:
    """What a cell's start makes of the poses of ``truth`` once it is adapted, (n, 3, S, S) at a time; errors as :func:`score_cell`."""
    if start_file is None or preset is None:
        yield from copied_frames(cell.start.init, shots, truth)
        return
    start = on_device(load_start(start_file, cell.start.digest), device)
    preset = dataclasses.replace(preset, recipe=dataclasses.replace(preset.recipe, statistics=recipe_of(start_file).statistics))
    snapshots = _Snapshots(cell, cache, start, shots, truth)
    adapted = adapt(start, preset, cell, video, shots, snapshots.note if cell.snapshots else None)
    yield from generate(adapted, poses_of(adapted, shots, truth))


def copied_frames(init: str, shots: Clip, truth: Clip) -> Iterator[Tensor]:
    """What learns nothing makes of the poses, a few at a time."""
    puppet = Puppet(shots) if init == "puppet" else None
    for first in range(0, len(truth), _COPIED_AT_ONCE):
        part = truth.select(slice(first, first + _COPIED_AT_ONCE))
        if puppet is not None:
            yield puppet.render(part.joints, part.boxes).image
        else:
            yield to_unit(shots.frames[nearest_frames(shots, part.joints)])


class _Snapshots:
    """Pictures of a few poses while a start adapts, and the truth beside them as step -1."""

    def __init__(self, cell: Cell, cache: Cache, start: gm.GANPair, shots: Clip, truth: Clip) -> None:
        self._cell, self._cache, self._shots = cell, cache, shots
        if cell.snapshots:
            count = min(SNAPSHOT_PICTURES, len(truth))
            self._poses = truth.select([(2 * number + 1) * len(truth) // (2 * count) for number in range(count)])
            self._keep(-1, self._poses.frames)
            self.note(0, start, {})

    def note(self, step: int, pair: gm.GANPair, _losses: Mapping[str, Tensor]) -> None:
        """Called after each step."""
        if step in self._cell.snapshots:
            with torch.no_grad():
                self._keep(step, to_bytes(draw(pair, poses_of(pair, self._shots, self._poses))))

    def _keep(self, step: int, pictures: Tensor) -> None:
        for number, picture in enumerate(pictures):
            write_picture(self._cache.snapshot_file(self._cell, step, number), picture)
