"""Subjects to train on: clip folders, folders of them, videos, pictures, the released data; or drawn people where none are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_meta import Batch, BatchSource
from gan_meta.seeds import derive_seed
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.data.folder import count_frames, is_clip_folder, read_clip
from metapix.data.limits import check_room
from metapix.data.pictures import find_pictures
from metapix.data.released import is_released_folder, read_released
from metapix.errors import InputError
from metapix.production import open_clip
from metapix.tasks import ClipSamples
from metapix.training.preset import Data

Tick = Callable[[int, int | None], None]

_HELD_VALUES = 300_000_000
"""Clips of up to so many values are held in memory; of longer ones, pictures are read from the disk when they are needed."""


@dataclass(frozen=True)
class Subject:
    """One video of one person."""

    name: str
    samples: BatchSource


class FolderSamples:
    """The frames of a clip folder as samples, read from the disk when asked for; as :class:`ClipSamples` otherwise."""

    def __init__(self, folder: Path, size: int, pose: str, device: str | torch.device = "cpu") -> None:
        self._folder, self._size, self._pose, self._device = folder, size, pose, device
        self._count = count_frames(folder)

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these indices."""
        clip = read_clip(self._folder, lambda _count: indices).resized(self._size)
        return ClipSamples([clip], self._pose, self._device).batch(range(len(clip)))

    def made_on(self, device: str | torch.device) -> FolderSamples:
        """The same samples, made on another device."""
        return FolderSamples(self._folder, self._size, self._pose, device)


class Together:
    """The samples of several people one after the other, for joint training."""

    def __init__(self, people: Sequence[BatchSource]) -> None:
        self._people = people
        self._where = [(number, row) for number, samples in enumerate(people) for row in range(len(samples))]

    def __len__(self) -> int:
        return len(self._where)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these indices."""
        parts = [self._people[self._where[index][0]].batch([self._where[index][1]]) for index in indices]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def samples_on(subjects: Sequence[Subject], device: str | torch.device) -> list[BatchSource]:
    """The subjects' samples, their poses drawn where the network is, so that joints travel there instead of maps (3,000 times as much
    at 512 x 512); those of the released data come as they are.
    """
    made = (subject.samples for subject in subjects)
    return [samples.made_on(device) if isinstance(samples, ClipSamples | FolderSamples) else samples for samples in made]


def find_subjects(paths: Sequence[Path], data: Data, size: int, cache: Path, seed: int, tick: Tick | None = None) -> list[Subject]:
    """What there is to train on.

    Args:
        paths: clip folders, folders of clip folders, folders of pictures, videos, or folders of the released data; drawn people if none.
        size: side of the pictures in pixels.
        cache: where clip folders of videos are kept.
        seed: of the drawn people.

    Raises:
        InputError: when a path cannot be used, or the released data are to be read as heatmaps.
    """
    if not paths:
        return _drawn(data, size, seed, tick)
    subjects: list[Subject] = []
    for path in paths:
        subjects += _of_path(path, data.pose, size, cache, tick)
    return subjects


def _of_path(path: Path, pose: str, size: int, cache: Path, tick: Tick | None) -> list[Subject]:
    if is_released_folder(path):
        if pose != "labels":
            remedy = "Posewarp cannot learn from them" if pose == "joints" else "add --set data.pose=labels"
            raise InputError(f"{path} holds label maps, and {pose} were asked for; {remedy}")
        return [Subject(video.name, video) for video in read_released(path, "train", size)]
    if path.is_dir() and is_clip_folder(path):
        if count_frames(path) * size * size * 3 > _HELD_VALUES:
            return [Subject(path.name, FolderSamples(path, size, pose))]
    elif path.is_dir() and not find_pictures(path):
        folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and is_clip_folder(folder))
        if not folders:
            raise InputError(f"{path} holds no clip folder, no pictures and no lists of the released data")
        return [subject for folder in folders for subject in _of_path(folder, pose, size, cache, tick)]
    return [_held(open_clip(path, size, cache, tick if path.is_file() else None), pose)]


def _held(clip: Clip, pose: str) -> Subject:
    return Subject(clip.name, ClipSamples([clip], pose))


def _drawn(data: Data, size: int, seed: int, tick: Tick | None) -> list[Subject]:
    pixels = data.people * data.frames * size**2
    what = f"{data.people} drawn people with {data.frames} frames of {size} x {size} pixels"
    check_room(4 * pixels, what, "lower data.people or data.frames")
    subjects = []
    for number in range(data.people):
        clip = draw_clip(derive_seed(seed, "training", number) % 2**31, data.frames, size, fps=data.fps)
        subjects.append(_held(clip, data.pose))
        if tick is not None:
            tick(number + 1, data.people)
    return subjects
