"""Poses from files against their video: each lands on its own frame and pixel, or is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metapix.commands.prepare_jobs import Job, run_job
from metapix.data.coco import COCO_KEYPOINTS
from metapix.data.folder import read_clip, write_clip
from metapix.data.pose_files import PosesFromFiles
from metapix.data.pose_placing import numbers_in
from metapix.data.prepare import prepare_clip
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX, N_JOINTS
from numpy.typing import NDArray

from tests.metapix.clips import noise_clip
from tests.metapix.test_prepare import noise_video

FRAMES, WIDTH, HEIGHT = 24, 120, 80
BLANK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
Pose = NDArray[np.float32]


def pose(frame: int) -> Pose:
    """Somebody who walks to the right, a pixel a frame, and nods."""
    x = 40 + frame + 6 * np.cos(np.arange(N_JOINTS))
    y = np.linspace(12, 66, N_JOINTS) + frame % 3
    return np.stack([x, y, np.full(N_JOINTS, 0.75)], axis=1).astype(np.float32)


TRUTH = np.stack([pose(frame) for frame in range(FRAMES)])
BODY = [INDEX[name] for name in COCO_KEYPOINTS]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_video(tmp_path_factory.mktemp("video") / "walk.mp4", FRAMES, (HEIGHT, WIDTH))


def openpose(folder: Path, names: dict[int, str], values: Callable[[int], Iterable[float]] = lambda frame: pose(frame).ravel()) -> Path:
    folder.mkdir()
    for frame, name in names.items():
        people = [{"pose_keypoints_2d": [float(value) for value in values(frame)]}]
        (folder / f"{name}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


def coco_values(joints: Pose, third: float = 0.75) -> list[float]:
    return [value for x, y, _ in joints[BODY].tolist() for value in (x, y, third)]


def document(path: Path, names: dict[int, str], **size: Any) -> Path:
    images = [{"id": 100 + frame, "file_name": name, **size} for frame, name in names.items()]
    annotations = [{"id": frame, "image_id": 100 + frame, "keypoints": coco_values(pose(frame), 2)} for frame in names]
    path.write_text(json.dumps({"images": images[::-1], "annotations": annotations}))
    return path


def results(path: Path, names: dict[int, Any]) -> Path:
    path.write_text(json.dumps([{"image_id": name, "keypoints": coco_values(pose(frame)), "score": 0.9} for frame, name in names.items()]))
    return path


def check(path: Path, video: Path, frames: Iterable[int] = range(FRAMES), off: float = 1e-3, joints: list[int] | slice = BODY) -> None:
    """The estimator finds each frame's own pose, and nobody in the other frames."""
    estimator = PosesFromFiles(path, 1, video)
    found = [estimator.estimate(BLANK) for _ in range(FRAMES)]
    assert [frame for frame, detection in enumerate(found) if detection is not None] == list(frames)
    for frame in frames:
        detection = found[frame]
        assert detection is not None
        assert np.abs(detection.joints[joints, :2] - TRUTH[frame][joints, :2]).max() <= off


def refused(path: Path, video: Path, words: str, **options: Any) -> None:
    with pytest.raises(InputError, match=words) as error:
        PosesFromFiles(path, video=video, **options)
    assert "\n" not in str(error.value)


ALL = range(FRAMES)
NUMBERINGS: dict[str, tuple[dict[int, str], Iterable[int]]] = {
    "padded": ({k: f"walk_{k:012d}" for k in ALL}, ALL),
    "unpadded": ({k: f"frame_{k}" for k in ALL}, ALL),
    "from 1": ({k: f"{k + 1:06d}" for k in ALL}, ALL),
    "unpadded from 1": ({k: f"{k + 1}" for k in ALL}, ALL),
    "another number in the name": ({k: f"cam2_take10_{k}_720p" for k in ALL}, ALL),
    "a film's file in the name": ({k: f"IMG_12.mp4_{k:012d}" for k in ALL}, ALL),
    "every fourth": ({k: f"f{k}" for k in range(0, FRAMES, 4)}, range(0, FRAMES, 4)),
    "some, the first among them": ({k: f"f{k}" for k in (0, 3, 4, 9, 17)}, (0, 3, 4, 9, 17)),
    "some from 1, the last among them": ({k: f"f{k + 1}" for k in (3, 9, 17, FRAMES - 1)}, (3, 9, 17, FRAMES - 1)),
    "the film's numbers, of a part of it": ({k: f"f{k + 1000}" for k in ALL}, ALL),
    "the film's numbers, every fifth": ({k: f"f{5 * k}" for k in ALL}, ALL),
}


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("kind", ["openpose", "document", "results"])
def test_poses_go_to_the_frames_of_their_numbers(tmp_path: Path, video: Path, numbering: str, kind: str) -> None:
    names, frames = NUMBERINGS[numbering]
    if kind == "openpose":
        check(openpose(tmp_path / "poses", names), video, frames)
    else:
        pictures = {frame: f"{name}.jpg" for frame, name in names.items()}
        check((document if kind == "document" else results)(tmp_path / "poses.json", pictures), video, frames)


def test_hidden_files_are_passed_over(tmp_path: Path, video: Path) -> None:
    poses = openpose(tmp_path / "poses", {k: f"f{k}" for k in ALL})
    (poses / "._f3_keypoints.json").write_bytes(b"\x00\x05\x16\x07")
    check(poses, video)


def test_whole_numbers_are_numbers_too(tmp_path: Path, video: Path) -> None:
    check(results(tmp_path / "a.json", {k: k for k in ALL}), video)
    check(results(tmp_path / "b.json", {k: k + 1 for k in ALL}), video)
    check(results(tmp_path / "c.json", {k: str(k) for k in reversed(ALL)}), video)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({k: f"f{k + 1}" for k in range(FRAMES - 1)}, "numbers 1 to 23, and the video has 24 frames: whether they count from 0 or from 1"),
        ({k: f"f{k}" for k in range(5, 12)}, "from 0 or from 1 cannot be told; add the first frame, 0, or the last, 24"),
        ({k: f"f{k + 1}" for k in range(0, FRAMES, 5)}, "from 0 or from 1"),
        ({**{k: f"f{k}" for k in range(FRAMES)}, 99: "f24"}, "numbers 0 to 24, and the video has 24 frames: they are of another video"),
        ({k: f"f{k + 100}" for k in range(12)}, "they are of another video"),
        ({k: f"f{k}" for k in range(12)}, "first 12, or one frame in 2, cannot be told.*--max-frames 12"),
        ({k: f"f{k}" for k in range(5)}, "first 5, or one frame in 5"),
        ({0: "f1", 1: "f01"}, "two frames have the number 1"),
        ({0: "walk_0", 1: "run_1"}, "'run_#' and 'walk_#'.*poses of one video"),
        ({0: "cam0_0", 1: "cam1_1"}, "2 numbers change in names like"),
        ({0: "first"}, "no number in its name"),
    ],
)
def test_numbers_that_do_not_fit_or_fit_twice_are_refused(tmp_path: Path, video: Path, names: dict[int, str], words: str) -> None:
    refused(openpose(tmp_path / "poses", names), video, words)
    refused(results(tmp_path / "poses.json", {frame: f"{name}.jpg" for frame, name in names.items()}), video, words)


def test_the_first_frames_alone_are_asked_for_in_words(tmp_path: Path, video: Path) -> None:
    poses = openpose(tmp_path / "poses", {k: f"f{k}" for k in range(12)})
    estimator = PosesFromFiles(poses, 1, video, 12)
    assert all(estimator.estimate(BLANK) is not None for _ in range(12))
    check(openpose(tmp_path / "uneven", {k: f"f{k}" for k in range(19)}), video, range(19))


def test_an_empty_first_frame_says_where_counting_starts(tmp_path: Path, video: Path) -> None:
    poses = openpose(tmp_path / "poses", {k: f"f{k}" for k in range(5, 12)})
    for people in ([], [{"pose_keypoints_2d": []}]):
        (poses / "f0_keypoints.json").write_text(json.dumps({"people": people}))
        check(poses, video, range(5, 12))
    nobody = [{"image_id": 0, "keypoints": [0] * 51}]
    found = results(tmp_path / "poses.json", {k: k for k in range(5, 12)})
    found.write_text(json.dumps(json.loads(found.read_text()) + nobody))
    check(found, video, range(5, 12))


def test_mixed_and_impossible_numbers() -> None:
    assert numbers_in([7, 3]) == [7, 3]
    assert numbers_in(["a/000009.png", "a/000010.png"]) == [9, 10]
    for names, words in (
        ([1, "2"], "by whole numbers and by other things"),
        ([1.0], "other things"),
        ([-3, 1], "number -3"),
        ([True], "other"),
    ):
        with pytest.raises(ValueError, match=words):
            numbers_in(names)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["0 to 1", "-1 to 1"])
def test_shares_of_the_picture_become_pixels(tmp_path: Path, video: Path, scale: str, caplog: pytest.LogCaptureFixture) -> None:
    def values(frame: int) -> list[float]:
        shares = pose(frame)[:, :2] / (WIDTH - 1, HEIGHT - 1)  # as OpenPose's keypoint_scale 3 and 4 do
        points = np.column_stack([shares if scale == "0 to 1" else 2 * shares - 1, pose(frame)[:, 2]])
        points[3] = 0  # not seen
        return points.ravel().tolist()

    seen = [joint for joint in range(N_JOINTS) if joint != 3]
    check(openpose(tmp_path / "poses", {k: f"f{k}" for k in ALL}, values), video, off=1e-3, joints=seen)
    assert f"shares of the picture, {scale}" in caplog.text


def test_poses_of_other_sizes(tmp_path: Path, video: Path) -> None:
    names = {k: f"f{k}.jpg" for k in ALL}
    check(document(tmp_path / "same.json", names, width=WIDTH, height=HEIGHT), video)
    refused(document(tmp_path / "turned.json", names, width=HEIGHT, height=WIDTH), video, "of 80 x 120 pixels.*shown at 120 x 80")
    refused(document(tmp_path / "other.json", names, width=100, height=100), video, "of 100 x 100 pixels")
    refused(document(tmp_path / "odd.json", names, width="120", height=80), video, "'120' x 80 pixels")
    content = json.loads(document(tmp_path / "twice.json", names, width=2 * WIDTH, height=2 * HEIGHT).read_text())
    for annotation, frame in zip(content["annotations"], ALL, strict=True):
        annotation["keypoints"] = coco_values((pose(frame) + 0.5) * 2 - 0.5, 2)
    (tmp_path / "twice.json").write_text(json.dumps(content))
    check(tmp_path / "twice.json", video)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (3.0, "points outside the video's picture of 120 x 80"),
        (1 / 60, "neither pixels, nor 0 to 1"),
        (-1.0, "outside the video's picture"),
    ],
)
def test_coordinates_that_cannot_be_the_videos_are_refused(tmp_path: Path, video: Path, factor: float, words: str) -> None:
    scaled = openpose(tmp_path / "poses", {k: f"f{k}" for k in ALL}, lambda k: (pose(k) * (factor, factor, 1)).ravel())
    refused(scaled, video, words)


@pytest.mark.parametrize("third", [-0.5, float("nan"), float("inf"), "0.5", None, True])
def test_confidences_that_are_none_are_refused(tmp_path: Path, video: Path, third: Any) -> None:
    (tmp_path / "poses.json").write_text(json.dumps([{"image_id": 0, "keypoints": [1.0, 2.0, third, *[3.0] * 48]}]))
    refused(tmp_path / "poses.json", video, "no keypoints that can be read")


@pytest.mark.parametrize("count", [26, 133, 136])
def test_orders_that_begin_with_cocos_are_read(tmp_path: Path, video: Path, count: int) -> None:
    path = results(tmp_path / "poses.json", {k: f"{k}.jpg" for k in ALL})
    content = json.loads(path.read_text())
    for entry in content:
        entry["keypoints"] += [1.0, 1.0, 0.9] * (count - 17)
    path.write_text(json.dumps(content))
    check(path, video)


@pytest.mark.parametrize("form", ["open", "cmu"])
def test_alphaposes_other_forms_are_read(tmp_path: Path, video: Path, form: str) -> None:
    people, points = ("people", "pose_keypoints_2d") if form == "open" else ("bodies", "joints")
    content = {f"{k}.jpg": {"version": "AlphaPose v0.3", people: [{points: pose(k).ravel().tolist()}]} for k in ALL}
    (tmp_path / "poses.json").write_text(json.dumps(content))
    check(tmp_path / "poses.json", video, joints=slice(None))


def test_alphaposes_neck_is_between_the_shoulders(tmp_path: Path, video: Path) -> None:
    """For models of more than 17 points AlphaPose writes the top of the head in the neck's place."""
    halpe = TRUTH.copy()
    halpe[:, INDEX["neck"], :2] = TRUTH[:, INDEX["nose"], :2] - (0, 9)
    shoulders = TRUTH[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]], 1].mean(1)
    content = {f"{k}.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": halpe[k].ravel().tolist()}]} for k in ALL}
    (tmp_path / "cmu.json").write_text(json.dumps(content))
    (tmp_path / "sep-json").mkdir()
    for k in ALL:
        people = [{"pose_keypoints_2d": halpe[k].ravel().tolist()}]
        (tmp_path / "sep-json" / f"{k}.json").write_text(json.dumps({"version": "AlphaPose v0.3", "people": people}))
    for path in (tmp_path / "cmu.json", tmp_path / "sep-json"):
        check(path, video)
        estimator = PosesFromFiles(path, 1, video)
        found = [estimator.estimate(BLANK) for _ in ALL]
        assert [detection.joints[INDEX["neck"], 1] for detection in found if detection] == pytest.approx(list(shoulders), abs=1e-4)


def instances(frame: int, points: int = 17) -> list[dict[str, Any]]:
    """As MMPose writes them."""
    joints = np.concatenate([pose(frame)[BODY], np.ones((points - 17, 3))])
    return [{"keypoints": joints[:, :2].tolist(), "keypoint_scores": joints[:, 2].tolist(), "bbox": [[1, 2, 3, 4]], "bbox_score": 0.9}]


@pytest.mark.parametrize("points", [17, 133])
def test_mmposes_files_are_read(tmp_path: Path, video: Path, points: int) -> None:
    frames = [k for k in ALL if k not in (0, 7, FRAMES - 1)]
    listed = [instances(k, points) if k in frames else [] for k in ALL]
    inferencer = [{"frame_id": k, "instances": found} for k, found in enumerate(listed)]
    demo = {
        "meta_info": {"dataset_name": "coco"},
        "instance_info": [{"frame_id": k + 1, "instances": found} for k, found in enumerate(listed)],
    }
    for name, content in (("inferencer.json", inferencer), ("demo.json", demo)):
        (tmp_path / name).write_text(json.dumps(content))
        check(tmp_path / name, video, frames)
    (tmp_path / "predictions").mkdir()
    for k, found in enumerate(listed):
        (tmp_path / "predictions" / f"frame{k:05d}.json").write_text(json.dumps(found))
    check(tmp_path / "predictions", video, frames)


@pytest.mark.parametrize(
    "entry", [{"keypoints": [[1.0, 2.0, 3.0]] * 17}, {"keypoints": [[1.0, 2.0]] * 16}, {"keypoints": [["1", 2.0]] * 17}]
)
def test_mmposes_points_that_are_none_are_refused(tmp_path: Path, video: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "poses.json").write_text(json.dumps([{"frame_id": 0, "instances": [{**entry, "keypoint_scores": [0.9] * 17}]}]))
    refused(tmp_path / "poses.json", video, "no keypoints that can be read")


def test_controlnets_canvas_is_resized_to_the_video(tmp_path: Path, video: Path) -> None:
    def frame(k: int, width: int, height: int) -> dict[str, Any]:
        points = (pose(k) + 0.5) * (width / WIDTH, height / HEIGHT, 1) - (0.5, 0.5, 0.5)
        body = {"pose_keypoints_2d": points.ravel().tolist(), "face_keypoints_2d": None, "hand_left_keypoints_2d": None}
        return {"people": [body] if k % 5 else [{**body, "pose_keypoints_2d": None}], "canvas_width": width, "canvas_height": height}

    frames = [k for k in ALL if k % 5]
    for name, width, height in (("same", WIDTH, HEIGHT), ("smaller", WIDTH // 2, HEIGHT // 2)):
        (tmp_path / f"{name}.json").write_text(json.dumps([frame(k, width, height) for k in ALL]))
        check(tmp_path / f"{name}.json", video, frames)
        (tmp_path / name).mkdir()
        for k in ALL:
            (tmp_path / name / f"pose_{k}_keypoints.json").write_text(json.dumps(frame(k, width, height)))
        check(tmp_path / name, video, frames)
    for name, size, words in (("square", 64, "of pictures of 64 x 64 pixels"), ("mixed", None, "its images have 24 sizes")):
        (tmp_path / f"{name}.json").write_text(json.dumps([frame(k, size or 60 + k, size or 40) for k in ALL]))
        refused(tmp_path / f"{name}.json", video, words)


@pytest.mark.parametrize("count", [15, 17, 19, 24, 135])
def test_other_numbers_of_points_are_refused(tmp_path: Path, video: Path, count: int) -> None:
    poses = openpose(tmp_path / "poses", {0: "f0"}, lambda _: [5.0, 6.0, 0.5] * count)
    refused(poses, video, rf"a person has {count} points; 18 .OpenPose's COCO model. or 25 .BODY_25. can be read")


def test_body_25b_is_not_taken_for_body_25(tmp_path: Path, video: Path) -> None:
    def values(frame: int) -> list[float]:
        face = [[50.0 + x, 12.0 + y, 0.9] for x, y in ((0, 0), (1, -1), (-1, -1), (2, 0), (-2, 0))]
        body = [[50.0 + 10 * np.cos(n), 20.0 + 2 * n, 0.9] for n in range(20)]
        return np.ravel(face + body).tolist()

    refused(openpose(tmp_path / "poses", {k: f"f{k}" for k in ALL}, values), video, "BODY_25B")


def test_a_clip_folders_own_document_is_no_videos(tmp_path: Path, video: Path) -> None:
    write_clip(noise_clip(FRAMES), tmp_path / "clip")
    refused(tmp_path / "clip" / "keypoints.json", video, "belongs to a clip folder")


def test_poses_that_were_changed_are_prepared_again(tmp_path: Path, video: Path) -> None:
    poses = openpose(tmp_path / "poses", {k: f"f{k}" for k in ALL})
    first = prepare_clip(video, tmp_path / "clip", size=32, estimator=PosesFromFiles(poses, 1, video))
    for file in poses.iterdir():
        file.unlink()
    poses.rmdir()
    openpose(poses, {k: f"f{k}" for k in ALL}, lambda k: (pose(k) + np.float32([0, 5, 0])).ravel())
    second = prepare_clip(video, tmp_path / "clip", size=32, estimator=PosesFromFiles(poses, 1, video))
    assert (second.joints[:, 5, 1] - first.joints[:, 5, 1]).min() > 1


def test_the_command_checks_poses_against_its_video(tmp_path: Path, video: Path) -> None:
    poses = openpose(tmp_path / "poses", {k: f"f{k + 1}" for k in ALL})
    run_job(Job(video, tmp_path / "clip", 32, poses=poses))
    assert len(read_clip(tmp_path / "clip")) == FRAMES
    (poses / f"f{FRAMES}_keypoints.json").unlink()
    with pytest.raises(InputError, match="from 0 or from 1"):
        run_job(Job(video, tmp_path / "other", 32, poses=poses))
    assert not (tmp_path / "other").exists()
