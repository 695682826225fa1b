"""Track: one person through a shot of a video, joints steadied; made once for all crops from what a look at the video found."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from metapix.data.journal import StoredMask
from metapix.data.limits import decode_png
from metapix.data.look import Look, look_at
from metapix.data.pose import PoseEstimator, smooth_joints
from metapix.data.sides import untangle_sides
from metapix.errors import InputError

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Track:
    """One person through a video, in the camera's pixels.

    Attributes:
        indices: (N,) the frames' numbers in the video.
        joints: (N, 18, 3) float32, smoothed.
        bounds: (N, 4) left, top, right, bottom of the person.
        masks: N compressed masks, or where to load them (see :meth:`mask`), or None where the estimator has none.
        picture: width and height of the video.
        times: (N,) seconds since the first of them.
        fps: frames per second that were looked at, on average, with and without a person.
        every: the step between decoded frames.
    """

    indices: NDArray[np.int64]
    joints: NDArray[np.float32]
    bounds: NDArray[np.float64]
    masks: tuple[bytes | StoredMask | None, ...]
    picture: tuple[int, int]
    times: NDArray[np.float64]
    fps: float
    every: int

    @property
    def seconds(self) -> float:
        """How long it lasts, its last frame included."""
        return float(self.times[-1]) + 1 / self.fps

    def mask(self, row: int) -> NDArray[np.uint8] | None:
        """The (H, W) uint8 mask of a row."""
        packed = self.masks[row]
        if packed is None:
            return None
        mask = decode_png(packed.load() if isinstance(packed, StoredMask) else packed, "a mask")
        if mask is None or mask.shape != self.picture[::-1]:
            raise InputError("What an earlier, interrupted look has left is damaged: delete the hidden folder that ends in .found.")
        return mask


def estimate_track(video: Path, estimator: PoseEstimator, *, max_frames: int | None = None, every: int = 1) -> Track:
    """The longest stretch of one shot of a video that shows one person, joints steadied: the longest of :func:`tracks_of`.

    Memory is one picture, plus joints and a compressed mask for each frame.

    Raises:
        InputError: the video cannot be read, or fewer than two of its frames show a person.
    """
    look = look_at(video, estimator, max_frames=max_frames, every=every)
    tracks = tracks_of(look)
    report_kept(look, tracks, all_shots=False)
    return max(tracks, key=lambda track: len(track.indices))


def tracks_of(look: Look) -> list[Track]:
    """Every stretch of one shot that shows one person, in time's order, joints steadied; frames without the person are dropped.

    Raises:
        InputError: nobody was found, or nobody stays for two frames.
    """
    found, seen = look.found, len(look.times)
    if len(found.indices) < 2:
        nobody = "A person was found in one frame only" if len(found.indices) else "No person was found"
        raise InputError(
            f"{nobody} in {look.video} ({seen} frames looked at; it takes two with a person). One person should be "
            "in view, upright and at least a fifth of the picture's height: try another part of the video, or crop it closer to the person."
        )
    times = look.times[found.indices // look.every]
    kept = [slice(start, end) for start, end in stretches(found.joints, times, look.shot_starts) if end - start >= 2]
    if not kept:
        raise InputError(f"The person found in {look.video} changes from frame to frame: one person should be in view, and in front.")
    return [_steadied(look, part) for part in kept]


def report_kept(look: Look, tracks: Sequence[Track], *, all_shots: bool) -> None:
    """Say how many of a video's frames go into the clip, or the clips, where not all of them do."""
    lengths = [len(track.indices) for track in tracks]
    kept, seen, shots = (sum if all_shots else max)(lengths), len(look.times), len(look.cuts) + 1
    if kept < seen:
        others = f", or another of {shots} shots" if shots > 1 and not all_shots else ""
        log.warning("%s: kept %d of %d frames (no person found, or another person%s, in the rest).", look.video, kept, seen, others)


def _steadied(look: Look, part: slice) -> Track:
    found, rows = look.found, look.found.indices[part] // look.every
    seen = rows - rows[0]
    timeline = np.zeros((seen[-1] + 1, *found.joints.shape[1:]), np.float32)  # a frame without a person is a gap of confidence 0
    timeline[seen] = untangle_sides(found.joints[part])
    joints = smooth_joints(torch.from_numpy(timeline), look.fps, look.times[rows[0] : rows[-1] + 1]).numpy()[seen]
    times = look.times[rows] - look.times[rows[0]]
    return Track(found.indices[part], joints, found.bounds[part], found.masks[part], look.picture, times, look.fps, look.every)


def stretches(
    joints: NDArray[np.float32], times: NDArray[np.float64], shot_starts: NDArray[np.int64] | None = None
) -> list[tuple[int, int]]:
    """The runs of detections that can be one person in one shot, in order.

    A jump is a median joint movement of more than 0.15 body diagonals plus 4 a second (about 7 m/s), over a third of a
    second at most, or a change of the body's size by more than half, or by more where detections are over a fifteenth of a
    second apart. Joints of confidence 0 are not looked at; where no joint is seen on both sides of it, a step is a jump.

    Args:
        joints: (N, 18, 3) as found.
        times: (N,) seconds.
        shot_starts: the detections that begin a shot.
    """
    firsts = range(0, len(joints) - 1, _ROWS_AT_ONCE)
    parts = [slice(first, first + _ROWS_AT_ONCE + 1) for first in firsts]  # whole copies of hours of joints would fill memory
    jumps = np.concatenate([np.zeros(0, bool), *(_jumps(joints[part], np.diff(times[part])) for part in parts)])
    starts = {0, *(np.flatnonzero(jumps) + 1).tolist(), *([] if shot_starts is None else shot_starts.tolist())}
    return list(itertools.pairwise(sorted({*starts, len(joints)})))


def _jumps(joints: NDArray[np.float32], seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N - 1,) whether each step is one."""
    seen = joints[..., 2] > 0
    both = seen[1:] & seen[:-1]
    whole = _diagonal(joints, seen)
    smaller, larger = np.minimum(whole[1:], whole[:-1]), np.maximum(whole[1:], whole[:-1])
    steps = np.linalg.norm(np.diff(joints[..., :2], axis=0), axis=-1)
    moved = np.array([np.median(step[known]) if known.any() else np.inf for step, known in zip(steps, both, strict=True)])
    # A body of which joints are missing looks smaller than it is.
    is_far = moved > (0.15 + 4 * np.minimum(seconds, 1 / 3)) * np.where(both.all(1), smaller, larger)
    before, after = _diagonal(joints[:-1], both), _diagonal(joints[1:], both)
    allowed = 1.5 + 3 * np.clip(seconds - 1 / 15, 0, 1 / 3)  # in a sixth of a second somebody who walks opens the legs
    jumps: NDArray[np.bool_] = is_far | (np.maximum(before, after) / np.minimum(before, after) > allowed)
    return jumps


def _diagonal(joints: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N,) of the bounding box of the known joints, in pixels, above 0."""
    low = np.where(known[..., None], joints[..., :2], np.inf).min(1)
    high = np.where(known[..., None], joints[..., :2], -np.inf).max(1)
    size: NDArray[np.float32] = np.where(known.any(1), np.linalg.norm(high - low, axis=-1), 0).clip(1e-6)
    return size
