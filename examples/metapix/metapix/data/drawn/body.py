"""A person's proportions and bones: from a pose (feet, hands, spine) to the rigid transform of every bone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.rotation import about_x, about_y, about_z, blend, from_axes, normalise

Array = NDArray[np.float64]

SIDES = ("right", "left")
BONES: tuple[str, ...] = (
    "pelvis", "belly", "chest", "neck", "head", "skirt", "hair",
    *(f"{side}_{bone}" for side in SIDES for bone in ("collar", "upper_arm", "elbow", "forearm", "hand", "groin", "thigh", "knee", "shin", "foot")),
)  # fmt: skip
"""Rigid frames that carry the surface; "collar", "elbow", "groin" and "knee" turn half as far as their limb, so that joints bend round."""
BONE: dict[str, int] = {name: index for index, name in enumerate(BONES)}


@dataclass(frozen=True)
class Proportions:
    """Lengths of one person in metres, and how stout each region is (1 is average).

    The rest pose stands upright at the origin, looks along +z, has its left at +x and both arms hanging.
    """

    height: float
    shoulder: float
    hip: float
    head: float
    leg: float
    arm: float
    girth: float
    chest: float
    waist: float
    hips: float
    limb: float

    @property
    def rest(self) -> dict[str, Array]:
        """Each bone's origin in the rest pose, metres."""
        h, shift = self.height, (self.leg - 1) * 0.49 * self.height
        origin = {
            "pelvis": (0.0, 0.525 * h, 0.0),
            "belly": (0.0, 0.590 * h, 0.0),
            "chest": (0.0, 0.665 * h, 0.0),
            "neck": (0.0, 0.822 * h, -0.008 * h),
            "head": (0.0, 0.872 * h, 0.002 * h),
            "skirt": (0.0, 0.575 * h, 0.0),
            "hair": (0.0, 0.90 * h, -0.03 * h),
        }
        upper, fore, thigh, shin = self.limbs
        for side, sign in zip(SIDES, (-1.0, 1.0), strict=True):
            x, y = sign * self.shoulder * h, 0.806 * h
            hip, top = sign * self.hip * h, 0.512 * h
            origin |= {
                f"{side}_collar": (x, y, -0.004 * h),
                f"{side}_upper_arm": (x, y, -0.004 * h),
                f"{side}_elbow": (x, y - upper, -0.004 * h),
                f"{side}_forearm": (x, y - upper, -0.004 * h),
                f"{side}_hand": (x, y - upper - fore, -0.004 * h),
                f"{side}_groin": (hip, top, 0.0),
                f"{side}_thigh": (hip, top, 0.0),
                f"{side}_knee": (hip, top - thigh, 0.0),
                f"{side}_shin": (hip, top - thigh, 0.0),
                f"{side}_foot": (hip, top - thigh - shin, 0.0),
            }
        return {name: np.array(place) + np.array([0.0, shift, 0.0]) for name, place in origin.items()}

    @property
    def limbs(self) -> tuple[float, float, float, float]:
        """Lengths of upper arm, forearm, thigh and shin in metres."""
        h = self.height
        return 0.172 * h * self.arm, 0.148 * h * self.arm, 0.242 * h * self.leg, 0.232 * h * self.leg

    @classmethod
    def sample(cls, rng: np.random.Generator, feminine: float) -> Proportions:
        """A random adult; ``feminine`` in [0, 1] moves shoulders, waist and hips."""
        soft = rng.normal(0.0, 1.0, 8)
        return cls(
            height=1.76 - 0.11 * feminine + 0.06 * soft[0],
            shoulder=0.106 - 0.010 * feminine + 0.003 * soft[1],
            hip=0.050 + 0.003 * feminine,
            head=1.06 + 0.04 * feminine + 0.025 * soft[2],
            leg=1.0 + 0.02 * soft[3],
            arm=1.0 + 0.02 * soft[4],
            girth=1.0 + 0.07 * float(np.clip(soft[5], -1.3, 2.0)),
            chest=1.0 - 0.06 * feminine + 0.03 * soft[6],
            waist=1.0 - 0.10 * feminine + 0.06 * soft[7],
            hips=1.0 + 0.06 * feminine,
            limb=1.02 - 0.12 * feminine + 0.05 * float(np.clip(soft[5], -1.3, 2.0)),
        )


@dataclass(frozen=True)
class Pose:
    """What a person does at T instants; angles in radians, lengths in metres.

    Attributes:
        root: (T, 2) where the pelvis stands on the floor (x, z).
        crouch: (T,) how far the pelvis is below standing height.
        yaw: (T,) heading of the pelvis; 0 faces the camera (+z), positive turns towards the person's left.
        pelvis, spine, head: (T, 3) pitch (forward), yaw and roll (towards the right) relative to the parent.
        wrists: (T, 2, 3) right and left wrist from its shoulder in the chest's axes with x outwards, in arm lengths.
        feet: (T, 2, 3) ankles of right and left foot in the world.
        toes: (T, 2) headings of the feet in the world.
        ease: (T,) and drift (T, 2): how much skirt and hair widen, and how far they trail behind (x, z metres).
    """

    root: Array
    crouch: Array
    yaw: Array
    pelvis: Array
    spine: Array
    head: Array
    wrists: Array
    feet: Array
    toes: Array
    ease: Array
    drift: Array


def turned(angles: Array, share: float = 1.0) -> Array:
    """(T, 3, 3) rotations from (T, 3) pitch, yaw, roll, of which ``share`` is taken."""
    pitch, yaw, roll = (share * angles[..., i] for i in range(3))
    return about_y(yaw) @ about_x(pitch) @ about_z(roll)


def bend(start: Array, goal: Array, pole: Array, lengths: tuple[float, float], sense: float) -> tuple[Array, Array, Array, Array]:
    """Two-bone inverse kinematics: rotations of both bones and the places of the middle and end joints.

    ``start``, ``goal``, ``pole`` are (T, 3); the middle joint leaves the line towards ``pole``; ``sense`` is +1 when the lower bone
    folds towards its own +z (elbow), -1 towards -z (knee). A goal out of reach is approached as far as the bones allow.
    """
    first, second = lengths
    axis = goal - start
    distance = np.linalg.norm(axis, axis=-1, keepdims=True)
    axis = axis / np.maximum(distance, 1e-9)
    reach = np.clip(distance, 0.30 * (first + second), 0.995 * (first + second))
    side = normalise(pole - (pole * axis).sum(-1, keepdims=True) * axis)
    cosine = np.clip((first**2 + reach**2 - second**2) / (2 * first * reach), -1, 1)
    sine = np.sqrt(1 - cosine**2)
    upper = cosine * axis + sine * side
    inward = sine * axis - cosine * side
    middle = start + first * upper
    end = start + reach * axis
    lower = (end - middle) / second
    hinge = np.cross(-upper, sense * inward)
    return (
        from_axes(hinge, -upper, np.cross(hinge, -upper)),
        from_axes(hinge, -lower, np.cross(hinge, -lower)),
        middle,
        end,
    )


@dataclass(frozen=True)
class Skeleton:
    """Bones of one person at T instants: ``rotation`` (T, B, 3, 3) and ``origin`` (T, B, 3), in :data:`BONES` order."""

    rotation: Array
    origin: Array

    def place(self, bone: str, offset: Array) -> Array:
        """(T, 3) world places of a point given by its offset (3,) from the bone's origin in the rest pose."""
        index = BONE[bone]
        placed: Array = self.origin[:, index] + self.rotation[:, index] @ offset
        return placed


def pelvis_height(person: Proportions, pose: Pose) -> Array:
    """(T,) height of the pelvis' origin such that neither leg has to be longer than it is."""
    rest = person.rest
    leg = sum(person.limbs[2:])
    drop = float(rest["pelvis"][1] - rest["right_groin"][1])
    height = rest["pelvis"][1] - 0.015 * leg - pose.crouch
    for side in range(2):
        outward = (-1.0, 1.0)[side] * abs(rest["right_groin"][0])
        hip = pose.root + outward * np.stack((np.cos(pose.yaw), -np.sin(pose.yaw)), -1)
        across = ((pose.feet[:, side, [0, 2]] - hip) ** 2).sum(-1)
        limit = pose.feet[:, side, 1] + np.sqrt(np.maximum((0.985 * leg) ** 2 - across, 0.09 * leg**2)) + drop
        gap = np.maximum(0.03 - np.abs(height - limit), 0) / 0.03
        height = np.minimum(height, limit) - gap**2 * 0.0075
    return height


Put = Callable[[str, Array, Array], None]
Hang = Callable[[str, str, Array], None]


def clear_of_trunk(person: Proportions, wrist: Array) -> Array:
    """Wrists (T, 3) in the chest's axes, from the middle of the chest, pushed out of the trunk."""
    h = person.height
    radii = np.array([0.125 * person.girth, 0.26, 0.105 * person.girth]) * h
    offset = (wrist - np.array([0.0, 0.0, 0.01 * h])) / radii
    depth = np.linalg.norm(offset, axis=-1, keepdims=True)
    factor = np.sqrt(np.maximum(depth, 0.2) ** 2 + 0.9 * np.exp(-(np.maximum(depth, 0.2) ** 2) * 1.2)) / np.maximum(depth, 0.2)
    pushed: Array = offset * factor * radii + np.array([0.0, 0.0, 0.01 * h])
    return pushed


def _arm(person: Proportions, pose: Pose, side: int, rotation: Array, origin: Array, hang: Hang, put: Put) -> None:
    name, sign = SIDES[side], (-1.0, 1.0)[side]
    rest, upper_fore = person.rest, person.limbs[:2]
    chest = rotation[:, BONE["chest"]]
    wrist = pose.wrists[:, side]
    shrug = 0.30 * np.clip(wrist[:, 1] + 0.35, 0, 1.2)
    neck = origin[:, BONE["neck"]]
    shoulder = neck + (chest @ about_z(sign * shrug) @ (rest[f"{name}_collar"] - rest["neck"])[:, None])[..., 0]
    target = wrist * sum(upper_fore) * np.array([sign, 1.0, 1.0])
    middle = rest["chest"] - rest["neck"]
    local = (np.swapaxes(chest, -1, -2) @ (shoulder - neck)[..., None])[..., 0]
    target = clear_of_trunk(person, target + local - middle) - local + middle
    goal = shoulder + (chest @ target[..., None])[..., 0]
    pole = (chest @ np.array([sign * 0.75, -0.65, -0.55])[:, None])[..., 0]
    upper, fore, elbow, end = bend(shoulder, goal, pole, upper_fore, 1.0)
    put(f"{name}_collar", blend(chest @ about_z(sign * shrug), upper, 0.5), shoulder)
    put(f"{name}_upper_arm", upper, shoulder)
    put(f"{name}_elbow", blend(upper, fore, 0.5), elbow)
    put(f"{name}_forearm", fore, elbow)
    put(f"{name}_hand", fore @ about_x(np.full(len(end), -0.2)), end)


def _leg(person: Proportions, pose: Pose, side: int, rotation: Array, origin: Array, hang: Hang, put: Put) -> None:
    name, sign = SIDES[side], (-1.0, 1.0)[side]
    pelvis, rest = rotation[:, BONE["pelvis"]], person.rest
    hang(f"{name}_groin", "pelvis", pelvis)
    hip = origin[:, BONE[f"{name}_groin"]]
    flat = about_y(pose.toes[:, side])
    pole = flat[..., 2] + 0.6 * about_y(pose.yaw)[..., 2] + sign * 0.25 * pelvis[..., 0]
    pole = pole + np.array([0.0, 0.35, 0.0])
    thigh, shin, knee, ankle = bend(hip, pose.feet[:, side], pole, person.limbs[2:], -1.0)
    lifted = np.clip((ankle[:, 1] - float(rest[f"{name}_foot"][1]) - 0.02) / 0.25, 0, 1)
    pointed = shin @ about_x(np.full(len(ankle), 0.45))
    put(f"{name}_groin", blend(pelvis, thigh, 0.5), hip)
    put(f"{name}_thigh", thigh, hip)
    put(f"{name}_knee", blend(thigh, shin, 0.5), knee)
    put(f"{name}_shin", shin, knee)
    put(f"{name}_foot", blend(flat, pointed, lifted * lifted * (3 - 2 * lifted)), ankle)


def solve(person: Proportions, pose: Pose) -> Skeleton:
    """All bones of ``person`` in ``pose``."""
    rest = person.rest
    rotation = np.zeros((len(pose.yaw), len(BONES), 3, 3))
    origin = np.zeros((len(pose.yaw), len(BONES), 3))

    def put(bone: str, turn: Array, place: Array) -> None:
        rotation[:, BONE[bone]], origin[:, BONE[bone]] = turn, place

    def hang(bone: str, parent: str, turn: Array) -> None:
        put(bone, turn, origin[:, BONE[parent]] + rotation[:, BONE[parent]] @ (rest[bone] - rest[parent]))

    heading = about_y(pose.yaw)
    put("pelvis", heading @ turned(pose.pelvis), np.stack((pose.root[:, 0], pelvis_height(person, pose), pose.root[:, 1]), -1))
    hang("belly", "pelvis", rotation[:, BONE["pelvis"]] @ turned(pose.spine, 0.45))
    hang("chest", "belly", rotation[:, BONE["pelvis"]] @ turned(pose.spine))
    hang("neck", "chest", rotation[:, BONE["chest"]] @ turned(pose.head, 0.4))
    hang("head", "neck", rotation[:, BONE["chest"]] @ turned(pose.head))
    swing = np.stack((pose.drift[:, 1], np.zeros_like(pose.yaw), -pose.drift[:, 0]), -1)
    loose = about_x(swing[:, 0]) @ about_z(swing[:, 2])
    hang(
        "skirt",
        "pelvis",
        loose @ rotation[:, BONE["pelvis"]] * np.stack((1 + pose.ease, np.ones_like(pose.ease), 1 + pose.ease), -1)[:, None],
    )
    hang("hair", "head", loose @ blend(rotation[:, BONE["head"]], rotation[:, BONE["chest"]], 0.5))
    for side in range(2):
        _arm(person, pose, side, rotation, origin, hang, put)
        _leg(person, pose, side, rotation, origin, hang, put)
    return Skeleton(rotation, origin)
