"""Shots: where a video cuts from one camera position to another, by PySceneDetect."""

from __future__ import annotations

import importlib.util
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH = 256  # cuts are seen in small pictures as well as in large ones
_SHORTEST_SECONDS = 0.5
INSTALL = "pip install --no-deps scenedetect==0.7.2"


def can_find_shots() -> bool:
    """Whether PySceneDetect is installed."""
    return importlib.util.find_spec("scenedetect") is not None


class ShotFinder:
    """Told all frames of a video in turn, knows at which of them a new shot begins.

    A cut is a jump in hue, saturation and brightness between neighbouring frames (PySceneDetect's content detector with its own
    threshold). Cuts less than half a second after one another are flashes, and no cuts.

    Args:
        fps: frames per second.

    Raises:
        ImportError: PySceneDetect is not installed; see :func:`can_find_shots`.
    """

    def __init__(self, fps: float) -> None:
        from scenedetect import ContentDetector, FrameTimecode

        self._timecode: Any = FrameTimecode
        self._fps = fps
        self._detector: Any = ContentDetector(min_scene_len=max(1, round(_SHORTEST_SECONDS * fps)))
        self._seen = 0
        self.cuts: list[int] = []

    def look(self, frame: NDArray[np.uint8]) -> None:
        """The next (H, W, 3) uint8 RGB picture."""
        scale = _WIDTH / frame.shape[1]
        size = (_WIDTH, max(1, round(scale * frame.shape[0])))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
        found = self._detector.process_frame(self._timecode(self._seen, self._fps), np.ascontiguousarray(small[..., ::-1]))
        self.cuts += [cut.frame_num for cut in found]
        self._seen += 1

    def finish(self) -> list[int]:
        """The numbers of the frames, in the order they were shown and from 0, that begin a new shot; the first frame is not among them."""
        found = self._detector.post_process(self._timecode(self._seen, self._fps))
        return sorted({*self.cuts, *(cut.frame_num for cut in found)} - {0})
