"""The times of a video's frames: a clock that only goes forward, whatever the file's own timestamps do, and what a rate is."""

from __future__ import annotations

import logging
import statistics
from collections import deque
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

log = logging.getLogger(__name__)

EVEN_SECONDS = 0.001
"""How far times may be off an even rate: Matroska and WebM count whole milliseconds."""

LEAST_CLAIMED, MOST_CLAIMED = 1 / 86400, 240.0
"""Frames per second that a header is believed; what it says beyond is a unit of time, or damaged."""

LONGEST_PAUSE = 3600.0
"""Seconds; a longer pause that is also a hundred steps long is a clock that was set."""

_USUAL_STEP = 1 / 30
_USUAL_RATES = [1000 * rate / part for rate in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120, 240) for part in (1000, 1001)]
_UNUSUAL = 0.1  # of a step, by which the median may differ from the mean
_LEAST_STEP = 1e-5  # seconds: a unit of the clock of MP4 and MPEG-TS; what is later by less is not later
_STEPS = 31  # whose median is the typical step
_EARLY_STEPS = 3.0  # a timestamp that is earlier by less is out of order; by more, the clock was set back
_NEAR_STEPS = 10.0  # farther ahead, the next frame has to confirm a timestamp
_MOST_WAITING = 16  # frames that are held in memory until a later timestamp comes


class Clock(Generic[T]):
    """Gives each frame its time: seconds from the first one, strictly increasing. Items of any kind stand for the frames.

    1. A timestamp later than the time of the frame before is the frame's time.
    2. Frames without a timestamp, or with one that is repeated or up to three steps early, come a typical step after one another;
       closer, and evenly spread, where the next frame's timestamp leaves less room.
    3. Where the timestamps jump back farther, stand still for more than 16 frames or leap ahead by more than an hour, the clock was
       set (recordings one after the other in a file, for example): the frame comes a typical step after the one before, and what
       follows counts from there.

    4. A timestamp that leaves the others for one frame, more than ten steps ahead or three back, is as good as missing.

    The typical step is the median of the last 31 steps that rule 1 gave.

    Args:
        rate: frames per second as the file claims, for the first steps; nonsense is not believed.

    Attributes:
        shift: what is to be added to the file's own seconds at the moment.
        spread, set_anew: how many frames rule 2 was used for, and how often rule 3.
    """

    def __init__(self, rate: float | None = None) -> None:
        first_step = 1 / rate if rate is not None and 0 < rate <= MOST_CLAIMED else _USUAL_STEP
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._first_step = first_step
        self._last: float | None = None
        self._waiting: list[T] = []
        self._doubtful: list[tuple[float, T]] = []  # at most one
        self._stamped = False
        self.shift = 0.0
        self.spread = self.set_anew = 0

    @property
    def step(self) -> float:
        """The typical step, in seconds."""
        return statistics.median(self._steps) if self._steps else self._first_step

    def add(self, stamp: float | None, item: T) -> list[tuple[float, T]]:
        """The next frame with its timestamp in seconds; returned are the times and items of those that are settled now."""
        if stamp is not None and not self._stamped:  # the first timestamp of all is where the file's seconds begin
            self._stamped, self.shift = True, (0.0 if self._last is None else self._next(len(self._waiting))) - stamp
        if self._last is None:
            self._last = 0.0
            return [(0.0, item)]
        settled = self._judged(stamp)
        if stamp is not None and not -_EARLY_STEPS * self.step <= stamp + self.shift - self._last <= _NEAR_STEPS * self.step:
            self._doubtful.append((stamp, item))
            return settled
        return [*settled, *self._place(stamp, item)]

    def _judged(self, following: float | None) -> list[tuple[float, T]]:
        """The frame with a doubtful timestamp, if there is one, placed by what the next frame's timestamp says of it."""
        assert self._last is not None
        if not self._doubtful:
            return []
        stamp, item = self._doubtful.pop()
        room = (_NEAR_STEPS + len(self._waiting) + 1) * self.step
        is_alone = following is not None and 0 < following + self.shift - self._last <= room and not 0 < following - stamp <= room
        return self._place(None if is_alone else stamp, item)

    def _place(self, stamp: float | None, item: T) -> list[tuple[float, T]]:
        assert self._last is not None
        time = None if stamp is None else stamp + self.shift
        if time is not None and self._last + _LEAST_STEP < time <= self._last + max(LONGEST_PAUSE, 100 * self.step):
            return self._settle(time, item)
        early = time is None or self._last - _EARLY_STEPS * self.step <= time <= self._last + _LEAST_STEP
        if early and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(item)
            return []
        settled = self._settle(self._next(len(self._waiting)), item)
        if time is not None:
            self.set_anew += 1
            self.shift += settled[-1][0] - time
        return settled

    def finish(self) -> list[tuple[float, T]]:
        """The frames that still wait for a later timestamp."""
        settled = self._judged(None) if self._last is not None else []
        if not self._waiting:
            return settled
        item = self._waiting.pop()
        self.spread += 1
        return [*settled, *self._settle(self._next(len(self._waiting)), item)]

    def report(self, path: Path) -> None:
        """Say what was repaired."""
        if self.spread and self._stamped:
            log.warning("%s: %d frames had no time of their own (missing or repeated timestamps); they were spread.", path, self.spread)
        if self.set_anew:
            log.warning("%s: its clock jumps (%d times), as in recordings joined into one; time goes on there.", path, self.set_anew)

    def _next(self, waiting: int) -> float:
        assert self._last is not None
        return self._last + (waiting + 1) * self.step

    def _settle(self, time: float, item: T) -> list[tuple[float, T]]:
        """The item at its time, and those that waited between the last one and it."""
        assert self._last is not None
        step = min(self.step, (time - self._last) / (len(self._waiting) + 1))
        settled = [(self._last + number * step, waited) for number, waited in enumerate(self._waiting, 1)]
        self.spread += len(self._waiting)
        if not self._waiting:
            self._steps.append(time - self._last)
        self._waiting, self._last = [], time
        return [*settled, (time, item)]


def mean_rate(times: NDArray[np.float64], otherwise: float) -> float:
    """Frames per second: steps divided by seconds; ``otherwise`` for fewer than two frames.

    Where the times are those of a usual rate, rounded, it is that rate: whole milliseconds cannot say 30000/1001.
    """
    if len(times) < 2:
        return otherwise
    mean = float((len(times) - 1) / (times[-1] - times[0]))
    usual = min(_USUAL_RATES, key=lambda rate: abs(rate - mean))
    if is_even(times, usual):
        return usual
    return float(f"{mean:.12g}")  # the rest is floating point's


def is_even(times: NDArray[np.float64], fps: float) -> bool:
    """Whether frames come at an even rate, as finely as the clocks of common files tell."""
    return bool(np.abs(times - times[0] - np.arange(len(times)) / fps).max() <= EVEN_SECONDS)


def usual_rate(times: NDArray[np.float64], fps: float) -> float:
    """Frames per second while the video runs: the mean ``fps`` says little of one that pauses; then it is by the median step."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / fps
    return fps if abs(step * fps - 1) < _UNUSUAL else 1 / step
