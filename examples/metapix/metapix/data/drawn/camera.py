"""A still pinhole camera that keeps a whole dance in its square picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """``matrix`` (3, 4) takes a homogeneous world point (metres) to (x w, y w, w).

    x, y are in picture sides from its left top corner; w is the depth in metres. The camera is at ``place`` (3,).
    """

    matrix: Array
    place: Array

    def project(self, points: Array) -> Array:
        """(..., 3) picture places (x, y in picture sides) and depths of (..., 3) world points."""
        seen = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        return np.concatenate((seen[..., :2] / seen[..., 2:], seen[..., 2:]), -1)

    def rays(self, size: int) -> Array:
        """(size, size, 3) directions through the centres of a picture's pixels."""
        at = (np.arange(size) + 0.5) / size
        x, y = np.meshgrid(at, at)
        return np.asarray(np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(self.matrix[:, :3]).T)


def look(place: Array, target: Array) -> Array:
    """(3, 4) view of a camera at ``place`` that looks at ``target``: x to the right, y down, depth ahead, focal length 1."""
    ahead = (target - place) / np.linalg.norm(target - place)
    right = np.cross(ahead, np.array([0.0, 1.0, 0.0]))
    right /= np.linalg.norm(right)
    rows = np.stack((right, np.cross(ahead, right), ahead))
    return np.concatenate((rows, -(rows @ place)[:, None]), 1)


def framed(place: Array, points: Array, low: float, high: float, room: Array) -> Camera:
    """The camera at ``place`` whose picture holds all ``points`` (N, 3) with a margin.

    ``low`` and ``high``: heights (metres) of sole and crown at the origin, and ``room`` (3,) the wanted share of the picture between
    them, and where (0 to 1) the dance sits in the space that is left, across and down.
    """
    view = look(place, np.array([0.0, 0.5 * (low + high), 0.0]))
    camera = Camera(view, place)
    seen = camera.project(points)[..., :2].reshape(-1, 2)
    first, last = seen.min(0), seen.max(0)
    tall = float(camera.project(np.array([0.0, low, 0.0]))[1] - camera.project(np.array([0.0, high, 0.0]))[1])
    margin = 0.04
    zoom = min(float(room[0]) / tall, (1 - 2 * margin) / float((last - first).max()))
    free = 1 - 2 * margin - zoom * (last - first)
    shift = margin + free * room[1:] - zoom * first
    inner = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]], [0, 0, 1]])
    return Camera(inner @ view, place)
