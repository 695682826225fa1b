"""The head: skull, face, ears, hair in several cuts, and hats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import Proportions
from metapix.data.drawn.palette import CLOTH, HAIR, contrasting, pick
from metapix.data.drawn.surface import Surface, loft, ramp, shell

Array = NDArray[np.float64]

HAIRCUTS = ("short", "crop", "bob", "long", "ponytail", "bun", "afro", "bald", "curly", "side")
HATS = ("none", "none", "none", "none", "none", "cap", "beanie", "brim")


def skull(person: Proportions) -> tuple[Array, Array]:
    """Centre (3,) and radii (3,) of the head's ellipsoid in the rest pose, metres."""
    size = person.head * person.height
    centre = person.rest["head"] + np.array([0.0, 0.058 * size, 0.008 * size])
    return centre, np.array([0.0435, 0.066, 0.053]) * size


def face_points(person: Proportions) -> dict[str, Array]:
    """Places (3,) of nose, eyes and ears in the rest pose, metres."""
    centre, radii = skull(person)
    places = {"nose": np.array([0.0, -0.22, 1.10])}
    for name, sign in (("right", -1.0), ("left", 1.0)):
        places[f"{name}_eye"] = np.array([sign * 0.40, 0.06, 0.88])
        places[f"{name}_ear"] = np.array([sign * 1.0, -0.08, -0.08])
    return {name: centre + radii * offset for name, offset in places.items()}


def _rigid(surface: Surface, bone: str = "head") -> Surface:
    return surface.bound((bone,), np.ones((len(surface.points), 1)))


def _spot(p: Array, x: float, y: float, width: float, height: float, soft: float = 0.35) -> Array:
    """(N,) 1 inside an ellipse of the face, in skull radii."""
    distance = np.hypot((p[:, 0] - x) / width, (p[:, 1] - y) / height)
    return ramp(distance, 1 + soft, 1 - soft) * (p[:, 2] > 0.2)


def face(person: Proportions, rng: np.random.Generator, skin: Array, hair: Array, feminine: float, spacing: float) -> list[Surface]:
    """The skull with its face painted on, a nose and two ears."""
    centre, radii = skull(person)
    surface = shell(centre, radii, 0.8 * spacing)
    p = (surface.points - centre) / radii
    jaw = ramp(-p[:, 1], 0.1, 1.0)
    points = surface.points.copy()
    points[:, 0] = centre[0] + (points[:, 0] - centre[0]) * (1 - (0.17 + 0.06 * feminine) * jaw)
    points[:, 2] += radii[2] * (0.10 * jaw * (p[:, 2] > 0) * p[:, 2] - 0.12 * jaw)
    iris = pick(rng, ("#3a2415", "#4d6b3c", "#3a6a94", "#241a14"))
    lips = np.clip(skin * np.array([0.95, 0.55, 0.55]) + np.array([0.10, 0.0, 0.01]) * feminine, 0, 1)
    colour = np.broadcast_to(skin, points.shape).copy()

    def paint(where: Array, shade: Array) -> None:
        colour[:] = colour * (1 - where[:, None]) + shade * where[:, None]

    blush = np.clip(skin * np.array([1.08, 0.86, 0.84]), 0, 1)
    beard = float(rng.random()) if feminine < 0.4 else 1.0
    if beard < 0.35:
        paint(0.85 * ramp(-p[:, 1] + 0.25 * p[:, 0] ** 2, 0.38, 0.56) * ramp(p[:, 2], -0.25, 0.1), hair * 0.9)
    for sign in (-1.0, 1.0):
        paint(0.6 * _spot(p, sign * 0.5, -0.25, 0.28, 0.18, 0.8), blush)
        paint(0.35 * _spot(p, sign * 0.40, 0.07, 0.30, 0.20, 0.6), skin * 0.55)
        paint(_spot(p, sign * 0.40, 0.04, 0.21, 0.105), np.array([0.86, 0.86, 0.84]))
        paint(_spot(p, sign * 0.40, 0.04, 0.115, 0.12), iris * 0.5)
        paint(0.9 * _spot(p, sign * 0.40, 0.125, 0.23, 0.04), hair * 0.3)
        paint(0.9 * _spot(p, sign * 0.41, 0.26 + 0.02 * feminine, 0.25, 0.055 - 0.015 * feminine), hair * 0.7)
    smile = 0.08 * float(rng.uniform(0.2, 1.0))
    mouth = p.copy()
    mouth[:, 1] -= smile * (np.abs(p[:, 0]) / 0.3) ** 2
    paint(_spot(mouth, 0.0, -0.55, 0.30, 0.085), lips)
    if rng.random() < 0.5:
        paint(_spot(mouth, 0.0, -0.545, 0.22, 0.035), np.array([0.8, 0.78, 0.75]))
    else:
        paint(0.7 * _spot(mouth, 0.0, -0.55, 0.27, 0.022), lips * 0.3)
    paint(0.30 * _spot(p, 0.0, -0.36, 0.16, 0.05), skin * 0.4)
    if rng.random() < 0.2:
        for sign in (-1.0, 1.0):
            ring = np.hypot((p[:, 0] - sign * 0.41) / 0.29, (p[:, 1] - 0.04) / 0.20)
            paint(0.9 * ramp(np.abs(ring - 1), 0.30, 0.12) * (p[:, 2] > 0.2), np.full(3, 0.02))
        paint(0.9 * _spot(p, 0, 0.08, 0.13, 0.03), np.full(3, 0.02))
    parts = [_rigid(replace(surface, points=points, colour=colour))]
    nose = shell(centre + radii * np.array([0, -0.17, 0.95]), radii * np.array([0.15, 0.22, 0.17]), spacing)
    parts.append(_rigid(nose.dyed(np.clip(skin * np.array([1.02, 0.95, 0.93]), 0, 1))))
    for sign in (-1.0, 1.0):
        ear = shell(centre + radii * np.array([sign * 0.98, -0.06, -0.08]), radii * np.array([0.11, 0.20, 0.14]), spacing)
        parts.append(_rigid(ear.dyed(np.clip(skin * np.array([1.0, 0.88, 0.86]), 0, 1))))
    return parts


def _strands(surface: Surface, hair: Array, p: Array, curl: float) -> Array:
    angle = np.arctan2(p[:, 0], p[:, 2])
    wave = (
        np.sin(23 * angle + 4 * np.sin(3 * p[:, 1]))
        if curl == 0
        else np.sin(17 * angle + curl * np.sin(13 * p[:, 1])) * np.cos(11 * p[:, 1])
    )
    return np.asarray(np.clip(hair * (1 + 0.16 * wave[:, None]) + 0.015 * np.clip(p[:, 1:2], 0, 1), 0, 1))


def _cap_of_hair(
    person: Proportions, hair: Array, spacing: float, grow: Array, line: float, side: float, back: float, curl: float = 0.0
) -> Surface:
    """A shell over the skull without the face: down to ``line`` in front, ``side`` at the temples, ``back`` behind, in skull radii."""
    centre, radii = skull(person)
    surface = shell(centre + radii * np.array([0, 0.05, -0.06]), radii * grow, spacing)
    p = (surface.points - centre) / radii
    front = ramp(p[:, 2], 0.0, 0.62)
    edge = back + (side - back) * ramp(p[:, 2], -0.6, 0.0) + (line - side) * front
    colour = _strands(surface, hair, p, curl)
    return _rigid(replace(surface, colour=colour, gloss=0.12)).keep(p[:, 1] > edge)


def hair_surfaces(person: Proportions, cut: str, hair: Array, spacing: float) -> list[Surface]:
    """The hair of one of :data:`HAIRCUTS`."""
    centre, radii = skull(person)

    def ball(offset: tuple[float, float, float], size: tuple[float, float, float], bone: str = "head", curl: float = 0.0) -> Surface:
        surface = shell(centre + radii * np.array(offset), radii * np.array(size), spacing)
        return _rigid(replace(surface, colour=_strands(surface, hair, (surface.points - centre) / radii, curl), gloss=0.12), bone)

    def fall(rows: list[tuple[float, float, float, float]], opened: float) -> Surface:
        table = np.array(rows)
        profile = np.stack(
            (
                centre[1] + table[:, 0] * radii[1],
                table[:, 1] * radii[0],
                table[:, 2] * radii[2],
                0 * table[:, 0],
                centre[2] + table[:, 3] * radii[2],
            ),
            -1,
        )
        surface = loft(profile, spacing)
        loose = ramp(centre[1] - surface.points[:, 1], 0.5 * radii[1], 2.0 * radii[1])
        surface = replace(surface, colour=_strands(surface, hair, (surface.points - centre) / radii, 0.0), gloss=0.12)
        return surface.bound(("head", "hair"), np.stack((1 - 0.85 * loose, 0.85 * loose), -1)).keep(np.abs(surface.angle) > opened)

    grow = np.array([1.08, 1.07, 1.08])
    if cut == "bald":
        return []
    if cut == "crop":
        return [_cap_of_hair(person, hair, spacing, grow - 0.04, 0.58, -0.02, -0.35)]
    if cut == "short":
        return [_cap_of_hair(person, hair, spacing, grow + 0.02, 0.46, -0.05, -0.42), ball((0.1, 0.92, 0.40), (0.62, 0.28, 0.55))]
    if cut == "side":
        return [_cap_of_hair(person, hair, spacing, grow + 0.02, 0.50, -0.12, -0.5), ball((0.34, 0.80, 0.55), (0.62, 0.34, 0.42))]
    if cut == "afro":
        return [_cap_of_hair(person, hair, spacing, np.array([1.5, 1.38, 1.42]), 0.50, -0.25, -0.6, 6.0)]
    if cut == "curly":
        return [
            _cap_of_hair(person, hair, spacing, np.array([1.24, 1.2, 1.22]), 0.46, -0.5, -0.85, 5.0),
            ball((-0.3, 0.75, 0.62), (0.5, 0.3, 0.4), curl=5.0),
            ball((0.35, 0.72, 0.62), (0.5, 0.3, 0.4), curl=5.0),
        ]
    top = _cap_of_hair(person, hair, spacing, grow + 0.02, 0.48, -0.1, -0.75)
    if cut == "bob":
        return [
            top,
            fall(
                [
                    (0.5, 1.04, 1.06, -0.1),
                    (0.0, 1.16, 1.12, -0.14),
                    (-0.6, 1.22, 1.12, -0.16),
                    (-1.05, 1.10, 1.0, -0.18),
                    (-1.12, 0.9, 0.8, -0.2),
                ],
                0.95,
            ),
        ]
    if cut == "long":
        return [
            top,
            fall(
                [
                    (0.5, 1.04, 1.06, -0.1),
                    (-0.2, 1.16, 1.10, -0.16),
                    (-1.0, 1.20, 0.95, -0.35),
                    (-1.9, 1.12, 0.62, -0.72),
                    (-2.7, 0.90, 0.45, -0.88),
                    (-3.0, 0.55, 0.3, -0.9),
                ],
                1.15,
            ),
        ]
    if cut == "ponytail":
        tail = np.array(
            [
                (0.55, 0.10, 0.10, -1.15),
                (0.45, 0.26, 0.26, -1.30),
                (-0.1, 0.34, 0.32, -1.52),
                (-0.9, 0.34, 0.30, -1.60),
                (-1.7, 0.24, 0.22, -1.50),
                (-2.1, 0.06, 0.06, -1.44),
            ]
        )
        return [top, fall([tuple(row) for row in tail], -1.0)]
    return [top, ball((0.0, 0.62, -1.10), (0.48, 0.34, 0.42))]


def hat_surfaces(person: Proportions, hat: str, colour: Array, spacing: float) -> list[Surface]:
    """A hat of :data:`HATS`."""
    centre, radii = skull(person)
    if hat == "none":
        return []
    surface = shell(centre + radii * np.array([0, 0.10, -0.05]), radii * np.array([1.15, 1.10, 1.14]), spacing)
    p = (surface.points - centre) / radii
    crown = _rigid(surface.dyed(colour)).keep(p[:, 1] > (0.34 if hat != "beanie" else 0.30))
    if hat == "beanie":
        height = ((crown.points - centre) / radii)[:, 1]
        crown.colour[:] = np.where((height < 0.52)[:, None], colour * 0.7, colour)
        return [crown, _rigid(shell(centre + radii * np.array([0, 1.26, -0.05]), radii * 0.2, spacing).dyed(colour * 0.8))]
    ahead, size = ((0.0, 0.40, 0.95), (0.85, 0.07, 0.85)) if hat == "cap" else ((0.0, 0.42, -0.05), (1.9, 0.09, 1.8))
    return [crown, _rigid(shell(centre + radii * np.array(ahead), radii * np.array(size), spacing).dyed(colour * 0.75))]


def head_surfaces(person: Proportions, rng: np.random.Generator, skin: Array, feminine: float, spacing: float) -> list[Surface]:
    """Face, hair and perhaps a hat, all chosen at random."""
    long = np.array([1.2, 1.4, 0.3, 0.25, 0.2, 0.25, 0.6, 0.4, 0.8, 1.2]) * (1 - feminine)
    short = np.array([0.2, 0.2, 1.4, 1.8, 1.4, 1.0, 0.5, 0.0, 1.0, 0.3]) * feminine
    cut = str(rng.choice(HAIRCUTS, p=(long + short) / (long + short).sum()))
    dark = skin.mean() < 0.2
    hair = pick(rng, HAIR[:3] if dark and rng.random() < 0.8 else HAIR)
    hat = str(rng.choice(HATS)) if cut not in ("afro", "bun", "curly") else "none"
    parts = face(person, rng, skin, hair, feminine, spacing) + hair_surfaces(person, cut, hair, spacing)
    return parts + hat_surfaces(person, hat, contrasting(rng, CLOTH, hair), spacing)
