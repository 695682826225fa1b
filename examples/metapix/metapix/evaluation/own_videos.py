"""The videos of `metapix evaluate`: clip folders as they are, and what else the user names, made into clip folders first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from metapix.data.folder import is_clip_folder, write_clip
from metapix.data.pictures import clip_of_pictures, find_pictures
from metapix.data.prepare import prepare_video
from metapix.errors import InputError
from metapix.evaluation.videos import TestVideo, clip_folders_in
from metapix.files import make_folder

Tick = Callable[[int, int | None], None]
Holes = list[tuple[str, str]]
"""(what is missing, why)."""


def find_videos(paths: Sequence[Path], size: int, cache: Path, bar: Callable[[str], Tick]) -> tuple[list[TestVideo], Holes]:
    """Test videos, in the order they are named in, and those that cannot be used.

    Args:
        paths: clip folders, folders of clip folders, folders of pictures, and videos.
        size: side of the pictures of clip folders that are made.
        cache: where they are made.
        bar: from words to what is told (done, in all).

    Raises:
        InputError: when a path is not there, or not one video can be used.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"there is no clip folder and no video at {path}")
    videos: list[TestVideo] = []
    holes: Holes = []
    taken: dict[Path, Path] = {}
    for path in _clips_in(paths):
        try:
            video = TestVideo.open(_clip_folder(path, size, cache, taken, bar))
            _ = video.border
            videos.append(video)
        except (InputError, OSError) as error:
            holes.append((path.name, " ".join(str(error).split())))
    if not videos:
        raise InputError(holes[0][1])
    return videos, holes


def _clips_in(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        inside = clip_folders_in(path) if path.is_dir() else []
        yield from inside if inside and not is_clip_folder(path) else [path]


def _clip_folder(path: Path, size: int, cache: Path, taken: dict[Path, Path], bar: Callable[[str], Tick]) -> Path:
    """The clip folder of a path; ``taken`` keeps two videos of one name apart: {folder: what it was made of}."""
    has_pictures = path.is_dir() and not is_clip_folder(path) and bool(find_pictures(path))
    if path.is_dir() and not has_pictures:
        return path
    make_folder(cache)
    name, number = f"{path.stem}-{size}", 1
    while taken.setdefault(cache / name, path) != path:
        number += 1
        name = f"{path.stem}-{size}-{number}"
    folder, tick = cache / name, bar(f"finding the person in {path.name}")
    if not has_pictures:
        return prepare_video(path, folder, size=size, name=path.stem, progress=tick)[0]
    write_clip(clip_of_pictures(path, size, progress=tick), folder)
    return folder
