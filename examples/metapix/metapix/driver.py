"""Driver: whose moves a person is given: a clip in memory, or a video that is read as it is needed and never held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
from metapix.data.pose import MAX_GAP_SECONDS, fill_gaps
from metapix.data.prefetch import prefetch
from metapix.data.shots import can_find_shots
from metapix.data.track import tracks_of
from metapix.data.video import read_video
from metapix.skeleton import N_JOINTS

_EVEN = 0.25  # of a frame: how far times may be off an even rate


class Driver(Protocol):
    """Moves, and the pictures they come from.

    Attributes:
        joints: (N, 18, 3) in pixels of square pictures of the size that the driver was opened with; confidence 0 where unseen.
        fps: frames per second, on average.
        times: (N,) when each frame is shown, in seconds; ``None`` at an even rate.
        boxes: (N, 3) where the pictures lie in the camera's, or ``None``.
        sound: the file whose sound belongs to the moves, or ``None``.
    """

    joints: Tensor
    fps: float
    times: NDArray[np.float64] | None
    boxes: Tensor | None
    sound: Path | None

    def pictures(self) -> Iterator[Tensor]:
        """The N pictures (3, S, S) uint8."""


@dataclass(frozen=True, eq=False)
class ClipDriver:
    """A clip as a driver; silent, and of an even rate."""

    clip: Clip
    times: NDArray[np.float64] | None = None
    sound: Path | None = None

    @property
    def joints(self) -> Tensor:
        """The clip's."""
        return self.clip.joints

    @property
    def fps(self) -> float:
        """The clip's."""
        return self.clip.fps

    @property
    def boxes(self) -> Tensor | None:
        """The clip's."""
        return self.clip.boxes

    def pictures(self) -> Iterator[Tensor]:
        """The clip's frames."""
        return iter(self.clip.frames)


@dataclass(frozen=True, eq=False)
class VideoDriver:
    """A video as a driver, with all its frames, also those without a person; the pictures are decoded again when asked for."""

    video: Path
    size: int
    joints: Tensor
    fps: float
    times: NDArray[np.float64] | None
    boxes: Tensor
    sound: Path | None

    def pictures(self) -> Iterator[Tensor]:
        """The frames, cut out around the person."""
        for frame, box in zip(prefetch(read_video(self.video)), self.boxes.numpy(), strict=False):
            picture = crop_picture(frame.image, box, self.size, pad="edge")
            yield torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def open_video_driver(video: Path, size: int, cache: Path, *, crop: str = "follow", progress: Progress | None = None) -> VideoDriver:
    """Find the moves in a video; memory holds joints only, whatever its length.

    Gaps of up to a third of a second are filled; in longer ones all joints have confidence 0.

    Args:
        size: side of the pictures in pixels.
        cache: an existing folder, where what was found is kept for the next time.
        crop: ``"follow"``: moves as seen by a camera that follows the person; ``"fixed"``: as the video's camera saw them.

    Raises:
        InputError: the video cannot be read, or nobody is in it.
    """
    key = {"sha256": Source.of(video).sha256, "moves": 1, "shots": can_find_shots()}
    with MainPersonEstimator(masks=False) as estimator:
        look = look_at(video, estimator, progress=progress, journal=Journal(cache / f"{video.stem}.moves", key))
    camera = _timeline(look)
    boxes = plan_boxes(_bounds_everywhere(look), look.picture, look.fps, crop)
    joints = np.concatenate([camera_to_crop(camera[..., :2], boxes, size), camera[..., 2:]], axis=-1)
    times = look.times - look.times[0]
    uneven = np.abs(times - np.arange(len(times)) / look.fps).max() > _EVEN / look.fps
    return VideoDriver(video, size, torch.from_numpy(joints), look.fps, times if uneven else None, torch.from_numpy(boxes), video)


def _timeline(look: Look) -> NDArray[np.float32]:
    """(M, 18, 3): joints of every frame of the video, 0 where the person is not seen."""
    joints = np.zeros((len(look.times), N_JOINTS, 3), np.float32)
    for track in tracks_of(look):
        joints[track.indices] = track.joints
    edges = [0, *look.cuts, len(joints)]
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        joints[start:end] = fill_gaps(torch.from_numpy(joints[start:end]), int(MAX_GAP_SECONDS * look.fps)).numpy()
    return joints


def _bounds_everywhere(look: Look) -> NDArray[np.float64]:
    """(M, 4): the person's bounds in every frame, on a straight line where the person is not seen."""
    rows = np.arange(len(look.times))
    return np.stack([np.interp(rows, look.found.indices, look.found.bounds[:, edge]) for edge in range(4)], axis=1)
