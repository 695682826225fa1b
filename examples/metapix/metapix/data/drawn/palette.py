"""Colours and patterns: skin, hair and cloth, painted in body coordinates so that they bend and turn with the limb."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.surface import Surface

Array = NDArray[np.float64]

SKIN = ("#f7d0b4", "#f2c5a4", "#eebb98", "#e3a981", "#d6986c", "#c08050", "#a0663f", "#80502f", "#653c25")
HAIR = ("#1b1513", "#2e1d14", "#4a2c17", "#6e4423", "#9a6a35", "#d0a45c", "#8e3b1e", "#a8a39c", "#e0ddd6", "#b23b74", "#2f6f9f")
CLOTH = (
    "#f4f1ea", "#e9e2d0", "#22252b", "#3b4048", "#8d949c", "#c9302c", "#e8613c", "#f2a33a", "#f6d14b", "#8fbf4d", "#3f8f5b", "#1f6f6b",
    "#3aa6b9", "#7cc4e8", "#2f6db5", "#273f77", "#5b4b9a", "#9a6cc0", "#d873a8", "#f2a9b8", "#8a3033", "#6b4a32", "#b58a5c", "#cfd8c4",
)  # fmt: skip
TROUSERS = (
    "#24304a",
    "#31507e",
    "#5f86b3",
    "#1f2023",
    "#4b4d52",
    "#8a7a62",
    "#c9b892",
    "#5a6246",
    "#6b2f37",
    "#e6e1d6",
    "#7a4f2f",
    "#2d4a44",
)


def linear(code: str) -> Array:
    """(3,) linear RGB in [0, 1] (display values squared) of a code "#rrggbb"."""
    return (np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255) ** 2.0


def pick(rng: np.random.Generator, codes: tuple[str, ...], spread: float = 0.08) -> Array:
    """(3,) one of the colours, a little varied."""
    colour = linear(str(rng.choice(np.array(codes)))) * np.exp(rng.normal(0, spread, 3) * 0.6 + rng.normal(0, spread))
    return np.asarray(np.clip(colour, 0.004, 0.93))


def contrasting(rng: np.random.Generator, codes: tuple[str, ...], other: Array) -> Array:
    """(3,) a colour that can be told from ``other``."""
    candidates = [pick(rng, codes) for _ in range(6)]
    far = [float(np.linalg.norm(colour ** (0.5) - other ** (0.5))) for colour in candidates]
    good = [colour for colour, distance in zip(candidates, far, strict=True) if distance > 0.35]
    return good[0] if good else candidates[int(np.argmax(far))]


@dataclass(frozen=True)
class Pattern:
    """A cloth's print: ``kind``, two colours (3,), the repeat in metres, and a phase in [0, 1)."""

    kind: str
    first: Array
    second: Array
    repeat: float
    phase: float

    @classmethod
    def sample(cls, rng: np.random.Generator, codes: tuple[str, ...], kinds: tuple[str, ...], other: Array) -> Pattern:
        """A random print that contrasts with ``other`` (3,)."""
        first = contrasting(rng, codes, other)
        return cls(
            str(rng.choice(np.array(kinds))), first, contrasting(rng, codes, first), float(rng.uniform(0.07, 0.13)), float(rng.random())
        )

    def paint(self, surface: Surface, radius: float) -> Array:
        """(N, 3) colours of a loft of about ``radius`` metres."""
        around = max(2, round(2 * np.pi * radius / self.repeat))
        u = surface.angle / (2 * np.pi) * around + self.phase
        v = surface.along / self.repeat + self.phase
        share = _prints(self.kind, u, v)[:, None]
        return np.asarray(self.first * (1 - share) + self.second * share)


def _prints(kind: str, u: Array, v: Array) -> Array:
    """(N,) how much of the second colour a print shows at repeats ``u`` around and ``v`` along."""
    if kind == "stripes":
        return np.asarray((v % 1 < 0.42), dtype=float)
    if kind == "pinstripes":
        return np.asarray(0.8 * (u * 2 % 1 < 0.25))
    if kind == "checks":
        return np.asarray(0.5 * (v % 1 < 0.5) + 0.5 * (u % 1 < 0.5))
    if kind == "dots":
        row = np.floor(v)
        return np.asarray((((u + 0.5 * (row % 2)) % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.085), dtype=float)
    if kind == "diagonal":
        return np.asarray(((u + v) % 1 < 0.4), dtype=float)
    if kind == "zigzag":
        return np.asarray(((v + 0.5 * np.abs(u % 1 - 0.5)) % 1 < 0.35), dtype=float)
    if kind == "heather":
        return np.asarray(0.5 + 0.25 * np.sin(9.1 * u + 3 * np.sin(7.7 * v)) + 0.25 * np.sin(12.7 * v + 2 * np.sin(11.3 * u)))
    if kind == "plain":
        return np.zeros_like(u)
    raise KeyError(f"no print called {kind!r}")


def badge(surface: Surface, colour: Array, middle: float, size: float, kind: str) -> Array:
    """(N, 3) the surface's colours with a logo on the chest at height ``middle`` metres, ``size`` metres wide."""
    x, y = surface.points[:, 0] / size, (surface.points[:, 1] - middle) / size
    front = surface.normals[:, 2] > 0
    inside = {
        "disc": x**2 + y**2 < 0.25,
        "ring": np.abs(np.hypot(x, y) - 0.38) < 0.12,
        "band": np.abs(y) < 0.22,
        "block": (np.abs(x) < 0.45) & (np.abs(y) < 0.3) & ((np.abs(y) > 0.1) | (np.abs(x) < 0.2)),
        "star": np.hypot(x, y) < 0.28 + 0.16 * np.cos(5 * np.arctan2(x, y)),
    }[kind]
    where = inside if kind == "band" else inside & front
    return np.where(where[:, None], colour, surface.colour)
