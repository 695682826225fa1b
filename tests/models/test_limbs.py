"""Limb geometry against NumPy's least squares, hand-made pictures and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_meta.models import limbs

SEEDS = st.integers(0, 2**31 - 1)


def points(seed: int, *shape: int, spread: float = 20.0) -> torch.Tensor:
    return spread * torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def least_squares(target: np.ndarray, source: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[[a1, -b1, a0], [b1, a1, b0]] from the stacked equations X = a0 + a1 x - b1 y, Y = b0 + b1 x + a1 y."""
    rows, values = [], []
    for (x, y), (to_x, to_y), weight in zip(target, source, np.sqrt(weights), strict=True):
        rows += [weight * np.array([1, 0, x, -y]), weight * np.array([0, 1, y, x])]
        values += [weight * to_x, weight * to_y]
    a0, b0, a1, b1 = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([[a1, -b1, a0], [b1, a1, b0]])


def test_posewarp_has_ten_limbs_and_the_torso_joins_four_joints() -> None:
    assert sorted(map(len, limbs.POSEWARP_LIMBS)) == [2] * 9 + [4]
    assert {joint for limb in limbs.POSEWARP_LIMBS for joint in limb} == set(range(14))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 6))
def test_similarities_are_numpys_least_squares(seed: int, count: int) -> None:
    target, source = points(seed, 3, count), points(seed + 1, 3, count)
    weights = torch.rand(3, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    plain, weighted = limbs.similarity_transforms(target, source), limbs.similarity_transforms(target, source, weights)
    for i in range(3):
        for result, w in ((plain[i], np.ones(count)), (weighted[i], weights[i].numpy())):
            np.testing.assert_allclose(result.numpy(), least_squares(target[i].numpy(), source[i].numpy(), w), rtol=1e-8, atol=1e-8)


def test_a_quarter_turn_with_doubling_is_found_exactly() -> None:
    target = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    source = torch.tensor([[5.0, 7.0], [5.0, 9.0], [3.0, 7.0]])  # x axis to (0, 2), y axis to (-2, 0)
    torch.testing.assert_close(limbs.similarity_transforms(target, source), torch.tensor([[0.0, -2.0, 5.0], [2.0, 0.0, 7.0]]))


def test_coinciding_points_give_a_translation_with_finite_gradients() -> None:
    target = torch.ones(2, 2, 2, requires_grad=True)
    result = limbs.similarity_transforms(target, torch.tensor([[4.0, 6.0], [6.0, 8.0]]).expand(2, 2, 2))
    torch.testing.assert_close(result[0], torch.tensor([[1.0, 0.0, 4.0], [0.0, 1.0, 6.0]]))
    result.sum().backward()
    assert target.grad is not None
    assert bool(target.grad.isfinite().all())


@pytest.mark.parametrize("padding", limbs.PADDINGS)
@pytest.mark.parametrize("size", [(8, 16), (7, 11)])
def test_the_identity_warp_changes_nothing(size: tuple[int, int], padding: str) -> None:
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    result = limbs.warp(image, torch.eye(2, 3).expand(2, 2, 3), padding)
    tolerance = 0.0 if size == (8, 16) else 2e-5  # exact where sides are powers of two
    torch.testing.assert_close(result, image, rtol=0, atol=tolerance)


def test_a_warp_looks_up_backwards_and_moves_a_dot_to_the_right_pixel() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 5, 9] = 1  # y = 5, x = 9
    moved = limbs.warp(image, torch.tensor([[[1.0, 0.0, 3.0], [0.0, 1.0, -2.0]]]))
    assert torch.nonzero(moved).tolist() == [[0, 0, 7, 6]]
    half = limbs.warp(image, torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]]))
    assert half[0, 0, 5, 8:10].tolist() == [0.5, 0.5]


def test_what_lies_outside_is_zero_or_the_border() -> None:
    image, away = torch.full((1, 1, 8, 8), 3.0), torch.tensor([[[1.0, 0.0, 100.0], [0.0, 1.0, 0.0]]])
    assert limbs.warp(image, away).unique().tolist() == [0.0]
    assert limbs.warp(image, away, "border").unique().tolist() == [3.0]


def test_limb_transforms_take_the_limb_where_it_is_in_the_source() -> None:
    source_limb, target_limb = torch.tensor([[4.0, 4.0], [4.0, 12.0]]), torch.tensor([[3.0, 10.0], [11.0, 10.0]])
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 10, 4] = 1  # three quarters down the source limb
    result = limbs.warp(image, limbs.similarity_transforms(target_limb, source_limb)[None])
    y, x = divmod(int(result.flatten().argmax()), 16)
    assert (x, y) == (9, 10)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_stretch_maps_the_ends_and_scales_across(seed: int) -> None:
    target, source, across = points(seed, 4, 2), points(seed + 1, 4, 2), torch.linspace(0.5, 2, 4, dtype=torch.float64)
    transforms = limbs.stretch_transforms(target, source, across)
    torch.testing.assert_close(limbs.transform_points(transforms, target), source, rtol=1e-9, atol=1e-9)
    axis, _ = limbs.direction(target)
    aside = limbs.transform_points(transforms, target[:, :1] + limbs.normal(axis)[:, None]) - source[:, :1]
    torch.testing.assert_close(aside.norm(dim=-1)[:, 0], across)


def test_the_distance_to_a_segment_is_that_of_a_dense_set_of_its_points() -> None:
    segments, grid = points(0, 3, 2, spread=6.0) + 8, limbs.pixel_grid(16, 20, like=torch.zeros((), dtype=torch.float64))
    along = torch.linspace(0, 1, 4001, dtype=torch.float64)
    for segment, distance in zip(segments, limbs.segment_distance(grid, segments), strict=True):
        dense = segment[0] + along[:, None] * (segment[1] - segment[0])
        np.testing.assert_allclose(distance.numpy(), torch.cdist(grid.flatten(0, 1), dense).amin(1).view(16, 20).numpy(), atol=5e-3)


def test_units_of_distance_differ_along_and_across() -> None:
    segment, places = torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([[[5.0, 4.0], [16.0, 0.0], [13.0, 4.0]]])
    result = limbs.segment_distance(places, segment, along=3.0, across=2.0)
    torch.testing.assert_close(result, torch.tensor([[2.0, 2.0, math.sqrt(5)]]))
    per_segment = limbs.segment_distance(places, segment[None], torch.tensor([3.0]), torch.tensor([2.0]))
    torch.testing.assert_close(per_segment[0], result)


def test_a_segment_without_length_is_a_point_that_looks_up() -> None:
    dot = torch.full((2, 2), 3.0, requires_grad=True)
    axis, length = limbs.direction(dot)
    assert axis.tolist() == [0.0, -1.0]
    assert length.item() == 0
    distance = limbs.segment_distance(limbs.pixel_grid(5, 5, like=dot), dot)
    assert distance[3, 0].item() == pytest.approx(3)
    distance.sum().backward()
    assert dot.grad is not None
    assert bool(dot.grad.isfinite().all())


def test_gradients_are_those_of_finite_differences() -> None:
    target, source = points(3, 2, 2, spread=3.0).requires_grad_(), points(4, 2, 2, spread=3.0).requires_grad_()
    weights = torch.tensor([[0.4, 0.9], [0.7, 0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(limbs.similarity_transforms, (target, source, weights))
    across = torch.tensor([0.7, 1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(limbs.stretch_transforms, (target, source, across))
    places = points(5, 3, 3, spread=3.0)
    assert torch.autograd.gradcheck(lambda s, w: limbs.segment_distance(places, s, 1.7, w), (target, across))
    image = torch.randn(2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(6), requires_grad=True)
    transforms = (torch.eye(2, 3, dtype=torch.float64) + 0.13).repeat(2, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(limbs.warp, (image, transforms))


def test_wrong_shapes_and_paddings_are_refused() -> None:
    with pytest.raises(ValueError, match="both be"):
        limbs.similarity_transforms(torch.zeros(3, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="need transforms of shape"):
        limbs.warp(torch.zeros(2, 3, 4, 4), torch.eye(2, 3)[None])
    with pytest.raises(ValueError, match="padding must be one of zeros, border"):
        limbs.warp(torch.zeros(1, 3, 4, 4), torch.eye(2, 3)[None], "mirror")
