"""Posewarp's pose inputs against loops over pixels, and what becomes of joints that are outside, missing or in one place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gan_meta.models.posewarp import pose_inputs
from gan_meta.models.posewarp.inputs import limb_masks, limb_transforms, pose_maps
from tests.models.posewarp import posewarp_reference as reference


def joints(seed: int, n: int = 1, low: float = -10.0, high: float = 74.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(n, 14, 2, generator=generator, dtype=torch.float64)


def channels_last(maps: Tensor) -> np.ndarray:
    return maps.permute(1, 2, 0).numpy()


def test_pose_maps_masks_and_transforms_equal_the_loops() -> None:
    source, target = joints(0, 2), joints(1, 2)
    inputs = pose_inputs(source, target, size=(32, 64))
    assert {name: tuple(tensor.shape) for name, tensor in inputs.items()} == {
        "source_pose": (2, 14, 16, 32),
        "target_pose": (2, 14, 16, 32),
        "log_masks": (2, 11, 32, 64),
        "transforms": (2, 11, 2, 3),
    }
    for sample in range(2):
        here, there = source[sample].numpy(), target[sample].numpy()
        np.testing.assert_allclose(channels_last(inputs["source_pose"][sample]), reference.pose_map(here, 32, 64), rtol=1e-11, atol=1e-300)
        np.testing.assert_allclose(channels_last(inputs["target_pose"][sample]), reference.pose_map(there, 32, 64), rtol=1e-11, atol=1e-300)
        masks = np.log(reference.limb_masks(here, 32, 64) + 1e-10)
        np.testing.assert_allclose(channels_last(inputs["log_masks"][sample]), masks, rtol=0, atol=1e-9)
        transforms = inputs["transforms"][sample].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(transforms, reference.limb_transforms(here, there), rtol=1e-9, atol=1e-9)


def test_single_precision_at_full_size_is_close_to_the_loops() -> None:
    source, target = joints(2, 1, 20, 240), joints(3, 1, 20, 240)
    single = pose_inputs(source.float(), target.float())
    double = pose_inputs(source, target)
    assert single["log_masks"].shape == (1, 11, 256, 256)
    for name, tolerance in (("source_pose", 1e-5), ("target_pose", 1e-5), ("transforms", 1e-3)):
        torch.testing.assert_close(single[name].double(), double[name], rtol=1e-4, atol=tolerance)
    torch.testing.assert_close(single["log_masks"].exp().double(), double["log_masks"].exp(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "seen"), [(0.0, 9.0, False), (9.0, 0.0, False), (0.1, 0.1, True), (29.9, 29.9, True), (30.0, 9.0, False)]
)
def test_joints_at_the_border_are_cut_as_published(x: float, y: float, seen: bool) -> None:
    maps = pose_maps(torch.tensor([[[x, y]]], dtype=torch.float64), 32)
    assert bool(maps.any()) == seen


def test_a_batch_equals_its_samples() -> None:
    source, target = joints(4, 3), joints(5, 3)
    together = pose_inputs(source, target, size=64)
    for sample in range(3):
        alone = pose_inputs(source[sample : sample + 1], target[sample : sample + 1], size=64)
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name][sample : sample + 1], tensor, rtol=1e-12, atol=1e-12)


@given(st.floats(0.5, 2.0), st.floats(-3.1, 3.1), st.floats(-30, 30), st.floats(-30, 30))
@settings(max_examples=20, deadline=None)
def test_a_similarity_of_the_whole_body_is_found_by_every_limb(scale: float, angle: float, x: float, y: float) -> None:
    target = joints(6)
    turn = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float64)
    source = target @ turn.T + torch.tensor([x, y], dtype=torch.float64)
    found = limb_transforms(source, target)[0]
    expected = torch.cat([turn, torch.tensor([[x], [y]], dtype=torch.float64)], 1)
    torch.testing.assert_close(found[1:], expected.expand(10, 2, 3), rtol=1e-8, atol=1e-8)
    assert torch.equal(found[0], torch.eye(2, 3, dtype=torch.float64))


def test_coinciding_joints_give_the_identity_and_finite_gradients() -> None:
    source, target = joints(7, 2), joints(8, 2)
    source[0], target[0] = 20.0, 31.0  # everything in one place
    target[1, 3] = target[1, 2]
    source.requires_grad_()
    target.requires_grad_()
    inputs = pose_inputs(source, target, size=64)
    identity = torch.eye(2, 3, dtype=torch.float64)
    assert torch.equal(inputs["transforms"][0], identity.expand(11, 2, 3))
    assert torch.equal(inputs["transforms"][1, 2], identity)
    assert not torch.equal(inputs["transforms"][1, 3], identity)
    expected = np.log(reference.limb_masks(source[0].detach().numpy(), 64, 64) + 1e-10)
    np.testing.assert_allclose(channels_last(inputs["log_masks"][0].detach()), expected, rtol=0, atol=1e-9)
    gradients = torch.autograd.grad(sum(tensor.sum() for tensor in inputs.values()), [source, target])
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_missing_joints_leave_their_maps_empty_and_the_others_alone() -> None:
    source, target = joints(9, 2, 10, 50), joints(10, 2, 10, 50)
    whole = pose_inputs(source, target, size=64)
    holed = source.clone()
    holed[1, 4] = float("nan")  # the right wrist: limb 2, at place 3
    holed.requires_grad_()
    inputs = pose_inputs(holed, target, size=64)
    assert not inputs["source_pose"][1, 4].any()
    torch.testing.assert_close(inputs["log_masks"][1, 3], torch.full((64, 64), 1e-10, dtype=torch.float64).log())
    assert torch.equal(inputs["transforms"][1, 3], torch.eye(2, 3, dtype=torch.float64))
    others = [limb for limb in range(1, 11) if limb != 3]
    for name in ("log_masks", "transforms"):
        assert torch.equal(inputs[name][1, others], whole[name][1, others])
        assert torch.equal(inputs[name][0], whole[name][0])
    (gradient,) = torch.autograd.grad(sum(tensor.sum() for tensor in inputs.values()), holed)
    assert bool(gradient.isfinite().all())
    assert not gradient[1, 4].any()
    assert gradient[1, 3].any()


def test_joints_far_outside_stay_finite() -> None:
    far = joints(11, 1, -1e4, 1e4).float().requires_grad_()
    inputs = pose_inputs(far, joints(12, 1, -1e4, 1e4).float(), size=64)
    assert all(bool(tensor.isfinite().all()) for tensor in inputs.values())
    (gradient,) = torch.autograd.grad(sum(tensor.sum() for tensor in inputs.values()), far)
    assert bool(gradient.isfinite().all())


def test_gradients_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(13)
    shapes = {"source_pose": (1, 14, 16, 16), "target_pose": (1, 14, 16, 16), "log_masks": (1, 11, 32, 32), "transforms": (1, 11, 2, 3)}
    probes = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}

    def measure(source: Tensor, target: Tensor) -> Tensor:
        inputs = pose_inputs(source, target, size=32)
        inputs["log_masks"] = inputs["log_masks"].exp()  # near 0 the logarithm is too steep for differences
        return torch.stack([(inputs[name] * probe).sum() for name, probe in probes.items()])

    source, target = (joints(seed, 1, 4, 27).requires_grad_() for seed in (14, 15))
    assert torch.autograd.gradcheck(measure, (source, target), eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("source", "size", "limbs", "message"),
    [
        (torch.zeros(1, 14, 2), 100, reference.LIMBS, r"multiple of 32: a number or \(height, width\), got 100"),
        (torch.zeros(1, 14, 2), (64, 0), reference.LIMBS, "multiple of 32"),
        (torch.zeros(1, 14, 2), (64, 64, 3), reference.LIMBS, "multiple of 32"),
        (torch.zeros(14, 2), 64, reference.LIMBS, r"both be \(N, J, 2\) floating point .* got \(14, 2\)"),
        (torch.zeros(1, 14, 2, dtype=torch.long), 64, reference.LIMBS, "got .* of torch.int64"),
        (torch.zeros(1, 9, 2), 64, reference.LIMBS, r"limb 5 must name two or four of the joints 0 to 8, got \(8, 9\)"),
        (torch.zeros(1, 14, 2), 64, [[0, 1, 2]], "limb 0 must name two or four"),
    ],
)
def test_mistakes_are_named(source: Tensor, size, limbs, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pose_inputs(source, source, size=size, limbs=limbs)


def test_masks_of_all_limbs_leave_the_background_the_rest() -> None:
    masks = limb_masks(joints(16, 2, 5, 60), 64)
    torch.testing.assert_close(masks[:, 0], 1 - masks[:, 1:].max(1).values)
    assert 0 <= masks.min() <= masks.max() < 1
