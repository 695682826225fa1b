"""Surfaces as clouds of points so dense that no pixel falls between them: lofts along a limb and shells around a head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import BONE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """N points of the rest pose that move with some bones.

    Attributes:
        points, normals, colour: (N, 3); metres, unit length, and linear RGB in [0, 1].
        angle, along: (N,) body coordinates of a loft: the angle about its axis (0 is the front, +pi/2 the left) and its height.
        bones: the bones it moves with; weights: (N, len(bones)), rows sum to 1.
        gloss: how strong the highlight is.
    """

    points: Array
    normals: Array
    colour: Array
    angle: Array
    along: Array
    bones: tuple[str, ...]
    weights: Array
    gloss: float = 0.05

    def keep(self, where: NDArray[np.bool_]) -> Surface:
        """Only the points where the mask (N,) holds."""
        fields = ("points", "normals", "colour", "angle", "along", "weights")
        return replace(self, **{name: getattr(self, name)[where] for name in fields})

    def dyed(self, colour: Array) -> Surface:
        """The same surface with another colour, (3,) or (N, 3)."""
        return replace(self, colour=np.broadcast_to(colour, self.points.shape).copy())

    def bound(self, bones: tuple[str, ...], weights: Array) -> Surface:
        """The same surface moving with ``bones``; weights (N, len(bones)) are normalised."""
        unknown = [bone for bone in bones if bone not in BONE]
        if unknown:
            raise KeyError(f"no such bones: {unknown}")
        return replace(self, bones=bones, weights=weights / weights.sum(-1, keepdims=True))


def spline(at: Array, knots: Array, values: Array) -> Array:
    """Catmull-Rom interpolation of (M, D) ``values`` at increasing (M,) ``knots``, evaluated at (N,) ``at``."""
    slopes = np.gradient(values, knots, axis=0)
    index = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    width = (knots[index + 1] - knots[index])[:, None]
    u = (at - knots[index])[:, None] / width
    a, b = values[index], values[index + 1]
    mixed: Array = (
        (2 * u**3 - 3 * u**2 + 1) * a
        + (u**3 - 2 * u**2 + u) * width * slopes[index]
        + (3 * u**2 - 2 * u**3) * b
        + (u**3 - u**2) * width * slopes[index + 1]
    )
    return mixed


def loft(profile: Array, spacing: float) -> Surface:
    """A tube through elliptic rings; ``profile`` (M, 5) has height, half widths in x and z, and the centre's x and z, metres."""
    profile = np.asarray(profile, dtype=np.float64)
    steps = np.linalg.norm(np.diff(profile, axis=0), axis=1)
    knots = np.concatenate(([0.0], np.cumsum(np.maximum(steps, 1e-6))))
    count = max(int(np.ceil(knots[-1] / spacing)) + 1, 3)
    at = np.linspace(0, knots[-1], count)
    rings = spline(at, knots, profile)
    rings[:, 1:3] = np.maximum(rings[:, 1:3], 1e-4)
    slope = np.gradient(rings, at, axis=0)
    around = np.maximum(np.ceil(2 * np.pi * rings[:, 1:3].max(1) / spacing).astype(int), 5)
    ring = np.repeat(np.arange(count), around)
    starts = np.cumsum(around) - around
    angle = 2 * np.pi * (np.arange(len(ring)) - starts[ring]) / around[ring] + 0.5 * (ring % 2) * spacing / rings[ring, 1]
    s, c = np.sin(angle), np.cos(angle)
    y, rx, rz, cx, cz = rings[ring].T
    dy, drx, drz, dcx, dcz = slope[ring].T
    points = np.stack((cx + rx * s, y, cz + rz * c), -1)
    around_axis = np.stack((rx * c, np.zeros_like(y), -rz * s), -1)
    along_axis = np.stack((dcx + drx * s, dy, dcz + drz * c), -1)
    normals = np.cross(around_axis, along_axis) * np.sign(profile[-1, 0] - profile[0, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return Surface(points, normals, np.ones_like(points), angle, y, ("pelvis",), np.ones((len(y), 1)))


def shell(centre: Array, radii: Array, spacing: float) -> Surface:
    """A full ellipsoid around ``centre`` (3,) with ``radii`` (3,), metres."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, 13)
    profile = np.stack(
        (centre[1] + radii[1] * np.sin(turn), radii[0] * np.cos(turn), radii[2] * np.cos(turn), 0 * turn + centre[0], 0 * turn + centre[2]),
        -1,
    )
    surface = loft(profile, spacing)
    outward = (surface.points - centre) / radii**2
    return replace(surface, normals=outward / np.linalg.norm(outward, axis=-1, keepdims=True))


def ramp(value: Array, low: float, high: float) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between; ``low`` may be the larger."""
    u = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(u * u * (3 - 2 * u))
