"""From a video of a person to a clip folder: decode, find the person, crop, store."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metapix.data.clip import MOST_RATE, Clip
from metapix.data.crop import CROPS, camera_to_crop, crop_picture, plan_boxes
from metapix.data.folder import Head, Source, check_replaceable, is_prepared, read_clip, write_pictures
from metapix.data.journal import Journal
from metapix.data.look import Progress, look_at
from metapix.data.main_person import MainPersonEstimator
from metapix.data.pose import PoseEstimator
from metapix.data.shots import can_find_shots
from metapix.data.track import Track, report_kept, tracks_of
from metapix.data.video import read_video
from metapix.data.video_times import mean_rate
from metapix.errors import InputError

log = logging.getLogger(__name__)

_RECIPE = 4  # part of the settings: raise it when the same options give another clip
_SHORTEST_SHOT_SECONDS = 1.0


def prepare_clip(
    video: Path,
    out: Path,
    *,
    size: int = 128,
    max_frames: int | None = None,
    every: int = 1,
    name: str | None = None,
    estimator: PoseEstimator | None = None,
    crop: str = "follow",
    progress: Progress | None = None,
) -> Clip:
    """Make a clip folder from a video, or read it when the same video was prepared with the same options before.

    Arguments and errors as of :func:`prepare_video`; of several shots the longest is taken.

    Returns:
        A clip of kind ``"real"`` with boxes, and masks if the estimator has them.
    """
    options: dict[str, Any] = {"max_frames": max_frames, "every": every, "name": name, "estimator": estimator, "crop": crop}
    folders = prepare_video(video, out, size=size, progress=progress, **options)
    try:
        return read_clip(folders[0])
    except InputError as error:
        log.warning("%s Preparing it again.", error)
    return read_clip(prepare_video(video, out, size=size, progress=progress, again=True, **options)[0])


def prepare_video(
    video: Path,
    out: Path,
    *,
    size: int = 128,
    max_frames: int | None = None,
    every: int = 1,
    name: str | None = None,
    estimator: PoseEstimator | None = None,
    crop: str = "follow",
    all_shots: bool = False,
    again: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Make a clip folder from a video, unless the same video was prepared with the same options before.

    The longest stretch of one shot that shows one person becomes the clip; frames without that person are dropped. An
    interrupted run is taken up where it was. Memory does not hold the pictures.

    Args:
        video: any video file.
        out: the clip folder to make; see :mod:`metapix.data.folder`.
        size: side of the frames in pixels.
        max_frames: look at no more frames than this.
        every: look at every so many frames of the video; each keeps its time.
        name: the clip's name; default the video's without its ending.
        estimator: default :class:`MainPersonEstimator`.
        crop: ``"follow"`` (the square moves with the person) or ``"fixed"`` (one square around the whole track).
        all_shots: make a folder of every stretch of a second or more: ``out``, ``out-2``, ``out-3``, ... by length, longest first.
        again: make the folders anew, whatever is there.
        progress: called after each frame of the estimation.

    Returns:
        The clip folders.

    Raises:
        InputError: bad options, an unreadable video, nobody in it, or ``out`` is something else than a clip folder.
    """
    video, out, name = Path(video), Path(out), name or Path(video).stem
    if size < 8 or crop not in CROPS:
        raise InputError(f"size must be at least 8 and crop one of {', '.join(CROPS)}; got size={size}, crop={crop!r}.")
    if not video.is_file():
        raise InputError(f"There is no video file {video}.")
    check_replaceable(out)
    with contextlib.ExitStack() as stack:
        person_finder = estimator or stack.enter_context(MainPersonEstimator())
        look = {"recipe": _RECIPE, "max_frames": max_frames, "every": every, "estimator": repr(person_finder), "shots": can_find_shots()}
        settings: dict[str, Any] = {**look, "size": size, "name": name, "crop": crop, "all_shots": all_shots}
        source = Source.of(video)
        if not again and is_prepared(out, source, settings):
            return _prepared_shots(out, source, settings) if all_shots else [out]
        journal = Journal(out.with_name(f".{out.name}.found"), {**look, "sha256": source.sha256})
        try:
            found = look_at(video, person_finder, max_frames=max_frames, every=every, progress=progress, journal=journal)
            tracks = sorted(tracks_of(found), key=lambda track: -len(track.indices))
        except InputError:
            journal.close()
            raise
    kept = [tracks[0], *(track for track in tracks[1:] if all_shots and track.seconds >= _SHORTEST_SHOT_SECONDS)]
    report_kept(found, kept, all_shots=all_shots)
    folders = [out if number == 1 else _shot_folder(out, number) for number in range(1, len(kept) + 1)]
    # The first comes last, since it is the one that says that all are there.
    for number, (track, folder) in reversed(list(enumerate(zip(kept, folders, strict=True), 1))):
        head = track_head(track, size=size, crop=crop, name=name if number == 1 else f"{name}-{number}")
        write_pictures(head, track_pictures(track, video, head), folder, source=source, settings=settings)
    journal.close()
    return folders


def crop_track(track: Track, video: Path, *, size: int, crop: str = "follow", name: str | None = None) -> Clip:
    """Cut a tracked person out of the video the track came from.

    Outside the camera's picture frames repeat its border and masks are 0. Cropping is some hundred frames a second.

    Raises:
        InputError: an unknown ``crop``, or the video cannot be read.
    """
    head = track_head(track, size=size, crop=crop, name=name or Path(video).stem)
    frames, masks = zip(*track_pictures(track, video, head), strict=True)
    has_masks = all(mask is not None for mask in masks)
    kept = torch.stack(masks) if has_masks else None
    return Clip(head.name, torch.stack(frames), head.joints, head.fps, kept, head.boxes, head.kind, head.times)


def track_head(track: Track, *, size: int, crop: str, name: str) -> Head:
    """Everything about a track's crops but the pictures.

    Raises:
        InputError: an unknown ``crop``, or more than 1000 frames a second.
    """
    boxes = plan_boxes(track.bounds, track.picture, track.fps, crop, track.times)
    joints = np.concatenate([camera_to_crop(track.joints[..., :2], boxes, size), track.joints[..., 2:]], axis=-1)
    fps, times = mean_rate(track.times, track.fps), torch.from_numpy(track.times)
    if fps > MOST_RATE:
        raise InputError(f"{name} has {fps:g} frames a second by its timestamps; {MOST_RATE:g} at most can be used: slow it down.")
    return Head(name, torch.from_numpy(joints), size, fps, torch.from_numpy(boxes), times=times)


def track_pictures(track: Track, video: Path, head: Head) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A track's crops, one after the other: frames (3, S, S) and masks (1, S, S), both uint8."""
    assert head.boxes is not None
    boxes = head.boxes.numpy()
    row_of = {int(index): row for row, index in enumerate(track.indices)}
    has_masks = all(mask is not None for mask in track.masks)
    for frame in read_video(video, every=track.every):
        row = row_of.pop(frame.index, None)
        if row is not None:
            picture = _channels_first(crop_picture(frame.image, boxes[row], head.size, pad="edge"))
            mask = track.mask(row) if has_masks else None
            yield picture, None if mask is None else _channels_first(crop_picture(mask, boxes[row], head.size, pad="zero")[..., None])
        if not row_of:
            break


def _channels_first(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def _shot_folder(out: Path, number: int) -> Path:
    return out.with_name(f"{out.name}-{number}")


def _prepared_shots(out: Path, source: Source, settings: dict[str, Any]) -> list[Path]:
    folders = [out]
    while is_prepared(following := _shot_folder(out, len(folders) + 1), source, settings):
        folders.append(following)
    return folders
