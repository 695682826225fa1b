"""A seeded dance: key poses on the beat, from a vocabulary of arms and steps, joined smoothly and repeated without a seam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import Pose, Proportions

Array = NDArray[np.float64]

BEATS = 32
"""Key poses in one round of the dance."""

ARMS: dict[str, tuple[float, float, float]] = {
    "down": (0.16, -0.93, 0.12), "hip": (0.10, -0.57, 0.10), "side": (0.93, 0.05, 0.10), "high": (0.42, 0.84, 0.10),
    "up": (0.04, 0.95, 0.12), "over": (-0.28, 0.72, 0.10), "front": (0.02, 0.02, 0.94), "clap": (-0.30, -0.10, 0.58),
    "chest": (-0.08, -0.30, 0.42), "cross": (-0.42, -0.22, 0.46), "nape": (-0.06, 0.42, -0.08), "flex": (0.56, 0.36, 0.06),
    "ahead": (0.02, -0.18, 0.62), "behind": (0.14, -0.62, -0.34), "across": (-0.36, -0.66, 0.36), "point": (0.72, 0.58, 0.20),
    "low": (0.66, -0.62, 0.14), "face": (-0.14, 0.14, 0.40), "bent": (0.46, -0.30, 0.36), "offer": (0.50, -0.10, 0.66),
}  # fmt: skip
"""Wrists from their shoulder in arm lengths: outwards, up, forward."""

PAIRS: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("high", "high"), ("bent", "bent")), (("side", "side"), ("chest", "chest")), (("high", "hip"), ("across", "hip")),
    (("ahead", "behind"), ("behind", "ahead")), (("over", "over"), ("low", "low")), (("point", "low"), ("low", "point")),
    (("flex", "flex"), ("up", "up")), (("clap", "clap"), ("side", "side")), (("hip", "hip"), ("hip", "high")),
    (("front", "front"), ("bent", "bent")), (("nape", "nape"), ("high", "high")), (("offer", "chest"), ("chest", "offer")),
    (("cross", "cross"), ("point", "point")), (("side", "up"), ("up", "side")), (("face", "side"), ("side", "face")),
    (("low", "flex"), ("flex", "low")), (("down", "down"), ("high", "high")), (("bent", "bent"), ("ahead", "behind")),
)  # fmt: skip
"""Arm figures: right and left on one beat, right and left on the next."""

STEPS = ("sway", "step", "kick", "side kick", "march", "squat", "lunge", "jack", "walk", "back kick")
STEP_WEIGHTS = np.array([1.0, 2.0, 1.6, 1.2, 1.6, 0.9, 1.2, 1.0, 1.2, 1.0])


@dataclass(frozen=True)
class Dance:
    """Key poses (K of them, ``beat`` seconds apart, repeating) and the small rhythm on top; lengths in metres, angles in radians.

    Attributes:
        turns: (K + 1,) heading of the pelvis; the last is the first plus whole turns.
        upper: (K, 9) pitch, yaw, roll of pelvis, spine and head.
        wrists: (K, 2, 3) as in :class:`~metapix.data.drawn.body.Pose`.
        root: (K, 2); feet: (K, 2, 3) ankles; toes: (K + 1, 2) headings; hops: (K, 2) extra lift on the way to the next key.
        crouch: (K,).
        snap: 0 flows through the poses, 1 stops at each.
        bounce: how far the pelvis dips each beat; phase: (6,) where the small rhythms start.
    """

    beat: float
    turns: Array
    upper: Array
    wrists: Array
    root: Array
    feet: Array
    toes: Array
    hops: Array
    crouch: Array
    snap: float
    bounce: float
    phase: Array


def periodic(keys: Array, at: Array, snap: float) -> Array:
    """Smooth interpolation of K repeating keys (K, ...) at (T,) times in beats."""
    count = len(keys)
    index = np.floor(at).astype(int)
    u = (at - index).reshape(-1, *([1] * (keys.ndim - 1)))
    u = (1 - snap) * u + snap * u * u * (3 - 2 * u)
    p, a, b, c = (keys[(index + shift) % count] for shift in (-1, 0, 1, 2))
    m, n = 0.42 * (b - p), 0.42 * (c - a)
    mixed: Array = (2 * u**3 - 3 * u**2 + 1) * a + (u**3 - 2 * u**2 + u) * m + (3 * u**2 - 2 * u**3) * b + (u**3 - u**2) * n
    return mixed


def winding(keys: Array, at: Array, snap: float) -> Array:
    """Like :func:`periodic` for (K + 1, ...) angles whose last key is the first plus whole turns."""
    count = len(keys) - 1
    total = keys[-1] - keys[0]
    slope = np.arange(count).reshape(-1, *([1] * (keys.ndim - 1))) * total / count
    shape = (-1, *([1] * (keys.ndim - 1)))
    return np.asarray(periodic(keys[:-1] - slope, at, snap) + at.reshape(shape) * total / count)


def eased(keys: Array, at: Array) -> Array:
    """Minimum-jerk steps between K repeating keys (K, ...): still at each key, as a planted foot is."""
    index = np.floor(at).astype(int)
    u = np.clip((at - index - 0.06) / 0.88, 0, 1).reshape(-1, *([1] * (keys.ndim - 1)))
    share = u**3 * (10 - 15 * u + 6 * u * u)
    mixed: Array = keys[index % len(keys)] * (1 - share) + keys[(index + 1) % len(keys)] * share
    return mixed


def pose_at(dance: Dance, person: Proportions, time: Array) -> Pose:
    """The pose of ``person`` at (T,) ``time`` in seconds; each instant depends on nothing but its own time."""
    at = time / dance.beat
    index = np.floor(at).astype(int)
    u = at - index
    count = len(dance.upper)
    rhythm = 2 * np.pi * at[:, None] * np.array([0.5, 1.0, 0.5, 1.0, 0.25, 1.0]) + dance.phase
    wave = np.sin(rhythm)
    upper = periodic(dance.upper, at, dance.snap)
    upper += 0.05 * wave[:, [1, 0, 2, 3, 4, 0, 5, 4, 2]] * np.array([0.6, 1, 0.8, 1, 1, 0.8, 1, 0.8, 0.8])
    wrists = periodic(dance.wrists, at, dance.snap) + 0.04 * wave[:, [0, 3, 2, 4, 1, 5]].reshape(-1, 2, 3)
    # A hand that passes its own shoulder would throw the elbow round; it goes round in front instead.
    least = 1.05 * np.exp(-(wrists[..., :2] ** 2).sum(-1) / 0.35) - 0.6
    wrists[..., 2] = 0.5 * (wrists[..., 2] + least + np.sqrt((wrists[..., 2] - least) ** 2 + 0.01))
    feet = eased(dance.feet, at)
    lift = np.sin(np.pi * np.clip((u - 0.06) / 0.88, 0, 1)) ** 2
    feet[:, :, 1] += dance.hops[index % count] * lift[:, None]
    total = dance.toes[-1] - dance.toes[0]
    rounds = (index // count)[:, None] * total
    toes = eased_turns(dance.toes, at % count) + rounds
    crouch = periodic(dance.crouch, at, 0.3) + dance.bounce * (0.5 - 0.5 * np.cos(2 * np.pi * at))
    yaw = winding(dance.turns, at, 0.4 * dance.snap)
    return Pose(
        root=periodic(dance.root, at, 0.3) + 0.012 * wave[:, [0, 2]],
        crouch=np.maximum(crouch, 0.0),
        yaw=yaw,
        pelvis=upper[:, :3],
        spine=upper[:, 3:6],
        head=upper[:, 6:],
        wrists=wrists,
        feet=feet,
        toes=toes,
        ease=np.minimum(0.05 * np.abs(winding(dance.turns, at + 0.05, 0) - winding(dance.turns, at - 0.1, 0)) / 0.15, 0.22),
        drift=2.0 * np.clip(periodic(dance.root, at, 0.3) - periodic(dance.root, at - 0.35, 0.3), -0.12, 0.12),
    )


def eased_turns(keys: Array, at: Array) -> Array:
    """:func:`eased` for (K + 1, ...) keys that do not repeat, at times in [0, K)."""
    return eased(keys, np.minimum(at, len(keys) - 1 - 1e-9))
