"""The people of a reproduction: drawn and packaged ones where the user names none, else the user's clip folders and videos."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_meta.seeds import derive_seed
from metapix.data.bundled import bundled_videos
from metapix.data.drawn import draw_clip
from metapix.data.folder import is_clip_folder, write_clip
from metapix.data.main_person import MainPersonEstimator
from metapix.data.prepare import prepare_clip, prepare_video
from metapix.errors import InputError
from metapix.evaluation.reproduce.suite import Suite
from metapix.evaluation.run import Job
from metapix.evaluation.starts import digest_of, file_digest
from metapix.evaluation.videos import TestVideo, clip_folders_in
from metapix.training.preset import Data, Preset

_REAL_SIZE = 256
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class People:
    """Where the clips are.

    Attributes:
        training: clip folders, folders of them, or released training data.
        test: clip folders to be scored on.
        jobs: what makes those that are not there yet.
    """

    training: tuple[Path, ...]
    test: tuple[Path, ...]
    jobs: tuple[Job, ...]

    def training_digest(self) -> str:
        """Of what is trained on: the manifests of its clip folders, videos, and the names in other folders."""
        return digest_of([_content(path) for path in self.training])

    def open_test(self) -> tuple[list[TestVideo], dict[str, str]]:
        """The test videos, and {name: what is wrong} with those that cannot be used."""
        videos, problems = [], {}
        for folder in self.test:
            try:
                video = TestVideo.open(folder)
                _ = video.border
                videos.append(video)
            except (InputError, OSError) as error:
                problems[folder.name] = " ".join(str(error).split())
        return videos, problems


def find_people(suite: Suite, preset: Preset, out: Path, training: Sequence[Path], test: Sequence[Path]) -> People:
    """The people of a suite: those the user names, and drawn or packaged ones where none are named and the suite has some.

    Args:
        preset: of the first model.
        out: the run's folder; what is made goes below ``out/data``.

    Raises:
        InputError: when a path is not there, or the suite has no people of its own.
    """
    if bool(training) != bool(test):
        raise InputError("name both, videos to train on and videos to be scored on, or neither: --train and --test")
    if not training and not suite.test.drawn:
        raise InputError(
            f"the preset {suite.name!r} needs videos: name them with --train and --test; `metapix download` lists and fetches the paper's"
        )
    size = preset.recipe.size
    if not training:
        drawn_training, jobs = _drawn("training", preset.data.people, preset.data, preset.data.frames, size, out)
        drawn_test, more = _drawn("unseen", suite.test.drawn, preset.data, suite.test.drawn_frames, size, out)
        real, still_more = _packaged(suite, out)
        return People(drawn_training, (*drawn_test, *real), (*jobs, *more, *still_more))
    for path in (*training, *test):
        if not path.exists():
            raise InputError(f"there is no clip folder and no video at {path}")
    found = [_clip_folders(path, size, out / "data") for path in test]
    return People(tuple(training), tuple(f for folders, _ in found for f in folders), tuple(job for _, jobs in found for job in jobs))


def _drawn(kind: str, count: int, data: Data, frames: int, size: int, out: Path) -> tuple[tuple[Path, ...], list[Job]]:
    """Drawn people, in a folder that says how they are drawn, so that other settings do not find them."""
    settings = digest_of({"kind": kind, "frames": frames, "size": size, "fps": data.fps})
    folders = tuple(out / "data" / f"{kind}-{settings}" / f"{kind}-{number:02d}" for number in range(count))
    jobs = [
        Job(f"draw {folder.name}", folder / _MANIFEST, draw_person, (kind, number, frames, size, data.fps, folder))
        for number, folder in enumerate(folders)
    ]
    return folders, jobs


def draw_person(kind: str, number: int, frames: int, size: int, fps: float, folder: Path) -> None:
    """Draw one person; unseen people have seeds of their own, so that more training people do not turn into them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clip = draw_clip(derive_seed(0, kind, number) % 2**31, frames, size, fps=fps)
    write_clip(dataclasses.replace(clip, name=folder.name), folder)


def _packaged(suite: Suite, out: Path) -> tuple[tuple[Path, ...], list[Job]]:
    if not suite.test.real:
        return (), []
    videos = bundled_videos()
    folder = out / "data" / f"packaged-{suite.test.real_frames}"
    folders = tuple(folder / name for name in suite.test.real)
    jobs = [
        Job(f"find the person in {name}", path / _MANIFEST, prepare_packaged, (videos[name], path, suite.test.real_frames))
        for name, path in zip(suite.test.real, folders, strict=True)
    ]
    return folders, jobs


def prepare_packaged(video: Path, folder: Path, frames: int) -> None:
    """A packaged clip as a clip folder, cut as the demo cuts it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with MainPersonEstimator() as estimator:
        prepare_clip(video, folder, size=_REAL_SIZE, max_frames=frames, name=folder.name, estimator=estimator, crop="fixed")


def prepare_test_video(video: Path, folder: Path, size: int) -> None:
    """A test video of the user's as a clip folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    prepare_video(video, folder, size=size)


def _clip_folders(path: Path, size: int, cache: Path) -> tuple[list[Path], list[Job]]:
    if path.is_file():
        folder = cache / f"{path.stem}-{size}"
        return [folder], [Job(f"find the person in {path.name}", folder / _MANIFEST, prepare_test_video, (path, folder, size))]
    if is_clip_folder(path):
        return [path], []
    inside = clip_folders_in(path)
    if not inside:
        raise InputError(f"{path} holds no clip folder; people are scored on clip folders and videos (`metapix prepare`)")
    return inside, []


def _content(path: Path) -> list[str]:
    manifests = sorted(path.glob(_MANIFEST)) or sorted(path.glob(f"*/{_MANIFEST}"))
    if manifests:
        return [hashlib.sha256(manifest.read_bytes()).hexdigest() for manifest in manifests]
    return [file_digest(path)] if path.is_file() else sorted(entry.name for entry in path.iterdir())
