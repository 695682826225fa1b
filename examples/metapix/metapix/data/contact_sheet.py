"""The contact sheet: a few frames of a clip with the joints and the mask that were found, to be looked at before minutes of training."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metapix.data.pose import MIN_CONFIDENCE
from metapix.poses.skeleton import BONES, JOINTS

_PICTURES, _COLUMNS = 12, 4
_LEAST_SIDE, _MOST_SIDE = 192, 320
_SIDES = {"right": (255, 140, 60), "left": (70, 170, 255), "": (250, 250, 120)}
"""RGB: the person's own right is orange and the left blue, so that swapped sides are seen at once."""
_MASK = (90, 255, 120)


class ContactSheet:
    """Collects some frames of a clip, evenly spaced, and draws them in rows.

    Args:
        count: the clip's number of frames.
    """

    def __init__(self, count: int) -> None:
        shown = min(_PICTURES, count)
        self._wanted = {number * (count - 1) // max(shown - 1, 1) for number in range(shown)}
        self._seen = 0
        self._pictures: list[NDArray[np.uint8]] = []

    def look(self, frame: Tensor, mask: Tensor | None, joints: Tensor) -> None:
        """The next frame (3, S, S) uint8 with its mask (1, S, S) uint8 and joints (18, 3)."""
        if self._seen in self._wanted:
            self._pictures.append(_drawn(frame, mask, joints, self._seen))
        self._seen += 1

    def finish(self) -> bytes:
        """The sheet as a JPEG file."""
        blank = np.zeros_like(self._pictures[0]) if self._pictures else np.zeros((_LEAST_SIDE, _LEAST_SIDE, 3), np.uint8)
        cells = [*self._pictures, *[blank] * (-len(self._pictures) % _COLUMNS)] if len(self._pictures) > _COLUMNS else self._pictures
        rows = [np.hstack(cells[first : first + _COLUMNS]) for first in range(0, len(cells), _COLUMNS)] or [blank]
        data: bytes = cv2.imencode(".jpg", np.ascontiguousarray(np.vstack(rows)[..., ::-1]))[1].tobytes()  # OpenCV has BGR
        return data


def _drawn(frame: Tensor, mask: Tensor | None, joints: Tensor, number: int) -> NDArray[np.uint8]:
    size = frame.shape[-1]
    side = min(max(size, _LEAST_SIDE), _MOST_SIDE)
    picture = cv2.resize(np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy()), (side, side), interpolation=cv2.INTER_LINEAR)
    if mask is not None:
        outline, _ = cv2.findContours(
            (cv2.resize(mask[0].cpu().numpy(), (side, side)) > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(picture, outline, -1, _MASK, 1, cv2.LINE_AA)
    places = [(round((x + 0.5) * side / size - 0.5), round((y + 0.5) * side / size - 0.5)) for x, y, _ in joints.tolist()]
    seen = (joints[:, 2] >= MIN_CONFIDENCE).tolist()
    for a, b in BONES:
        if seen[a] and seen[b]:
            cv2.line(picture, places[a], places[b], _colour(JOINTS[b]), 2, cv2.LINE_AA)
    for joint, place in enumerate(places):
        if seen[joint]:
            cv2.circle(picture, place, 2, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.putText(picture, str(number), (4, side - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    result: NDArray[np.uint8] = picture
    return result


def _colour(joint: str) -> tuple[int, int, int]:
    return next(colour for side, colour in _SIDES.items() if joint.startswith(side))
