"""Poses of other programs: what they write is read joint by joint, and what is none is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metapix.data.coco import COCO_KEYPOINTS
from metapix.data.folder import write_clip
from metapix.data.pose_files import PosesFromFiles, read_poses
from metapix.data.prepare import prepare_clip
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX, JOINTS

from tests.metapix.clips import noise_clip
from tests.metapix.test_prepare import noise_video

BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "mid_hip",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip


def place(name: str, x: float = 40.0) -> list[float]:
    """A place of its own for every point, upright and in the picture."""
    number = (JOINTS + BODY_25).index(name)
    return [x + number % 5, 20.0 + 2 * (number % 20), 0.5]


def openpose(folder: Path, order: tuple[str, ...], frames: int, others: tuple[float, ...] = ()) -> Path:
    folder.mkdir()
    for frame in range(frames):
        people = [{"pose_keypoints_2d": [value for name in order for value in place(name, x)]} for x in (*others, 40.0)]
        (folder / f"walk_{frame:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


@pytest.mark.parametrize("order", [JOINTS, BODY_25])
def test_openpose_points_keep_their_names(tmp_path: Path, order: tuple[str, ...]) -> None:
    found = read_poses(openpose(tmp_path / "poses", order, 2))
    assert sorted(found) == [0, 1]
    for name, index in INDEX.items():
        assert found[1][0][index].tolist() == pytest.approx(place(name)), name


def coco(path: Path, *, results: bool) -> Path:
    keypoints = [value for name in COCO_KEYPOINTS for value in (*place(name)[:2], 0.5 if results else 1)]
    if results:
        path.write_text(json.dumps([{"image_id": frame, "category_id": 1, "keypoints": keypoints, "score": 0.9} for frame in (0, 2)]))
        return path
    images = [{"id": 7 - number, "file_name": f"img_{number:08d}.png"} for number in (1, 2, 3)]
    annotations = [{"image_id": 7 - number, "keypoints": keypoints} for number in (1, 3)]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize("results", [True, False])
def test_coco_points_keep_their_names_and_the_neck_is_between_the_shoulders(tmp_path: Path, results: bool) -> None:
    found = read_poses(coco(tmp_path / "poses.json", results=results))
    assert [frame for frame, people in sorted(found.items()) if people] == [0, 2]
    joints = found[2][0]
    for name in COCO_KEYPOINTS:
        assert joints[INDEX[name]].tolist() == pytest.approx(place(name)), name
    shoulders = (np.array(place("left_shoulder")) + place("right_shoulder")) / 2
    assert joints[INDEX["neck"]] == pytest.approx(shoulders)


def test_our_own_document_is_read_exactly(tmp_path: Path) -> None:
    clip = noise_clip(3)
    write_clip(clip, tmp_path / "clip")
    found = read_poses(tmp_path / "clip" / "keypoints.json")
    assert all(np.array_equal(found[row][0], clip.joints[row].numpy()) for row in range(3))


def test_a_video_is_prepared_with_poses_from_files(tmp_path: Path) -> None:
    poses = openpose(tmp_path / "poses", BODY_25, 8, others=(75.0,))
    video = noise_video(tmp_path / "walk.mp4", 8, (80, 120))
    estimator = PosesFromFiles(poses, every=2)
    clip = prepare_clip(video, tmp_path / "clip", size=64, every=2, estimator=estimator)
    assert (len(clip), clip.masks) == (4, None)
    assert clip.boxes is not None
    left, top, side = clip.boxes[1].tolist()
    knee = clip.joints[1, INDEX["left_knee"], :2].numpy()
    camera = np.array([left, top]) + (knee + 0.5) * side / 64 - 0.5
    xs = (place("left_knee", 75.0)[:2], place("left_knee")[:2])
    assert any(camera == pytest.approx(np.array(x), abs=0.2) for x in xs)
    assert clip.joints[:, INDEX["left_knee"], 0].std() < 0.5, "it stays with one of the two"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"images": []', "is damaged"),
        ('{"images": [], "annotations": []}', "no person's keypoints"),
        ('{"frames": 3}', "no keypoints that can be read"),
        ('[{"image_id": 0, "keypoints": [1, 2, 3]}]', "a person has 1 points; 17 .COCO's keypoints. or"),
        ('[{"image_id": 0, "keypoints": "many"}]', "no keypoints that can be read"),
        ('"hello"', "no keypoints that can be read"),
    ],
)
def test_what_holds_no_poses_is_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "poses.json").write_text(content)
    with pytest.raises(InputError, match=words):
        read_poses(tmp_path / "poses.json")


def test_folders_that_hold_no_poses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no poses at"):
        read_poses(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no file that ends in _keypoints\.json, or in \.json"):
        read_poses(tmp_path)
    documents: list[Any] = [{"people": [{"pose_keypoints_2d": [1.0] * 9}]}, {"persons": []}]
    for document in documents:
        (tmp_path / "a_000000000000_keypoints.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match="holds no frame's poses"):
            read_poses(tmp_path)
