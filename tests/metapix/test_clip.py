"""Clips keep pictures and joints together, at any size."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from metapix.data.clip import Clip

from tests.metapix.clips import noise_clip


def dotted_clip(places: list[tuple[float, float]], size: int, sigma: float) -> Clip:
    """A bright blob where joint 0 of each frame is, in the frames and in the masks."""
    x, y = np.arange(size)[None, :], np.arange(size)[:, None]
    blobs = [np.rint(255 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2))) for a, b in places]
    masks = torch.from_numpy(np.stack(blobs).astype(np.uint8))[:, None]
    joints = torch.zeros(len(places), 18, 3)
    joints[:, 0] = torch.tensor([[a, b, 1.0] for a, b in places])
    boxes = torch.tensor([[10.0 * n, 20.0, 96.0] for n in range(len(places))])
    return Clip("dots", masks.expand(-1, 3, -1, -1), joints, 12.5, masks, boxes, "real")


@pytest.mark.parametrize("size", [16, 24, 50, 64, 100, 128])
def test_a_dot_lands_where_its_joint_says(size: int) -> None:
    clip = dotted_clip([(20.0, 41.0), (31.3, 17.75), (44.5, 30.2)], 64, sigma=4.0)
    resized = clip.resized(size)
    assert resized.masks is not None
    assert (resized.size, len(resized), resized.fps, resized.kind, resized.name) == (size, 3, 12.5, "real", "dots")
    for pictures in (resized.frames[:, 1], resized.masks[:, 0]):
        for picture, joint in zip(pictures.double().numpy(), resized.joints[:, 0], strict=True):
            down, across = np.indices(picture.shape)
            centre = (picture * across).sum() / picture.sum(), (picture * down).sum() / picture.sum()
            assert centre == pytest.approx(joint[:2].tolist(), abs=0.05)
    assert torch.equal(resized.joints[..., 2], clip.joints[..., 2])


def test_a_quarter_of_a_block_is_one_pixel() -> None:
    frames = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    frames[..., 8:12, 16:20] = 200
    joints = torch.zeros(1, 18, 3)
    joints[0, 0] = torch.tensor([17.5, 9.5, 1.0])
    small = Clip("block", frames, joints).resized(8)
    assert small.joints[0, 0].tolist() == [4.0, 2.0, 1.0]
    assert small.frames[0, 0].argmax().item() == 2 * 8 + 4


def test_the_camera_sees_the_joints_at_the_same_place() -> None:
    clip = dotted_clip([(20.0, 41.0), (31.3, 17.75)], 64, sigma=2.0)
    places = []
    for version in (clip, clip.resized(24)):
        assert version.boxes is not None
        places.append(version.boxes[:, :2] + (version.joints[:, 0, :2] + 0.5) * version.boxes[:, 2:] / version.size - 0.5)
    assert torch.allclose(*places, atol=1e-4)


def test_the_same_size_is_the_same_clip_and_the_source_is_untouched() -> None:
    clip = noise_clip(2)
    before = clip.joints.clone()
    assert clip.resized(16) is clip
    clip.resized(8)
    assert torch.equal(clip.joints, before)


def test_select_takes_everything_along() -> None:
    clip = dotted_clip([(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)], 8, sigma=1.0)
    for indices, order in (([2, 0], [2, 0]), (slice(0, 3, 2), [0, 2])):
        picked = clip.select(indices)
        assert picked.masks is not None
        assert picked.boxes is not None
        assert picked.joints[:, 0, 0].tolist() == [1.0 + 2 * number for number in order]
        assert picked.boxes[:, 0].tolist() == [10.0 * number for number in order]
        assert torch.equal(picked.masks[:, 0], picked.frames[:, 2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": torch.zeros(2, 3, 8, 8)}, r"frames must be \(2, 3, 8, 8\) torch.uint8, got .* torch.float32"),
        ({"frames": torch.zeros(2, 3, 8, 9, dtype=torch.uint8)}, r"frames must be \(2, 3, 9, 9\)"),
        ({"frames": torch.zeros(2, 8, 8, dtype=torch.uint8)}, r"frames must be \(2, 3, 8, 8\)"),
        ({"joints": torch.zeros(3, 18, 3)}, r"joints must be \(2, 18, 3\) torch.float32, got \(3, 18, 3\)"),
        ({"joints": torch.zeros(2, 17, 3)}, r"joints must be \(2, 18, 3\)"),
        ({"joints": torch.zeros(2, 18, 3, dtype=torch.float64)}, r"joints must be .* got \(2, 18, 3\) torch.float64"),
        ({"masks": torch.zeros(2, 8, 8, dtype=torch.uint8)}, r"masks must be \(2, 1, 8, 8\)"),
        ({"boxes": torch.zeros(2, 4)}, r"boxes must be \(2, 3\)"),
    ],
)
def test_shapes_that_disagree_are_refused_in_words(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"frames": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "joints": torch.zeros(2, 18, 3)}
    Clip("c", **good)
    with pytest.raises(ValueError, match=f"clip 'c': {words}"):
        Clip("c", **{**good, **change})


def test_selected_frames_keep_their_times_unless_they_go_back() -> None:
    times = torch.tensor([0, 0.1, 0.5, 0.6], dtype=torch.float64)
    clip = dataclasses.replace(noise_clip(4), times=times, fps=5.0)
    some = clip.select([1, 3])
    assert some.times is not None
    assert (some.times.tolist(), some.fps) == ([0, pytest.approx(0.5)], pytest.approx(2))
    assert clip.select([3, 1]).times is None
    assert clip.select([2]).times is not None
    assert clip.resized(8).times is times
    assert clip.uneven_times is not None
    assert dataclasses.replace(clip, times=torch.arange(4, dtype=torch.float64) / 5).uneven_times is None
    with pytest.raises(ValueError, match="times must be"):
        dataclasses.replace(clip, times=times[:2])
