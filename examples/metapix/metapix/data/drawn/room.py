"""A room that stays still: wall, floor and things, ray traced once per clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.camera import Camera
from metapix.data.drawn.palette import CLOTH, linear, pick

Array = NDArray[np.float64]

WALLS = (
    "#e9e2d0",
    "#d9dde0",
    "#cfd8c4",
    "#c9d7e2",
    "#e6cdb8",
    "#b7c4c9",
    "#d8c7d9",
    "#9fb0a5",
    "#8fa3b8",
    "#c6b39a",
    "#6f7f8f",
    "#a8554a",
    "#4f6272",
    "#efe9df",
)
FLOORS = ("#a87848", "#c49a6c", "#7d5636", "#8f8a82", "#b9b2a6", "#5f4a3b", "#d2c3a6", "#6c7078", "#8a6f7a", "#54655a")


@dataclass(frozen=True)
class Hit:
    """Where each pixel's ray ends: ``place`` (S, S, 3) metres, and whether that is the floor, the side wall or else the back wall."""

    place: Array
    floor: NDArray[np.bool_]
    side: NDArray[np.bool_]


def trace(camera: Camera, size: int, back: float, side: float) -> Hit:
    """Rays against the floor (y = 0), the back wall (z = ``back``) and a side wall (x = ``side``)."""
    ray = camera.rays(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_floor = np.where(ray[..., 1] < 0, -camera.place[1] / ray[..., 1], np.inf)
        to_back = np.where(ray[..., 2] < 0, (back - camera.place[2]) / ray[..., 2], np.inf)
        to_side = np.where(ray[..., 0] * np.sign(side) > 0, (side - camera.place[0]) / ray[..., 0], np.inf)
    nearest = np.minimum(np.minimum(to_floor, to_back), to_side)
    place = camera.place + ray * nearest[..., None]
    return Hit(place, to_floor <= nearest, (to_side <= nearest) & (to_floor > nearest))


def _noise(rng: np.random.Generator, x: Array, y: Array, scale: float) -> Array:
    """Smooth noise of about unit size at places x, y (metres) with features of ``scale`` metres."""
    total = np.zeros_like(x)
    for _ in range(6):
        a, b, phase = rng.normal(0, 2 / scale), rng.normal(0, 2 / scale), rng.uniform(0, 6.3)
        total += np.sin(a * x + b * y + phase)
    return total / 2.4


def _cells(rng: np.random.Generator, *index: Array) -> Array:
    """A random number in [0, 1) for each integer cell."""
    total = sum((i * float(k) for i, k in zip(index, rng.uniform(10, 90, len(index)), strict=True)), np.zeros_like(index[0]))
    return np.asarray(np.abs(np.sin(total + 0.37) * 437.585) % 1)


def floor_colour(rng: np.random.Generator, x: Array, z: Array) -> Array:
    """(..., 3) planks, tiles, parquet or carpet at floor places in metres."""
    base = pick(rng, FLOORS)
    kind = str(rng.choice(np.array(["planks", "planks", "tiles", "carpet", "parquet"])))
    if kind == "planks":
        wide = float(rng.uniform(0.12, 0.22))
        row = np.floor(x / wide)
        along = z + 1.3 * _cells(rng, row)
        shade = 0.82 + 0.32 * _cells(rng, row, np.floor(along / 1.1)) + 0.06 * _noise(rng, x * 8, z, 0.5)
        gap = (x / wide % 1 < 0.06) | (along / 1.1 % 1 < 0.012)
        return np.asarray(base * (shade * np.where(gap, 0.55, 1.0))[..., None])
    if kind == "tiles":
        side = float(rng.uniform(0.30, 0.55))
        second = base * float(rng.choice([0.45, 0.7, 1.0, 1.0]))
        i, j = np.floor(x / side), np.floor(z / side)
        shade = 0.93 + 0.14 * _cells(rng, i, j)
        gap = (x / side % 1 < 0.035) | (z / side % 1 < 0.035)
        colour = np.where(((i + j) % 2 < 1)[..., None], base, second) * shade[..., None]
        return np.where(gap[..., None], base * 0.6, colour)
    if kind == "parquet":
        i, j = np.floor(x / 0.45), np.floor(z / 0.45)
        strip = np.where((i + j) % 2 < 1, x, z) / 0.09
        shade = 0.84 + 0.28 * _cells(rng, i, j, np.floor(strip))
        return np.asarray(base * (shade * np.where(strip % 1 < 0.07, 0.75, 1.0))[..., None])
    return np.asarray(base * (1 + 0.10 * _noise(rng, x, z, 0.05) + 0.06 * _noise(rng, x, z, 0.6))[..., None])


def wall_colour(rng: np.random.Generator, u: Array, y: Array, base: Array) -> Array:
    """(..., 3) paint, wallpaper, panels or bricks at wall places in metres."""
    kind = str(rng.choice(np.array(["paint", "paint", "paint", "stripes", "panels", "bricks", "dado"])))
    colour = np.broadcast_to(base, (*u.shape, 3)) * (1 + 0.02 * _noise(rng, u, y, 0.8))[..., None]
    if kind == "stripes":
        wide = float(rng.uniform(0.12, 0.3))
        colour = colour * np.where(u / wide % 1 < 0.5, 1.0, 0.88)[..., None]
    if kind == "panels":
        edge = (np.abs(u / 0.55 % 1 - 0.5) > 0.47) | (np.abs(y - 0.95) < 0.02)
        colour = colour * np.where((y < 0.97) & edge, 0.82, 1.0)[..., None]
    if kind == "dado":
        colour = np.where((y < 0.95)[..., None], colour * pick(rng, ("#8d949c", "#b58a5c", "#7d8f86", "#c0b0a8")) / 0.5, colour)
        colour = np.where((np.abs(y - 0.97) < 0.025)[..., None], linear("#f4f1ea"), colour)
    if kind == "bricks":
        row = np.floor(y / 0.085)
        across = u / 0.25 + 0.5 * (row % 2)
        shade = 0.82 + 0.3 * _cells(rng, row, np.floor(across))
        joint = (y / 0.085 % 1 < 0.13) | (across % 1 < 0.05)
        colour = np.where(joint[..., None], colour * 0.9 + 0.06, colour * shade[..., None] * 0.92)
    return colour


def paint_room(camera: Camera, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(S, S, 3) reflected colour of an empty room (linear, as if fully lit) and (S, S, 3) the place each pixel shows, metres."""
    back, side = -float(rng.uniform(1.25, 2.1)), float(rng.choice([-1, 1])) * float(rng.uniform(1.5, 4.0))
    hit = trace(camera, size, back, side)
    x, y, z = np.moveaxis(hit.place, -1, 0)
    base = pick(rng, WALLS, 0.05)
    along = np.where(hit.side, z, x)
    wall = wall_colour(rng, along, y, base)
    wall = np.where(hit.side[..., None], wall * 0.82, wall)
    for thing in _things(rng):
        wall = thing.onto(wall, x, y, ~hit.side & ~hit.floor)
    trim = linear("#f4f1ea") if rng.random() < 0.7 else base * 0.6
    high = float(rng.uniform(0.07, 0.14))
    wall = np.where((y < high)[..., None], trim * np.where(y > high - 0.012, 0.8, 1.0)[..., None], wall)
    ground = floor_colour(rng, x, z)
    ground = _rug(rng, ground, x, z)
    colour = np.where(hit.floor[..., None], ground, wall)
    near = np.where(hit.floor, np.minimum(z - back, np.abs(x - side)), np.minimum(y, np.where(hit.side, z - back, np.abs(x - side))))
    return colour * (1 - 0.28 * np.exp(-np.maximum(near, 0) / 0.22))[..., None], hit.place


def _rug(rng: np.random.Generator, ground: Array, x: Array, z: Array) -> Array:
    if rng.random() > 0.45:
        return ground
    first, second = pick(rng, CLOTH) * 0.8, pick(rng, CLOTH) * 0.8
    wide, deep = float(rng.uniform(0.9, 1.6)), float(rng.uniform(0.55, 0.9))
    u, v = (x - float(rng.normal(0, 0.15))) / wide, (z - float(rng.normal(0, 0.1))) / deep
    reach = np.hypot(u, v) if rng.random() < 0.4 else np.maximum(np.abs(u), np.abs(v))
    inner = np.where(((reach > 0.84) & (reach < 0.93))[..., None], second, first)
    if rng.random() < 0.5:
        inner = np.where(((reach < 0.8) & (u * 6 % 1 < 0.3))[..., None], 0.7 * inner + 0.3 * second, inner)
    return np.where((reach < 1)[..., None], inner, ground)


@dataclass(frozen=True)
class Thing:
    """A rectangle on the back wall (left, bottom, right, top in metres) with a painter of its inner coordinates."""

    box: tuple[float, float, float, float]
    kind: str
    colours: tuple[Array, Array, Array]

    def onto(self, wall: Array, x: Array, y: Array, where: NDArray[np.bool_]) -> Array:
        """The wall (S, S, 3) with the thing and its soft shadow on it."""
        left, bottom, right, top = self.box
        u, v = (x - left) / (right - left), (y - bottom) / (top - bottom)
        out = np.maximum(np.maximum(left - x, x - right), np.maximum(bottom - y, y - top))
        shadow = 0.22 * np.exp(-np.maximum(out, 0) / 0.05) * where * (out > 0)
        inside = where & (out <= 0)
        wall = wall * (1 - shadow)[..., None]
        return np.where(inside[..., None], self.paint(u, v, right - left, top - bottom), wall)

    def paint(self, u: Array, v: Array, wide: float, tall: float) -> Array:
        """(S, S, 3) colours at inner coordinates in [0, 1]."""
        first, second, third = self.colours
        edge = np.minimum(np.minimum(u, 1 - u) * wide, np.minimum(v, 1 - v) * tall)
        if self.kind == "picture":
            scene = np.where((v < 0.35 + 0.15 * np.sin(5 * u))[..., None], second, third)
            scene = np.where((np.hypot((u - 0.68) * wide, (v - 0.7) * tall) < 0.1 * wide)[..., None], np.clip(first * 2, 0, 0.9), scene)
            return np.where((edge < 0.03)[..., None], first * 0.35, np.where((edge < 0.07)[..., None], 0.85, scene))
        if self.kind == "window":
            sky = np.array([0.50, 0.72, 0.95]) * (0.75 + 0.35 * v)[..., None]
            sky = np.where((v < 0.28 + 0.06 * np.sin(9 * u) + 0.04 * np.sin(23 * u))[..., None], linear("#6f9a5a"), sky)
            bar = (np.abs(u - 0.5) * wide < 0.02) | (np.abs(v - 0.55) * tall < 0.018) | (edge < 0.05)
            cloth = (u < 0.16 + 0.03 * v) | (u > 0.84 - 0.03 * v)
            folds = first * (0.8 + 0.2 * np.sin(u * wide * 70))[..., None]
            return np.where(cloth[..., None], folds, np.where(bar[..., None], 0.88, sky))
        if self.kind == "door":
            panel = (np.abs(np.abs(u - 0.5) - 0.22) < 0.15) & ((np.abs(v - 0.27) < 0.18) | (np.abs(v - 0.73) < 0.2))
            colour = first * np.where(panel, 0.86, 1.0)[..., None]
            knob = np.hypot((u - 0.9) * wide, (v - 0.48) * tall) < 0.03
            return np.where((edge < 0.05)[..., None], 0.85, np.where(knob[..., None], 0.55, colour))
        if self.kind == "shelf":
            boards = max(2, round(tall / 0.36))
            row, w = np.floor(v * boards), v * boards % 1
            book = np.floor(u * wide / 0.055 + 3 * row)
            hue = np.abs(np.sin(book * 12.99 + row * 78.2) * 437.5) % 1
            tone = np.abs(np.sin(book * 39.3 + row * 11.1) * 173.3) % 1
            high = 0.55 + 0.32 * tone
            shades = (
                np.where((hue < 0.35)[..., None], first, np.where((hue < 0.7)[..., None], second, third)) * (0.5 + 0.6 * tone)[..., None]
            )
            books = np.where(((w < high) & (w > 0.08) & (hue > 0.12))[..., None], shades, 0.07)
            wood = linear("#9a7448")
            return np.where(((w < 0.08) | (edge < 0.03))[..., None], wood, books)
        cushions = (np.abs(u * 3 % 1 - 0.5) > 0.48) | (np.abs(v - 0.55) < 0.02)
        return np.asarray(first * (np.where(cushions, 0.7, 1.0) * (0.75 + 0.35 * v))[..., None])


def _things(rng: np.random.Generator) -> list[Thing]:
    """Two to five things along the wall that do not overlap much."""
    things, at = [], -2.6 + float(rng.uniform(0, 0.6))
    while at < 2.4:
        kind = str(rng.choice(np.array(["picture", "picture", "window", "door", "shelf", "sofa", "gap"])))
        wide, bottom, top = {
            "picture": (rng.uniform(0.35, 0.8), rng.uniform(1.15, 1.35), rng.uniform(1.6, 1.95)),
            "window": (rng.uniform(0.9, 1.4), rng.uniform(0.85, 1.0), rng.uniform(1.9, 2.2)),
            "door": (rng.uniform(0.8, 0.9), 0.0, rng.uniform(2.0, 2.1)),
            "shelf": (rng.uniform(0.7, 1.2), rng.choice([0.0, 0.9]), rng.uniform(1.5, 1.9)),
            "sofa": (rng.uniform(1.1, 1.6), 0.0, rng.uniform(0.6, 0.75)),
            "gap": (rng.uniform(0.3, 0.7), 0.0, 0.0),
        }[kind]
        colours = (pick(rng, CLOTH) * 0.85, pick(rng, CLOTH) * 0.85, pick(rng, CLOTH) * 0.85)
        if kind != "gap":
            things.append(Thing((at, float(bottom), at + float(wide), float(top)), kind, colours))
        at += float(wide) + float(rng.uniform(0.12, 0.55))
    return things
