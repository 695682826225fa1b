"""Laws of the augmentation: one draw for both images of a pair, joints that move with the pixels, the published ranges."""

from __future__ import annotations

import math

import pytest
import torch

import gan_meta as gm
from gan_meta.models.limbs import pixel_grid
from gan_meta.models.posewarp import PosewarpAugmentation, mirror_pairs
from gan_meta.models.posewarp.augmentation import MIRROR
from gan_meta.models.posewarp.inputs import limb_masks, pose_inputs
from gan_meta.seeds import seeded

STILL = {"scale": (1.0, 1.0), "degrees": 0.0, "saturation": 0.0, "shift": 0.0, "mirror": 0.0}


def blobs(joints: torch.Tensor, size: int) -> torch.Tensor:
    """(N, 3, size, size) in [-1, 1]: a soft dot at each of the first three joints, one a colour."""
    grid = pixel_grid(size, size, like=joints)
    squared = (grid - joints[:, :3, None, None]).square().sum(-1)
    return 2 * torch.exp(-squared / 18) - 1


def pairs(n: int, size: int = 64) -> gm.Batch:
    draws = torch.Generator().manual_seed(1)
    joints = {name: (0.3 + 0.4 * torch.rand(n, 14, 2, generator=draws)) * size for name in ("source_joints", "target_joints")}
    return {"source": blobs(joints["source_joints"], size), "image": blobs(joints["target_joints"], size), **joints}


def changed(batch: gm.Batch, seed: int = 0, **options) -> gm.Batch:
    with seeded(seed, torch.device("cpu")):
        return PosewarpAugmentation(**options)(batch)


def test_joints_move_with_their_pixels():
    batch = changed(pairs(12), saturation=0.0, mirror=0.0)
    for image, joints in (("source", "source_joints"), ("image", "target_joints")):
        weight = (batch[image] + 1).clamp(min=0.1) - 0.1
        grid = pixel_grid(64, 64, like=weight)
        centre = (weight[..., None] * grid).sum((2, 3)) / weight.sum((2, 3))[..., None]
        assert float((centre - batch[joints][:, :3]).abs().max()) < 0.3


def test_both_images_of_a_pair_get_one_draw_and_each_pair_its_own():
    batch = pairs(16)
    twins = {**batch, "image": batch["source"], "target_joints": batch["source_joints"]}
    found = changed(twins)
    assert torch.equal(found["source"], found["image"])
    assert torch.equal(found["source_joints"], found["target_joints"])
    moved = found["source_joints"][:, 0] - batch["source_joints"][:, 0]
    assert len({tuple(move) for move in moved.round(decimals=4).tolist()}) == 16
    assert not torch.equal(found["source"], changed(twins, seed=1)["source"])
    assert torch.equal(found["source"], changed(twins)["source"])


def test_the_ranges_are_the_published_ones():
    count = 4000
    corners = torch.tensor([[0.0, 0.0], [255.0, 0.0]]).repeat(7, 1).expand(count, 14, 2)
    batch = {"source": torch.full((count, 3, 1, 1), 0.5), "image": torch.full((count, 3, 1, 1), 0.99)}
    batch |= {"source_joints": corners, "target_joints": corners}
    with seeded(0, torch.device("cpu")):
        draws = torch.rand(count, 6)
    moves = PosewarpAugmentation()._moves(draws, 256, 256)
    lengths = moves[:, :, 0].norm(dim=1)
    assert 0.90 <= float(lengths.min()) < 0.905
    assert 1.045 < float(lengths.max()) <= 1.0501
    mirrored = moves[:, :, :2].det() < 0
    assert abs(float(mirrored.float().mean()) - 0.5) < 0.03
    angles = torch.atan2(moves[:, 1, 0], moves[:, 1, 1])
    assert 4.9 < math.degrees(float(angles.abs().max())) <= 5.0001
    centre = torch.tensor([127.5, 127.5])
    shifts = ((moves[:, :, :2] @ centre) + moves[:, :, 2] - centre).round(decimals=3)
    assert set(shifts.flatten().abs().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}  # int(10 (u - 1/2)): towards 0
    colours = changed(batch)
    factors = colours["source"].flatten() / 0.5
    assert 0.95 <= float(factors.min()) < 0.952
    assert 1.048 < float(factors.max()) <= 1.05
    assert float(colours["image"].max()) == 1.0


def test_a_mirrored_pair_is_the_mirror_image_with_sides_swapped():
    batch = {**pairs(3), "weight": torch.rand(3, 1, 64, 64)}
    batch["source_joints"][0, 4] = float("nan")
    found = changed(batch, **{**STILL, "mirror": 1.0})
    for name in ("source", "image", "weight"):
        torch.testing.assert_close(found[name], batch[name].flip(-1), rtol=0, atol=1e-5)
    for name in ("source_joints", "target_joints"):
        expected = batch[name][:, list(MIRROR)]
        expected = torch.stack([63 - expected[..., 0], expected[..., 1]], -1)
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-4, equal_nan=True)
    for name, tensor in mirror_pairs(batch).items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-4, equal_nan=True)
    assert bool(found["source_joints"][0, 7].isnan().all()), "a missing right wrist is a missing left one in the mirror"
    still = changed(batch, **STILL)
    for name, tensor in batch.items():
        torch.testing.assert_close(still[name], tensor, rtol=0, atol=1e-4, equal_nan=True)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="scale must be two positive numbers in order"):
        PosewarpAugmentation(scale=(1.1, 0.9))
    with pytest.raises(ValueError, match="mirror is a probability"):
        PosewarpAugmentation(mirror=1.5)


def test_narrower_limbs_on_a_smaller_picture_are_the_published_masks_made_smaller():
    joints = torch.rand(2, 14, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 200 + 28
    large = limb_masks(joints, 256)
    small = limb_masks(joints / 4, 64, limb_width=0.25)
    torch.testing.assert_close(small[:, 1:], large[:, 1:, ::4, ::4], rtol=0, atol=0.02)
    assert torch.equal(pose_inputs(joints, joints)["log_masks"], pose_inputs(joints, joints, limb_width=1.0)["log_masks"])
    with pytest.raises(ValueError, match="limb_width must be a positive number"):
        limb_masks(joints, 64, limb_width=0.0)
