"""Posewarp's layers against loops over pixels and closed forms: the warp also far outside, "same" padding, the upsampling."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gan_meta.models import limbs
from gan_meta.models.posewarp.layers import SameConv2d, same_padding, upsample, warp_padded
from tests.models.posewarp import posewarp_reference as reference

DOUBLE = torch.float64


def images(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE) * 2 - 1


def by_loops(function, batch: Tensor, *others) -> Tensor:
    return reference.each(function, batch, *others)


# -- "same" padding -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3))
def test_same_padding_makes_the_fewest_zeros_for_ceil_length_over_stride(length: int, kernel: int, stride: int) -> None:
    before, after = same_padding(length, kernel, stride)
    outputs = math.ceil(length / stride)
    padded = length + before + after
    assert (padded - kernel) // stride + 1 == outputs
    assert after - before in (0, 1)
    if before + after:  # one zero less and an output is lost
        assert (padded - 1 - kernel) // stride + 1 < outputs


def test_stride_two_pads_an_even_size_at_the_bottom_and_right_only() -> None:
    assert same_padding(8, 3, 2) == (0, 1)
    convolution = SameConv2d(1, 1, 3, stride=2).double()
    with torch.no_grad():
        convolution.weight.fill_(1)
    # Of a picture of ones each output counts the pixels its window has inside the picture.
    counted = convolution(torch.ones(1, 1, 4, 6, dtype=DOUBLE))[0, 0]
    assert torch.equal(counted, torch.tensor([[9.0, 9, 6], [6, 6, 4]], dtype=DOUBLE))


def test_stride_one_equals_symmetric_padding_and_odd_sizes_work() -> None:
    convolution = SameConv2d(2, 3, 7).double()
    x = images(0, 2, 2, 9, 5)
    assert torch.equal(convolution(x), F.conv2d(x, convolution.weight, convolution.bias, padding=3))
    assert SameConv2d(2, 3, 3, stride=2).double()(x).shape == (2, 3, 5, 3)


# -- the upsampling -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 2, 5), (1, 1, 7, 3)])
def test_upsampling_equals_the_loops(shape: tuple[int, ...]) -> None:
    x = images(1, *shape)
    torch.testing.assert_close(upsample(x), by_loops(reference.upsample, x), rtol=0, atol=1e-13)


def test_upsampling_reads_half_positions_and_mirrors_the_edge() -> None:
    row = torch.tensor([[[[0.0, 2.0, 10.0], [0.0, 2.0, 10.0]]]])
    assert torch.equal(upsample(row)[0, 0, 0], torch.tensor([0.0, 1, 2, 6, 10, 6]))
    assert torch.equal(upsample(torch.full((1, 1, 1, 1), 3.0)), torch.full((1, 1, 2, 2), 3.0))


# -- the warp -------------------------------------------------------------------------------------------------------------------


def similarity(scale: float, angle: float, x: float, y: float) -> Tensor:
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[a, -b, x], [b, a, y]], dtype=DOUBLE)


@given(st.floats(0.0, 4.0), st.floats(-3.2, 3.2), st.floats(-60, 60), st.floats(-60, 60))
@settings(max_examples=25, deadline=None)
def test_the_warp_equals_the_published_lookup(scale: float, angle: float, x: float, y: float) -> None:
    batch, transform = images(2, 1, 2, 6, 9), similarity(scale, angle, x, y)
    expected = by_loops(reference.warp, batch, [transform.numpy()])
    torch.testing.assert_close(warp_padded(batch, transform[None]), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("far", [10.0, 1e3, 1e5])
def test_far_outside_it_is_the_mirrored_border_as_in_the_published_lookup(far: float) -> None:
    """Whose weights, products like 1e5 * (1 - 1e5), cancel: they lose as many digits as they have, ours none."""
    batch = images(3, 4, 1, 5, 5)
    transforms = torch.stack([similarity(1, 0, x * far, y * far) for x, y in ((1, 0), (-1, 0), (0, 1), (-0.7, -0.9))])
    found = warp_padded(batch, transforms)
    expected = by_loops(reference.warp, batch, list(transforms.numpy()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15 * (2 * far) ** 2 + 1e-13)
    assert torch.equal(found[0, 0, :, 0], batch[0, 0, :, -2])  # one mirrored pixel beyond the last column
    assert torch.equal(found[3, 0], batch[3, 0, 1, 1].expand(5, 5))  # and the corner's
    single = warp_padded(batch.float(), transforms.float())
    assert torch.equal(single[3], found[3].float())


def test_the_identity_and_whole_shifts_are_exact() -> None:
    batch = images(4, 1, 3, 6, 7)
    assert torch.equal(warp_padded(batch, similarity(1, 0, 0, 0)[None]), batch)
    shifted = warp_padded(batch, similarity(1, 0, 2, 1)[None])
    assert torch.equal(shifted[..., :5, :5], batch[..., 1:, 2:])


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_the_cleaner_modes_equal_the_shared_warp(padding: str) -> None:
    batch = images(5, 3, 2, 8, 8)
    transforms = torch.stack([similarity(0.7, 0.4, 3, -2), similarity(1.5, -2, 20, 5), similarity(1, 0, -0.5, 7.25)])
    torch.testing.assert_close(warp_padded(batch, transforms, padding), limbs.warp(batch, transforms, padding), rtol=0, atol=1e-12)


def test_a_batch_equals_its_samples() -> None:
    batch = images(6, 3, 2, 6, 6)
    transforms = torch.stack([similarity(0.7, 0.4, 3, -2), similarity(1.5, -2, 20, 5), similarity(1, 0, -0.5, 7.25)])
    together = warp_padded(batch, transforms)
    for sample in range(3):
        assert torch.equal(together[sample : sample + 1], warp_padded(batch[sample : sample + 1], transforms[sample : sample + 1]))


@pytest.mark.parametrize("padding", ["published", "zeros", "border"])
def test_first_and_second_derivatives_agree_with_finite_differences(padding: str) -> None:
    batch = images(7, 2, 1, 4, 4).requires_grad_()
    transforms = torch.stack([similarity(0.6, 0.4, 0.9, 0.3), similarity(0.9, 1.0, 3.1, 0.4)]).requires_grad_()

    def warped(batch: Tensor, transforms: Tensor) -> Tensor:
        return warp_padded(batch, transforms, padding)

    assert torch.autograd.gradcheck(warped, (batch, transforms))
    assert torch.autograd.gradgradcheck(warped, (batch, transforms))


def test_upsampling_has_derivatives_of_second_order() -> None:
    batch = images(8, 1, 1, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(upsample, (batch,))
    assert torch.autograd.gradgradcheck(lambda x: upsample(x).square(), (batch,))


def test_a_place_that_is_no_number_stays_visible() -> None:
    transform = similarity(1, 0, 0, 0)
    transform[0, 2] = float("nan")
    assert bool(warp_padded(images(9, 1, 1, 4, 4), transform[None]).isnan().all())


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown warp padding 'zero': did you mean 'zeros'"):
        warp_padded(images(0, 1, 1, 4, 4), similarity(1, 0, 0, 0)[None], "zero")
    with pytest.raises(ValueError, match=r"2 images need transforms of shape \(2, 2, 3\), got \(1, 2, 3\)"):
        warp_padded(images(0, 2, 1, 4, 4), similarity(1, 0, 0, 0)[None])
