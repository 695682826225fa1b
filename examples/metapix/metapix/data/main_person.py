"""The main person of a picture with several people in it: found at first sight, and followed from then on."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from metapix.data.pose import MIN_CONFIDENCE, Detection, MediapipeEstimator

Joints = NDArray[np.float32]

_MOST_PEOPLE = 4
_SMALLEST = 0.1  # of the picture's height: whoever is smaller stands in the background
_SURE = 0.5  # mean confidence of shoulders and hips
_TRUNK = (2, 5, 8, 11)
_REACH, _REACH_A_FRAME, _FARTHEST = 0.3, 0.15, 1.5  # body diagonals that a person can have moved: at once, more a frame unseen, at most
_ROWS_AT_ONCE = 64
_PATIENCE = 30  # frames without the person after which whoever is there becomes the main person


def body_size(joints: Joints) -> float:
    """The diagonal of the seen joints' bounding box, in pixels; 0 where none is seen."""
    seen = joints[joints[:, 2] >= MIN_CONFIDENCE, :2]
    return float(np.linalg.norm(seen.max(0) - seen.min(0))) if len(seen) else 0.0


def distance(a: Joints, b: Joints) -> float:
    """The median distance of the joints seen in both, in body diagonals of ``b``; infinite where none is."""
    both = (a[:, 2] >= MIN_CONFIDENCE) & (b[:, 2] >= MIN_CONFIDENCE)
    if not both.any():
        return float("inf")
    return float(np.median(np.linalg.norm(a[both, :2] - b[both, :2], axis=1))) / max(body_size(b), 1e-6)


def choose_person(people: Sequence[Joints], last: Joints | None, unseen: int = 0, rank: int = 0) -> int | None:
    """Which of several people is the one to follow.

    Args:
        people: the joints (18, 3) of each.
        last: where the followed person was last; ``None`` at first sight, when the person of that rank is taken.
        unseen: how many frames ago that was.
        rank: 0 for the largest person, 1 for the second largest, ...; the smallest where there are fewer.

    Returns:
        Its number; ``None`` where nobody can be the person followed so far.
    """
    if not people:
        return None
    if last is None or unseen > _PATIENCE:
        by_size = np.argsort([-body_size(joints) for joints in people], kind="stable")
        return int(by_size[min(rank, len(people) - 1)])
    away = [distance(joints, last) for joints in people]
    nearest = int(np.argmin(away))
    return nearest if away[nearest] <= min(_REACH + _REACH_A_FRAME * unseen, _FARTHEST) else None


class MainPersonEstimator:
    """mediapipe's estimator, which sees one person a picture, made to stay with the main person; a context manager.

    At first sight, and whenever the person followed is lost, it looks for everybody in the picture: it finds one person,
    paints them over and looks again. The largest is the main person at first; later, whoever is where the main person was.

    Args:
        masks: find the person's mask, too.
        rank: which person to follow, by size at first sight; 0 is the largest.
    """

    def __init__(self, *, masks: bool = True, rank: int = 0) -> None:
        self.masks = masks
        self.rank = rank
        self._tracker = MediapipeEstimator(tracking=True, masks=masks)
        self._finder = MediapipeEstimator(tracking=False)
        self._last: Joints | None = None
        self._unseen = 0
        self._locked = False

    def __repr__(self) -> str:
        return f"MainPersonEstimator(masks={self.masks}{f', rank={self.rank}' if self.rank else ''})"

    def __enter__(self) -> MainPersonEstimator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tracker.close()
        self._finder.close()

    def reset(self) -> None:
        """Forget the frames so far: the next one begins another video."""
        self.resume(None, 0)

    def resume(self, last: Joints | None, unseen: int) -> None:
        """Go on in the middle of a video, where the person was last seen so many frames ago."""
        self._tracker.reset()
        self._last, self._unseen, self._locked = last, unseen, False

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        """The main person in an (H, W, 3) uint8 RGB picture, or None. Successive calls are successive frames."""
        detection = self._tracker.estimate(frame) if self._locked else None
        if detection is None or choose_person([detection.joints], self._last, self._unseen, self.rank) is None:
            detection = self._find(frame)
        self._locked = detection is not None
        if detection is None:
            self._unseen += 1
            return None
        self._last, self._unseen = detection.joints, 0
        return detection

    def _find(self, frame: NDArray[np.uint8]) -> Detection | None:
        people = find_people(self._finder, frame)
        chosen = choose_person([person.joints for person in people], self._last, self._unseen, self.rank)
        if chosen is None:
            return None
        self._tracker.reset()
        others = [person for number, person in enumerate(people) if number != chosen]
        locked = self._tracker.estimate(paint_over(frame, others))
        if locked is not None and distance(locked.joints, people[chosen].joints) <= _REACH:
            return locked
        return people[chosen]


def find_people(finder: MediapipeEstimator, frame: NDArray[np.uint8]) -> list[Detection]:
    """Everybody in a picture who is large and clear enough, four people at most.

    Args:
        finder: an estimator without tracking and with masks.
    """
    people: list[Detection] = []
    picture = frame
    while len(people) < _MOST_PEOPLE:
        person = finder.estimate(picture)
        if person is None or person.joints[list(_TRUNK), 2].mean() < _SURE or body_size(person.joints) < _SMALLEST * frame.shape[0]:
            break
        if any(distance(person.joints, other.joints) < _REACH / 2 for other in people):
            break  # a painted-over person is still taken for one
        people.append(person)
        picture = paint_over(picture, [person])
    return people


def paint_over(frame: NDArray[np.uint8], people: Sequence[Detection]) -> NDArray[np.uint8]:
    """The picture with people hidden under its mean colour, softly."""
    picture, mean = frame, frame.mean((0, 1))
    for person in people:
        if person.mask is not None:
            radius = max(3, round(0.04 * body_size(person.joints)))
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
            cover = cv2.blur(cv2.dilate((person.mask > 64).astype(np.float32), disc), (radius, radius))[..., None]
            picture = picture.copy()
            for row in range(0, len(picture), _ROWS_AT_ONCE):  # in doubles, a whole large picture would be a hundred megabytes and more
                part = slice(row, row + _ROWS_AT_ONCE)
                picture[part] = np.rint(picture[part] * (1 - cover[part]) + mean * cover[part])
    return picture
