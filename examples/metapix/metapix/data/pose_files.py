"""Poses found by other programs, OpenPose, AlphaPose and whatever writes COCO keypoints, as a pose estimator."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from metapix.data.main_person import Joints, choose_person
from metapix.data.media import open_media
from metapix.data.pose import Detection
from metapix.data.pose_placing import People, in_pixels, numbers_in, placed
from metapix.data.pose_points import OPENPOSE, coco_joints, is_body_25b, numbers_as_array, openpose_joints, person_points
from metapix.data.video import probe, read_video
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


class PosesFromFiles:
    """A pose estimator that looks its answers up; it follows the main person as :class:`MainPersonEstimator` does. No masks.

    Args:
        path: what :func:`read_poses` reads.
        every: the step between the frames it will be asked about.
        video: the video that it will be asked about. Numbers and coordinates are checked against it; without it they are
            taken as they are.
        max_frames: how many frames it will be asked about; default all.

    Raises:
        InputError: as :func:`read_poses`, or when the poses do not fit the video.
    """

    def __init__(self, path: Path, every: int = 1, video: Path | None = None, max_frames: int | None = None) -> None:
        self.path, self.every = path, every
        self._people = read_poses(path) if video is None else _poses_of(path, video, every, max_frames)
        self.reset()

    def __repr__(self) -> str:
        return f"PosesFromFiles({self.path.name!r}, frames={len(self._people)}, every={self.every}, content={_digest(self._people)})"

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
    """Poses from files by the index of their frame, from 0, where the video is not at hand: the last number is taken for its last frame.

    - A folder of OpenPose's JSON files, 18 or 25 points a person.
    - A COCO keypoints document, whose images' file names have the numbers.
    - A list of COCO results (``[{"image_id": 0, "keypoints": [...], "score": ...}, ...]``), of 17 points or of an order that begins
      with them (Halpe26, COCO-WholeBody, Halpe136). AlphaPose writes ``"image_id": "0.jpg"``.
    - AlphaPose's forms ``open`` and ``cmu``: an object with OpenPose's 18 points for each image.

    Somebody of whom no point has a confidence above 0 is nobody.

    Raises:
        InputError: when there is no such file, it holds something else, or its numbers may count from 0 or from 1.
    """
    found = _read(path)
    numbers = sorted(found.people)
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    frames = len(numbers) if whole and numbers[0] else numbers[-1] + 1
    return placed(found.people, frames, frames, path)


def _poses_of(path: Path, video: Path, every: int, max_frames: int | None) -> People:
    found, info = _read(path), probe(video)
    frames = _count_frames(video, min(found.people))
    picture = (info.width, info.height)
    if found.crops and found.written_for != picture:
        raise InputError(f"{path} belongs to a clip folder, whose pictures are parts of a video's; it can be used with such a part only")
    looked_at = frames if max_frames is None else min(frames, (max_frames - 1) * every + 1)
    people = placed(found.people, frames, looked_at, path)
    return in_pixels(people, picture, found.written_for, path)


def _count_frames(video: Path, low: int) -> int:
    """The pictures in a video file; headers do not always know.

    Where numbers begin at 0 its packets are counted, which are no fewer; where the number decides from which one counts, what decodes.
    """
    if low > 0:
        return sum(1 for _ in read_video(video))
    packets = 0
    with open_media(video) as container, contextlib.suppress(av.FFmpegError):  # a damaged file ends where it is damaged
        stream = next(stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic)
        for packet in container.demux(stream):
            packets += bool(packet.size) and not packet.is_discard
    return packets


def _digest(people: People) -> str:
    digest = hashlib.sha256()
    for number, persons in sorted(people.items()):
        digest.update(f"{number} {len(persons)} ".encode())
        for joints in persons:
            digest.update(np.ascontiguousarray(joints).tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> PoseFile:
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
