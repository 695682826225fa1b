"""From a pose to the rigid transform of every bone: two-bone inverse kinematics for arms and legs on top of a bent spine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import BONE, BONES, SIDES, Pose, Proportions
from metapix.data.drawn.rotation import about_x, about_y, about_z, blend, from_axes, normalise

Array = NDArray[np.float64]


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
    return np.asarray(height)


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
    pole = (chest @ np.array([sign * 0.85, -0.30, -0.50])[:, None])[..., 0]
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
