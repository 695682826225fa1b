"""Choosing a dance: headings, steps and arm figures drawn at random, with feet that take turns and stand still in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import Proportions
from metapix.data.drawn.motion import ARMS, BEATS, PAIRS, STEP_WEIGHTS, STEPS, Dance

Array = NDArray[np.float64]


def headings(rng: np.random.Generator) -> Array:
    """(K + 1,) pelvis headings: mostly frontal, with looks to the side, half and whole turns; at most 100 degrees a beat."""
    angles = np.radians([0, 0, 0, 0, 0, 0, 30, -30, 30, -30, 55, -55, 90, -90, 130, -130, 180])
    keys = [float(rng.choice(angles))]
    while len(keys) < BEATS:
        goal = float(rng.choice(angles)) + float(rng.normal(0, 0.12))
        step = (goal - keys[-1] + np.pi) % (2 * np.pi) - np.pi
        if abs(step) > 1.0 and rng.random() < 0.25:
            step -= np.sign(step) * 2 * np.pi
        parts = max(1, int(np.ceil(abs(step) / 1.6)))
        keys += [keys[-1] + step * (i + 1) / parts for i in range(parts)]
        keys += [keys[-1] + float(rng.normal(0, 0.1)) for _ in range(int(rng.integers(0, 3)))]
    keys = keys[: BEATS - 2]
    home = keys[0] + 2 * np.pi * round((keys[-1] - keys[0]) / (2 * np.pi))
    keys += [keys[-1] + (home - keys[-1]) * share for share in (1 / 3, 2 / 3, 1.0)]
    return np.array(keys)


def arm_keys(rng: np.random.Generator) -> Array:
    """(K, 2, 3) wrists: figures of two beats, danced once or twice, sometimes mirrored."""
    keys: list[Array] = []
    while len(keys) < BEATS:
        figure = PAIRS[int(rng.integers(len(PAIRS)))]
        order = (0, 1) if rng.random() < 0.5 else (1, 0)
        for _ in range(int(rng.integers(1, 3))):
            for names in figure:
                keys.append(np.array([ARMS[names[order[0]]], ARMS[names[order[1]]]]) + rng.normal(0, 0.05, (2, 3)))
    wrists = np.stack(keys[:BEATS])
    length = np.linalg.norm(wrists, axis=-1, keepdims=True)
    return np.asarray(wrists * np.minimum(1, 0.975 / length))


def _forward(heading: float) -> Array:
    return np.array([np.sin(heading), 0.0, np.cos(heading)])


def _across(heading: float) -> Array:
    return np.array([np.cos(heading), 0.0, -np.sin(heading)])


class _Feet:
    """Where both feet are, beat after beat; one moves while the other stands."""

    def __init__(self, rng: np.random.Generator, person: Proportions) -> None:
        self.rng = rng
        self.leg = sum(person.limbs[2:])
        self.floor = float(person.rest["right_foot"][1])
        self.half = person.hip * person.height

    def home(self, side: int, root: Array, heading: float, width: float) -> Array:
        """The ankle of a foot that stands below its hip, ``width`` hip widths apart."""
        sign = (-1.0, 1.0)[side]
        apart = sign * self.half * width * _across(heading)
        place = root + apart + 0.03 * float(self.rng.normal()) * _forward(heading)
        place[1] = self.floor
        return np.asarray(place)

    def raised(self, step: str, side: int, stand: Array, heading: float) -> Array:
        """The ankle of a foot in the air beside the standing foot's place ``stand`` (3,)."""
        sign, leg = (-1.0, 1.0)[side], self.leg
        size = float(self.rng.uniform(0.75, 1.0))
        forward, across = _forward(heading), sign * _across(heading)
        hip = stand + sign * self.half * 1.4 * _across(heading)
        reach = {
            "kick": 0.72 * size * forward + 0.05 * across,
            "side kick": 0.12 * forward + 0.66 * size * across,
            "march": 0.22 * forward + 0.03 * across,
            "back kick": -0.42 * forward + 0.02 * across,
        }[step]
        height = {"kick": 0.52 * size**2, "side kick": 0.40 * size, "march": 0.42 * size, "back kick": 0.42 * size}[step]
        place = np.asarray(hip + leg * reach)
        place[1] = self.floor + leg * height
        return place


AIRBORNE = ("kick", "side kick", "march", "back kick")
WIDTHS = {"lunge": 3.6, "squat": 2.6, "sway": 2.0}
"""How wide the feet stand, in hip widths; 1.5 otherwise."""


class _Walk:
    """Goes through the beats and writes down feet, headings of the feet, root and crouch."""

    def __init__(self, rng: np.random.Generator, person: Proportions, turns: Array) -> None:
        self.rng, self.turns, self.legs = rng, turns, _Feet(rng, person)
        self.feet, self.toes = np.zeros((BEATS, 2, 3)), np.zeros((BEATS + 1, 2))
        self.root, self.crouch = np.zeros((BEATS, 2)), np.zeros(BEATS)
        self.centre = np.zeros(3)
        self.standing = [self.legs.home(side, self.centre, turns[0], 1.5) for side in range(2)]
        self.facing = [turns[0] + sign * 0.18 for sign in (-1, 1)]
        self.begin, self.begin_facing = [place.copy() for place in self.standing], np.array(self.facing)
        self.active, self.step, self.beat_of, self.left_over, self.landing = int(rng.integers(2)), "step", 0, 0, False

    def dance(self) -> None:
        """All beats; the first and last agree."""
        for k in range(BEATS):
            self._choose()
            closing = k >= BEATS - 2
            # A raised foot needs the other one on the floor, on the way up and on the way down.
            airborne = self.step in AIRBORNE and self.beat_of % 2 == 1 and not closing and k > 0
            moves = [] if airborne or self.landing else [0, 1] if self.step == "jack" else [self.active]
            self.landing = airborne
            if not closing:
                self._travel(k)
            self._put_down(k, moves, closing)
            self.feet[k] = np.stack(self.standing)
            if airborne:
                self._raise(k)
            self.toes[k] = self.facing
            self.root[k] = self._balance(k, airborne)
            leg = self.legs.leg
            squat = {"squat": (0.20, 0.04)[self.beat_of % 2], "lunge": 0.10, "jack": 0.03}
            self.crouch[k] = leg * squat.get(self.step, float(self.rng.uniform(0.0, 0.06)))
        self.feet[0], self.toes[0] = np.stack(self.begin), self.begin_facing
        self.toes[-1] = self.begin_facing + self.turns[-1] - self.turns[0]

    def _choose(self) -> None:
        """The next beat's step, and the foot that is free for it."""
        if self.left_over == 0:
            self.step = str(self.rng.choice(STEPS, p=STEP_WEIGHTS / STEP_WEIGHTS.sum()))
            self.left_over, self.beat_of = int(self.rng.integers(2, 5)), 0
        self.left_over, self.beat_of, self.active = self.left_over - 1, self.beat_of + 1, 1 - self.active

    def _travel(self, k: int) -> None:
        """Moves the place that the dance is about, never far from the middle."""
        if self.step not in ("step", "walk", "lunge"):
            return
        across = _across(self.turns[k]) * (1 if self.active else -1)
        direction = _forward(self.turns[k]) * float(self.rng.choice([-1, 1])) if self.step == "walk" else across
        self.centre = 0.55 * self.centre + direction * self.legs.leg * float(self.rng.uniform(0.08, 0.2))
        reach = np.array([0.20, 0.0, 0.22])
        self.centre = np.minimum(np.maximum(self.centre, -reach), reach)

    def _put_down(self, k: int, moves: list[int], closing: bool) -> None:
        """Puts the moving feet below the hips and turns feet that the body has turned away from."""
        width = (3.4, 1.2)[self.beat_of % 2] if self.step == "jack" else WIDTHS.get(self.step, 1.5)
        width += 0.15 * float(self.rng.normal())
        for side in moves:
            self.standing[side] = self.legs.home(side, self.centre, self.turns[k], width)
        if closing:
            self.standing[k - (BEATS - 2)] = self.begin[k - (BEATS - 2)].copy()
        for side in range(2):
            wanted = self.turns[k] + (-1, 1)[side] * 0.2
            if side in moves or abs(wanted - self.facing[side]) > 0.8:
                self.facing[side] = wanted

    def _raise(self, k: int) -> None:
        """Raises the free foot beside the standing one; it comes down next to it."""
        active, stand, heading = self.active, self.standing[1 - self.active], self.turns[k]
        if abs(heading - self.facing[active]) > 0.5:
            self.facing[active] = heading
        self.feet[k, active] = self.legs.raised(self.step, active, stand, heading)
        beside = stand + (-1, 1)[active] * self.legs.half * 1.4 * _across(heading)
        self.standing[active] = self.legs.home(active, beside, heading, 0.6)

    def _balance(self, k: int, airborne: bool) -> Array:
        """(2,) where the pelvis is: over the standing foot, or between both."""
        other = 1 - self.active
        if airborne:
            over = self.standing[other] - (-1, 1)[other] * 0.45 * self.legs.half * _across(self.turns[k])
            return np.asarray(over[[0, 2]])
        lean = 0.22 * float(self.rng.uniform(-0.3, 1)) * (self.step in ("step", "lunge", "sway"))
        return np.asarray(((0.5 - lean) * self.feet[k, self.active] + (0.5 + lean) * self.feet[k, other])[[0, 2]])

    def hops(self) -> Array:
        """(K, 2) how high each foot is lifted on its way: more when it goes far, less when both leave the floor."""
        after, floor = np.roll(self.feet, -1, 0), self.legs.floor
        travel = np.linalg.norm((after - self.feet)[..., [0, 2]], axis=-1)
        grounded = (after[..., 1] < floor + 0.02) & (self.feet[..., 1] < floor + 0.02)
        turned = np.abs(np.diff(self.toes, axis=0)) > 0.2
        highest = np.where((travel > 0.03).all(-1, keepdims=True), 0.045, 0.12)
        return np.asarray(np.where(grounded, np.minimum(0.04 + 0.22 * travel, highest) * (travel > 0.03) + 0.02 * turned, 0.02))


def _upper(rng: np.random.Generator, turns: Array, bent: Array) -> Array:
    """(K, 9) pelvis, spine and head; ``bent`` (K,) is the crouch in leg lengths. The head looks back to the camera while it can."""
    energy = float(rng.uniform(0.7, 1.15))
    upper = rng.normal(0, 1, (BEATS, 9)) * energy * np.array([0.04, 0.06, 0.09, 0.10, 0.26, 0.12, 0.12, 0.22, 0.10])
    upper[:, 3] += 0.9 * bent + 0.03
    upper[:, 5] -= 0.7 * upper[:, 2]
    away = (turns[:-1] + np.pi) % (2 * np.pi) - np.pi
    upper[:, 7] -= np.clip(0.45 * away * (np.abs(away) < 2.2), -0.75, 0.75)
    return np.asarray(np.clip(upper, -0.8, 0.8))


def dance(rng: np.random.Generator, person: Proportions) -> Dance:
    """A dance of :data:`~metapix.data.drawn.motion.BEATS` beats for ``person``."""
    turns = headings(rng)
    walk = _Walk(rng, person, turns)
    walk.dance()
    return Dance(
        beat=float(rng.uniform(0.38, 0.52)),
        turns=turns,
        upper=_upper(rng, turns, walk.crouch / walk.legs.leg),
        wrists=arm_keys(rng),
        root=walk.root,
        feet=walk.feet,
        toes=walk.toes,
        hops=walk.hops(),
        crouch=walk.crouch,
        snap=float(rng.uniform(0.2, 0.9)),
        bounce=float(rng.uniform(0.008, 0.035)),
        phase=rng.uniform(0, 2 * np.pi, 6),
    )
