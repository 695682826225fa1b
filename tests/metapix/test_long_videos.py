"""Hours of video: what is kept of a frame is small, memory grows with the length and no faster, and nothing is changed by that."""

from __future__ import annotations

import ctypes
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from metapix.cli import give_back_large_buffers
from metapix.data import pose
from metapix.data.crop import _smooth, plan_boxes
from metapix.data.folder import read_clip, write_pictures
from metapix.data.journal import CHUNK, Found, Journal, StoredMask
from metapix.data.look import Look, look_at
from metapix.data.main_person import paint_over
from metapix.data.pose import Detection, smooth_joints
from metapix.data.prepare import track_head
from metapix.data.track import tracks_of
from metapix.data.video import VideoWriter, read_video
from metapix.errors import InputError
from numpy.typing import NDArray
from torch import Tensor


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that Python and numpy have at most, on top of what there was."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def long_look(frames: int) -> Look:
    """Somebody who walks to and fro."""
    x = 32 + 16 * np.sin(np.arange(frames) / 60)
    joints = np.empty((frames, 18, 3), np.float32)
    joints[..., 0] = x[:, None] + np.linspace(-4, 4, 18)
    joints[..., 1], joints[..., 2] = np.linspace(8, 40, 18), 0.9
    bounds = np.stack([x - 5, np.full(frames, 8.0), x + 5, np.full(frames, 40.0)], axis=1)
    found = Found(np.arange(frames), joints, bounds, (None,) * frames)
    return Look(Path("walk.mp4"), found, np.arange(frames) / 30, (0.0,), (), (64, 48), 30.0, 1)


@pytest.mark.parametrize("frames", [1, 2, 40, 700])
@pytest.mark.parametrize("sigma", [0.5, 15.0, 60.0])
def test_smoothing_is_the_gaussian_mean_of_all_rows(frames: int, sigma: float) -> None:
    track = np.cumsum(np.random.default_rng(0).normal(size=(frames, 2)), axis=0) + 500
    rows = np.arange(frames)
    weights = np.exp(-0.5 * ((rows[:, None] - rows) / sigma) ** 2)
    assert np.abs(_smooth(track, sigma) - weights @ track / weights.sum(1, keepdims=True)).max() < 1e-9


def test_planning_a_crop_needs_memory_in_proportion_to_the_length() -> None:
    def peak(frames: int) -> int:
        bounds = long_look(frames).found.bounds
        return peak_of(lambda: plan_boxes(bounds, (64, 48), 30.0, "follow"))

    assert peak(40_000) < 4.4 * peak(10_000)
    assert peak(40_000) < 400 * 40_000


def test_a_clip_folder_needs_memory_in_proportion_to_the_length(tmp_path: Path) -> None:
    def pictures(frames: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(frames):
            yield torch.full((3, 8, 8), number % 256, dtype=torch.uint8), torch.full((1, 8, 8), 255, dtype=torch.uint8)

    def peak(frames: int) -> int:
        def work() -> None:
            (track,) = tracks_of(long_look(frames))
            write_pictures(track_head(track, size=8, crop="follow", name="walk"), pictures(frames), tmp_path / f"{frames}")

        return peak_of(work)

    short, long = peak(300), peak(900)
    assert long - short < 3000 * 600, "bytes for each further frame; the document alone would be 5,000 as objects"
    clip = read_clip(tmp_path / "900", lambda count: [0, count - 1])
    assert clip.frames[1].unique().tolist() == [899 % 256]


def test_joints_are_smoothed_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    joints = torch.rand(200, 18, 3, generator=torch.Generator().manual_seed(0))
    joints[..., 2] = joints[..., 2].round()  # gaps of many lengths
    whole = smooth_joints(joints, 30)
    monkeypatch.setattr(pose, "_ROWS_AT_ONCE", 7)
    assert torch.allclose(smooth_joints(joints, 30), whole, atol=1e-6)


class Standing:
    """Finds somebody, with a mask; it cannot go on in the middle of a video."""

    def __repr__(self) -> str:
        return "Standing()"

    def reset(self) -> None:
        pass

    def estimate(self, frame: NDArray[np.uint8]) -> Detection:
        height, width = frame.shape[:2]
        joints = np.stack([np.linspace(0.4, 0.6, 18) * width, np.linspace(0.2, 0.8, 18) * height, np.full(18, 0.9)], axis=1)
        mask = np.zeros((height, width), np.uint8)
        mask[height // 5 : -height // 5, width // 3 : -width // 3] = 255
        return Detection(joints.astype(np.float32), mask)


def standing_video(path: Path, frames: int, height: int, width: int) -> Path:
    with VideoWriter(path, 30) as writer:
        for _ in range(frames):
            writer.write(np.zeros((height, width, 3), np.uint8))
    return path


def test_masks_of_a_look_lie_on_the_disk(tmp_path: Path) -> None:
    video = standing_video(tmp_path / "a.mp4", 2 * CHUNK + 5, 48, 64)
    plain = look_at(video, Standing())
    look = look_at(video, Standing(), journal=Journal(tmp_path / "found", {"key": 1}))
    assert [isinstance(mask, StoredMask) for mask in look.found.masks] == [True] * (2 * CHUNK) + [False] * 5
    (track,), (other,) = tracks_of(look), tracks_of(plain)
    assert all(np.array_equal(track.mask(row), other.mask(row)) for row in range(2 * CHUNK + 5))  # type: ignore[arg-type]
    shutil.rmtree(tmp_path / "found")
    with pytest.raises(InputError, match="is damaged"):
        track.mask(0)


def test_whole_masks_are_not_collected(tmp_path: Path) -> None:
    video = standing_video(tmp_path / "a.mp4", 60, 480, 640)
    assert peak_of(lambda: look_at(video, Standing())) < 20e6, (
        "60 masks of 640 x 480 are 18 MB, and as much again where islands were cleared"
    )


def test_all_pictures_of_a_video_share_their_colour_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of its own for each took 40 times as long for small pictures, and left 100 MB of memory in pieces."""
    made: list[str] = []
    for where in ("video_pixels", "video_writer"):
        monkeypatch.setattr(f"metapix.data.{where}.VideoReformatter", lambda where=where: made.append(where) or VideoReformatter())
    video = standing_video(tmp_path / "a.mp4", 20, 48, 64)
    assert sum(1 for _ in read_video(video)) == 20
    assert made == ["video_writer", "video_pixels"]


def test_the_command_has_malloc_give_large_buffers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *values: asked.append(values)))
    give_back_large_buffers()
    assert asked == [(-3, 2**22)]
    assert 2**22 < 1920 * 1080 * 3
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())  # as on other systems
    give_back_large_buffers()


def test_mediapipes_masks_are_let_go_at_once() -> None:
    """Its result is a class, which is in a cycle: only the garbage collector frees it."""
    results: list[type] = []

    def process(_: object) -> type:
        results.append(type("SolutionOutputs", (), {"pose_landmarks": None, "segmentation_mask": np.zeros((1080, 1920), np.float32)}))
        return results[-1]

    estimator = pose.MediapipeEstimator()
    estimator._solution = SimpleNamespace(process=process)
    assert estimator.estimate(np.zeros((1080, 1920, 3), np.uint8)) is None
    assert results[0].__dict__["segmentation_mask"] is None


def test_people_are_painted_over_a_band_at_a_time() -> None:
    generator = np.random.default_rng(0)
    frame = generator.integers(0, 256, (150, 90, 3), np.uint8)
    person = Standing().estimate(frame)
    hidden = paint_over(frame, [person])
    middle, far = hidden[75, 45].astype(float), hidden[:10]
    assert np.abs(middle - frame.mean((0, 1))).max() <= 0.5
    assert np.array_equal(far, frame[:10])
    large = np.zeros((1080, 1920, 3), np.uint8)
    assert peak_of(lambda: paint_over(large, [Standing().estimate(large)])) < 6 * large.nbytes
