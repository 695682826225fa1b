"""A person's bones and proportions, and the pose they may be in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIDES = ("right", "left")
BONES: tuple[str, ...] = (
    "pelvis", "belly", "chest", "neck", "head", "skirt", "hair",
    *(f"{side}_{bone}" for side in SIDES for bone in (
        "collar", "upper_arm", "elbow", "forearm", "hand", "groin", "thigh", "knee", "shin", "foot",
    )),
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
            "neck": (0.0, 0.824 * h, -0.008 * h),
            "head": (0.0, 0.866 * h, 0.002 * h),
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
            shoulder=0.101 - 0.009 * feminine + 0.003 * soft[1],
            hip=0.050 + 0.003 * feminine,
            head=1.13 + 0.04 * feminine + 0.025 * soft[2],
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
