"""What pose programs write, read as it is said there: OpenPose, AlphaPose, MMPose, ControlNet's OpenPose and DWPose, and COCO keypoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metapix.data.main_person import Joints
from metapix.data.pose_placing import People, numbers_in
from metapix.data.pose_points import coco_joints, is_body_25b, numbers_as_array, openpose_joints, person_points, without_crown
from metapix.errors import InputError
from metapix.files import read_json
from metapix.poses.skeleton import N_JOINTS

_ADVICE = "give a folder of OpenPose's *_keypoints.json, a COCO keypoints document, a list of COCO results, or AlphaPose's or MMPose's file"

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
        found = _folder(path)
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


def _folder(folder: Path) -> PoseFile:
    """A file for each frame."""
    files = sorted(folder.glob("[!.]*_keypoints.json")) or sorted(folder.glob("[!.]*.json"))  # hidden ones are a system's own
    if not files:
        raise InputError(f"{folder} has no file that ends in _keypoints.json, or in .json; {_ADVICE}")
    try:
        numbers = numbers_in([file.name.removesuffix(".json").removesuffix("_keypoints") for file in files])
    except ValueError as error:
        raise InputError(f"the files of {folder} cannot be put in order: {error}") from error
    frames = _Frames()
    for file, number in zip(files, numbers, strict=True):
        document: Any = read_json(file, object, _ADVICE, numbers_as_array)
        try:
            frames.add(number, {"instances": document} if isinstance(document, list) else document)
        except _NO_POSES as error:
            raise InputError(f"{file} holds no frame's poses ({type(error).__name__}: {error}); {_ADVICE}") from error
    try:
        return frames.finish()
    except ValueError as error:
        raise InputError(f"the files of {folder} do not fit together: {error}") from error


class _Frames:
    """Collects documents of a frame each."""

    def __init__(self) -> None:
        self._people: People = {}
        self._sizes: list[Mapping[str, Any]] = []
        self._strange: list[bool] = []

    def add(self, number: int, frame: Mapping[str, Any]) -> None:
        """OpenPose's or ControlNet's ``people``, AlphaPose's ``bodies``, or MMPose's ``instances``."""
        if "instances" in frame:
            found = [coco_joints(person["keypoints"]) for person in frame["instances"]]
        else:
            points = [person["joints"] for person in frame["bodies"]] if "bodies" in frame else _bodies(frame["people"])
            found = [openpose_joints(values) for values in points]
            self._strange += [is_body_25b(values) for values in points]
        if "bodies" in frame or str(frame.get("version")).startswith("AlphaPose"):
            found = [without_crown(joints) for joints in found]
        self._people[number] = _seen(found)
        self._sizes.append({"width": frame["canvas_width"], "height": frame["canvas_height"]} if "canvas_width" in frame else {})

    def finish(self) -> PoseFile:
        """All frames.

        Raises:
            ValueError: when their pictures have several sizes, or their points an order that is not known.
        """
        if self._strange and np.mean(self._strange) > _MOSTLY:
            raise ValueError("25 points a person begin with a face, as in BODY_25B; run OpenPose with BODY_25 or COCO")
        return PoseFile(self._people, _one_size(self._sizes))


def _bodies(people: Sequence[Mapping[str, Any]]) -> list[Any]:
    """OpenPose has an empty list where it found hands or a face, and no body; ControlNet has null."""
    return [points for person in people if (points := person["pose_keypoints_2d"]) is not None and len(points)]


def _document(document: Any) -> PoseFile:
    if isinstance(document, list):
        return _list(document)
    if "instance_info" in document:
        return _list(document["instance_info"])
    if "people" in document:
        return _list([document])
    if "images" in document or "annotations" in document:
        return _coco(document)
    return _numbered(list(document), document.values())


def _list(entries: Sequence[Mapping[str, Any]]) -> PoseFile:
    """MMPose's frames by their number, ControlNet's in their order, or COCO results."""
    if entries and "instances" in entries[0]:
        return _numbered([entry["frame_id"] for entry in entries], entries)
    if entries and "people" in entries[0]:
        return _numbered(range(len(entries)), entries)
    return PoseFile(_results(entries))


def _numbered(names: Sequence[object], entries: Iterable[Mapping[str, Any]]) -> PoseFile:
    frames = _Frames()
    for number, entry in zip(numbers_in(names), entries, strict=True):
        frames.add(number, entry)
    return frames.finish()


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


def _seen(people: Iterable[Joints]) -> list[Joints]:
    return [joints for joints in people if (joints[:, 2] > 0).any()]
