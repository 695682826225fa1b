"""Rotation matrices, vectorised over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _stack(rows: list[list[Array]]) -> Array:
    return np.stack([np.stack(row, -1) for row in rows], -2)


def about_x(angle: Array) -> Array:
    """(..., 3, 3) rotations about x by ``angle`` radians; takes +y towards +z."""
    c, s, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
    return _stack([[one, zero, zero], [zero, c, -s], [zero, s, c]])


def about_y(angle: Array) -> Array:
    """(..., 3, 3) rotations about y by ``angle`` radians; takes +z towards +x."""
    c, s, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
    return _stack([[c, zero, s], [zero, one, zero], [-s, zero, c]])


def about_z(angle: Array) -> Array:
    """(..., 3, 3) rotations about z by ``angle`` radians; takes +x towards +y."""
    c, s, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
    return _stack([[c, -s, zero], [s, c, zero], [zero, zero, one]])


def normalise(vector: Array) -> Array:
    """``vector`` scaled to length 1 along the last axis."""
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9))


def from_axes(x: Array, y: Array, z: Array) -> Array:
    """(..., 3, 3) rotation whose columns are the images of the three axes."""
    return np.stack((x, y, z), -1)


def blend(first: Array, second: Array, share: float | Array) -> Array:
    """The rotation ``share`` of the way from ``first`` to ``second`` (exact at the ends, close between; they must not be opposite)."""
    share = np.asarray(share)[..., None, None]
    mixed = (1 - share) * first + share * second
    y = normalise(mixed[..., 1])
    x = mixed[..., 0] - (mixed[..., 0] * y).sum(-1, keepdims=True) * y
    x = normalise(x)
    return from_axes(x, y, np.cross(x, y))
