"""The clip folder: frames and masks as PNG, joints as COCO keypoints, and a manifest with checksums.

::

    frames/000000.png ...  RGB
    masks/000000.png ...   grey, 0 to 255; absent where the clip has none
    keypoints.json         COCO keypoints; each annotation also has "metapix_joints"
    contact-sheet.jpg      some of the frames with what was found in them
    manifest.json          format, version, name, kind, source, fps, times, size, boxes, settings, SHA-256 of every other file

An annotation's "keypoints" are COCO's 17 as x, y, v: v is 2 for a confidence of 0.5 and more, 1 below, 0 (with x = y = 0) for
none. "metapix_joints" holds all 18 joints of :mod:`metapix.poses.skeleton` as [x, y, confidence], exactly. All x and y are pixels of
the frame, 0 at the centre of the first pixel. "times" are seconds since the first frame, one a frame; null, or missing in folders of
older versions: frames come at the even rate "fps", which is the mean where there are times.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from gan_meta.files import load_json
from gan_meta.partial import partial_beside, replace_folder
from metapix.data.clip import KINDS, LARGEST, LONGEST, MOST_RATE, SMALLEST, Clip, check_clip, picked_times
from metapix.data.coco import check_joints, coco_document, joints_of
from metapix.data.contact_sheet import ContactSheet
from metapix.data.limits import check_room, decode_png
from metapix.errors import InputError
from metapix.files import read_limited, writable
from metapix.plain import OneOf, Within, build, check_fields

FORMAT = "metapix-clip"
VERSION = 1
_KEYPOINTS, _MANIFEST, _SHEET = "keypoints.json", "manifest.json", "contact-sheet.jpg"


@dataclass(frozen=True)
class Source:
    """The video a clip came from: its file's name without the folder, and the SHA-256 of its bytes."""

    file: str
    sha256: str

    @classmethod
    def of(cls, video: Path) -> Source:
        """Read and hash a file."""
        digest = hashlib.sha256()
        with video.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return cls(video.name, digest.hexdigest())


@dataclass(frozen=True, eq=False)
class Head:
    """What a clip folder holds besides the pictures; attributes as of :class:`Clip`."""

    name: str
    joints: Tensor
    size: int
    fps: float
    boxes: Tensor | None = None
    kind: str = "real"
    times: Tensor | None = None


@dataclass(frozen=True)
class Claims:
    """What a manifest says of a clip; attributes as of :class:`Clip`."""

    name: str
    kind: Annotated[str, OneOf(KINDS)]
    fps: Annotated[float, Within(0, MOST_RATE, above=True)]
    size: Annotated[int, Within(SMALLEST, LARGEST)]
    frames: Annotated[int, Within(1, 10**15)]
    masks: bool

    def __post_init__(self) -> None:
        check_fields(self)


def write_clip(clip: Clip, folder: Path, *, source: Source | None = None, settings: Mapping[str, Any] | None = None) -> None:
    """Write a clip folder, whole or not at all; as :func:`write_pictures`, of pictures that are in memory."""
    masks = itertools.repeat(None) if clip.masks is None else clip.masks
    head = Head(clip.name, clip.joints, clip.size, clip.fps, clip.boxes, clip.kind, clip.times)
    write_pictures(head, zip(clip.frames, masks, strict=False), folder, source=source, settings=settings)


def write_pictures(
    head: Head,
    pictures: Iterable[tuple[Tensor, Tensor | None]],
    folder: Path,
    *,
    source: Source | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a clip folder, whole or not at all, holding one picture at a time in memory.

    An older clip folder of that name is replaced. It is written beside its place under another name, and an error leaves
    what was there before.

    Args:
        head: everything but the pictures.
        pictures: a frame (3, S, S) uint8 and its mask (1, S, S) uint8 for each of the head's N joints; all have masks, or none.
        folder: the folder to make.
        source: the video it came from.
        settings: how it was made, JSON values; :func:`is_prepared` compares them.

    Raises:
        InputError: the folder exists and is not a clip folder, or cannot be made there.
    """
    check_joints(head.name, head.joints)
    folder = check_replaceable(Path(folder))
    with partial_beside(folder) as place:
        partial = place / f"{folder.name}.partial"
        partial.mkdir()
        _fill(partial, head, pictures, source, dict(settings or {}))
        replace_folder(partial, folder)


def read_clip(folder: Path, choose: Callable[[int], Sequence[int]] = range) -> Clip:
    """Read a clip folder and check every file that is read against its checksum.

    Args:
        choose: given the number of frames, the numbers of those to read; all of them by default.

    Raises:
        InputError: not a clip folder, a newer format, or a file that is missing, damaged or changed.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    claims = _claims(folder, manifest)
    try:
        rows, sums = choose(claims.frames), manifest["checksums"]
        check_room(len(rows) * claims.size**2 * (3 + claims.masks), f"{folder}: {len(rows)} frames of {claims.size} x {claims.size} pixels")
        joints = joints_of(_checked(folder, _KEYPOINTS, sums))
        boxes = None if manifest["boxes"] is None else torch.tensor(manifest["boxes"], dtype=torch.float32)
        frames = _pictures(folder, "frames", rows, sums)
        masks = _pictures(folder, "masks", rows, sums) if claims.masks else None
        if len(joints) != claims.frames or (boxes is not None and len(boxes) != claims.frames):
            raise ValueError(f"{claims.frames} frames, {len(joints)} poses and {'no' if boxes is None else len(boxes)} boxes")
        chosen = torch.arange(claims.frames)[list(rows)]
        times, fps = picked_times(_times(manifest.get("times"), claims.frames), claims.fps, chosen)
        boxes = None if boxes is None else boxes[chosen]
        clip = Clip(claims.name, frames, joints[chosen], fps, masks, boxes, claims.kind, times)
        if clip.size != claims.size:
            raise ValueError(f"pictures of {clip.size} pixels, and it says {claims.size}")
        check_clip(clip)
        return clip
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:  # RecursionError, too
        raise InputError(f"The clip folder {folder} is damaged ({error}): prepare it again.") from error


def is_clip_folder(folder: Path) -> bool:
    """Whether a folder has a manifest; what it says is not looked at."""
    return (Path(folder) / _MANIFEST).is_file()


def count_frames(folder: Path) -> int:
    """A clip folder's number of frames; reads the manifest only.

    Raises:
        InputError: not a clip folder.
    """
    return read_claims(folder).frames


def read_claims(folder: Path) -> Claims:
    """What a clip folder's manifest says of the clip, each value checked; nothing else is read.

    Raises:
        InputError: not a clip folder, or damaged.
    """
    return _claims(Path(folder), _manifest(Path(folder)))


def is_prepared(folder: Path, source: Source, settings: Mapping[str, Any]) -> bool:
    """Whether a folder holds a clip of this version from this video with these settings; reads the manifest only."""
    try:
        manifest = _manifest(Path(folder))
        _claims(Path(folder), manifest)
    except InputError:
        return False
    same_source = isinstance(manifest.get("source"), dict) and manifest["source"].get("sha256") == source.sha256
    return same_source and manifest["version"] == VERSION and manifest.get("settings") == dict(settings)


def _fill(
    folder: Path,
    head: Head,
    pictures: Iterable[tuple[Tensor, Tensor | None]],
    source: Source | None,
    settings: dict[str, Any],
) -> None:
    sums: dict[str, str] = {}

    def write(name: str, pieces: Iterable[bytes]) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        sums[name] = _write_hashed(path, pieces)

    sheet, areas = ContactSheet(len(head.joints)), []
    for row, (frame, mask) in enumerate(pictures):
        write(f"frames/{_picture_name(row)}", [_png(frame)])
        if mask is not None:
            write(f"masks/{_picture_name(row)}", [_png(mask)])
            areas.append(float((mask > 127).sum()))
        sheet.look(frame, mask, head.joints[row])
    names = [f"frames/{_picture_name(row)}" for row in range(len(head.joints))]
    write(_KEYPOINTS, (piece.encode() for piece in coco_document(head.name, head.joints, head.size, names, areas or None)))
    write(_SHEET, [sheet.finish()])
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": head.name,
        "kind": head.kind,
        "source": None if source is None else asdict(source),
        "fps": head.fps,
        "times": None if head.times is None else [round(time, 9) for time in head.times.tolist()],
        "size": head.size,
        "frames": len(head.joints),
        "masks": bool(areas),
        "boxes": None if head.boxes is None else head.boxes.tolist(),
        "settings": settings,
        "checksums": sums,
    }
    with (folder / _MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1, allow_nan=False)  # piece by piece: for hours of video it is long
        file.write("\n")


def _write_hashed(path: Path, pieces: Iterable[bytes]) -> str:
    """Write a file piece by piece; returned is its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def check_replaceable(folder: Path) -> Path:
    """Where a clip folder of this name is made; call it before the long work.

    Raises:
        InputError: there is something else that is not replaced, or nothing can be written there.
    """
    folder = writable(folder, folder=True)
    if folder.is_dir() and any(folder.iterdir()):
        try:
            _manifest(folder)
        except InputError as error:
            raise InputError(f"{folder} exists and is not a clip folder: it is left alone. Choose another name.") from error
    return folder


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} is not a clip folder (it has no {_MANIFEST}). Make one with: metapix prepare VIDEO --out DIR")
    try:
        manifest = load_json(read_limited(path))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): prepare the clip again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not isinstance(manifest.get("version"), int):
        raise InputError(f"{path} is not the manifest of a clip folder.")
    if manifest["version"] > VERSION:
        raise InputError(f"{folder} has format version {manifest['version']}, newer than {VERSION}: update metapix, or prepare it again.")
    return manifest


def _claims(folder: Path, manifest: Mapping[str, Any]) -> Claims:
    try:
        claims = build(Claims, {one.name: manifest[one.name] for one in fields(Claims)}, "its manifest")
        sums = manifest["checksums"]
        if not isinstance(sums, dict) or claims.frames > len(sums):
            raise InputError("its manifest has no number of frames that fits its files")
    except KeyError as error:
        raise InputError(f"The clip folder {folder} is damaged (its manifest lacks {error}): prepare it again.") from error
    except InputError as error:
        raise InputError(f"The clip folder {folder} is damaged ({error}): prepare it again.") from error
    return claims


def _times(seconds: Any, count: int) -> Tensor | None:
    """The times of all frames."""
    if seconds is None:
        return None
    times = torch.tensor(seconds, dtype=torch.float64)
    if times.shape != (count,) or not times.isfinite().all() or (times.diff() <= 0).any() or (times.abs() > LONGEST).any():
        raise ValueError("its times are not one a frame, each later than the one before, within a year")
    return times


def _checked(folder: Path, name: str, sums: Mapping[str, str]) -> bytes:
    path = folder / name
    if name not in sums or not path.is_file():
        raise InputError(f"The clip folder lacks {path}: prepare the clip again.")
    data = read_limited(path)
    if hashlib.sha256(data).hexdigest() != sums[name]:
        raise InputError(f"{path} is damaged or was changed (its checksum differs from the manifest's): prepare the clip again.")
    return data


def _pictures(folder: Path, kind: str, rows: Sequence[int], sums: Mapping[str, str]) -> Tensor:
    pictures = []
    for i in rows:
        picture = decode_png(_checked(folder, f"{kind}/{_picture_name(i)}", sums), folder / kind / _picture_name(i))
        if picture is None:
            raise InputError(f"{folder / kind / _picture_name(i)} is not a PNG picture: prepare the clip again.")
        channels = picture[..., None] if picture.ndim == 2 else picture
        pictures.append(torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1))))
    return torch.stack(pictures)


def _picture_name(index: int) -> str:
    return f"{index:06d}.png"


def _png(picture: Tensor) -> bytes:
    channels = picture.permute(1, 2, 0).cpu().numpy()[..., ::-1]  # OpenCV has BGR
    data: bytes = cv2.imencode(".png", np.ascontiguousarray(channels))[1].tobytes()
    return data
