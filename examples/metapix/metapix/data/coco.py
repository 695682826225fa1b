"""Joints as a COCO keypoints document, which other tools read, with our own joints kept exactly beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gan_meta.files import load_json
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX, N_JOINTS

COCO_KEYPOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""COCO's 17 keypoints in its order."""

_SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip


def coco_document(name: str, joints: Tensor, size: int, file_names: Sequence[str], areas: Sequence[float] | None = None) -> Iterator[str]:
    """A clip's joints as a COCO keypoints document: one image and one annotation (with the same id, from 1) a frame.

    JSON in pieces, each record on a line of its own: memory never holds the document, which is gigabytes of objects for hours of video.

    Args:
        name: the clip's.
        joints: (N, 18, 3) in pixels of the frames.
        size: side of the frames.
        file_names: of the N frames.
        areas: the person's pixels in each; default those of the joints' box.

    Raises:
        ValueError: a joint is not a finite number.
    """
    check_joints(name, joints)
    side = {"width": size, "height": size}
    yield '{"info": ' + json.dumps({"description": name})
    yield from _records("images", ({"id": i + 1, "file_name": file_name, **side} for i, file_name in enumerate(file_names)))
    poses = ((i, joints[i], None if areas is None else areas[i]) for i in range(len(joints)))
    yield from _records("annotations", (_annotation(i + 1, pose, area) for i, pose, area in poses))
    person = {"id": 1, "name": "person", "keypoints": list(COCO_KEYPOINTS), "skeleton": [list(bone) for bone in _SKELETON]}
    yield from _records("categories", [person])
    yield "}\n"


def _records(key: str, records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield f',\n"{key}": ['
    for number, record in enumerate(records):
        yield (",\n" if number else "\n") + json.dumps(record, allow_nan=False)
    yield "\n]"


def check_joints(name: str, joints: Tensor) -> None:
    """Refuse joints that JSON cannot hold.

    Raises:
        ValueError: a joint is not a finite number.
    """
    if not joints.isfinite().all():
        raise ValueError(f"clip {name!r}: joints must be finite numbers; use confidence 0 for a joint that was not seen")


def joints_of(document: bytes) -> Tensor:
    """The exact (N, 18, 3) joints of such a document.

    Raises:
        InputError: it is no JSON, or has no such field.
    """

    def pose_alone(record: dict[str, Any]) -> Any:
        """What is kept of a record while the text is read: of hours of video the whole would be gigabytes."""
        if "metapix_joints" in record:
            return torch.tensor(record["metapix_joints"], dtype=torch.float32).reshape(N_JOINTS, 3)
        return record if "annotations" in record else None

    try:
        poses = load_json(document, pose_alone)["annotations"]
        return torch.stack(poses) if poses else torch.zeros(0, N_JOINTS, 3)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError("keypoints.json lacks the field metapix_joints with 18 x, y, confidence for every frame.") from error


def _annotation(identifier: int, pose: Tensor, area: float | None) -> dict[str, Any]:
    joints = pose.tolist()
    keypoints: list[float] = []
    for name in COCO_KEYPOINTS:
        x, y, confidence = joints[INDEX[name]]
        keypoints += [round(x, 3), round(y, 3), 2 if confidence >= 0.5 else 1] if confidence > 0 else [0, 0, 0]
    box = _box(pose)
    return {
        "id": identifier,
        "image_id": identifier,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "keypoints": keypoints,
        "bbox": box,
        "area": round(box[2] * box[3] if area is None else area, 3),
        "metapix_joints": joints,
    }


def _box(joints: Tensor) -> list[float]:
    """Left, top, width, height of the seen joints."""
    seen = joints[joints[:, 2] > 0, :2]
    if not len(seen):
        return [0.0, 0.0, 0.0, 0.0]
    low, high = seen.amin(0), seen.amax(0)
    return [round(v, 3) for v in (*low.tolist(), *(high - low).tolist())]
