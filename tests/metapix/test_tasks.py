"""The protocol's choice of frames against loops, and clips as samples."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import floor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metapix.data.clip import Clip
from metapix.errors import InputError
from metapix.poses.pose_input import joint_heatmaps
from metapix.tasks import ClipSamples, evenly_spaced, nearest_frames, split

from gan_meta import BatchSource, FewShotTasks
from tests.metapix.clips import noise_clip


def numbered_clip(frames: int) -> Clip:
    """Each frame's pixels are its number, up to 255."""
    return Clip("numbered", torch.arange(frames, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2), torch.zeros(frames, 18, 3))


def numbers(clip: Clip) -> list[int]:
    """Which frames of :func:`numbered_clip` these are."""
    return clip.frames[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("frames", [2, 3, 7, 20, 40, 60, 100, 200])
def test_split_is_the_first_85_in_100_and_the_rest(frames: int) -> None:
    first, rest = split(numbered_clip(frames))
    border = floor(Fraction(85, 100) * frames)
    assert numbers(first) == list(range(border))
    assert numbers(rest) == list(range(border, frames))


def test_a_clip_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(InputError, match="'numbered' has 1 frames; it takes at least 2"):
        split(numbered_clip(1))
    with pytest.raises(InputError, match="has 0 frames"):
        split(numbered_clip(0))


@given(st.integers(2, 120), st.data())
@settings(max_examples=60, deadline=None)
def test_evenly_spaced_frames_span_the_clip_with_equal_gaps(frames: int, data: st.DataObject) -> None:
    shots = data.draw(st.integers(2, frames))
    chosen = numbers(evenly_spaced(numbered_clip(frames), shots))
    gaps = [later - earlier for earlier, later in itertools.pairwise(chosen)]
    assert (chosen[0], chosen[-1]) == (0, frames - 1)
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def test_five_of_85_are_those_of_the_measured_facts_and_one_is_the_middle() -> None:
    assert numbers(evenly_spaced(numbered_clip(85), 5)) == [0, 21, 42, 63, 84]
    assert numbers(evenly_spaced(numbered_clip(9), 1)) == [4]


@pytest.mark.parametrize("shots", [0, -1, 8])
def test_more_frames_than_there_are_is_refused(shots: int) -> None:
    with pytest.raises(InputError, match=rf"{shots} frames were asked for, but clip 'numbered' has 7 .* 1 to 7"):
        evenly_spaced(numbered_clip(7), shots)


def test_the_nearest_frame_is_the_one_a_loop_finds() -> None:
    shots, joints = noise_clip(6, 16, seed=1, unseen=0.3), noise_clip(40, 16, seed=2, unseen=0.3).joints
    expected = [min(range(6), key=lambda shot: _distance(pose, shots.joints[shot])) for pose in joints]
    assert nearest_frames(shots, joints).tolist() == expected
    assert len(set(expected)) > 3


def _distance(pose: torch.Tensor, shot: torch.Tensor) -> float:
    both = [joint for joint in range(18) if pose[joint, 2] > 0 and shot[joint, 2] > 0]
    difference = torch.stack([pose[joint, :2].double() - shot[joint, :2].double() for joint in both])
    return float(sum((row - difference.mean(0)).square().sum() for row in difference) / len(both))


@given(st.floats(-200, 200), st.floats(-200, 200), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_a_pose_elsewhere_in_the_picture_is_the_same_pose(right: float, down: float, shot: int) -> None:
    shots = noise_clip(6, 16, seed=1)
    moved = shots.joints[[shot]] + torch.tensor([right, down, 0.0])
    assert nearest_frames(shots, moved).tolist() == [shot]


def test_a_shot_with_one_joint_in_common_tells_nothing() -> None:
    shots = noise_clip(2, 16, seed=4)
    shots.joints[0, 1:, 2] = 0
    assert nearest_frames(shots, noise_clip(5, 16, seed=5).joints).tolist() == [1] * 5
    shots.joints[1, :, 2] = 0
    assert nearest_frames(shots, noise_clip(1, 16, seed=5).joints).tolist() == [0]


def test_samples_of_two_clips_follow_each_other() -> None:
    first, second = noise_clip(3, 16, seed=1), noise_clip(2, 16, seed=2)
    samples = ClipSamples([first, second])
    assert isinstance(samples, BatchSource)
    assert len(samples) == 5
    batch = samples.batch([4, 0, 4])
    assert torch.equal(batch["pose"][:2], joint_heatmaps(torch.stack([second.joints[1], first.joints[0]]), 16))
    assert torch.equal(batch["image"][0], batch["image"][2])
    assert torch.allclose(batch["image"][1], first.frames[0].double().div(255).mul(2).sub(1).float(), atol=1e-6)
    task = FewShotTasks([samples], shots=4).sample(0)
    assert {name: tuple(tensor.shape) for name, tensor in task.support.items()} == {"pose": (4, 18, 16, 16), "image": (4, 3, 16, 16)}


def test_samples_need_clips_of_one_size() -> None:
    with pytest.raises(ValueError, match=r"got sizes \[16, 24\]"):
        ClipSamples([noise_clip(2, 16), noise_clip(2, 24)])
    with pytest.raises(ValueError, match="one or more"):
        ClipSamples([])


def test_samples_are_made_on_the_device_they_are_asked_for_on() -> None:
    samples = ClipSamples([noise_clip(3, 16)])
    batch = samples.made_on("meta").batch([0, 2])
    assert {name: (tensor.device.type, tuple(tensor.shape)) for name, tensor in batch.items()} == {
        "pose": ("meta", (2, 18, 16, 16)),
        "image": ("meta", (2, 3, 16, 16)),
    }
    assert samples.batch([0])["pose"].device.type == "cpu"
    assert samples.made_on("meta").frames is samples.frames
