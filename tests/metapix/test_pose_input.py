"""Heatmaps and the person's region against their definitions, written out with loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from metapix.poses.pose_input import HEATMAP_SIGMA, flip, joint_heatmaps, person_discs, to_bytes, to_unit
from metapix.poses.skeleton import BONES, INDEX

from tests.metapix.clips import noise_clip


@pytest.mark.parametrize(("size", "sigma"), [(16, HEATMAP_SIGMA), (24, 0.1)])
def test_a_heatmap_is_the_gaussian_around_its_joint(size: int, sigma: float) -> None:
    joints = noise_clip(2, size, seed=3).joints
    joints[0, 4, :2] = torch.tensor([-2.5, size + 1.25])  # a joint outside the picture still shows its tail
    maps = joint_heatmaps(joints, size, sigma)
    assert maps.shape == (2, 18, size, size)
    assert maps.dtype == torch.float32
    x, y = np.arange(size)[None, :], np.arange(size)[:, None]
    for frame in range(2):
        for joint in range(18):
            across, down, _ = joints[frame, joint].double().tolist()
            expected = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * (sigma * size) ** 2))
            np.testing.assert_allclose(maps[frame, joint].numpy(), expected, atol=2e-6)


def test_an_unseen_joint_is_all_zero_and_a_doubtful_one_is_drawn_in_full() -> None:
    joints = noise_clip(1, 16).joints
    joints[0, 5, 2], joints[0, 6, 2] = 0, 0.01
    certain = joints.clone()
    certain[0, :, 2] = 1
    maps, whole = joint_heatmaps(joints, 16), joint_heatmaps(certain, 16)
    assert not maps[0, 5].any()
    assert torch.equal(maps[0, 6], whole[0, 6])
    assert whole[0, 5].max() > 0.5


def test_flip_is_the_picture_of_the_mirrored_person() -> None:
    clip = noise_clip(3, 16, seed=1)
    batch = {"pose": joint_heatmaps(clip.joints, 16), "image": to_unit(clip.frames)}
    mirrored = clip.joints.clone()
    mirrored[..., 0] = 15 - clip.joints[..., 0]
    for name, index in INDEX.items():
        other = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        mirrored[:, INDEX[other], :] = torch.stack([15 - clip.joints[:, index, 0], clip.joints[:, index, 1], clip.joints[:, index, 2]], -1)
    flipped = flip(batch)
    assert torch.allclose(flipped["pose"], joint_heatmaps(mirrored, 16), atol=1e-6)
    assert torch.equal(flipped["image"][..., 0], batch["image"][..., 15])
    twice = flip(flipped)
    assert all(torch.equal(twice[name], batch[name]) for name in batch)


def test_person_discs_are_the_points_near_a_bone_with_both_ends_seen() -> None:
    size, radius = 20, 0.11
    joints = noise_clip(3, size, seed=2, unseen=0.4).joints
    joints[1, :, 2] = 0
    joints[2, BONES[0][0], :] = joints[2, BONES[0][1], :] = torch.tensor([7.0, 9.0, 1.0])  # a bone seen from its end
    region = person_discs(joints, size, radius)
    assert region.shape == (3, 1, size, size)
    assert set(region.unique().tolist()) == {0.0, 1.0}
    assert not region[1].any()
    sure = 0
    for frame in range(3):
        for y in range(size):
            for x in range(size):
                nearest = min((_distance(x, y, joints[frame, a].tolist(), joints[frame, b].tolist()) for a, b in BONES), default=math.inf)
                if abs(nearest - radius * size) > 1e-4:
                    assert bool(region[frame, 0, y, x]) == (nearest < radius * size), (frame, x, y)
                    sure += 1
    assert sure > 1190


def _distance(x: float, y: float, start: list[float], end: list[float]) -> float:
    """From a point to a segment; infinite when an end is unseen."""
    if start[2] == 0 or end[2] == 0:
        return math.inf
    length = math.dist(start[:2], end[:2])
    if length == 0:
        return math.dist((x, y), start[:2])
    unit = [(end[axis] - start[axis]) / length for axis in (0, 1)]
    along = (x - start[0]) * unit[0] + (y - start[1]) * unit[1]
    if along < 0 or along > length:
        return min(math.dist((x, y), start[:2]), math.dist((x, y), end[:2]))
    return abs((x - start[0]) * unit[1] - (y - start[1]) * unit[0])


def test_every_byte_survives_the_way_to_the_unit_range_and_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    unit = to_unit(values)
    assert (unit.min().item(), unit.max().item()) == (-1.0, 1.0)
    assert torch.equal(to_bytes(unit), values)
    assert torch.equal(to_bytes(unit + 0.49 / 127.5), values)
    assert to_bytes(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]
