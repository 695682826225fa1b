"""The paper's videos: manifests with their YouTube IDs, and fetching them with yt-dlp where the user has it."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import tomllib

from gan_meta.naming import unknown_name
from metapix.data.folder import Source
from metapix.data.video import probe
from metapix.errors import InputError
from metapix.files import read_toml
from metapix.plain import build

MANIFESTS = ("training", "test")
INSTALL = "pip install yt-dlp"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_HEIGHT = 1080

Fetch = Callable[[str, Path], str | None]
"""Given an address and the file to write, fetches it; returns what was wrong, or None."""


@dataclass(frozen=True)
class Listed:
    """One video of a manifest: what its file shall be called, and its ID on YouTube."""

    name: str
    youtube: str

    @property
    def address(self) -> str:
        """Where it is."""
        return f"https://www.youtube.com/watch?v={self.youtube}"


@dataclass(frozen=True)
class Outcome:
    """What became of one video: its file and the file's SHA-256, or what was wrong."""

    video: Listed
    file: Path | None = None
    sha256: str | None = None
    problem: str | None = None


def read_manifest(name: str) -> list[Listed]:
    """The videos of ``"training"``, ``"test"``, or a TOML file of the same form.

    Raises:
        InputError: no such manifest or file, or one that is not of that form; names must not lead out of the folder.
    """
    if name in MANIFESTS:
        content = tomllib.loads(resources.files("metapix").joinpath("data", "manifests", f"{name}.toml").read_text())
    elif name.endswith(".toml") and Path(name).is_file():
        content = read_toml(Path(name))
    else:
        raise InputError(f"{unknown_name('manifest', name, MANIFESTS)}, or the path of a .toml file")
    try:
        said = [{key: entry[key] for key in ("name", "youtube")} for entry in content["videos"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"the manifest {name} needs [[videos]] with a name and a youtube ID each ({error})") from error
    videos = [build(Listed, entry, f"a video of the manifest {name}") for entry in said]
    if not videos:
        raise InputError(f"the manifest {name} lists no video")
    for video in videos:
        if not (_NAME.fullmatch(video.name) and re.fullmatch(r"[A-Za-z0-9_-]{11}", video.youtube)):
            raise InputError(
                f"the manifest {name} has a video {video.name!r:.80} with the ID {video.youtube!r:.80}, which is no plain name or no ID"
            )
    twice = [first.name for first, second in itertools.combinations(videos, 2) if first.name.lower() == second.name.lower()]
    if twice:  # the second would be taken for there already
        raise InputError(f"the manifest {name} has two videos named {twice[0]!r}; each needs a name of its own")
    return videos


def download(videos: Sequence[Listed], out: Path, fetch: Fetch, tick: Callable[[int, int | None], None] | None = None) -> list[Outcome]:
    """Fetch videos into a folder; those that are there and can be read stay as they are.

    Args:
        out: an existing folder; files are ``<name>.mp4``.
    """
    outcomes = []
    for number, video in enumerate(videos, 1):
        file = out / f"{video.name}.mp4"
        problem = None if _is_readable(file) else fetch(video.address, file)
        if problem is None and not _is_readable(file):
            problem = "what came cannot be read as a video"
            file.unlink(missing_ok=True)
        outcomes.append(Outcome(video, problem=problem) if problem else Outcome(video, file, Source.of(file).sha256))
        if tick is not None:
            tick(number, len(videos))
    return outcomes


def yt_dlp_fetch() -> Fetch:
    """Fetching with yt-dlp, up to 1080 lines, H.264 where there is a choice; its unfinished files end in ``.part`` and are taken up again.

    Raises:
        InputError: yt-dlp is not installed.
    """
    if importlib.util.find_spec("yt_dlp") is None:
        raise InputError(f"downloading needs yt-dlp, which is not installed: {INSTALL}")

    def fetch(address: str, file: Path) -> str | None:
        import yt_dlp

        options: dict[str, Any] = {
            "format": f"bv*[vcodec^=avc1][height<={_HEIGHT}][ext=mp4]/bv*[height<={_HEIGHT}]/b",
            "outtmpl": str(file).replace("%", "%%"),
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "logger": _Silent(),
        }
        try:
            with yt_dlp.YoutubeDL(options) as downloader:
                downloader.download([address])
        except yt_dlp.utils.DownloadError as error:
            return " ".join(str(error).removeprefix("ERROR: ").split())
        return None

    return fetch


class _Silent:
    """What yt-dlp says while it works; its errors come as exceptions as well."""

    def debug(self, message: str) -> None:
        """Nobody asked."""

    def warning(self, message: str) -> None:
        """Nobody asked."""

    def error(self, message: str) -> None:
        """It comes as an exception, too."""


def _is_readable(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        probe(file)
    except InputError:
        return False
    return True
