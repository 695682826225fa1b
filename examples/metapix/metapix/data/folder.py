"""The clip folder: frames and masks as PNG, joints as COCO keypoints, and a manifest with checksums.

::

    frames/000000.png ...  RGB
    masks/000000.png ...   grey, 0 to 255; absent where the clip has none
    keypoints.json         COCO keypoints; each annotation also has "metapix_joints"
    manifest.json          format, version, name, kind, source, fps, size, boxes, settings, SHA-256 of every other file

An annotation's "keypoints" are COCO's 17 as x, y, v: v is 2 for a confidence of 0.5 and more, 1 below, 0 (with x = y = 0) for
none. "metapix_joints" holds all 18 joints of :mod:`metapix.skeleton` as [x, y, confidence], exactly. All x and y are pixels of
the frame, 0 at the centre of the first pixel.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from metapix.data.clip import Clip
from metapix.data.coco import coco_document, joints_of
from metapix.data.limits import decode_png, read_limited
from metapix.errors import InputError

FORMAT = "metapix-clip"
VERSION = 1
_KEYPOINTS, _MANIFEST = "keypoints.json", "manifest.json"


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


def write_clip(clip: Clip, folder: Path, *, source: Source | None = None, settings: Mapping[str, Any] | None = None) -> None:
    """Write a clip folder, whole or not at all.

    An older clip folder of that name is replaced. It is written beside its place under another name, and an error leaves
    what was there before.

    Args:
        clip: what to write.
        folder: the folder to make.
        source: the video it came from.
        settings: how it was made, JSON values; :func:`is_prepared` compares them.

    Raises:
        InputError: the folder exists and is not a clip folder, or its parent does not exist.
    """
    folder = Path(folder)
    _check_replaceable(folder)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir()
        _fill(partial, clip, source, dict(settings or {}))
        _move_into_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_clip(folder: Path) -> Clip:
    """Read a clip folder and check every file against its checksum.

    Raises:
        InputError: not a clip folder, a newer format, or a file that is missing, damaged or changed.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    try:
        count, sums = int(manifest["frames"]), manifest["checksums"]
        frames = _pictures(folder, "frames", count, sums)
        masks = _pictures(folder, "masks", count, sums) if manifest["masks"] else None
        joints = joints_of(json.loads(_checked(folder, _KEYPOINTS, sums)))
        boxes = None if manifest["boxes"] is None else torch.tensor(manifest["boxes"], dtype=torch.float32)
        return Clip(str(manifest["name"]), frames, joints, float(manifest["fps"]), masks, boxes, str(manifest["kind"]))
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"The clip folder {folder} is damaged ({error}): prepare it again.") from error


def is_prepared(folder: Path, source: Source, settings: Mapping[str, Any]) -> bool:
    """Whether a folder holds a clip of this version from this video with these settings; reads the manifest only."""
    try:
        manifest = _manifest(Path(folder))
    except InputError:
        return False
    same_source = isinstance(manifest.get("source"), dict) and manifest["source"].get("sha256") == source.sha256
    return same_source and manifest["version"] == VERSION and manifest.get("settings") == dict(settings)


def _fill(folder: Path, clip: Clip, source: Source | None, settings: dict[str, Any]) -> None:
    files = {f"frames/{_picture_name(i)}": _png(frame) for i, frame in enumerate(clip.frames)}
    if clip.masks is not None:
        files |= {f"masks/{_picture_name(i)}": _png(mask) for i, mask in enumerate(clip.masks)}
    files[_KEYPOINTS] = _json(coco_document(clip, [f"frames/{_picture_name(i)}" for i in range(len(clip))]))
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": clip.name,
        "kind": clip.kind,
        "source": None if source is None else asdict(source),
        "fps": clip.fps,
        "size": clip.size,
        "frames": len(clip),
        "masks": clip.masks is not None,
        "boxes": None if clip.boxes is None else clip.boxes.tolist(),
        "settings": settings,
        "checksums": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[_MANIFEST] = _json(manifest)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def _move_into_place(partial: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(partial, folder)
        return
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    os.replace(folder, old)
    try:
        os.replace(partial, folder)
    except OSError:
        os.replace(old, folder)
        raise
    shutil.rmtree(old)


def _check_replaceable(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"Cannot write {folder}: the folder {folder.parent} does not exist.")
    if folder.is_dir() and any(folder.iterdir()):
        try:
            _manifest(folder)
        except InputError as error:
            raise InputError(f"{folder} exists and is not a clip folder: it is left alone. Choose another name.") from error
    elif folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder. Choose another name.")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} is not a clip folder (it has no {_MANIFEST}). Make one with: metapix prepare VIDEO --out DIR")
    try:
        manifest = json.loads(read_limited(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): prepare the clip again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not isinstance(manifest.get("version"), int):
        raise InputError(f"{path} is not the manifest of a clip folder.")
    if manifest["version"] > VERSION:
        raise InputError(f"{folder} has format version {manifest['version']}, newer than {VERSION}: update metapix, or prepare it again.")
    return manifest


def _checked(folder: Path, name: str, sums: Mapping[str, str]) -> bytes:
    path = folder / name
    if name not in sums or not path.is_file():
        raise InputError(f"The clip folder lacks {path}: prepare the clip again.")
    data = read_limited(path)
    if hashlib.sha256(data).hexdigest() != sums[name]:
        raise InputError(f"{path} is damaged or was changed (its checksum differs from the manifest's): prepare the clip again.")
    return data


def _pictures(folder: Path, kind: str, count: int, sums: Mapping[str, str]) -> Tensor:
    pictures = []
    for i in range(count):
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


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
