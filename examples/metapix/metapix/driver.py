"""Driver: whose moves a person is given: a clip in memory, or a video that is read as it is needed and never held."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metapix.data.clip import Clip
from metapix.data.crop import camera_to_crop, crop_picture, plan_boxes
from metapix.data.folder import Source
from metapix.data.journal import Journal
from metapix.data.look import Look, Progress, look_at
from metapix.data.main_person import MainPersonEstimator
from metapix.data.pose import fill_gaps
from metapix.data.prefetch import prefetch
from metapix.data.shots import can_find_shots
from metapix.data.sound import Sound
from metapix.data.track import tracks_of
from metapix.data.video import read_video
from metapix.data.video_times import is_even, usual_rate
from metapix.poses.skeleton import N_JOINTS


@dataclass(frozen=True, eq=False)
class Driver:
    """Moves, and the pictures they come from.

    Attributes:
        joints: (N, 18, 3) in pixels of square pictures of the size that the driver was opened with; confidence 0 where unseen.
        fps: frames per second, on average.
        boxes: (N, 3) where the pictures lie in the camera's, or ``None``.
        pictures: called for the N pictures (3, S, S) uint8, one after the other.
        times: (N,) when each frame is shown, in seconds; ``None`` at an even rate.
        sound: what belongs to the moves, or ``None``.
        ends: when the last frame stops being shown, in seconds, where that is not after as long as frames are shown on average.
    """

    joints: Tensor
    fps: float
    boxes: Tensor | None
    pictures: Callable[[], Iterator[Tensor]]
    times: NDArray[np.float64] | None = None
    sound: Sound | None = None
    ends: float | None = None


def clip_driver(clip: Clip) -> Driver:
    """A clip as a driver; silent."""
    return Driver(clip.joints, clip.fps, clip.boxes, lambda: iter(clip.frames), clip.uneven_times)


def open_video_driver(video: Path, size: int, cache: Path, *, crop: str = "follow", progress: Progress | None = None) -> Driver:
    """Find the moves in a video: all its frames, also those without a person.

    Memory holds joints only, whatever the length; the pictures are decoded again when they are asked for. Gaps of up to a third
    of a second are filled; in longer ones all joints have confidence 0.

    Args:
        size: side of the pictures in pixels.
        cache: an existing folder, where what was found is kept for the next time.
        crop: ``"follow"``: moves as seen by a camera that follows the person; ``"fixed"``: as the video's camera saw them.

    Raises:
        InputError: the video cannot be read, or nobody is in it.
    """
    key = {"sha256": Source.of(video).sha256, "moves": 2, "shots": can_find_shots()}
    with MainPersonEstimator(masks=False) as estimator:
        look = look_at(video, estimator, progress=progress, journal=Journal(cache / f"{video.stem}.moves", key))
    camera = _timeline(look)
    boxes = plan_boxes(_bounds_everywhere(look), look.picture, look.fps, crop, look.times)
    joints = np.concatenate([camera_to_crop(camera[..., :2], boxes, size), camera[..., 2:]], axis=-1)
    times = None if is_even(look.times, look.fps) else look.times

    def pictures() -> Iterator[Tensor]:
        for frame, box in zip(prefetch(read_video(video)), boxes, strict=False):
            picture = crop_picture(frame.image, box, size, pad="edge")
            yield torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))

    sound = Sound(video, look.shifts)
    return Driver(torch.from_numpy(joints), look.fps, torch.from_numpy(boxes), pictures, times, sound, look.ends)


def _timeline(look: Look) -> NDArray[np.float32]:
    """(M, 18, 3): joints of every frame of the video, 0 where the person is not seen."""
    joints = np.zeros((len(look.times), N_JOINTS, 3), np.float32)
    for track in tracks_of(look):
        joints[track.indices] = track.joints
    edges, usual = [0, *look.cuts, len(joints)], usual_rate(look.times, look.fps)
    for start, end in itertools.pairwise(edges):
        joints[start:end] = fill_gaps(torch.from_numpy(joints[start:end]), usual, torch.from_numpy(look.times[start:end])).numpy()
    return joints


def _bounds_everywhere(look: Look) -> NDArray[np.float64]:
    """(M, 4): the person's bounds in every frame, on a straight line where the person is not seen."""
    return np.stack([np.interp(look.times, look.times[look.found.indices], look.found.bounds[:, edge]) for edge in range(4)], axis=1)
