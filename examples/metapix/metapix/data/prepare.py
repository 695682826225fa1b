"""From a video of a person to a clip folder: decode, find the person, crop, store."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import numpy as np
import torch

from metapix.data.clip import Clip
from metapix.data.crop import CROPS, camera_to_crop, crop_picture, plan_boxes
from metapix.data.folder import Source, is_prepared, read_clip, write_clip
from metapix.data.pose import MediapipeEstimator, PoseEstimator
from metapix.data.track import Progress, Track, estimate_track
from metapix.data.video import read_video
from metapix.errors import InputError

log = logging.getLogger(__name__)

_RECIPE = 2  # part of the settings: raise it when the same options give another clip


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

    Frames without a person are dropped; where the person found jumps to somebody else, the longest stretch is kept.
    For crops of several sizes at the price of one estimation call :func:`estimate_track` and :func:`crop_track`.

    Args:
        video: any video file.
        out: the clip folder to make; see :mod:`metapix.data.folder`.
        size: side of the frames in pixels.
        max_frames: look at no more frames than this.
        every: look at every so many frames of the video; the clip's fps is the video's divided by it.
        name: the clip's name; default the video's without its ending.
        estimator: default :class:`MediapipeEstimator`.
        crop: ``"follow"`` (the square moves with the person) or ``"fixed"`` (one square around the whole track).
        progress: called after each frame of the estimation.

    Returns:
        A clip of kind ``"real"`` with masks and boxes.

    Raises:
        InputError: bad options, an unreadable video, nobody in it, or ``out`` is something else than a clip folder.
    """
    video, out, name = Path(video), Path(out), name or Path(video).stem
    if size < 8 or crop not in CROPS:
        raise InputError(f"size must be at least 8 and crop one of {', '.join(CROPS)}; got size={size}, crop={crop!r}.")
    if not video.is_file():
        raise InputError(f"There is no video file {video}.")
    with contextlib.ExitStack() as stack:
        person_finder = estimator or stack.enter_context(MediapipeEstimator())
        settings = {"recipe": _RECIPE, "size": size, "max_frames": max_frames, "every": every, "name": name, "crop": crop}
        settings["estimator"] = repr(person_finder)
        source = Source.of(video)
        if is_prepared(out, source, settings):
            try:
                return read_clip(out)
            except InputError as error:
                log.warning("%s Preparing it again.", error)
        track = estimate_track(video, person_finder, max_frames=max_frames, every=every, progress=progress)
    clip = crop_track(track, video, size=size, crop=crop, name=name)
    write_clip(clip, out, source=source, settings=settings)
    return clip


def crop_track(track: Track, video: Path, *, size: int, crop: str = "follow", name: str | None = None) -> Clip:
    """Cut a tracked person out of the video the track came from.

    Outside the camera's picture frames repeat its border and masks are 0. Cropping is some hundred frames a second.

    Raises:
        InputError: an unknown ``crop``, or the video cannot be read.
    """
    boxes = plan_boxes(track.bounds, track.picture, track.fps, crop)
    row_of = {int(index): row for row, index in enumerate(track.indices)}
    frames = np.zeros((len(row_of), size, size, 3), np.uint8)
    masks = np.zeros((len(row_of), size, size), np.uint8)
    has_masks = all(mask is not None for mask in track.masks)
    for frame in read_video(video, every=track.every):
        row = row_of.pop(frame.index, None)
        if row is not None:
            frames[row] = crop_picture(frame.image, boxes[row], size, pad="edge")
            mask = track.mask(row)
            if mask is not None:
                masks[row] = crop_picture(mask, boxes[row], size, pad="zero")
        if not row_of:
            break
    joints = np.concatenate([camera_to_crop(track.joints[..., :2], boxes, size), track.joints[..., 2:]], axis=-1)
    return Clip(
        name or Path(video).stem,
        torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(joints),
        track.fps,
        torch.from_numpy(masks)[:, None] if has_masks else None,
        torch.from_numpy(boxes),
        "real",
    )
