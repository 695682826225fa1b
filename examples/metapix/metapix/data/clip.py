"""Clip: the frames of one person with joints and masks, the unit everything else here works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from metapix.data.video_times import is_even, mean_rate
from metapix.poses.skeleton import N_JOINTS

KINDS = ("drawn", "real")
"""What a clip can show."""
SMALLEST, LARGEST, FARTHEST, MOST_RATE = 8, 4096, 10**6, 1000.0
"""Of a clip that is read: the side of its frames in pixels, how far away a joint or a box may lie, and frames a second."""
LONGEST = 366 * 86400.0
"""Seconds of a clip."""
_THINNEST = 1e-3  # pixels


@dataclass(frozen=True, eq=False)
class Clip:
    """Consecutive square pictures of one person.

    Attributes:
        name: what reports call it.
        frames: (N, 3, S, S) uint8, RGB.
        joints: (N, 18, 3) float32: x, y in pixels of ``frames`` (0 is the centre of the first pixel; may lie outside the
            picture) and a confidence in [0, 1]; see :mod:`metapix.poses.skeleton` for the order. Confidence 0: not seen.
        fps: frames per second; the mean, where the clip has times.
        masks: (N, 1, S, S) uint8, 0 to 255: how surely a pixel belongs to the person; ``None`` where unknown.
        boxes: (N, 3) float32: left, top and side of each frame's crop in the camera's pixels (the pixel centre of
            crop column u lies at ``left + (u + 0.5) * side / S - 0.5``); ``None`` where the frames are the camera's own.
        kind: ``"drawn"`` or ``"real"``.
        times: (N,) float64: when each frame is shown, in seconds since the first, increasing; ``None``: at the even rate ``fps``.

    Raises:
        ValueError: when shapes or types disagree.
    """

    name: str
    frames: Tensor
    joints: Tensor
    fps: float = 30.0
    masks: Tensor | None = None
    boxes: Tensor | None = None
    kind: str = "drawn"
    times: Tensor | None = None

    def __post_init__(self) -> None:
        n, size = self.frames.shape[0], self.frames.shape[-1]
        expected: list[tuple[str, Tensor | None, tuple[int, ...], torch.dtype]] = [
            ("frames", self.frames, (n, 3, size, size), torch.uint8),
            ("joints", self.joints, (n, N_JOINTS, 3), torch.float32),
            ("masks", self.masks, (n, 1, size, size), torch.uint8),
            ("boxes", self.boxes, (n, 3), torch.float32),
            ("times", self.times, (n,), torch.float64),
        ]
        for what, tensor, shape, dtype in expected:
            if tensor is not None and (tuple(tensor.shape) != shape or tensor.dtype != dtype):
                raise ValueError(f"clip {self.name!r}: {what} must be {shape} {dtype}, got {tuple(tensor.shape)} {tensor.dtype}")

    def __len__(self) -> int:
        return self.frames.shape[0]

    @property
    def size(self) -> int:
        """The side of a frame in pixels."""
        return self.frames.shape[-1]

    @property
    def uneven_times(self) -> NDArray[np.float64] | None:
        """(N,) its times, where they are not those of the even rate ``fps``."""
        times = None if self.times is None else self.times.numpy()
        return None if times is None or is_even(times, self.fps) else times

    def select(self, indices: Sequence[int] | slice) -> Clip:
        """The clip made of these frames, in this order; each at its time, unless they go back in time."""
        picked = torch.arange(len(self))[indices] if isinstance(indices, slice) else torch.as_tensor(indices, dtype=torch.long)
        times, fps = picked_times(self.times, self.fps, picked)
        return Clip(
            self.name,
            self.frames[picked],
            self.joints[picked],
            fps,
            None if self.masks is None else self.masks[picked],
            None if self.boxes is None else self.boxes[picked],
            self.kind,
            times,
        )

    def resized(self, size: int) -> Clip:
        """The clip at another size: frames and masks averaged over areas, joints scaled with them."""
        if size == self.size:
            return self
        joints = scale_joints(self.joints, size / self.size)
        masks = None if self.masks is None else _resize(self.masks, size)
        return Clip(self.name, _resize(self.frames, size), joints, self.fps, masks, self.boxes, self.kind, self.times)


def picked_times(times: Tensor | None, fps: float, picked: Tensor) -> tuple[Tensor | None, float]:
    """The times of some frames, the first at 0, and their mean rate; no times where there were none, or where the frames go back.

    Args:
        times, fps: as of :class:`Clip`.
        picked: the frames' numbers.
    """
    if times is None or not len(picked) or (picked.diff() <= 0).any():
        return None, fps
    chosen = times[picked] - times[picked[0]]
    return chosen, mean_rate(chosen.numpy(), fps)


def check_clip(clip: Clip) -> None:
    """Refuse a clip out of a file that no camera and no painter made.

    Raises:
        ValueError: without frames, of a size that no network works at, or with joints, boxes or a rate that cannot be.
    """
    if len(clip) < 1 or not SMALLEST <= clip.size <= LARGEST:
        raise ValueError(f"{len(clip)} frames of {clip.size} x {clip.size} pixels; it takes 1 or more of {SMALLEST} to {LARGEST} pixels")
    if not 0 < clip.fps <= MOST_RATE:
        raise ValueError(f"{clip.fps} frames per second; more than 0 and at most {MOST_RATE} can be")
    if clip.kind not in KINDS:
        raise ValueError(f"its kind is {clip.kind!r:.60}; known: {', '.join(KINDS)}")
    if not (_lie_within(clip.joints[..., :2], -FARTHEST, FARTHEST) and _lie_within(clip.joints[..., 2], 0, FARTHEST)):
        raise ValueError(f"a joint is not a finite number, beyond {FARTHEST:,} pixels, or its confidence is below 0")
    boxes = torch.ones(0, 3) if clip.boxes is None else clip.boxes
    if not (_lie_within(boxes[:, :2], -FARTHEST, FARTHEST) and _lie_within(boxes[:, 2], _THINNEST, FARTHEST)):
        raise ValueError(f"a box is not of finite numbers, beyond {FARTHEST:,} pixels, or its side is not above 0")


def _lie_within(values: Tensor, least: float, most: float) -> bool:
    """Whether all are in a range; NaN lies in none."""
    return bool(((values >= least) & (values <= most)).all())


def scale_joints(joints: Tensor, factor: float) -> Tensor:
    """Joints (..., 3) of a picture that was made ``factor`` times as large: coordinates scaled, confidences kept."""
    scaled = joints.clone()
    # Coordinates count from the centre of the first pixel, whose outer edge lies at -0.5 at any size.
    scaled[..., :2] = (joints[..., :2] + 0.5) * factor - 0.5
    return scaled


def _resize(pictures: Tensor, size: int) -> Tensor:
    resized = functional.interpolate(pictures.to(torch.float32), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8)
