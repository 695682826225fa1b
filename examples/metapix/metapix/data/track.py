"""Track: where one person is in each frame of a video; the slow part of preparing a clip, done once for all crops."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from metapix.data.pose import MIN_CONFIDENCE, PoseEstimator, smooth_joints
from metapix.data.sides import untangle_sides
from metapix.data.video import probe, read_video
from metapix.errors import InputError
from metapix.skeleton import BONES

log = logging.getLogger(__name__)

_ISLAND = 8  # mask values below this separate islands

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames in all (None: not known)."""


@dataclass(frozen=True, eq=False)
class Track:
    """One person through a video, in the camera's pixels.

    Attributes:
        indices: (N,) the frames' numbers in the video.
        joints: (N, 18, 3) float32, smoothed.
        bounds: (N, 4) left, top, right, bottom of the person.
        masks: N compressed masks (see :meth:`mask`), or None where the estimator has none.
        picture: width and height of the video.
        fps: frames per second of the rows before frames without a person were dropped.
        every: the step between decoded frames.
    """

    indices: NDArray[np.int64]
    joints: NDArray[np.float32]
    bounds: NDArray[np.float64]
    masks: tuple[bytes | None, ...]
    picture: tuple[int, int]
    fps: float
    every: int

    def mask(self, row: int) -> NDArray[np.uint8] | None:
        """The (H, W) uint8 mask of a row."""
        packed = self.masks[row]
        if packed is None:
            return None
        mask: NDArray[np.uint8] = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_GRAYSCALE)
        return mask


def estimate_track(
    video: Path, estimator: PoseEstimator, *, max_frames: int | None = None, every: int = 1, progress: Progress | None = None
) -> Track:
    """Find the person in a video, keep the longest stretch without a jump to somebody else, and steady the joints.

    Memory is one picture, plus joints and a compressed mask for each frame.

    Raises:
        InputError: the video cannot be read, or fewer than two of its frames show a person.
    """
    frames, info = read_video(video, max_frames=max_frames, every=every), probe(video)
    total = None if info.frames is None else min(-(-info.frames // every), max_frames or info.frames)
    estimator.reset()
    indices: list[int] = []
    found: list[tuple[NDArray[np.float32], NDArray[np.float64], bytes | None]] = []
    seen = 0
    for frame in frames:
        seen += 1
        detection = estimator.estimate(frame.image)
        if detection is not None:
            mask = None if detection.mask is None else keep_person(detection.mask, detection.joints)
            indices.append(frame.index)
            found.append((detection.joints, _bounds(detection.joints, mask), _pack(mask)))
        if progress is not None:
            progress(seen, total)
    if len(found) < 2:
        raise InputError(
            f"No person was found in {video} ({seen} frames looked at, {len(found)} with a person). One person should be in view, "
            "upright and at least a fifth of the picture's height: try another part of the video, or crop it closer to the person."
        )
    return _assemble(video, np.array(indices), found, (info.width, info.height), info.fps / every, every, seen)


def _assemble(
    video: Path,
    indices: NDArray[np.int64],
    found: list[tuple[NDArray[np.float32], NDArray[np.float64], bytes | None]],
    picture: tuple[int, int],
    fps: float,
    every: int,
    seen: int,
) -> Track:
    raw = np.stack([joints for joints, _, _ in found])
    keep = longest_stretch(raw, indices // every, fps)
    indices, raw = indices[keep], raw[keep]
    if len(indices) < 2:
        raise InputError(f"The person found in {video} changes from frame to frame: one person should be in view, and in front.")
    if len(indices) < seen:
        log.warning("%s: kept %d of %d frames (no person found, or another person, in the rest).", video, len(indices), seen)
    rows = indices // every - indices[0] // every
    timeline = np.zeros((rows[-1] + 1, *raw.shape[1:]), np.float32)  # a frame without a person is a gap of confidence 0
    timeline[rows] = untangle_sides(raw)
    joints = smooth_joints(torch.from_numpy(timeline), fps).numpy()[rows]
    bounds = np.stack([bounds for _, bounds, _ in found[keep]])
    return Track(indices, joints, bounds, tuple(mask for _, _, mask in found[keep]), picture, fps, every)


def longest_stretch(joints: NDArray[np.float32], rows: NDArray[np.int64], fps: float) -> slice:
    """The longest run of detections that can be one person.

    A jump is a median joint movement of more than 0.15 body diagonals plus 4 a second (about 7 m/s), over a third of a
    second at most, or a change of the body's size by more than half.

    Args:
        joints: (N, 18, 3) as found.
        rows: (N,) which step of time each detection belongs to.
        fps: steps a second.
    """
    diagonal = np.linalg.norm(joints[..., :2].max(1) - joints[..., :2].min(1), axis=-1)
    size = np.maximum(diagonal, 1e-6)
    moved = np.median(np.linalg.norm(np.diff(joints[..., :2], axis=0), axis=-1), axis=1)
    allowed = 0.15 + 4 * np.minimum(np.diff(rows) / fps, 1 / 3)
    ratio = np.maximum(size[1:], size[:-1]) / np.minimum(size[1:], size[:-1])
    cuts = np.flatnonzero((moved > allowed * np.minimum(size[1:], size[:-1])) | (ratio > 1.5)) + 1
    edges = [0, *cuts.tolist(), len(joints)]
    start, end = max(itertools.pairwise(edges), key=lambda edge: edge[1] - edge[0])
    return slice(start, end)


def keep_person(mask: NDArray[np.uint8], joints: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clear the islands of a mask that no bone of the skeleton touches: bits of other people and of furniture.

    Args:
        mask: (H, W) uint8.
        joints: (18, 3) in the mask's pixels.
    """
    _, islands = cv2.connectedComponents((mask >= _ISLAND).astype(np.uint8), connectivity=4)
    touched = np.zeros(islands.max() + 1, bool)
    share = np.linspace(0, 1, 50)[:, None]
    for a, b in BONES:
        if min(joints[a, 2], joints[b, 2]) >= MIN_CONFIDENCE:
            points = np.rint(joints[a, :2] + share * (joints[b, :2] - joints[a, :2])).astype(int)
            x, y = points[((points >= 0) & (points < mask.shape[::-1])).all(1)].T
            touched[islands[y, x]] = True
    touched[0] = False  # the sea
    person: NDArray[np.uint8] = mask * touched[islands]
    return person


def _bounds(joints: NDArray[np.float32], mask: NDArray[np.uint8] | None) -> NDArray[np.float64]:
    """Around the seen joints with room for head, hands and feet; where there is a mask, no farther than it reaches."""
    certain = joints[:, 2] >= MIN_CONFIDENCE
    seen = joints[certain if certain.any() else slice(None), :2].astype(np.float64)
    low, high = seen.min(0), seen.max(0)
    room = np.array([0.08, 0.12]) * (high - low).max()
    loose: NDArray[np.float64] = np.concatenate([low - room, high + room])
    if mask is None or not (mask > 127).any():
        return loose
    rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
    reach = np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float64)
    reach = reach.clip(np.tile(loose[:2], 2), np.tile(loose[2:], 2))  # what is far from all joints is not the person
    bounds: NDArray[np.float64] = np.concatenate([np.minimum(low, reach[:2]), np.maximum(high, reach[2:])])
    return bounds


def _pack(mask: NDArray[np.uint8] | None) -> bytes | None:
    if mask is None:
        return None
    packed: bytes = cv2.imencode(".png", mask)[1].tobytes()
    return packed
