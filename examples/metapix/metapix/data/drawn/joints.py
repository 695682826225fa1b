"""The 18 joints of a drawn person: where they are, where they are seen, and how sure an estimator would be of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metapix.data.drawn.body import BONE, Proportions
from metapix.data.drawn.head import face_points
from metapix.data.drawn.kinematics import Skeleton
from metapix.data.drawn.render import Layer
from metapix.poses.skeleton import JOINTS

Array = NDArray[np.float64]

HIDDEN = 0.3
"""Confidence of a joint that something covers."""

_BONE_OF = {"shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin", "ankle": "foot"}
_COVER = {"neck": 0.10, "shoulder": 0.105, "elbow": 0.075, "wrist": 0.06, "hip": 0.15, "knee": 0.10, "ankle": 0.085}
"""How deep below a person's own surface a joint lies at most, in metres at 1.75 m; deeper means that something covers it."""


def joint_places(person: Proportions, skeleton: Skeleton) -> Array:
    """(T, 18, 3) world places in metres, in the order of :data:`metapix.poses.skeleton.JOINTS`."""
    rest, face = person.rest, face_points(person)
    places = []
    for name in JOINTS:
        side, _, part = name.rpartition("_")
        if name == "neck":
            places.append(skeleton.place("chest", rest["neck"] - rest["chest"]))
        elif name in face:
            places.append(skeleton.place("head", face[name] - rest["head"]))
        else:
            places.append(skeleton.origin[:, BONE[f"{side}_{_BONE_OF[part]}"]])
    return np.stack(places, 1)


def covers() -> Array:
    """(18,) metres of own body that may lie in front of each joint."""
    return np.array([_COVER.get(name.rpartition("_")[2], 0.022) for name in JOINTS])


def confidence(seen: Array, layer: Layer) -> Array:
    """(18,) 1 for joints in sight, :data:`HIDDEN` for covered ones, a ramp of 3 cm between.

    ``seen`` (18, 3): x, y in picture sides and depth in metres.
    """
    side = layer.nearest.shape[0]
    at = np.clip((seen[:, :2] * side).astype(int), 0, side - 1)
    # The median of a small neighbourhood: a single subpixel on an outline would flicker.
    reach = max(1, side // 128)
    shifts = np.array([(dx, dy) for dx in (-reach, 0, reach) for dy in (-reach, 0, reach)])
    near = np.clip(at[:, None] + shifts, 0, side - 1)
    front = np.median(layer.depth(near[..., 0], near[..., 1]), axis=1)
    hidden = np.clip((seen[:, 2] - front - covers()) / 0.03, 0, 1)
    return np.asarray(1 - (1 - HIDDEN) * hidden)
