"""Aligning poses: scale, offset, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metapix.data.drawn import draw_clip
from metapix.errors import InputError
from metapix.poses.retarget import align_poses
from metapix.poses.skeleton import INDEX

ANKLES = [INDEX["left_ankle"], INDEX["right_ankle"]]


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    """Nine poses of a person, all joints seen, with confidences of their own."""
    joints = draw_clip(5, 9, 32).joints
    joints[..., 2] = torch.linspace(0.1, 1, 9 * 18).reshape(9, 18)
    return joints


def test_a_person_who_drives_themselves_stays_as_they_are(poses: torch.Tensor) -> None:
    assert torch.allclose(align_poses(poses, poses), poses, atol=1e-4)


@given(st.floats(0.2, 5), st.floats(-300, 300), st.floats(-300, 300))
@settings(max_examples=40, deadline=None)
def test_a_larger_driver_elsewhere_comes_back_exactly(poses: torch.Tensor, scale: float, right: float, down: float) -> None:
    target, driver = poses, poses.clone()
    driver[..., :2] = target[..., :2] * scale + torch.tensor([right, down])
    assert torch.allclose(align_poses(driver, target)[..., :2], target[..., :2], atol=2e-3)


def test_one_scale_and_one_offset_for_the_whole_video(poses: torch.Tensor) -> None:
    driver = draw_clip(8, 12, 48).joints
    aligned = align_poses(driver, poses)
    design = torch.cat([driver[..., :2].reshape(-1, 2).double(), torch.ones(12 * 18, 1, dtype=torch.float64)], 1)
    fit = torch.linalg.lstsq(design, aligned[..., :2].reshape(-1, 2).double()).solution
    assert fit[0, 0] == pytest.approx(float(fit[1, 1]), abs=1e-5)
    assert fit[0, 1] == pytest.approx(0, abs=1e-5)
    assert torch.allclose(design @ fit, aligned[..., :2].reshape(-1, 2).double(), atol=1e-4)
    assert torch.equal(aligned[..., 2], driver[..., 2])
    floors = [joints[:, ANKLES, 1].amax(1).median() for joints in (aligned, poses)]
    assert floors[0] == pytest.approx(float(floors[1]), abs=1e-4)


def test_the_poses_that_were_given_stay_as_they_are(poses: torch.Tensor) -> None:
    before = poses.clone()
    align_poses(poses, poses * 0.5)
    assert torch.equal(poses, before)


@pytest.mark.parametrize("hidden", [3, 7])
def test_frames_that_show_no_feet_do_not_move_the_floor(poses: torch.Tensor, hidden: int) -> None:
    driver = poses.clone()
    driver[:, :, :2] = poses[:1, :, :2] * 2 + 11  # stands still, so that any frame tells where the floor is
    driver[:hidden, ANKLES, 2] = 0
    target = poses[:1].expand(9, -1, -1)
    assert torch.allclose(align_poses(driver, target)[..., :2], target[..., :2], atol=1e-4)
    assert torch.allclose(align_poses(target, driver)[..., :2], driver[..., :2], atol=1e-4)


@pytest.mark.parametrize("joint", ["neck", "left_hip", "right_knee", "left_ankle"])
def test_a_body_that_is_never_seen_is_refused_in_words(poses: torch.Tensor, joint: str) -> None:
    hidden = poses.clone()
    hidden[:, INDEX[joint], 2] = 0
    with pytest.raises(InputError, match="the driver's body is not seen from neck to ankles"):
        align_poses(hidden, poses)
    with pytest.raises(InputError, match="the target's body is not seen"):
        align_poses(poses, hidden)
