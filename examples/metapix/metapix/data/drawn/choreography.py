"""Choosing a dance: headings, steps and arm figures drawn at random, with feet that take turns and stand still in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import Proportions
from metapix.data.drawn.motion import ARMS, BEATS, PAIRS, STEP_WEIGHTS, STEPS, Dance

Array = NDArray[np.float64]


def headings(rng: np.random.Generator) -> Array:
    """(K + 1,) pelvis headings: mostly frontal, with looks to the side, half and whole turns; at most 100 degrees a beat."""
    angles = np.radians([0, 0, 0, 0, 30, -30, 50, -50, 90, -90, 130, -130, 180])
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
        place = root + sign * self.half * width * _across(heading) + 0.03 * self.rng.normal() * _forward(heading)
        place[1] = self.floor
        return place

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
        place = hip + leg * reach
        place[1] = self.floor + leg * height
        return place


def dance(rng: np.random.Generator, person: Proportions) -> Dance:
    """A dance of :data:`~metapix.data.drawn.motion.BEATS` beats for ``person``."""
    turns = headings(rng)
    legs = _Feet(rng, person)
    leg, floor = legs.leg, legs.floor
    feet, toes = np.zeros((BEATS, 2, 3)), np.zeros((BEATS + 1, 2))
    crouch, root, step = np.zeros(BEATS), np.zeros((BEATS, 2)), "step"
    centre, width, left_over = np.zeros(3), 1.5, 0
    standing = [legs.home(side, centre, turns[0], width) for side in range(2)]
    facing = [turns[0] + sign * 0.18 for sign in (-1, 1)]
    begin, begin_facing = [place.copy() for place in standing], list(facing)
    active = int(rng.integers(2))
    for k in range(BEATS):
        if left_over == 0:
            step = str(rng.choice(STEPS, p=STEP_WEIGHTS / STEP_WEIGHTS.sum()))
            left_over = int(rng.integers(2, 5))
            beat_of = 0
        left_over, beat_of = left_over - 1, beat_of + 1
        active = 1 - active
        other = 1 - active
        closing = k >= BEATS - 2
        airborne = step in ("kick", "side kick", "march", "back kick") and beat_of % 2 == 1 and not closing and 0 < k
        if step in ("step", "walk", "lunge") and not closing:
            direction = _across(turns[k]) * (1 if active else -1) if step != "walk" else _forward(turns[k]) * float(rng.choice([-1, 1]))
            centre = 0.55 * centre + direction * leg * float(rng.uniform(0.08, 0.2))
            centre = np.clip(centre, [-0.20, 0, -0.22], [0.20, 0, 0.22])
        width = {"lunge": 3.6, "squat": 2.6, "jack": (3.4, 1.2)[beat_of % 2], "sway": 2.0}.get(step, 1.5) + 0.15 * float(rng.normal())
        moves = [active] if step != "jack" else [0, 1]
        if airborne:
            moves = []
        for side in moves:
            standing[side] = legs.home(side, centre, turns[k], width)
        if closing:
            side = k - (BEATS - 2)
            standing[side] = begin[side].copy()
        for side in range(2):
            wanted = turns[k] + (-1, 1)[side] * 0.2
            if side in moves or abs(wanted - facing[side]) > 0.8:
                facing[side] = wanted
        feet[k] = np.stack(standing)
        if airborne:
            if abs(turns[k] - facing[active]) > 0.5:
                facing[active] = turns[k]
            feet[k, active] = legs.raised(step, active, standing[other], turns[k])
            standing[active] = legs.home(active, standing[other] + (1, -1)[active] * -legs.half * 1.4 * _across(turns[k]), turns[k], 0.6)
        toes[k] = facing
        weight = 0.5 + (0.36 if airborne else 0.22 * float(rng.uniform(-0.3, 1)) * (step in ("step", "lunge", "sway")))
        root[k] = ((1 - weight) * feet[k, active] + weight * feet[k, other])[[0, 2]] if airborne else _mix(feet[k], active, weight)
        if airborne:
            root[k] = (standing[other] + (1, -1)[other] * 0.45 * legs.half * _across(turns[k]))[[0, 2]]
        crouch[k] = leg * {"squat": (0.20, 0.04)[beat_of % 2], "lunge": 0.10, "jack": 0.03}.get(step, float(rng.uniform(0.0, 0.06)))
    rounds = turns[-1] - turns[0]
    toes[-1] = np.array(begin_facing) + rounds
    toes[0] = begin_facing
    feet[0] = np.stack(begin)
    travel = np.linalg.norm((np.roll(feet, -1, 0) - feet)[..., [0, 2]], axis=-1)
    grounded = (np.roll(feet, -1, 0)[..., 1] < floor + 0.02) & (feet[..., 1] < floor + 0.02)
    turned = np.abs(np.diff(toes, axis=0))
    hops = np.where(grounded, np.minimum(0.04 + 0.22 * travel, 0.12) * (travel > 0.03) + 0.02 * (turned > 0.2), 0.02)
    energy = float(rng.uniform(0.7, 1.15))
    upper = rng.normal(0, 1, (BEATS, 9)) * energy * np.array([0.04, 0.06, 0.09, 0.10, 0.26, 0.12, 0.12, 0.22, 0.10])
    upper[:, 3] += 0.9 * crouch / leg + 0.03
    upper[:, 5] -= 0.7 * upper[:, 2]
    away = (turns[:-1] + np.pi) % (2 * np.pi) - np.pi
    upper[:, 7] -= np.clip(0.45 * away * (np.abs(away) < 2.2), -0.75, 0.75)
    return Dance(
        beat=float(rng.uniform(0.38, 0.52)),
        turns=turns,
        upper=np.clip(upper, -0.8, 0.8),
        wrists=arm_keys(rng),
        root=root,
        feet=feet,
        toes=toes,
        hops=hops,
        crouch=crouch,
        snap=float(rng.uniform(0.2, 0.9)),
        bounce=float(rng.uniform(0.008, 0.035)),
        phase=rng.uniform(0, 2 * np.pi, 6),
    )


def _mix(feet: Array, active: int, weight: float) -> Array:
    mixed: Array = ((1 - weight) * feet[active] + weight * feet[1 - active])[[0, 2]]
    return mixed
