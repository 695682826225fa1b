"""Poses found by other programs: folders of OpenPose's JSON files, and COCO keypoints documents, as a pose estimator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metapix.data.coco import COCO_KEYPOINTS
from metapix.data.main_person import Joints, choose_person
from metapix.data.pose import Detection
from metapix.errors import InputError
from metapix.files import read_json
from metapix.poses.skeleton import INDEX, JOINTS, N_JOINTS

_BODY_25 = (*range(8), *range(9, 19))  # OpenPose's 25 points without the middle of the hips and the feet are our 18, in our order
_ADVICE = "give a folder of OpenPose's *_keypoints.json, or a COCO keypoints document"

_NO_POSES = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of JSON that means something else."""
_FARTHEST = 100_000
_POINTS = {len(COCO_KEYPOINTS): "COCO's keypoints", N_JOINTS: "OpenPose's COCO model", 25: "BODY_25"}

People = dict[int, list[Joints]]
"""The joints (18, 3) of everybody in a frame, by the frame's number in the video."""


class PosesFromFiles:
    """A pose estimator that looks its answers up; it follows the main person as :class:`MainPersonEstimator` does. No masks.

    Args:
        path: what :func:`read_poses` reads.
        every: the step between the frames it will be asked about.

    Raises:
        InputError: as :func:`read_poses`.
    """

    def __init__(self, path: Path, every: int = 1) -> None:
        self.path, self.every = path, every
        self._people = read_poses(path)
        self.reset()

    def __repr__(self) -> str:
        return f"PosesFromFiles({self.path.name!r}, frames={len(self._people)}, every={self.every})"

    def reset(self) -> None:
        """Begin at the first frame."""
        self._frame, self._unseen = 0, 0
        self._last: Joints | None = None

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        """The person in the next frame, or None; the picture itself is not looked at."""
        people = self._people.get(self._frame, [])
        self._frame += self.every
        chosen = choose_person(people, self._last, self._unseen)
        if chosen is None:
            self._unseen += 1
            return None
        self._last, self._unseen = people[chosen], 0
        return Detection(people[chosen], None)


def read_poses(path: Path) -> People:
    """Poses of a video from files.

    - A folder of OpenPose's JSON files, 18 or 25 points a person; the number in a file's name (``..._000000000012_keypoints.json``)
      is the frame's, from 0.
    - A COCO keypoints document; its images, in the order of their file names, are the video's frames.
    - A list of COCO results (``[{"image_id": 0, "keypoints": [...], "score": ...}, ...]``); an image's id is the frame's number, from 0.

    Raises:
        InputError: when there is no such file or it holds something else.
    """
    if path.is_dir():
        return _openpose(path)
    if not path.is_file():
        raise InputError(f"there are no poses at {path}; {_ADVICE}")
    document: Any = read_json(path, object, _ADVICE)
    try:
        found = _coco_results(document) if isinstance(document, list) else _coco(document)
    except _NO_POSES as error:
        raise InputError(f"{path} holds no keypoints that can be read ({type(error).__name__}: {error}); {_ADVICE}") from error
    if not any(found.values()):
        raise InputError(f"{path} holds no person's keypoints; {_ADVICE}")
    return found


def _openpose(folder: Path) -> People:
    found: People = {}
    for file in sorted(folder.glob("*_keypoints.json")):
        number = re.search(r"(\d+)_keypoints$", file.stem)
        if number is None:
            raise InputError(f"{file} has no frame number before '_keypoints.json'; {_ADVICE}")
        document = read_json(file, dict, _ADVICE)
        try:
            found[int(number.group(1))] = [_openpose_joints(person["pose_keypoints_2d"]) for person in document["people"]]
        except _NO_POSES as error:
            raise InputError(f"{file} is not OpenPose's output ({type(error).__name__}: {error}); {_ADVICE}") from error
    if not found:
        raise InputError(f"{folder} has no file that ends in _keypoints.json; {_ADVICE}")
    return found


def _openpose_joints(values: Sequence[float]) -> Joints:
    points = _points(values, N_JOINTS, 25)
    return points if len(points) == N_JOINTS else points[list(_BODY_25)]


def _coco(document: Mapping[str, Any]) -> People:
    images = sorted(document["images"], key=lambda image: (str(image["file_name"]), image["id"]))
    number = {image["id"]: index for index, image in enumerate(images)}
    found: People = {index: [] for index in number.values()}
    for annotation in document["annotations"]:
        if "keypoints" not in annotation:
            continue
        exact = annotation.get("metapix_joints")
        joints = _coco_joints(annotation["keypoints"], flags=True) if exact is None else _points(np.ravel(exact).tolist(), N_JOINTS)
        found[number[annotation["image_id"]]].append(joints)
    return found


def _coco_results(results: Sequence[Mapping[str, Any]]) -> People:
    found: People = {}
    for result in results:
        found.setdefault(int(result["image_id"]), []).append(_coco_joints(result["keypoints"], flags=False))
    return found


def _coco_joints(values: Sequence[float], *, flags: bool) -> Joints:
    """COCO's 17 points as our 18; the neck is the middle of the shoulders. A flag of 1 (labelled, hidden) is half a confidence."""
    points = _points(values, len(COCO_KEYPOINTS), certain=2.0 if flags else 1.0)
    joints = np.zeros((N_JOINTS, 3), np.float32)
    joints[[INDEX[name] for name in COCO_KEYPOINTS]] = points
    shoulders = joints[[INDEX["left_shoulder"], INDEX["right_shoulder"]]]
    joints[JOINTS.index("neck")] = (*shoulders[:, :2].mean(0), shoulders[:, 2].min())
    return joints


def _points(values: Sequence[float], *counts: int, certain: float = 1.0) -> Joints:
    """A person's points: x, y and a confidence each, which is brought to [0, 1]; ``certain`` is what stands for 1."""
    points = np.array(values, np.float64).reshape(-1, 3)
    if len(points) not in counts:
        named = " or ".join(f"{count} ({_POINTS[count]})" for count in counts)
        raise ValueError(f"a person has {len(points)} points; {named} can be read")
    if not (np.abs(points) <= _FARTHEST).all():
        raise ValueError(f"a coordinate is not a number, or is farther from the picture than {_FARTHEST:,} pixels")
    points[:, 2] = (points[:, 2] / certain).clip(0, 1)
    return points.astype(np.float32)
