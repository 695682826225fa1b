"""Poses found by other programs, OpenPose, AlphaPose and whatever writes COCO keypoints, as a pose estimator."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from metapix.data.main_person import Joints, choose_person
from metapix.data.media import every_packet, open_media
from metapix.data.pose import Detection
from metapix.data.pose_documents import read_pose_file
from metapix.data.pose_placing import People, in_pixels, placed
from metapix.data.video import probe, read_video
from metapix.data.video_decode import video_stream
from metapix.errors import InputError


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

    - A folder of OpenPose's JSON files, 18 or 25 points a person, or of AlphaPose's or MMPose's, one for each frame.
    - A COCO keypoints document, whose images' file names have the numbers.
    - A list of COCO results (``[{"image_id": 0, "keypoints": [...], "score": ...}, ...]``), of 17 points or of an order that begins
      with them (Halpe26, COCO-WholeBody, Halpe136). AlphaPose writes ``"image_id": "0.jpg"``.
    - AlphaPose's forms ``open`` and ``cmu``: an object with OpenPose's 18 points for each image.
    - MMPose's file of a video (``frame_id`` and ``instances``), of points as in COCO results.
    - ControlNet's list of frames, of OpenPose or DWPose; coordinates are of its canvas, which is resized to the video.

    Somebody of whom no point has a confidence above 0 is nobody.

    Raises:
        InputError: when there is no such file, it holds something else, or its numbers may count from 0 or from 1.
    """
    found = read_pose_file(path)
    numbers = sorted(found.people)
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    frames = len(numbers) if whole and numbers[0] else numbers[-1] + 1
    return placed(found.people, frames, frames, path)


def _poses_of(path: Path, video: Path, every: int, max_frames: int | None) -> People:
    found, info = read_pose_file(path), probe(video)
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
        for packet in every_packet(container.demux(video_stream(container, video))):
            packets += bool(packet.size) and not packet.is_discard
    return packets


def _digest(people: People) -> str:
    digest = hashlib.sha256()
    for number, persons in sorted(people.items()):
        digest.update(f"{number} {len(persons)} ".encode())
        for joints in persons:
            digest.update(np.ascontiguousarray(joints).tobytes())
    return digest.hexdigest()[:16]
