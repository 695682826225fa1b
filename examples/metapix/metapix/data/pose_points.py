"""A person's points in the orders that pose programs write, as our 18 joints."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metapix.data.coco import COCO_KEYPOINTS
from metapix.data.main_person import Joints, body_size
from metapix.data.pose import MIN_CONFIDENCE
from metapix.poses.skeleton import INDEX, N_JOINTS

_FARTHEST = 100_000
_BODY_25 = (*range(8), *range(9, 19))  # OpenPose's 25 points without the middle of the hips and the feet are our 18, in our order
_FACE = 0.15  # of the body's diagonal: the width of five points that are a face

OPENPOSE = {N_JOINTS: "OpenPose's COCO model", 25: "BODY_25"}
COCO = {17: "COCO's keypoints", 26: "Halpe26", 133: "COCO-WholeBody", 136: "Halpe136"}
"""Of these, the first 17 are COCO's."""

Values = Sequence[float] | NDArray[np.float64]


def openpose_joints(values: Values) -> Joints:
    """A person of OpenPose's files, 18 or 25 points.

    Raises:
        ValueError: when they are no such points.
    """
    points = person_points(values, OPENPOSE)
    return points if len(points) == N_JOINTS else points[list(_BODY_25)]


def is_body_25b(values: Values) -> bool:
    """Whether 25 points begin with a face, as in OpenPose's other order of as many; in BODY_25 they begin with nose, neck and an arm."""
    points = np.asarray(values, np.float64).reshape(-1, 3)
    if len(points) != 25 or not (points[:5, 2] > 0).all():
        return False
    return bool(np.ptp(points[:5, :2], axis=0).max() < _FACE * max(body_size(points.astype(np.float32)), 1e-6))


def coco_joints(values: Values) -> Joints:
    """A person of COCO's keypoints, or of an order that begins with them; the neck is the middle of the shoulders.

    Where all third numbers are 0, 1 or 2 they are COCO's flags: 1 (labelled, hidden) is half a confidence.

    Raises:
        ValueError: when they are no such points.
    """
    points = person_points(values, COCO, flags=True)[: len(COCO_KEYPOINTS)]
    joints = np.zeros((N_JOINTS, 3), np.float32)
    joints[[INDEX[name] for name in COCO_KEYPOINTS]] = points
    return _between_shoulders(joints)


def without_crown(joints: Joints) -> Joints:
    """The joints as they are, or with a neck between the shoulders where theirs is farther from there than the nose.

    For models of more than 17 points AlphaPose's forms have the top of the head in the neck's place.
    """
    usual = _between_shoulders(joints.copy())
    nose, neck = (np.linalg.norm(joints[INDEX[name], :2] - usual[INDEX["neck"], :2]) for name in ("nose", "neck"))
    is_known = min(usual[INDEX["neck"], 2], joints[INDEX["nose"], 2]) >= MIN_CONFIDENCE
    return usual if is_known and neck > nose else joints


def _between_shoulders(joints: Joints) -> Joints:
    """The joints with the neck put between the shoulders, as sure as the less sure of them."""
    shoulders = joints[[INDEX["left_shoulder"], INDEX["right_shoulder"]]]
    joints[INDEX["neck"]] = (*shoulders[:, :2].mean(0), shoulders[:, 2].min())
    return joints


def person_points(values: Values, layouts: Mapping[int, str], *, flags: bool = False) -> Joints:
    """A person's points (N, 3): x, y and a confidence in [0, 1] each.

    Raises:
        ValueError: another number of points, or what is no number, is nowhere near a picture, or is a negative confidence.
    """
    given = np.asarray(values)
    if isinstance(values, list) and any(isinstance(value, bool) for value in values):
        raise ValueError("a person's points hold true or false, which are no numbers")
    if given.dtype.kind not in "iuf" or given.ndim != 1 or len(given) % 3:
        raise ValueError("a person's points are no list of x, y, confidence for each point")
    points = given.astype(np.float64).reshape(-1, 3)
    if len(points) not in layouts:
        raise ValueError(f"a person has {len(points)} points; {_listed(layouts)} can be read")
    if not (np.abs(points) <= _FARTHEST).all():
        raise ValueError(f"a coordinate is not a number, or is farther from the picture than {_FARTHEST:,} pixels")
    if (points[:, 2] < 0).any():
        raise ValueError(f"a confidence is {points[:, 2].min():g}; they begin at 0")
    if flags and np.isin(points[:, 2], (0, 1, 2)).all():
        points[:, 2] /= 2
    points[:, 2] = points[:, 2].clip(0, 1)
    return points.astype(np.float32)


def numbers_as_array(record: dict[str, Any]) -> dict[str, Any]:
    """A JSON object whose long lists of numbers are arrays: hours of poses as Python's numbers would fill memory."""
    for key in ("keypoints", "pose_keypoints_2d", "joints", "metapix_joints"):
        values = record.get(key)
        if not isinstance(values, list) or len(values) < 3 or any(type(value) not in (int, float) for value in values):
            continue
        if max(map(abs, values)) <= _FARTHEST:  # the others are refused later, in words
            record[key] = np.array(values, np.float64)
    if "keypoint_scores" in record:
        _join_scores(record)
    return record


def _join_scores(record: dict[str, Any]) -> None:
    """MMPose's pairs and their confidences as x, y, confidence; what is something else is refused later."""
    with contextlib.suppress(ValueError):
        pairs, scores = np.array(record.get("keypoints")), np.array(record["keypoint_scores"])
        if pairs.dtype.kind in "if" and scores.dtype.kind in "if" and pairs.shape == (*scores.shape, 2):
            record["keypoints"] = np.column_stack([pairs, scores]).ravel()


def _listed(layouts: Mapping[int, str]) -> str:
    return " or ".join(f"{count} ({name})" for count, name in layouts.items())
