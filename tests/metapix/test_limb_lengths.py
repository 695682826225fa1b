"""Limb lengths: the target's after matching, while every bone keeps its direction and the foot its height."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metapix.poses.limb_lengths import match_limbs
from metapix.poses.skeleton import BONES, INDEX

from tests.metapix.stick import pose


def walking() -> torch.Tensor:
    return torch.stack([pose(30 + x, arms=(0.2 * x, 0.5), legs=0.1 * x) for x in range(6)])


def longer_arms(joints: torch.Tensor, factor: float) -> torch.Tensor:
    changed = joints.clone()
    for side in ("left", "right"):
        shoulder, elbow, wrist = (joints[:, INDEX[f"{side}_{name}"], :2] for name in ("shoulder", "elbow", "wrist"))
        changed[:, INDEX[f"{side}_elbow"], :2] = shoulder + factor * (elbow - shoulder)
        changed[:, INDEX[f"{side}_wrist"], :2] = shoulder + factor * (elbow - shoulder) + factor * (wrist - elbow)
    return changed


def test_the_own_proportions_change_nothing() -> None:
    torch.testing.assert_close(match_limbs(walking(), walking()[:3]), walking(), rtol=0, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.6, 1.8))
def test_the_arms_become_the_targets(factor: float) -> None:
    matched = match_limbs(walking(), longer_arms(walking(), factor))
    torch.testing.assert_close(matched, longer_arms(walking(), factor), rtol=0, atol=1e-3)


def test_directions_and_the_lower_foot_stay() -> None:
    target = walking()
    target[..., 1] = 19 + 1.5 * (target[..., 1] - 19)
    poses = walking()
    poses[2, INDEX["left_wrist"], 2] = 0
    matched = match_limbs(poses, target)
    for a, b in BONES:
        before, after = (joints[:, b, :2] - joints[:, a, :2] for joints in (poses, matched))
        cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        assert cross.abs().max() < 1e-2
        assert ((before * after).sum(1) >= 0).all()
    ankles = [INDEX["left_ankle"], INDEX["right_ankle"]]
    torch.testing.assert_close(matched[:, ankles, 1].amax(1), poses[:, ankles, 1].amax(1), rtol=0, atol=1e-4)
    assert torch.equal(matched[..., 2], poses[..., 2])
