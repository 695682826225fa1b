"""Shots: where a video cuts from one camera position to another, by PySceneDetect."""

from __future__ import annotations

import importlib.util
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH = 256  # cuts are seen in small pictures as well as in large ones
_SHORTEST_SECONDS = 0.5
_TICKS = (
    90000.0  # a second: PySceneDetect is told that there are so many frames, most of which it never sees, so that uneven rates are right
)
INSTALL = "pip install --no-deps scenedetect==0.7.2"


def can_find_shots() -> bool:
    """Whether PySceneDetect is installed."""
    return importlib.util.find_spec("scenedetect") is not None


class ShotFinder:
    """Told all frames of a video in turn, knows at which of them a new shot begins.

    A cut is a jump in hue, saturation and brightness between neighbouring frames (PySceneDetect's content detector with its own
    threshold). Cuts less than half a second after one another are flashes, and no cuts.

    Raises:
        ImportError: PySceneDetect is not installed; see :func:`can_find_shots`.
    """

    def __init__(self) -> None:
        from scenedetect import ContentDetector, FrameTimecode

        self._timecode: Any = FrameTimecode
        self._detector: Any = ContentDetector(min_scene_len=round(_SHORTEST_SECONDS * _TICKS))
        self._ticks: list[int] = []  # when each frame was shown
        self._cuts: list[int] = []

    def look(self, frame: NDArray[np.uint8], time: float) -> None:
        """The next (H, W, 3) uint8 RGB picture, and when it is shown, in seconds."""
        scale = _WIDTH / frame.shape[1]
        size = (_WIDTH, max(1, round(scale * frame.shape[0])))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
        self._ticks.append(max(round(time * _TICKS), self._ticks[-1] + 1 if self._ticks else 0))
        found = self._detector.process_frame(self._timecode(self._ticks[-1], _TICKS), np.ascontiguousarray(small[..., ::-1]))
        self._cuts += [cut.frame_num for cut in found]

    def finish(self) -> list[int]:
        """The numbers of the frames, in the order they were shown and from 0, that begin a new shot; the first frame is not among them."""
        last = self._ticks[-1] if self._ticks else 0
        found = self._detector.post_process(self._timecode(last, _TICKS))
        cuts = np.searchsorted(self._ticks, [*self._cuts, *(cut.frame_num for cut in found)])
        return sorted({*cuts.tolist()} - {0})
