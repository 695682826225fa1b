"""Bare lofts of a body (trunk, arms, legs, hands, shoes) with the bones they move with; clothes are wider copies of the same profiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import SIDES, Proportions
from metapix.data.drawn.surface import Surface, loft, ramp

Array = NDArray[np.float64]


def _rows(person: Proportions, rows: list[tuple[float, float, float, float]]) -> Array:
    """Profile rows (height, half width, half depth, centre in z), in body heights, as metres on the midline."""
    table = np.array(rows)
    return np.asarray(np.stack((table[:, 0], table[:, 1], table[:, 2], 0 * table[:, 0], table[:, 3]), -1) * person.height)


def trunk_profile(person: Proportions, feminine: float) -> Array:
    """(M, 5) profile of the trunk from crotch to neck, without the shift of long legs."""
    g, chest, waist, hips, f = person.girth, person.chest, person.waist, person.hips, feminine
    s = person.shoulder
    return _rows(
        person,
        [
            (0.462, 0.012, 0.020, 0.0),
            (0.470, 0.060 * hips * g, 0.045 * g, -0.004),
            (0.490, 0.083 * hips * g, 0.058 * g, -0.006),
            (0.520, 0.094 * hips * g, 0.064 * g, -0.007),
            (0.560, 0.088 * hips * g, 0.061 * g, -0.003),
            (0.615, 0.076 * waist * g, 0.055 * waist * g, 0.004),
            (0.665, 0.082 * chest * g, 0.058 * g, 0.004),
            (0.715, 0.091 * chest * g, (0.063 + 0.007 * f) * g, 0.004 + 0.004 * f),
            (0.755, 0.45 * s + 0.052 * g * chest, 0.060 * g, 0.001),
            (0.785, 1.02 * s, 0.050 * g, -0.004),
            (0.805, 0.97 * s, 0.040 * g, -0.006),
            (0.820, 0.70 * s, 0.034, -0.007),
            (0.829, 0.044, 0.031, -0.007),
            (0.838, 0.031, 0.030, -0.006),
        ],
    )


def trunk(person: Proportions, profile: Array, spacing: float) -> Surface:
    """The trunk's loft through a profile, bound to pelvis, belly and chest."""
    surface = lifted(person, loft(profile, spacing))
    y, h, shift = surface.points[:, 1], person.height, (person.leg - 1) * 0.49 * person.height
    up = ramp(y - shift, 0.545 * h, 0.635 * h)
    top = ramp(y - shift, 0.615 * h, 0.715 * h)
    return surface.bound(("pelvis", "belly", "chest"), np.stack((1 - up, up - top, top), -1))


def lifted(person: Proportions, surface: Surface) -> Surface:
    """A trunk or head surface raised by what long legs add."""
    surface.points[:, 1] += (person.leg - 1) * 0.49 * person.height
    return surface


def neck(person: Proportions, spacing: float) -> Surface:
    """The neck's loft, bound to chest, neck and head."""
    r = 0.029 * (0.6 + 0.4 * person.girth)
    surface = lifted(
        person,
        loft(
            _rows(person, [(0.812, 1.3 * r, 1.1 * r, -0.008), (0.835, r, r, -0.006), (0.862, 0.93 * r, r, -0.002), (0.885, r, r, 0.0)]),
            spacing,
        ),
    )
    y = (surface.points[:, 1] - person.rest["neck"][1]) / person.height
    up, top = ramp(y, -0.005, 0.02), ramp(y, 0.025, 0.055)
    return surface.bound(("chest", "neck", "head"), np.stack((1 - up, up - top, top), -1))


def arm_profile(person: Proportions, ease: float = 0.0, hem: float = 0.0) -> Array:
    """(M, 5) profile of the right arm from the shoulder's top down to the wrist, ``ease`` metres wider and ``hem`` more at the wrist."""
    upper, fore = person.limbs[:2]
    r = 0.0265 * person.height * person.limb
    x, top, z = person.rest["right_upper_arm"]
    rows = np.array(
        [
            (1.12 * r, 0.10 * r), (0.98 * r, 0.60 * r), (0.55 * r, 0.96 * r), (-0.2 * r, 1.12 * r), (-0.25 * upper, 1.10 * r),
            (-0.55 * upper, 1.00 * r), (-0.93 * upper, 0.84 * r), (-upper, 0.82 * r), (-upper - 0.25 * fore, 0.88 * r),
            (-upper - 0.6 * fore, 0.70 * r), (-upper - fore, 0.52 * r),
        ]
    )  # fmt: skip
    width = rows[:, 1] + ease * np.minimum(rows[:, 1] / r, 1) + hem * ramp(-rows[:, 0], upper, upper + fore)
    return np.stack((top + rows[:, 0], width, 1.04 * width, 0 * width + x, 0 * width + z), -1)


def leg_profile(person: Proportions, ease: float = 0.0, hem: float = 0.0) -> Array:
    """(M, 5) profile of the right leg from the hip to the ankle, ``ease`` metres wider and ``hem`` more below the knee."""
    thigh, shin = person.limbs[2:]
    r = 0.047 * person.height * person.limb
    x, top, z = person.rest["right_thigh"]
    rows = np.array(
        [
            (0.75 * r, 0.35 * r, 0.0), (0.5 * r, 0.85 * r, -0.05), (0.0, 1.05 * r, -0.08), (-0.22 * thigh, 1.06 * r, -0.02),
            (-0.55 * thigh, 0.91 * r, 0.05), (-0.9 * thigh, 0.71 * r, 0.03), (-thigh, 0.68 * r, 0.0),
            (-thigh - 0.12 * shin, 0.64 * r, -0.10), (-thigh - 0.32 * shin, 0.70 * r, -0.20),
            (-thigh - 0.65 * shin, 0.52 * r, -0.10), (-thigh - 0.93 * shin, 0.39 * r, -0.02),
            (-thigh - 1.03 * shin, 0.40 * r, 0.0),
        ]
    )  # fmt: skip
    straight = 0.66 * r * ramp(-rows[:, 0], 0.5 * thigh, thigh) * (ease > 0)
    width = (
        np.maximum(rows[:, 1], straight)
        + ease * np.minimum(rows[:, 1] / (0.5 * r), 1)
        + hem * ramp(-rows[:, 0], 0.75 * thigh, thigh + shin)
    )
    return np.stack((top + rows[:, 0], width, 1.05 * width, 0 * width + x, z + rows[:, 2] * r), -1)


def mirrored(profile: Array, side: int) -> Array:
    """A right limb's profile moved to ``side`` (0 right, 1 left)."""
    return np.asarray(profile * np.array([1, 1, 1, (1, -1)[side], 1]))


def arm(person: Proportions, side: int, profile: Array, spacing: float) -> Surface:
    """An arm's loft, bound from the chest to the forearm with round shoulder and elbow."""
    name, surface = SIDES[side], loft(mirrored(profile, side), spacing)
    upper = person.limbs[0]
    r = 0.0265 * person.height * person.limb
    depth = person.rest[f"{name}_upper_arm"][1] - surface.points[:, 1]
    out = ramp(depth, -0.6 * r, 2.2 * r)
    low, high = ramp(depth, upper - 1.3 * r, upper), ramp(depth, upper, upper + 1.3 * r)
    weights = np.stack((1 - out, out - low, low - high, high), -1)
    return surface.bound((f"{name}_collar", f"{name}_upper_arm", f"{name}_elbow", f"{name}_forearm"), np.maximum(weights, 0))


def leg(person: Proportions, side: int, profile: Array, spacing: float) -> Surface:
    """A leg's loft, bound from the groin to the shin with round hip and knee."""
    name, surface = SIDES[side], loft(mirrored(profile, side), spacing)
    thigh = person.limbs[2]
    r = 0.047 * person.height * person.limb
    depth = person.rest[f"{name}_thigh"][1] - surface.points[:, 1]
    out = ramp(depth, -0.5 * r, 1.2 * r)
    low, high = ramp(depth, thigh - 1.1 * r, thigh), ramp(depth, thigh, thigh + 1.1 * r)
    weights = np.stack((1 - out, out - low, low - high, high), -1)
    return surface.bound((f"{name}_groin", f"{name}_thigh", f"{name}_knee", f"{name}_shin"), np.maximum(weights, 0))


def hand(person: Proportions, side: int, spacing: float) -> Surface:
    """A flat, slightly curled hand."""
    name, h = SIDES[side], person.height
    x, y, z = person.rest[f"{name}_hand"]
    r = 0.0140 * h * (0.5 + 0.5 * person.limb)
    rows = np.array(
        [
            (0.012, 0.75, 0.85, 0.0),
            (-0.004, 0.75, 1.0, 0.0),
            (-0.028, 0.82, 1.45, 0.08),
            (-0.050, 0.72, 1.35, 0.18),
            (-0.070, 0.62, 1.15, 0.45),
            (-0.086, 0.45, 0.85, 0.7),
            (-0.093, 0.02, 0.05, 0.8),
        ]
    )
    profile = np.stack((y + rows[:, 0] * h, rows[:, 1] * r, rows[:, 2] * r, 0 * rows[:, 0] + x, z + rows[:, 3] * r), -1)
    surface = loft(profile, spacing)
    return surface.bound((f"{name}_hand",), np.ones((len(surface.points), 1)))


def shoe(person: Proportions, side: int, spacing: float) -> tuple[Surface, Array]:
    """A shoe and, per point, how far above the sole it is (0 to 1)."""
    name, h = SIDES[side], person.height
    x, y, _ = person.rest[f"{name}_foot"]
    length, half, tall = 0.150 * h, 0.0275 * h, y
    rows = np.array(
        [
            (-0.30, 0.05, 0.10, 0.30),
            (-0.285, 0.55, 0.62, 0.45),
            (-0.20, 0.85, 1.15, 0.60),
            (-0.04, 0.88, 1.30, 0.66),
            (0.14, 0.92, 0.95, 0.47),
            (0.36, 1.05, 0.70, 0.34),
            (0.55, 1.0, 0.58, 0.28),
            (0.66, 0.62, 0.40, 0.22),
            (0.70, 0.04, 0.05, 0.20),
        ]
    )
    # A loft runs along y; the shoe is lofted heel to toe and laid down, then its underside is pressed flat.
    profile = np.stack((rows[:, 0] * length, rows[:, 1] * half, rows[:, 2] * tall * 0.5, 0 * rows[:, 0], rows[:, 3] * tall), -1)
    surface = loft(profile, spacing)
    points, normals = surface.points[:, [0, 2, 1]].copy(), surface.normals[:, [0, 2, 1]]
    below = points[:, 1] < 0.0
    points[:, 1] = np.maximum(points[:, 1], 0.0)
    normals[below] = (0.0, -1.0, 0.0)
    above = points[:, 1] / tall
    points += np.array([x, 0.0, 0.0])
    laid = Surface(points, normals, surface.colour, surface.angle, surface.along, (f"{name}_foot",), np.ones((len(points), 1)), 0.15)
    return laid, above
