"""Where poses from files belong: to which frames of the video their numbers point, and to which pixels their coordinates."""

from __future__ import annotations

import itertools
import logging
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metapix.data.main_person import Joints
from metapix.data.pose import MIN_CONFIDENCE
from metapix.errors import InputError

log = logging.getLogger(__name__)

People = dict[int, list[Joints]]
"""The joints (18, 3) of everybody in a frame, by a number."""

Pair = NDArray[np.float64]

_NORMALISED = 2.0  # no body is so small in pixels
_CLEARLY_NEGATIVE = -0.1
_SAME_SHAPE = 0.01  # how far two aspect ratios may differ
_BEYOND, _FEW = 0.02, 0.1  # of the picture; of the points


def numbers_in(names: Sequence[object]) -> list[int]:
    """The frame number in each name: whole numbers as they are, and the one number that tells names apart, padded with zeros or not.

    Raises:
        ValueError: names without a number, of several patterns, with several numbers that change, or two of one number.
    """
    if all(type(name) is int for name in names):
        numbers = [int(str(name)) for name in names]
    elif all(isinstance(name, str) for name in names):
        numbers = _varying([re.sub(r"\.[A-Za-z][A-Za-z0-9]*$", "", str(name)) for name in names])
    else:
        raise ValueError("frames are named by whole numbers and by other things")
    if len(set(numbers)) < len(names):
        ((twice, _),) = Counter(numbers).most_common(1)
        raise ValueError(f"two frames have the number {twice}")
    if min(numbers, default=0) < 0:
        raise ValueError(f"a frame has the number {min(numbers)}")
    return numbers


def _varying(names: list[str]) -> list[int]:
    patterns = {re.sub(r"[0-9]+", "#", name) for name in names}
    if len(patterns) > 1:
        first, second = sorted(patterns)[:2]
        raise ValueError(f"frames are named {first!r} and {second!r} (# is a number): give the poses of one video")
    rows = [tuple(int(digits) for digits in re.findall(r"[0-9]+", name)) for name in names]
    if not rows or not rows[0]:
        raise ValueError(f"the frame {names[0] if names else ''!r} has no number in its name")
    changing = [place for place, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1]
    if len(changing) > 1:
        raise ValueError(f"{len(changing)} numbers change in names like {names[0]!r}; one may, the frame's")
    return [row[changing[0] if changing else -1] for row in rows]


def placed(people: People, frames: int, looked_at: int, where: object) -> People:
    """Poses by the index of their frame in the video, from 0; frames without a number have none.

    Numbers that hold 0 count from 0. Numbers of which the last is the video's number of frames count from 1. As many numbers as
    frames, in equal steps, are the frames in order. What could be either is refused.

    Args:
        people: by the numbers in the files.
        frames: of the video.
        looked_at: how many of them, from the first, are of interest.

    Raises:
        InputError: when the numbers do not fit the video, or fit in several ways.
    """
    numbers = sorted(people)
    low, high, count = numbers[0], numbers[-1], len(numbers)
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    having = f"{where} has poses of {count} frames, numbers {low} to {high}, and the video has {frames} frames"
    if low > 0 and high == frames:
        return {number - 1: people[number] for number in numbers}
    if count == frames and len(steps) <= 1 and high >= frames:
        return {index: people[number] for index, number in enumerate(numbers)}
    if high >= frames:
        raise InputError(
            f"{having}: they are of another video, or of other frames; give poses whose numbers are the video's frames, from 0"
        )
    if low > 0:
        raise InputError(
            f"{having}: whether they count from 0 or from 1 cannot be told; add the first frame, 0, or the last, {frames}, without people"
        )
    if count == high + 1 < looked_at and _may_be_thinned(count, frames):
        raise InputError(
            f"{having}: whether they are the first {count}, or one frame in {round(frames / count)}, cannot be told; "
            f"give them the numbers of their frames in the video, or use the first ones only (--max-frames {count})"
        )
    return people


def _may_be_thinned(count: int, frames: int) -> bool:
    """Whether a video of so many frames has so many left where one in 2, in 3, ... is taken."""
    steps = {math.floor(frames / count), math.ceil(frames / count)} - {1}
    return count > 1 and any(count in (frames // step, -(-frames // step)) for step in steps)


def in_pixels(people: People, picture: tuple[int, int], written_for: tuple[int, int] | None, where: object) -> People:
    """Poses in pixels of the video, 0 the centre of the first.

    Coordinates from 0 to 1, or from -1 to 1, are shares of the picture, as OpenPose's ``--keypoint_scale`` 3 and 4 write them.

    Args:
        picture: width and height of the video as it is shown.
        written_for: width and height of the pictures that the poses are said to be of.

    Raises:
        InputError: when they are of pictures of another shape, or outside the video's.
    """
    seen = np.concatenate(
        [np.zeros((0, 2)), *(joints[joints[:, 2] >= MIN_CONFIDENCE, :2] for persons in people.values() for joints in persons)]
    )
    if not len(seen):
        return people
    low, high = float(seen.min()), float(seen.max())
    if max(-low, high) <= _NORMALISED:
        return _from_shares(people, picture, low, high, where)
    if written_for is not None and written_for != picture:
        scale, shift = _resizing(written_for, picture, where)
        people, seen = _moved(people, scale, shift), seen * scale + shift
    outside = ((seen < -_BEYOND * np.array(picture)) | (seen > (1 + _BEYOND) * np.array(picture))).any(1)
    if outside.mean() > _FEW:
        raise InputError(
            f"{where} has {outside.mean():.0%} of its points outside the video's picture of {picture[0]} x {picture[1]} pixels "
            f"(coordinates from {low:g} to {high:g}): they are of another size or turned; give pixels of the video as it is shown"
        )
    return people


def _from_shares(people: People, picture: tuple[int, int], low: float, high: float, where: object) -> People:
    if low < -1 or high > 1 or _CLEARLY_NEGATIVE < low < 0:
        raise InputError(f"{where} has coordinates from {low:g} to {high:g}: neither pixels, nor 0 to 1, nor -1 to 1; give pixels")
    log.warning("%s: coordinates from %.3g to %.3g are read as shares of the picture, %d to 1.", where, low, high, 0 if low >= 0 else -1)
    last = np.array(picture) - 1.0
    return _moved(people, last, 0 * last) if low >= 0 else _moved(people, last / 2, last / 2)


def _resizing(written_for: tuple[int, int], picture: tuple[int, int], where: object) -> tuple[Pair, Pair]:
    """The scale and the shift that take coordinates of one picture to another, 0 the centre of the first pixel in both."""
    scale = np.array(picture) / written_for
    if abs(scale[0] / scale[1] - 1) > _SAME_SHAPE:
        raise InputError(
            f"{where} is of pictures of {written_for[0]} x {written_for[1]} pixels, and the video is shown at {picture[0]} x {picture[1]}: "
            "give poses of the whole, upright picture"
        )
    return scale, (scale - 1) / 2


def _moved(people: Mapping[int, Collection[Joints]], scale: Pair, shift: Pair) -> People:
    factor, offset = np.array([*scale, 1], np.float32), np.array([*shift, 0], np.float32)
    return {number: [joints * factor + offset for joints in persons] for number, persons in people.items()}
