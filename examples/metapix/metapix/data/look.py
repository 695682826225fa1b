"""Look: an estimator's answers for all frames of a video, and where its shots begin; the slow part of preparing a clip."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metapix.data.journal import CHUNK, Found, Journal
from metapix.data.main_person import Joints
from metapix.data.pose import MIN_CONFIDENCE, PoseEstimator, ResumableEstimator
from metapix.data.prefetch import prefetch
from metapix.data.shots import ShotFinder, can_find_shots
from metapix.data.video import Frame, expected_frames, read_video
from metapix.data.video_times import LONGEST_PAUSE, mean_rate
from metapix.poses.skeleton import BONES

_MANY_STEPS = 1.5  # by which the last frame stays longer than the others
_ISLAND = 8  # mask values below this separate islands

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames in all (None: not known)."""


@dataclass(frozen=True, eq=False)
class Look:
    """What was found in a video.

    Attributes:
        video: the file.
        found: the person, in the frames that show one.
        times: (M,) seconds since the first frame, of every frame looked at, number i of which is frame ``i * every`` of the video.
        shifts: what was added to the file's own seconds to get them: at first, and after each time that the file's clock was set.
        cuts: which of the M frames begin a new shot.
        picture: width and height of the video.
        fps: frames looked at per second, on average, by their times.
        every: the step between frames.
        ends: when the last frame stops being shown, by the times, where the file says that it stays longer than frames do on average.
    """

    video: Path
    found: Found
    times: NDArray[np.float64]
    shifts: tuple[float, ...]
    cuts: tuple[int, ...]
    picture: tuple[int, int]
    fps: float
    every: int
    ends: float | None = None

    @property
    def shot_starts(self) -> NDArray[np.int64]:
        """The numbers of the detections that come first in a new shot."""
        starts: NDArray[np.int64] = np.searchsorted(self.found.indices, np.array(self.cuts, np.int64) * self.every)
        return starts[starts < len(self.found.indices)]


def look_at(
    video: Path,
    estimator: PoseEstimator,
    *,
    max_frames: int | None = None,
    every: int = 1,
    progress: Progress | None = None,
    journal: Journal | None = None,
) -> Look:
    """Ask an estimator about every frame. Memory is a few pictures and the joints of each frame; without a journal, also compressed masks.

    Args:
        journal: where to keep what is found on the way; a :class:`ResumableEstimator` goes on from there. What is found
            has its masks there: it is of use until the journal is closed.

    Raises:
        InputError: the video cannot be read.
    """
    frames, whole = read_video(video, max_frames=max_frames, every=every), expected_frames(video)
    total = None if whole is None else min(-(-whole // every), max_frames or whole)
    shots = ShotFinder() if can_find_shots() else None
    estimator.reset()
    sightings, times, shifts, picture, lasts = _Sightings(estimator, every, journal), [], [], (0, 0), 0.0
    for frame in prefetch(frames):
        if shots is not None:
            shots.look(frame.image, frame.time)
        sightings.add(frame)
        times.append(frame.time)
        shifts.append(frame.shift)
        picture, lasts = (frame.image.shape[1], frame.image.shape[0]), frame.lasts
        if progress is not None:
            progress(len(times), total)
    cuts = () if shots is None else tuple(shots.finish())
    seconds, changes = np.array(times), tuple(shift for shift, _ in itertools.groupby(shifts))
    fps = mean_rate(seconds, 30.0)
    ends = float(seconds[-1]) + lasts if _MANY_STEPS / fps < lasts <= LONGEST_PAUSE else None
    return Look(video, sightings.finish(), seconds, changes, cuts, picture, fps, every, ends)


class _Sightings:
    """Collects an estimator's answers, an entry of the journal at a time."""

    def __init__(self, estimator: PoseEstimator, every: int, journal: Journal | None) -> None:
        self._estimator, self._every = estimator, every
        self._journal = journal
        self._entries: list[Found] = []
        self._entry: list[tuple[int, Joints, NDArray[np.float64], bytes | None]] = []
        self._stored: Found | None = None
        self._last: Joints | None = None
        self._seen = self._last_seen = 0

    def add(self, frame: Frame) -> None:
        """The next frame."""
        if self._journal is not None and self._seen % CHUNK == 0:
            self._begin_entry(self._journal, self._seen // CHUNK)
        self._seen += 1
        if self._stored is not None:
            return
        detection = self._estimator.estimate(frame.image)
        if detection is not None:
            mask = None if detection.mask is None else keep_person(detection.mask, detection.joints)
            self._last, self._last_seen = detection.joints, self._seen
            # Packed at once: an entry of whole masks would be gigabytes.
            self._entry.append((frame.index, detection.joints, bounds_of(detection.joints, mask), _pack(mask)))

    def finish(self) -> Found:
        """All that was found."""
        return Found.together([*self._entries, self._close_entry()])

    def _begin_entry(self, journal: Journal, number: int) -> None:
        if number:
            self._entries.append(self._keep(journal, number - 1, self._close_entry()))
        if isinstance(self._estimator, ResumableEstimator):
            self._stored = journal.read(number)
            if self._stored is None:
                self._estimator.resume(self._last, self._seen - self._last_seen)

    def _keep(self, journal: Journal, number: int, done: Found) -> Found:
        """An entry that is done, its masks on the disk."""
        if self._stored is None:
            if not isinstance(self._estimator, ResumableEstimator) and not any(done.masks):
                return done  # nothing to go on from, and nothing large
            journal.write(number, done)
        elif len(done.indices):
            self._last = done.joints[-1]
            self._last_seen = int(done.indices[-1]) // self._every + 1
        return journal.stored(number, done)

    def _close_entry(self) -> Found:
        entry, self._entry = self._entry, []
        if self._stored is not None:
            return self._stored
        if not entry:
            return Found.nothing()
        indices, joints, bounds, masks = zip(*entry, strict=True)
        return Found(np.array(indices), np.stack(joints), np.stack(bounds), masks)


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


def bounds_of(joints: NDArray[np.float32], mask: NDArray[np.uint8] | None) -> NDArray[np.float64]:
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
