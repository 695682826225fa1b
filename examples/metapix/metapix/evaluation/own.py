"""The grid of `metapix evaluate`: starts of one's own x K x T x videos x seeds. Each cell is scored once, kept, and found again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gan_meta as gm
from metapix.choice import personalize_by_choice
from metapix.conditioning import Conditioning
from metapix.data.clip import Clip
from metapix.data.pose import MediapipeEstimator
from metapix.errors import InputError
from metapix.evaluation.frame_scores import FrameScores, weights_here, write_rows
from metapix.evaluation.run import Job
from metapix.evaluation.score_cell import copied_frames
from metapix.evaluation.starts import LEARNS, digest_of, file_digest
from metapix.evaluation.videos import TestVideo
from metapix.files import write_text
from metapix.people import conditioning_by, objective_of, start_with_recipe
from metapix.personalize import generate, personalize, pose_inputs
from metapix.recipe import Recipe, facts_of
from metapix.reference import reference_of
from metapix.room import check_game

RELEASE = 2
"""Of what a cell's files hold."""


@dataclass(frozen=True)
class OwnStart:
    """A start to be scored; its networks stay in their file until a cell is worked on.

    Attributes:
        file: where it lies; its name stands in the table where there are several.
        digest: of the file's content.
        init: one of the names of :data:`metapix.evaluation.starts.INITS`.
        title, reference: its model as the paper names it, and what it is told beside the pose.
        recipe: how it is personalised.
        source: of a Posewarp start, which of the K frames it draws from.
        choosing: find the number of steps by leaving frames out.
        device: where its networks work.
    """

    file: Path
    digest: str
    init: str
    title: str
    reference: str
    recipe: Recipe
    source: str
    choosing: bool
    device: str

    @classmethod
    def open(
        cls,
        file: Path,
        *,
        source: str = "nearest",
        choosing: bool | None = None,
        reference: str | None = None,
        model: str | None = None,
        device: str = "cpu",
    ) -> OwnStart:
        """Look at a start.

        Args:
            choosing: ``None``: for a start with a reference.
            reference, model: insist on these; ``None``: whatever the start has.

        Raises:
            FileNotFoundError, CheckpointError: when there is no such file or it cannot be read.
            InputError: when it is not what is insisted on, or the source or the device is unknown.
        """
        pair, recipe = start_with_recipe(file, reference, device, model)
        kept, found = str(facts_of(file).get("start", "metapix")), conditioning_by(pair, source)
        chooses = reference_of(pair) != "none" if choosing is None else choosing
        init = kept if kept in LEARNS else "metapix"
        return cls(file, file_digest(file), init, found.title, found.reference, recipe, source, chooses, device)

    def load(self) -> tuple[gm.GANPair, Conditioning]:
        """Its networks, on their device, and how they are told of the K frames.

        Raises:
            InputError: when the file is gone, or another start by now.
            CheckpointError: when it is damaged.
        """
        if not self.file.is_file() or file_digest(self.file) != self.digest:
            raise InputError(f"the start {self.file} is gone or was changed since the evaluation began; run it again")
        pair, _ = start_with_recipe(self.file, None, self.device)
        return pair, conditioning_by(pair, self.source)


@dataclass(frozen=True)
class Grid:
    """What is scored.

    Attributes:
        shots, steps: each K with each T; 0 steps, the start as it is, are always scored, too.
        seeds: of the games, and of K random frames.
        selection: how K frames are chosen, one of :data:`metapix.evaluation.videos.SELECTIONS`.
        most_frames: score at most so many frames of a video (the paper's 2000).
        pose_frames: estimate the pose in at most so many of them.
    """

    shots: tuple[int, ...]
    steps: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)
    selection: str = "even"
    most_frames: int = 2000
    pose_frames: int = 0


@dataclass(frozen=True)
class OwnCell:
    """One entry: an answer to one video with K frames and T steps.

    Attributes:
        start: None for what learns nothing.
        size: of the pictures, the same in the whole grid.
        place: the video's among all; two may have one name.
    """

    init: str
    start: OwnStart | None
    shots: int
    steps: int
    video: TestVideo
    place: int
    seed: int
    size: int
    grid: Grid

    @property
    def line(self) -> tuple[str, str, int, int]:
        """What the cells of a row have in common."""
        return (self.init, "" if self.start is None else self.start.digest, self.shots, self.steps)

    @property
    def name(self) -> str:
        """What messages call it."""
        init = self.init if self.start is None else f"{self.init} ({self.start.file.name})"
        return f"{init}, K = {self.shots}, T = {self.steps}, {self.video.name}, seed {self.seed}"

    @property
    def learns(self) -> bool:
        """Whether anything here depends on the seed."""
        return self.steps > 0 or self.grid.selection == "random"

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name all that its scores depend on."""
        start = None
        if self.start is not None:
            recipe = self.start.recipe.as_dict()
            start = {"file": self.start.digest, "recipe": recipe, "source": self.start.source, "choosing": self.start.choosing}
        return digest_of(
            {
                "init": self.init, "start": start, "K": self.shots, "T": self.steps, "video": [self.video.name, self.video.digest],
                "seed": self.seed if self.learns else None, "size": self.size, "selection": self.grid.selection,
                "most_frames": self.grid.most_frames, "pose_frames": self.grid.pose_frames, "weights": weights_here(), "release": RELEASE,
            }
        )  # fmt: skip

    def chosen(self) -> tuple[Clip, Clip]:
        """The K frames, and those to be scored.

        Raises:
            InputError: when the video is too short, or damaged.
        """
        shots = self.video.shots(self.shots, self.grid.selection, self.seed)
        return self.video.read(shots, self.size), self.video.read(self.video.scored(self.grid.most_frames), self.size)


def cells_of(starts: Sequence[OwnStart], videos: Sequence[TestVideo], grid: Grid) -> list[OwnCell]:
    """All cells, row by row; what no seed can change has one."""
    size = starts[0].recipe.size
    answers: list[tuple[str, OwnStart | None, int]] = []
    for shots in grid.shots:
        answers += [("nearest-frame", None, shots), ("puppet", None, shots)]
    answers += [(start.init, start, shots) for start in starts for shots in grid.shots]
    cells = []
    for init, start, shots in answers:
        for steps in (0, *(number for number in dict.fromkeys(grid.steps) if number)) if start is not None else (0,):
            every = [
                OwnCell(init, start, shots, steps, video, place, seed, size, grid)
                for place, video in enumerate(videos)
                for seed in grid.seeds
            ]
            cells += [cell for cell in every if cell.learns or cell.seed == grid.seeds[0]]
    return cells


def job_of(cell: OwnCell, folder: Path) -> Job:
    """What scores a cell and keeps its scores in a folder."""
    return Job(cell.name, result_file(cell, folder), score_own_cell, (cell, folder))


def result_file(cell: OwnCell, folder: Path) -> Path:
    """Where a cell's scores are kept; those of its frames lie beside them, as CSV."""
    return folder / f"{cell.digest}.json"


def score_own_cell(cell: OwnCell, folder: Path) -> None:
    """Score a cell and write its two files, the result last.

    Raises:
        InputError: when the start or the video cannot be used, or a picture holds NaN.
        OSError, CheckpointError, NonFiniteLossError: when a file cannot be read or written, or the game diverges.
    """
    shots, truth = cell.chosen()
    facts: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        estimator = stack.enter_context(MediapipeEstimator(tracking=False, masks=False)) if cell.grid.pose_frames else None
        scores = FrameScores(truth, cell.grid.pose_frames, estimator)
        if cell.start is None:
            images = copied_frames(cell.init, shots, truth)
        else:
            pair, conditioning = cell.start.load()
            adapted, facts = _adapted(pair, conditioning, cell, cell.start, shots)
            images = generate(adapted, pose_inputs(adapted, shots, truth, conditioning))
        for part in images:
            scores.add(part)
    file = result_file(cell, folder)
    write_rows(file.with_suffix(".csv"), scores.rows)
    result = {"name": truth.name, "frames": len(truth), **scores.summary(), **facts, "not_computed": scores.not_computed}
    write_text(file, json.dumps(result, indent=1))


def _adapted(
    pair: gm.GANPair, conditioning: Conditioning, cell: OwnCell, start: OwnStart, shots: Clip
) -> tuple[gm.GANPair, dict[str, Any]]:
    """The start, personalised, and what was chosen on the way."""
    recipe, objective = start.recipe, objective_of(start.recipe)
    check_game(pair, recipe, conditioning.count(len(shots)), str(start.file))
    inner, weight = recipe.inner(cell.steps), recipe.person_weight
    if not (cell.steps and start.choosing):
        return personalize(pair, shots, objective, inner, cell.seed, person_weight=weight), {}
    inner = dataclasses.replace(inner, schedule="constant")
    adapted, found = personalize_by_choice(pair, shots, objective, inner, cell.seed, person_weight=weight, conditioning=conditioning)
    return adapted, {"steps": found.steps, "strength": found.strength}
