"""The grid: a cell is one start, adapted to one video with K frames and T steps, and scored; its name is a hash of all it depends on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metapix.evaluation.starts import Start, digest_of
from metapix.files import read_json

RELEASE = 1
"""Of what a cell's files hold; a release that scores otherwise has another number, so that old cells are not taken for its own."""

Count = int | str
"""K or T: a number, or ``"all"``."""


@dataclass(frozen=True)
class Protocol:
    """How cells are scored.

    Attributes:
        size: side of the pictures in pixels.
        selection: how K frames are chosen, one of :data:`metapix.evaluation.videos.SELECTIONS`.
        most_frames: score at most so many frames of a video.
        pose_frames: estimate the pose in at most so many of them; 0 for none.
        epochs: of the rows with K = T = all.
        memory_shots: frames that a pair which looks at frames is shown where K = all.
        weights: the metrics that can be computed beside the usual ones; with new weights, cells are scored anew.
    """

    size: int
    selection: str = "even"
    most_frames: int = 2000
    pose_frames: int = 0
    epochs: float = 10.0
    memory_shots: int = 5
    weights: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """As plain values; without weights as if there were no such field, so that cells keep the names they had before it."""
        values = dataclasses.asdict(self)
        return values if self.weights else {name: value for name, value in values.items() if name != "weights"}


@dataclass(frozen=True)
class Cell:
    """One entry of the grid.

    Attributes:
        start: what is adapted.
        shots, steps: K and T; ``"all"`` both: the given epochs over the whole first part.
        video, video_digest: the test video's name, and a digest of its content.
        seed: of the game, and of K random frames.
        protocol: how it is scored.
        snapshots: numbers of steps after which pictures are kept.
        game: a digest of the personalisation's recipe and game; "" for what learns nothing.
    """

    start: Start
    shots: Count
    steps: Count
    video: str
    video_digest: str
    seed: int
    protocol: Protocol
    snapshots: tuple[int, ...] = ()
    game: str = ""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; the start's enter through its own."""
        rest = {option.name: getattr(self, option.name) for option in dataclasses.fields(self) if option.name not in ("start", "protocol")}
        return digest_of({**rest, "start": self.start.digest, "protocol": self.protocol.describe(), "release": RELEASE})

    def describe(self) -> dict[str, Any]:
        """What stands in the table of all cells."""
        start = self.start
        return {
            "cell": self.digest, "model": start.model, "init": start.init, "meta_K": start.shots, "meta_T": start.steps,
            "changes": " ".join(start.changes), "K": self.shots, "T": self.steps, "video": self.video, "seed": self.seed,
        }  # fmt: skip


class Cache:
    """Where cells are kept: ``<digest>.csv``, the scores frame by frame, and ``<digest>.json``, which is written last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def result_file(self, cell: Cell) -> Path:
        """Exists when the cell is done."""
        return self.folder / f"{cell.digest}.json"

    def frames_file(self, cell: Cell) -> Path:
        """The scores frame by frame."""
        return self.folder / f"{cell.digest}.csv"

    def snapshot_file(self, cell: Cell, step: int, picture: int) -> Path:
        """A picture taken while the start adapted."""
        return self.folder / f"{cell.digest}-{step}-{picture}.png"

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """A cell's result: ``scores``, ``not_computed``, ``seconds``, ``cpu_seconds``; None while it is not done.

        Raises:
            InputError: when the file is damaged.
        """
        file = self.result_file(cell)
        return read_json(file, dict, "delete it and run again") if file.is_file() else None
