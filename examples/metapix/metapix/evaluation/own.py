"""The grid of `metapix evaluate`: starts of one's own x K x T x clips x seeds. Each cell is scored once, kept, and found again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gan_meta as gm
from gan_meta.distributed import World
from metapix.choice import personalize_by_choice
from metapix.conditioning import Conditioning
from metapix.data.clip import Clip
from metapix.evaluation.frame_scores import FrameScores, weights_here, write_rows
from metapix.evaluation.score_cell import copied_frames
from metapix.evaluation.starts import digest_of
from metapix.evaluation.videos import choose_shots
from metapix.files import read_json, write_text
from metapix.personalize import generate, personalize, pose_inputs
from metapix.recipe import Recipe
from metapix.tasks import split

Scores = dict[str, Any]
Tick = Callable[[int, int | None], None]

RELEASE = 1
"""Of what a cell's files hold."""


@dataclass(frozen=True, eq=False)
class OwnStart:
    """A start to be scored.

    Attributes:
        file: where it lies; its name stands in the table where there are several.
        digest: of the file's content.
        init: one of the names of :data:`metapix.evaluation.starts.INITS`.
        conditioning, source: how it is told of the K frames, and the source it was made with.
        choosing: find the number of steps by leaving frames out.
    """

    file: Path
    digest: str
    init: str
    pair: gm.GANPair
    recipe: Recipe
    conditioning: Conditioning
    source: str
    choosing: bool


@dataclass(frozen=True)
class Grid:
    """What is scored.

    Attributes:
        shots, steps: each K with each T; 0 steps, the start as it is, are always scored, too.
        seeds: of the games, and of K random frames.
        selection: how K frames are chosen, one of :data:`metapix.evaluation.videos.SELECTIONS`.
        most_frames: score at most so many frames of a clip (the paper's 2000).
    """

    shots: tuple[int, ...]
    steps: tuple[int, ...]
    seeds: tuple[int, ...] = (0,)
    selection: str = "even"
    most_frames: int = 2000


@dataclass(frozen=True, eq=False)
class OwnCell:
    """One entry: an answer to one clip with K frames and T steps; ``start`` is None for what learns nothing."""

    init: str
    start: OwnStart | None
    shots: int
    steps: int
    clip: Clip
    seed: int
    grid: Grid

    @property
    def line(self) -> tuple[str, str, int, int]:
        """What the cells of a row have in common."""
        return (self.init, "" if self.start is None else self.start.digest, self.shots, self.steps)

    @property
    def learns(self) -> bool:
        """Whether anything here depends on the seed."""
        return self.steps > 0 or self.grid.selection == "random"

    def chosen(self) -> tuple[Clip, Clip]:
        """The K frames, and those to be scored.

        Raises:
            InputError: when the clip is too short.
        """
        first, rest = split(self.clip)
        shots = first.select(choose_shots(self.clip.name, len(first), self.shots, self.grid.selection, self.seed))
        return shots, rest.select(slice(0, self.grid.most_frames))


def cells_of(starts: Sequence[OwnStart], clips: Sequence[Clip], grid: Grid) -> list[OwnCell]:
    """All cells, row by row; what no seed can change has one."""
    answers: list[tuple[str, OwnStart | None, int]] = []
    for shots in grid.shots:
        answers += [("nearest-frame", None, shots), ("puppet", None, shots)]
    answers += [(start.init, start, shots) for start in starts for shots in grid.shots]
    cells = []
    for init, start, shots in answers:
        for steps in (0, *(number for number in dict.fromkeys(grid.steps) if number)) if start is not None else (0,):
            every = [OwnCell(init, start, shots, steps, clip, seed, grid) for clip in clips for seed in grid.seeds]
            cells += [cell for cell in every if cell.learns or cell.seed == grid.seeds[0]]
    return cells


def score_cells(cells: Sequence[OwnCell], folder: Path, world: World, tick: Tick | None = None) -> list[Scores]:
    """The scores of each cell, in order; the ranks share those that are not kept in the folder yet.

    Raises:
        InputError: when a kept cell is damaged, or a generated picture holds NaN.
        OSError, NonFiniteLossError: when a file cannot be written, or a game diverges.
    """
    contents = {id(clip): _content_digest(clip) for clip in {id(cell.clip): cell.clip for cell in cells}.values()}
    digests = [cell_digest(cell, contents[id(cell.clip)]) for cell in cells]
    mine: dict[str, Scores] = {}
    own = dict(list(zip(digests, cells, strict=True))[world.rank :: world.size])
    for number, (digest, cell) in enumerate(own.items(), 1):
        mine[digest] = _scored(cell, folder, digest)
        if tick is not None:
            tick(number, len(own))
    found: dict[str, Scores] = {}
    for told in world.gather(mine):
        found.update(told)
    return [found[digest] for digest in digests]


def cell_digest(cell: OwnCell, content: str) -> str:
    """16 hexadecimal digits that name all that a cell's scores depend on; ``content`` is the digest of its clip's frames and joints."""
    start = None
    if cell.start is not None:
        recipe = cell.start.recipe.as_dict()
        start = {"file": cell.start.digest, "recipe": recipe, "source": cell.start.source, "choosing": cell.start.choosing}
    return digest_of(
        {
            "init": cell.init, "start": start, "K": cell.shots, "T": cell.steps, "clip": [cell.clip.name, content],
            "seed": cell.seed if cell.learns else None, "selection": cell.grid.selection, "most_frames": cell.grid.most_frames,
            "weights": weights_here(), "release": RELEASE,
        }
    )  # fmt: skip


def _content_digest(clip: Clip) -> str:
    content = hashlib.sha256(clip.frames.numpy().tobytes())
    content.update(clip.joints.numpy().tobytes())
    return content.hexdigest()


def _scored(cell: OwnCell, folder: Path, digest: str) -> Scores:
    file = folder / f"{digest}.json"
    if file.is_file():
        kept: Scores = read_json(file, dict, "delete it and run again")
        return kept
    shots, truth = cell.chosen()
    scores = FrameScores(truth)
    facts: Scores = {}
    if cell.start is None:
        images = copied_frames(cell.init, shots, truth)
    else:
        adapted, facts = _adapted(cell, cell.start, shots)
        images = generate(adapted, pose_inputs(adapted, shots, truth, cell.start.conditioning))
    for part in images:
        scores.add(part)
    write_rows(folder / f"{digest}.csv", scores.rows)
    result = {"name": cell.clip.name, "frames": len(truth), **scores.summary(), **facts}
    write_text(file, json.dumps(result, indent=1))
    return result


def _adapted(cell: OwnCell, start: OwnStart, shots: Clip) -> tuple[gm.GANPair, Scores]:
    """The start, personalised, and what was chosen on the way."""
    recipe, objective = start.recipe, start.recipe.objective()
    inner, weight = recipe.inner(cell.steps), recipe.person_weight
    if not (cell.steps and start.choosing):
        return personalize(start.pair, shots, objective, inner, cell.seed, person_weight=weight), {}
    inner = dataclasses.replace(inner, schedule="constant")
    adapted, found = personalize_by_choice(
        start.pair, shots, objective, inner, cell.seed, person_weight=weight, conditioning=start.conditioning
    )
    return adapted, {"steps": found.steps, "strength": found.strength}
