"""The pictures and videos that a report shows: checked, kept inside the run's folder, turned into addresses."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from metapix.errors import InputError
from metapix.files import read_limited
from metapix.report.results import Results

EMBED_LIMIT = 12 * 1024 * 1024
"""Videos are embedded when they are smaller than this together (bytes)."""

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_VIDEO_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class Picture:
    """A picture as a data address, with its size in pixels."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Media:
    """What the page shows, by the path that results.json gives."""

    pictures: Mapping[str, Picture]
    videos: Mapping[str, str]  # addresses: data, or relative to the run's folder


def load_media(run_dir: Path, results: Results) -> Media:
    """Read all that the results name; raise InputError for a file that is missing, broken or outside ``run_dir``."""
    names = dict.fromkeys(name for strip in results.strips for row in strip.rows for name in row)
    pictures = {name: _picture(_inside(run_dir, name)) for name in names}
    files = {clip.file: _inside(run_dir, clip.file) for clip in results.videos}
    for path in files.values():
        _check_video(path)
    embed = sum(path.stat().st_size for path in set(files.values())) < EMBED_LIMIT
    return Media(pictures, {name: _data(path) if embed else _relative(run_dir, path) for name, path in files.items()})


def _inside(run_dir: Path, name: str) -> Path:
    """The file of this name; it must be relative, exist, and lie in the run's folder also after following links."""
    if not name.isprintable() or not name:
        raise InputError(f"results.json names the file {name!r}, which is not a usable name; run the evaluation again")
    root = run_dir.resolve()
    try:
        path = (root / name).resolve()
        exists = path.is_file()
    except (OSError, RuntimeError) as error:
        raise InputError(f"results.json names the file {name!r}, which cannot be opened ({error}); run the evaluation again") from None
    if Path(name).is_absolute() or not path.is_relative_to(root):
        raise InputError(
            f"results.json names {name!r}, which is outside {run_dir}; a report only shows files of its own folder, by relative paths"
        )
    if not exists:
        raise InputError(f"{run_dir / name} is named in results.json but does not exist; put it back, or run the evaluation again")
    return path


def _picture(path: Path) -> Picture:
    content = read_limited(path)
    if not (content.startswith(_PNG_START) and content.endswith(_PNG_END)):
        raise InputError(f"{path} is not a whole PNG picture; run the evaluation again to write a fresh one")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # the IHDR chunk, always first
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}", width, height)


def _check_video(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    looks_right = {".mp4": start[4:8] == b"ftyp", ".webm": start[:4] == b"\x1aE\xdf\xa3"}.get(path.suffix.lower())
    if looks_right is None:
        raise InputError(f"{path} is not a video that browsers play; the report shows .mp4 and .webm files")
    if not looks_right:
        raise InputError(f"{path} is not a whole {path.suffix} video; run the evaluation again to write a fresh one")


def _data(path: Path) -> str:
    return f"data:{_VIDEO_TYPES[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _relative(run_dir: Path, path: Path) -> str:
    return quote(path.relative_to(run_dir.resolve()).as_posix())
