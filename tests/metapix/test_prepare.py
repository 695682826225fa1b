"""Preparing clips: a real person through the real decoder and estimator, and the geometry of crops."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.crop import camera_to_crop, crop_picture, plan_boxes
from metapix.data.folder import read_clip
from metapix.data.look import keep_person
from metapix.data.pose import Detection, MediapipeEstimator
from metapix.data.prepare import crop_track, prepare_clip
from metapix.data.track import Track, estimate_track, stretches
from metapix.data.video import VideoWriter, read_video
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX
from numpy.typing import NDArray

VIDEO = "single-cam01"


@pytest.fixture(scope="module")
def track() -> Track:
    with MediapipeEstimator() as estimator:
        return estimate_track(bundled_videos()[VIDEO], estimator, every=9, max_frames=10)


@pytest.fixture(scope="module", params=["follow", "fixed"])
def clip(request: pytest.FixtureRequest, track: Track) -> Clip:
    return crop_track(track, bundled_videos()[VIDEO], size=128, crop=request.param)


def test_joints_land_on_the_person(clip: Clip) -> None:
    assert clip.masks is not None
    trunk = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip", "knee", "elbow", "ankle")]
    values = []
    for i in range(len(clip)):
        for x, y, confidence in clip.joints[i, trunk].tolist():
            if confidence > 0.5:
                values.append(float(clip.masks[i, 0, round(y), round(x)]))
    assert len(values) > 80
    assert np.mean(np.array(values) > 127) > 0.95
    assert 0.03 < (clip.masks > 127).float().mean() < 0.5


def test_clip_is_whole_and_upright(clip: Clip) -> None:
    assert (len(clip), clip.size, clip.kind) == (10, 128, "real")
    assert clip.fps == pytest.approx(60 / 9)
    head, ankles = clip.joints[:, INDEX["nose"]], clip.joints[:, [INDEX["left_ankle"], INDEX["right_ankle"]]]
    assert (head[:, 1] < ankles[..., 1].amax(1)).all()
    assert (clip.joints[..., :2] > -1).all()
    assert (clip.joints[..., :2] < 128).all()


def test_box_formula_takes_joints_to_the_camera(clip: Clip, track: Track) -> None:
    assert clip.boxes is not None
    left_top, side = clip.boxes[:, None, :2], clip.boxes[:, None, 2:]
    camera = left_top + (clip.joints[..., :2] + 0.5) * side / clip.size - 0.5
    assert torch.allclose(camera, torch.from_numpy(track.joints[..., :2]), atol=2e-3)


def test_frames_are_the_camera_at_the_box(clip: Clip, track: Track) -> None:
    assert clip.boxes is not None
    picture = next(f.image for f in read_video(bundled_videos()[VIDEO], every=9) if f.index == track.indices[4])
    left, top, side = clip.boxes[4].tolist()
    u = np.array([20, 64, 100])
    x0, x1 = (np.ceil(left + u * side / 128).astype(int), np.floor(left + (u + 1) * side / 128).astype(int))
    y0, y1 = (np.ceil(top + u * side / 128).astype(int), np.floor(top + (u + 1) * side / 128).astype(int))
    for i in range(3):
        area = picture[y0[i] : y1[i], x0[i] : x1[i]].mean((0, 1))
        assert clip.frames[4, :, u[i], u[i]].numpy() == pytest.approx(area, abs=6)


def test_one_track_serves_several_sizes(track: Track) -> None:
    large, small = (crop_track(track, bundled_videos()[VIDEO], size=size) for size in (128, 64))
    assert torch.equal(large.boxes, small.boxes)  # type: ignore[arg-type]
    assert torch.allclose((large.joints[..., :2] + 0.5) / 2, small.joints[..., :2] + 0.5, atol=1e-3)
    halved = torch.nn.functional.avg_pool2d(large.frames.float(), 2)
    assert (halved - small.frames).abs().max() <= 2


@pytest.mark.parametrize("size", [32, 100, 250])
def test_a_ramp_keeps_its_coordinates(size: int) -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8), (150, 200)).copy()
    box = np.array([23, -10, 120], np.float32)
    u = np.arange(size)
    expected = 23 + (u + 0.5) * 120 / size - 0.5
    inner = slice(size // 10, -size // 10)
    assert crop_picture(ramp, box, size, pad="edge")[size // 2][inner] == pytest.approx(expected[inner], abs=0.75)


def test_outside_the_picture_repeats_the_border_or_is_zero() -> None:
    image = np.full((40, 60), 200, np.uint8)
    box = np.array([-20, -10, 80], np.float32)
    assert (crop_picture(image, box, 40, pad="edge") == 200).all()
    mask = crop_picture(image, box, 40, pad="zero")
    assert (mask[5:25, 10:] == 200).all()
    assert mask.astype(int).sum() == 200 * 20 * 30


edges = arrays(np.float64, st.tuples(st.integers(2, 30), st.just(4)), elements=st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(edges, st.sampled_from(["fixed", "follow"]), st.sampled_from([(64, 64), (200, 100), (90, 160)]))
def test_box_holds_the_person_and_stays_in_the_picture(corners: NDArray[np.float64], crop: str, picture: tuple[int, int]) -> None:
    size = np.array(picture) - 1.0
    bounds = np.concatenate([corners.reshape(-1, 2, 2).min(1) * size, corners.reshape(-1, 2, 2).max(1) * size], axis=1)
    boxes = plan_boxes(bounds, picture, 30.0, crop).astype(float)
    low, side = boxes[:, :2], boxes[:, 2:]
    assert (side == side[0]).all()
    assert (bounds[:, :2] >= low - 1).all()
    assert (bounds[:, 2:] <= low + side).all()
    for axis in (0, 1):
        if side[0, 0] <= picture[axis]:
            assert (low[:, axis] >= 0).all()
            assert (low[:, axis] + side[:, 0] <= picture[axis]).all()
        else:
            assert (low[:, axis] <= 0).all()
            assert (low[:, axis] + side[:, 0] >= picture[axis]).all()
    if crop == "fixed":
        assert (boxes == boxes[0]).all()


def test_following_crop_is_smooth() -> None:
    steps = np.arange(120)
    jitter = np.random.default_rng(0).normal(0, 6, 120)
    x = 300 + 4 * steps + jitter
    bounds = np.stack([x - 60, np.full(120, 100.0), x + 60, np.full(120, 400.0)], axis=1)
    boxes = plan_boxes(bounds, (1280, 720), 30.0, "follow")
    middle = slice(30, -30)
    assert np.abs(np.diff(boxes[middle, 0]) - 4).max() <= 1, "4 pixels a frame, in whole pixels"
    assert np.abs(boxes[middle, 0] + boxes[middle, 2] / 2 - 300 - 4 * steps[middle]).max() < 6


def test_a_crop_follows_by_time_where_the_rate_is_uneven() -> None:
    even = np.arange(240) / 30
    kept = np.sort(np.random.default_rng(0).permutation(240)[:200])
    x = 300 + 40 * np.sin(even)
    bounds = np.stack([x - 60, np.full(240, 100.0), x + 60, np.full(240, 400.0)], axis=1)
    whole = plan_boxes(bounds, (1280, 720), 30.0, "follow", even)
    assert np.array_equal(whole, plan_boxes(bounds, (1280, 720), 30.0, "follow"))
    some = plan_boxes(bounds[kept], (1280, 720), 199 / (even[kept[-1]] - even[kept[0]]), "follow", even[kept])
    assert np.abs(some - whole[kept]).max() <= 3


def test_crop_is_the_inverse_of_the_formula() -> None:
    points = np.array([[[10.0, 20.0]], [[-3.0, 8.0]]], np.float32)
    boxes = np.array([[4, -6, 50], [0, 0, 64]], np.float32)
    crop = camera_to_crop(points, boxes, 64)
    assert crop[0, 0] == pytest.approx([(10.5 - 4) * 64 / 50 - 0.5, (20.5 + 6) * 64 / 50 - 0.5])
    assert crop[1] == pytest.approx(points[1])


class ScriptedEstimator:
    """Finds a person standing at the scripted place of each frame (None: nobody), and counts its calls."""

    def __init__(self, centres: list[float | None]) -> None:
        self.centres, self.calls = centres, 0

    def __repr__(self) -> str:
        return f"ScriptedEstimator({self.centres})"

    def reset(self) -> None:
        self.calls = 0

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        centre = self.centres[self.calls]
        self.calls += 1
        if centre is None:
            return None
        joints = np.stack([centre + np.linspace(-5, 5, 18), np.linspace(20, 60, 18), np.full(18, 0.9)], axis=1)
        mask = np.zeros(frame.shape[:2], np.uint8)
        mask[15:65, int(centre) - 8 : int(centre) + 9] = 255
        return Detection(joints.astype(np.float32), mask)


def noise_video(path: Path, count: int = 8, size: tuple[int, int] = (80, 120)) -> Path:
    generator = np.random.default_rng(0)
    with VideoWriter(path, 30) as writer:
        for _ in range(count):
            writer.write(generator.integers(0, 256, (*size, 3), dtype=np.uint8))
    return path


def test_frames_without_a_person_are_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = noise_video(tmp_path / "a.mp4")
    centres = [40.0, 41.0, None, 43.0, 44.0, None, None, 47.0]
    with caplog.at_level(logging.WARNING):
        track = estimate_track(video, ScriptedEstimator(centres))
    assert track.indices.tolist() == [0, 1, 3, 4, 7]
    assert "kept 5 of 8" in caplog.text
    assert track.joints[:, :, 0].mean(1) == pytest.approx([40, 41, 43, 44, 47], abs=1e-3), "time runs on where a frame is missing"
    clip = crop_track(track, video, size=32)
    assert clip.frames.shape == (5, 3, 32, 32)


class WideEstimator(ScriptedEstimator):
    """Somebody as wide as the picture, so that a square around them is taller than it."""

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        joints = np.stack([np.linspace(0, 119, 18), np.full(18, 40.0), np.ones(18)], axis=1).astype(np.float32)
        return Detection(joints, np.full(frame.shape[:2], 255, np.uint8))


def test_nobody_is_outside_the_picture(tmp_path: Path) -> None:
    video = noise_video(tmp_path / "a.mp4", 3)
    clip = crop_track(estimate_track(video, WideEstimator([])), video, size=120)
    assert clip.masks is not None
    assert clip.boxes is not None
    assert clip.boxes[0].tolist() == [0, -20, 120]
    assert (clip.masks[:, :, 20:100] == 255).all()
    assert not clip.masks[:, :, :20].any()
    assert not clip.masks[:, :, 100:].any()
    assert torch.equal(clip.frames[:, :, 0], clip.frames[:, :, 20]), "the border is repeated"


def test_a_jump_to_somebody_else_cuts(tmp_path: Path) -> None:
    video = noise_video(tmp_path / "a.mp4")
    track = estimate_track(video, ScriptedEstimator([20.0, 20.0, 20.0, 90.0, 90.0, 91.0, 92.0, 92.0]))
    assert track.indices.tolist() == [3, 4, 5, 6, 7]
    with pytest.raises(InputError, match="changes from frame to frame"):
        estimate_track(video, ScriptedEstimator([20.0, 90.0] * 4))


def test_running_is_no_jump_and_a_change_of_size_is() -> None:
    body = np.zeros((20, 18, 3), np.float32)
    body[..., 1], body[..., 2] = np.linspace(0, 180, 18), 1
    body[..., 0] = 10 * np.arange(20)[:, None]  # 10 pixels a frame at 60 a second: 6 m/s for 1.8 m in 180 pixels
    assert stretches(body, np.arange(20) / 60) == [(0, 20)]
    body[14:, :, 1] *= 0.5
    assert stretches(body, np.arange(20) / 60)[0] == (0, 14)


def test_a_body_changes_more_from_one_detection_to_the_next_where_they_are_sparse() -> None:
    heights = [176, 177, 191, 163, 149, 243, 262, 278, 307, 330, 321, 313]  # of somebody who walks up, six times a second
    body = np.stack([np.column_stack([np.zeros(18), np.linspace(0, height, 18), np.ones(18)]) for height in heights]).astype(np.float32)
    assert stretches(body, np.arange(12) / 6) == [(0, 12)]
    assert stretches(body, np.arange(12) / 30) == [(0, 5), (5, 12)]
    body[6:, :, 1] *= 0.4
    assert stretches(body, np.arange(12) / 6) == [(0, 6), (6, 12)]


def test_joints_that_were_not_seen_are_no_jump() -> None:
    body = np.zeros((2400, 18, 3), np.float32)
    body[..., 0], body[..., 1], body[..., 2] = 500, np.linspace(300, 480, 18), 0.9
    body[700:710, 6:] = 0  # as OpenPose writes a body that is cut off: at 0, 0
    body[1500, 1:] = 0
    times = np.arange(2400) / 30
    assert stretches(body, times) == [(0, 2400)]
    body[1024:, :, 0] += 400
    assert stretches(body, times) == [(0, 1024), (1024, 2400)]


def test_islands_of_the_mask_are_cleared() -> None:
    joints = np.zeros((18, 3), np.float32)
    joints[:, 0], joints[:, 1], joints[:, 2] = 20, np.linspace(10, 40, 18), 1
    mask = np.zeros((60, 60), np.uint8)
    mask[5:45, 15:26] = 200
    person = mask.copy()
    mask[30:40, 40:50] = 255
    assert np.array_equal(keep_person(mask, joints), person)
    joints[:, 0] = 500
    assert not keep_person(mask, joints).any()


def test_second_run_reads_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video, out = noise_video(tmp_path / "walk.mp4"), tmp_path / "clip"
    estimator = ScriptedEstimator([40.0 + i for i in range(8)])
    seen: list[tuple[int, int | None]] = []
    first = prepare_clip(video, out, size=32, estimator=estimator, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 8) for i in range(8)]
    assert (first.name, estimator.calls) == ("walk", 8)
    estimator.reset()
    again = prepare_clip(video, out, size=32, estimator=estimator)
    assert estimator.calls == 0
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.joints, again.joints)
    other = prepare_clip(video, out, size=32, estimator=estimator, every=2)
    assert (len(other), other.fps, len(read_clip(out))) == (4, 15, 4)
    (out / "frames/000000.png").write_bytes(b"damage")
    assert len(prepare_clip(video, out, size=32, estimator=estimator, every=2)) == 4
    assert "Preparing it again" in caplog.text
    assert len(read_clip(out)) == 4


def test_nobody_in_the_video(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"No person was found in .*noise\.mp4 .*try another part"):
        prepare_clip(noise_video(tmp_path / "noise.mp4", 3, (160, 120)), tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["noise.mp4"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", [{"size": 4}, {"crop": "zoom"}, {"every": 0}])
def test_bad_options(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        prepare_clip(noise_video(tmp_path / "a.mp4"), tmp_path / "clip", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no video file"):
        prepare_clip(tmp_path / "missing.mp4", tmp_path / "clip")


def test_a_real_video_becomes_a_clip_folder(tmp_path: Path) -> None:
    clip = prepare_clip(bundled_videos()["single-cam03"], tmp_path / "clip", size=64, every=20, max_frames=3, name="cam 3")
    stored = read_clip(tmp_path / "clip")
    assert (stored.name, stored.kind, len(stored)) == ("cam 3", "real", 3)
    for a, b in ((clip.frames, stored.frames), (clip.joints, stored.joints), (clip.masks, stored.masks), (clip.boxes, stored.boxes)):
        assert torch.equal(a, b)  # type: ignore[arg-type]
