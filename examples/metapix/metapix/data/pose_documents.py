"""What pose programs write, read as it is said there: OpenPose's folders, COCO keypoints documents and results, AlphaPose's results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metapix.data.main_person import Joints
from metapix.data.pose_placing import People, numbers_in
from metapix.data.pose_points import OPENPOSE, coco_joints, is_body_25b, numbers_as_array, openpose_joints, person_points
from metapix.errors import InputError
from metapix.files import read_json
from metapix.poses.skeleton import N_JOINTS

_ADVICE = "give a folder of OpenPose's *_keypoints.json, a COCO keypoints document, a list of COCO results, or AlphaPose's results"

_NO_POSES = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of JSON that means something else."""
_MOSTLY = 0.9


@dataclass(frozen=True, eq=False)
class PoseFile:
    """What files say, as they say it.

    Attributes:
        people: by the numbers that the frames have there.
        written_for: width and height of the pictures, where that is said.
        crops: whether the pictures are a clip folder's, which are parts of a video's.
    """

    people: People
    written_for: tuple[int, int] | None = None
    crops: bool = False


def read_pose_file(path: Path) -> PoseFile:
    """A folder or a file of poses; for what can be read, see :func:`metapix.data.pose_files.read_poses`.

    Raises:
        InputError: when there is no such file, it holds something else, or nobody.
    """
    if path.is_dir():
        found = PoseFile(_openpose_folder(path))
    elif path.is_file():
        document: Any = read_json(path, object, _ADVICE, numbers_as_array)
        try:
            found = _document(document)
        except _NO_POSES as error:
            raise InputError(f"{path} holds no keypoints that can be read ({type(error).__name__}: {error}); {_ADVICE}") from error
    else:
        raise InputError(f"there are no poses at {path}; {_ADVICE}")
    if not any(found.people.values()):
        raise InputError(f"{path} holds no person's keypoints; {_ADVICE}")
    return found


def _openpose_folder(folder: Path) -> People:
    files = sorted(folder.glob("*_keypoints.json"))
    if not files:
        raise InputError(f"{folder} has no file that ends in _keypoints.json; {_ADVICE}")
    try:
        numbers = numbers_in([file.name.removesuffix("_keypoints.json") for file in files])
    except ValueError as error:
        raise InputError(f"the files of {folder} cannot be put in order: {error}") from error
    found: People = {}
    strange = []
    for file, number in zip(files, numbers, strict=True):
        document = read_json(file, dict, _ADVICE, numbers_as_array)
        try:
            # OpenPose has an empty list where it found hands or a face, and no body.
            values = [points for person in document["people"] if len(points := person["pose_keypoints_2d"])]
            found[number] = _seen(openpose_joints(points) for points in values)
            strange += [is_body_25b(points) for points in values]
        except _NO_POSES as error:
            raise InputError(f"{file} is not OpenPose's output ({type(error).__name__}: {error}); {_ADVICE}") from error
    if strange and np.mean(strange) > _MOSTLY:
        raise InputError(f"{folder} holds 25 points a person that begin with a face, as BODY_25B does; run OpenPose with BODY_25 or COCO")
    return found


def _document(document: Any) -> PoseFile:
    if isinstance(document, list):
        return PoseFile(_results(document))
    if "images" in document or "annotations" in document:
        return _coco(document)
    return PoseFile(_by_image(document))


def _coco(document: Mapping[str, Any]) -> PoseFile:
    images: Sequence[Mapping[str, Any]] = document["images"]
    if not images:
        return PoseFile({})
    named = any("file_name" in image for image in images)
    numbers = numbers_in([image["file_name"] if named else image["id"] for image in images])
    number = {image["id"]: own for image, own in zip(images, numbers, strict=True)}
    if len(number) < len(images):
        raise ValueError("two images have one id")
    found: People = {own: [] for own in numbers}
    crops = False
    for annotation in document["annotations"]:
        if "keypoints" not in annotation:
            continue
        exact = annotation.get("metapix_joints")
        crops |= exact is not None
        joints = coco_joints(annotation["keypoints"]) if exact is None else person_points(np.ravel(exact), {N_JOINTS: "our joints"})
        found[number[annotation["image_id"]]] += _seen([joints])
    return PoseFile(found, _one_size(images), crops)


def _one_size(images: Iterable[Mapping[str, Any]]) -> tuple[int, int] | None:
    sizes = {(image["width"], image["height"]) for image in images if "width" in image and "height" in image}
    if len(sizes) > 1:
        raise ValueError(f"its images have {len(sizes)} sizes; those of a video have one")
    if not sizes:
        return None
    width, height = sizes.pop()
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        raise ValueError(f"its images have {width!r} x {height!r} pixels")
    return width, height


def _results(results: Sequence[Mapping[str, Any]]) -> People:
    names = list(dict.fromkeys(result["image_id"] for result in results))
    number = dict(zip(names, numbers_in(names), strict=True))
    found: People = {own: [] for own in number.values()}
    for result in results:
        found[number[result["image_id"]]] += _seen([coco_joints(result["keypoints"])])
    return found


def _by_image(document: Mapping[str, Mapping[str, Any]]) -> People:
    """AlphaPose's forms: an object with an entry for each image."""
    names = list(document)
    found: People = {}
    for name, number in zip(names, numbers_in(names), strict=True):
        entry = document[name]
        values = (
            [person["joints"] for person in entry["bodies"]] if "bodies" in entry else [p["pose_keypoints_2d"] for p in entry["people"]]
        )
        found[number] = _seen(person_points(points, {N_JOINTS: OPENPOSE[N_JOINTS]}) for points in values)
    return found


def _seen(people: Iterable[Joints]) -> list[Joints]:
    return [joints for joints in people if (joints[:, 2] > 0).any()]
