"""From a picture to joints and a person mask (mediapipe), and from jittery joints to a steady track."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metapix.data.video_times import usual_rate
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX, N_JOINTS

MAX_GAP_SECONDS = 1 / 3
SMOOTHING_SECONDS = 0.05
_MOST_REACH = 32  # frames on both sides, however close together they are
_ROWS_AT_ONCE = 1024  # bounds what smoothing needs beside the track itself
MIN_CONFIDENCE = 0.1

# mediapipe's 33 landmarks that are joints of ours; the neck lies between its shoulders.
_LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8,
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
    "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Detection:
    """One person in one picture.

    Attributes:
        joints: (18, 3) float32: x, y in the picture's pixels (0 is the centre of the first pixel) and confidence in [0, 1].
        mask: (H, W) uint8, 0 to 255: how surely a pixel belongs to the person; ``None`` where the estimator has no masks.
    """

    joints: NDArray[np.float32]
    mask: NDArray[np.uint8] | None


class PoseEstimator(Protocol):
    """What finds the person; its ``repr`` names the method and its settings, so that a prepared clip can be recognised."""

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        """The person in an (H, W, 3) uint8 RGB picture, or None. Successive calls are successive frames."""

    def reset(self) -> None:
        """Forget the frames so far: the next one begins another video."""


@runtime_checkable
class ResumableEstimator(PoseEstimator, Protocol):
    """One that can begin in the middle of a video, so that a look that was interrupted can go on."""

    def resume(self, last: NDArray[np.float32] | None, unseen: int) -> None:
        """The next frame follows on one in which the person was last seen with these (18, 3) joints, so many frames ago."""


class MediapipeEstimator:
    """mediapipe's BlazePose (Bazarevsky et al. 2020) with its person segmentation; a context manager.

    It gives one person a picture. Its own temporal filters are off, because they lag behind the motion:
    :func:`smooth_joints` does that work without lag. The models are inside mediapipe's wheel, nothing is downloaded.

    Args:
        tracking: look near the last frame's person first (faster, steadier); False looks at every frame afresh.
        masks: find the person's mask, too, which takes as long as the joints do.

    Raises:
        InputError: at the first picture, when mediapipe is not installed or has no such model.
    """

    def __init__(self, *, tracking: bool = True, masks: bool = True) -> None:
        self.tracking = tracking
        self.masks = masks
        self._solution: Any = None

    def __repr__(self) -> str:
        return f"MediapipeEstimator(tracking={self.tracking}, masks={self.masks})"

    def __enter__(self) -> MediapipeEstimator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        """The person in an (H, W, 3) uint8 RGB picture, or None when nobody was found."""
        image = np.ascontiguousarray(frame)
        if self._solution is None:
            # The native code logs as it starts and at the first picture, to file descriptor 2 and whatever the settings.
            with _native_stderr_silenced():
                self._solution = _pose_solution(self.tracking, self.masks)
                result = self._solution.process(image)
        else:
            result = self._solution.process(image)
        mask = result.segmentation_mask
        result.segmentation_mask = None  # a result is a class, which is only let go when Python looks for cycles: whole masks would pile up
        if result.pose_landmarks is None:
            return None
        points = np.array([(p.x, p.y, p.visibility) for p in result.pose_landmarks.landmark], dtype=np.float64)
        return Detection(
            joints_from_mediapipe(points, width=frame.shape[1], height=frame.shape[0]),
            None if mask is None else np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8),
        )

    def reset(self) -> None:
        """Forget the frames so far: the next one begins another video."""
        self.close()

    def close(self) -> None:
        """Free the models; a later picture loads them again."""
        if self._solution is not None:
            self._solution.close()
            self._solution = None


def joints_from_mediapipe(points: NDArray[np.float64], *, width: int, height: int) -> NDArray[np.float32]:
    """mediapipe's (33, 3) landmarks (x, y as shares of the picture, visibility) as our (18, 3) joints in pixels.

    The neck is the middle of the shoulders, as sure as the less sure of them. Confidence is mediapipe's visibility.
    """
    joints = np.zeros((N_JOINTS, 3))
    for name, landmark in _LANDMARKS.items():
        joints[INDEX[name]] = points[landmark]
    shoulders = joints[[INDEX["left_shoulder"], INDEX["right_shoulder"]]]
    joints[INDEX["neck"]] = (*shoulders[:, :2].mean(0), shoulders[:, 2].min())
    joints[:, :2] = joints[:, :2] * (width, height) - 0.5  # a share of 0 is the picture's edge, half a pixel before the centre
    joints[:, 2] = joints[:, 2].clip(0, 1)
    return joints.astype(np.float32)


def smooth_joints(joints: Tensor, fps: float, times: NDArray[np.float64] | None = None) -> Tensor:
    """Fill short gaps of a joint track and take its jitter out, without lag.

    A joint with confidence below 0.1 counts as unseen. Gaps of up to a third of a second between two seen frames are filled
    on a straight line, with the lower of the two confidences. Then every seen position becomes the value of a parabola fitted
    to the frames within 0.05 s on both sides, weighted by confidence and by closeness in time (Savitzky and Golay 1964 with
    weights): motion of constant acceleration passes unchanged. Unseen joints keep their values.

    Args:
        joints: (N, 18, 3): x, y, confidence; one row a frame.
        fps: frames (rows) per second, on average.
        times: (N,) when each row was seen, in seconds, increasing; ``None``: at equal steps.

    Returns:
        (N, 18, 3) of the same type.
    """
    seconds = torch.arange(len(joints), dtype=torch.float64) / fps if times is None else torch.from_numpy(times)
    fps = usual_rate(seconds.numpy(), fps)
    reach = max(1, round(SMOOTHING_SECONDS * fps)) / fps
    around = _most_within(seconds, _longest_gap(fps) + reach)  # no row farther away has a say
    smooth = torch.empty_like(joints)
    for first in range(0, len(joints), _ROWS_AT_ONCE):
        begin, end = max(first - around, 0), first + _ROWS_AT_ONCE
        rows = slice(begin, end + around)
        smooth[first:end] = _smooth_part(joints[rows], fps, seconds[rows], reach)[first - begin :][:_ROWS_AT_ONCE]
    return smooth


def _longest_gap(fps: float) -> float:
    """Seconds from the last frame before a gap that is filled to the first after it."""
    return MAX_GAP_SECONDS + 1 / fps + 1e-6


def _most_within(times: Tensor, seconds: float) -> int:
    """How many rows come within so many seconds after a row, at most."""
    return int((torch.searchsorted(times, times + seconds, right=True) - torch.arange(len(times))).max()) - 1


def _smooth_part(joints: Tensor, fps: float, times: Tensor, reach: float) -> Tensor:
    filled = fill_gaps(joints.double(), fps, times)
    weight = filled[..., 2] * (filled[..., 2] >= MIN_CONFIDENCE)
    smooth = _local_parabola(filled[..., :2], weight, times / reach)
    filled[..., :2] = torch.where((weight > 0)[..., None], smooth, filled[..., :2])
    return filled.to(joints.dtype)


def fill_gaps(joints: Tensor, fps: float, times: Tensor) -> Tensor:
    """The track (N, 18, 3) with gaps of up to a third of a second filled, joint by joint, as :func:`smooth_joints` says.

    Args:
        fps: frames per second while the video runs.
        times: (N,) when each row was seen, in seconds.
    """
    filled = joints.clone()
    for j in range(joints.shape[1]):
        seen = torch.nonzero(joints[:, j, 2] >= MIN_CONFIDENCE).flatten().tolist()
        for before, after in itertools.pairwise(seen):
            if after - before == 1 or times[after] - times[before] > _longest_gap(fps):
                continue
            share = ((times[before + 1 : after] - times[before]) / (times[after] - times[before]))[:, None].to(joints.dtype)
            start, end = joints[before, j], joints[after, j]
            filled[before + 1 : after, j, :2] = torch.lerp(start[:2], end[:2], share)
            filled[before + 1 : after, j, 2] = torch.minimum(start[2], end[2])
    return filled


def _local_parabola(points: Tensor, weight: Tensor, times: Tensor) -> Tensor:
    """Weighted least squares of (1, t, t^2) around each frame, at the frame's time.

    Args:
        points: (N, J, 2).
        weight: (N, J).
        times: (N,) increasing; frames that are farther away than 1 do not count.
    """
    n, least = points.shape[0], 1 + 1e-6
    reach = min(max(_most_within(times, least), 1), _MOST_REACH)
    rows = torch.arange(n)[:, None] + torch.arange(-reach, reach + 1)  # (N, W)
    inside = (rows >= 0) & (rows < n)
    rows = rows.clamp(0, n - 1)
    offsets = times[rows] - times[:, None]  # (N, W)
    near = torch.exp(-0.5 * (offsets / 0.7).square()) * (inside & (offsets.abs() <= least))
    w = near[..., None] * weight[rows]  # (N, W, J)
    powers = torch.stack([torch.ones_like(offsets), offsets, offsets.square()], dim=-1)  # (N, W, 3)
    normal = torch.einsum("nwj,nwa,nwb->njab", w, powers, powers)
    # With fewer than three frames the parabola is free: a trace of ridge takes the flattest one.
    normal = normal + torch.diag(torch.tensor([1e-12, 1e-9, 1e-9], dtype=points.dtype))
    right = torch.einsum("nwj,nwa,nwjc->njac", w, powers, points[rows])
    coefficients: Tensor = torch.linalg.solve(normal, right)
    return coefficients[..., 0, :]


def _pose_solution(tracking: bool, masks: bool) -> Any:
    try:
        from mediapipe.python.solutions.pose import Pose
    except ImportError as error:
        raise InputError(
            "Finding people needs mediapipe 0.10.21, the last release with its models inside: pip install mediapipe==0.10.21"
        ) from error
    return Pose(
        static_image_mode=not tracking,
        model_complexity=1,
        enable_segmentation=masks,
        smooth_landmarks=False,
        smooth_segmentation=False,
    )


@contextlib.contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a moment; exceptions and Python's logging before and after are not touched."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all: nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)
