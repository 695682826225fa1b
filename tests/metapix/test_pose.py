"""Joints: mediapipe's landmarks in our order, gaps filled, jitter gone, motion kept."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metapix.data.pose import MediapipeEstimator, joints_from_mediapipe, smooth_joints
from metapix.data.sides import untangle_sides
from metapix.errors import InputError
from metapix.poses.skeleton import INDEX, MIRROR
from torch import Tensor


def constant_confidence(points: Tensor, confidence: float = 1.0) -> Tensor:
    """(N, 2) positions as an (N, 18, 3) track that every joint follows."""
    track = torch.cat([points, torch.full_like(points[:, :1], confidence)], dim=1)
    return track[:, None].repeat(1, 18, 1)


def test_landmarks_become_our_joints() -> None:
    points = np.zeros((33, 3))
    points[11], points[12] = (0.75, 0.5, 0.9), (0.25, 0.25, 0.4)  # left, right shoulder
    points[15], points[28], points[7] = (0.1, 0.2, 1.7), (0.3, 0.9, 0.6), (0.5, 0.0, 0.2)  # left wrist, right ankle, left ear
    joints = joints_from_mediapipe(points, width=200, height=100)
    assert joints[INDEX["left_shoulder"]] == pytest.approx([149.5, 49.5, 0.9])
    assert joints[INDEX["neck"]] == pytest.approx([99.5, 37.0, 0.4])
    assert joints[INDEX["left_wrist"]] == pytest.approx([19.5, 19.5, 1.0])
    assert joints[INDEX["right_ankle"]] == pytest.approx([59.5, 89.5, 0.6])
    assert joints[INDEX["left_ear"]] == pytest.approx([99.5, -0.5, 0.2])


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 40), st.sampled_from([12.0, 30.0, 60.0]), st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_constant_acceleration_passes_unchanged(n: int, fps: float, motion: list[float]) -> None:
    t = torch.arange(n, dtype=torch.float64)[:, None] / fps
    start, speed, force = torch.tensor(motion, dtype=torch.float64).reshape(3, 1, 2)
    track = constant_confidence(100 * (start + speed * t + force * t.square()))
    assert torch.allclose(smooth_joints(track, fps), track, atol=1e-3)


def test_jitter_shrinks_and_fast_motion_does_not() -> None:
    fps = 60
    t = torch.arange(240, dtype=torch.float64) / fps
    swing = 50 * torch.stack([torch.sin(2 * torch.pi * 2 * t), torch.cos(2 * torch.pi * 2 * t)], dim=1)  # two kicks a second
    noise = torch.randn(240, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    smooth = smooth_joints(constant_confidence(swing), fps)[10:-10, 0, :2]
    assert (smooth - swing[10:-10]).abs().max() < 0.5, "1% of the swing, and no lag"
    residue = smooth_joints(constant_confidence(noise), fps)[10:-10, 0, :2]
    assert residue.std() < 0.75 * noise.std()


def test_uncertain_frames_weigh_less() -> None:
    track = constant_confidence(torch.zeros(15, 2))
    track[7, :, 0] = 10
    equal = smooth_joints(track, 60)[7, 0, 0]
    track[7, :, 2] = 0.2
    assert smooth_joints(track, 60)[7, 0, 0] < 0.6 * equal


def test_short_gaps_are_filled_and_long_ones_left() -> None:
    track = constant_confidence(torch.arange(60.0)[:, None].repeat(1, 2) * 2, 0.8)
    track[10:20, 3] = torch.tensor([500.0, 500.0, 0.05])  # 10 frames at 30 a second: a third of a second
    track[30:41, 3] = torch.tensor([500.0, 500.0, 0.05])  # 11 frames
    track[:2, 5] = torch.tensor([7.0, 7.0, 0.0])  # before the first sight: nothing to interpolate from
    track[20, 3, 2] = 0.5
    smooth = smooth_joints(track, 30)
    assert torch.allclose(smooth[10:20, 3, :2], torch.arange(10.0, 20.0)[:, None].repeat(1, 2) * 2, atol=1e-3)
    assert torch.allclose(smooth[10:20, 3, 2], torch.tensor(0.5))
    assert torch.equal(smooth[30:41, 3], track[30:41, 3])
    assert torch.equal(smooth[:2, 5], track[:2, 5])
    assert torch.equal(smooth[..., 2][:, 4], track[..., 2][:, 4])


def test_smoothing_goes_by_time_where_the_rate_is_uneven() -> None:
    times = np.concatenate([np.arange(20) / 10, 2 + np.arange(40) / 30, 600 + np.arange(40) / 30])
    t = torch.from_numpy(times)[:, None].repeat(1, 2)
    parabola = constant_confidence(3 * t.clamp(max=100) ** 2 + 5 * t)
    fps = 99 / times[-1]  # the mean, of which the pause of ten minutes makes a sixth of a frame a second
    assert torch.allclose(smooth_joints(parabola, fps, times), parabola, atol=1e-3)
    noise = constant_confidence(torch.randn(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    smooth = smooth_joints(noise, fps, times)
    alone = smooth_joints(noise[60:], 30)
    assert torch.allclose(smooth[60:], alone, atol=1e-6), "what is minutes away has no say"
    assert torch.allclose(smooth[1:19], noise[1:19], atol=1e-6), "a tenth of a second is too far away"


def test_gaps_are_short_or_long_by_time() -> None:
    times = np.concatenate([np.arange(10) / 30, [0.6], 0.7 + np.arange(10) / 30])
    track = constant_confidence(torch.from_numpy(times)[:, None].repeat(1, 2) * 10)
    track[10, 3, 2] = 0
    track[14:17, 5, 2] = 0
    filled = smooth_joints(track, 20 / times[-1], times)
    assert filled[10, 3, 2] == 0, "0.4 s between its neighbours are too long"
    assert torch.allclose(filled[14:17, 5, :2], track[14:17, 5, :2], atol=1e-3)
    assert (filled[14:17, 5, 2] == 1).all()


def test_swapped_sides_are_put_right() -> None:
    generator = np.random.default_rng(0)
    walk = (generator.uniform(0, 200, (1, 18, 3)) + generator.normal(0, 2, (30, 18, 3)).cumsum(0)).astype(np.float32)
    walk[..., 2] = 0.8
    found = walk.copy()
    for i in (3, 10, 11, 12, 29):
        found[i] = walk[i, list(MIRROR)]
    assert np.array_equal(untangle_sides(found), walk)
    assert np.array_equal(untangle_sides(walk), walk)
    found[0] = walk[0, list(MIRROR)]
    assert np.array_equal(untangle_sides(found), walk), "what most frames say counts, not what the first says"


def test_a_track_of_one_or_two_frames_is_kept() -> None:
    for n in (1, 2):
        track = constant_confidence(torch.rand(n, 2, generator=torch.Generator().manual_seed(0)))
        assert torch.allclose(smooth_joints(track, 30), track, atol=1e-5)


def test_missing_mediapipe_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.pose", None)
    with pytest.raises(InputError, match=r"pip install mediapipe==0\.10\.21"):
        MediapipeEstimator().estimate(np.zeros((32, 32, 3), np.uint8))


def test_estimator_is_silent_and_leaves_standard_error_open(capfd: pytest.CaptureFixture[str]) -> None:
    with MediapipeEstimator() as estimator:
        assert estimator.estimate(np.zeros((64, 64, 3), np.uint8)) is None
        os.write(2, b"still open")
    assert capfd.readouterr().err == "still open"
