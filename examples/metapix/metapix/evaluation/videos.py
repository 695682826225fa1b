"""Test videos: clip folders of which only the frames that a cell needs are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_meta.naming import unknown_name
from gan_meta.seeds import derive_seed
from metapix.data.clip import Clip
from metapix.data.folder import is_clip_folder, read_claims, read_clip
from metapix.errors import InputError
from metapix.tasks import TRAIN_SHARE

SELECTIONS = ("even", "random", "released")
"""How K frames are taken from a video's first part: evenly with its ends, at random by seed, or as the released lists have them."""

_RELEASED_FIRST = 100
"""The released lists begin at this frame."""


def check_selection(name: str) -> str:
    """The name of a selection, as it is.

    Raises:
        InputError: for an unknown one, with the nearest.
    """
    if name not in SELECTIONS:
        raise InputError(unknown_name("selection", name, SELECTIONS))
    return name


def choose_shots(name: str, border: int, count: int, selection: str, seed: int) -> list[int]:
    """The numbers of K frames of a video's first part.

    Args:
        name: the video's, which random frames depend on beside the seed.
        border: how many frames the first part has.
        selection: one of :data:`SELECTIONS`.

    Raises:
        InputError: when there are too few.
    """
    first = _RELEASED_FIRST if selection == "released" else 0
    there = border - first
    if not 1 <= count <= there:
        place = f"after frame {first} of its first 85%" if first else "in its first 85%"
        raise InputError(f"{name} has {max(there, 0)} frames {place}, and K = {count} were asked for")
    if selection == "released":
        return [first + number * (there // count) for number in range(count)]
    if selection == "random":
        generator = torch.Generator().manual_seed(derive_seed(seed, "shots", name))
        return sorted(torch.randperm(there, generator=generator)[:count].tolist())
    return [there // 2] if count == 1 else [number * (there - 1) // (count - 1) for number in range(count)]


def clip_folders_in(path: Path) -> list[Path]:
    """The clip folders right below a folder, by name."""
    return sorted(folder for folder in path.iterdir() if is_clip_folder(folder))


@dataclass(frozen=True)
class TestVideo:
    """A clip folder to personalise to and to be scored on.

    Attributes:
        folder: the clip folder.
        name, kind: its clip's.
        frames: how many it has.
        digest: of its manifest, which holds the checksums of all its files.
    """

    __test__ = False  # pytest: this is no test

    folder: Path
    name: str
    kind: str
    frames: int
    digest: str

    @classmethod
    def open(cls, folder: Path) -> TestVideo:
        """Look at a clip folder.

        Raises:
            InputError: when it is none, or damaged.
        """
        if not is_clip_folder(folder):
            raise InputError(f"{folder} is not a clip folder; `metapix prepare` makes one of a video")
        claims, manifest = read_claims(folder), folder / "manifest.json"
        return cls(folder, claims.name, claims.kind, claims.frames, hashlib.sha256(manifest.read_bytes()).hexdigest()[:16])

    @property
    def border(self) -> int:
        """The number of the first frame of the last 15%.

        Raises:
            InputError: when the video is too short to have two parts.
        """
        border = int(self.frames * TRAIN_SHARE)
        if border < 1 or border >= self.frames:
            raise InputError(f"{self.name} has {self.frames} frames; it takes at least 2 to learn from one part and score the other")
        return border

    def shots(self, count: int, selection: str, seed: int) -> list[int]:
        """The numbers of K frames of the first 85%.

        Raises:
            InputError: when the first part has too few.
        """
        return choose_shots(self.name, self.border, count, selection, seed)

    def scored(self, most: int) -> list[int]:
        """The numbers of the frames to be scored: the first ones of the last 15%, in a row, so that motion can be judged."""
        return list(range(self.border, min(self.frames, self.border + most)))

    def read(self, rows: Sequence[int], size: int) -> Clip:
        """These frames at a size.

        Raises:
            InputError: when a file is missing or damaged.
        """
        return read_clip(self.folder, lambda _count: rows).resized(size)
