"""Instance normalisation with a closed second derivative, against torch's own and finite differences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gan_meta.game.instance_norm import ClosedFormInstanceNorm, instance_norm


def images(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def second_derivative(normalize, x: torch.Tensor) -> torch.Tensor:
    (first,) = torch.autograd.grad((normalize(x) ** 3).sum(), x, create_graph=True)
    return torch.autograd.grad((first.sin() * torch.arange(first.numel(), dtype=x.dtype).view_as(first)).sum(), x)[0]


@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 3),
    height=st.integers(1, 4),
    width=st.integers(2, 4),
    eps=st.floats(1e-6, 1e-1),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_values_and_two_derivatives_are_torchs_own(n, channels, height, width, eps, seed):
    x = images(n, channels, height, width, seed=seed)
    torch.testing.assert_close(instance_norm(x, eps), F.instance_norm(x, eps=eps), rtol=0, atol=0)
    mine, torchs = (second_derivative(f, x) for f in (lambda x: instance_norm(x, eps), lambda x: F.instance_norm(x, eps=eps)))
    torch.testing.assert_close(mine, torchs, rtol=1e-8, atol=1e-9)


def test_three_derivatives_against_finite_differences():
    x = images(2, 2, 3, 2)
    assert torch.autograd.gradcheck(instance_norm, (x,))
    assert torch.autograd.gradgradcheck(instance_norm, (x,))
    slope = lambda x: torch.autograd.grad((instance_norm(x) ** 3).sum(), x, create_graph=True)[0]  # noqa: E731
    assert torch.autograd.gradgradcheck(slope, (x,))


def names_in_graph(output: torch.Tensor) -> set[str]:
    found, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node.name() not in found:
            found.add(node.name())
            waiting += [before for before, _ in node.next_functions]
    return found


@pytest.mark.parametrize(
    ("layer", "dtype", "is_closed"),
    [
        (nn.InstanceNorm2d(2), torch.float32, True),
        (nn.InstanceNorm2d(2), torch.bfloat16, False),
        (nn.InstanceNorm2d(2, affine=True), torch.float32, False),
        (nn.InstanceNorm2d(2, track_running_stats=True), torch.float32, False),
    ],
)
def test_the_context_takes_over_what_it_can_answer_and_nothing_else(layer, dtype, is_closed):
    x = images(2, 2, 4, 4, dtype=dtype)
    plain = layer(x)
    with ClosedFormInstanceNorm():
        within = layer(x)
    assert ("_NormalizeBackward" in names_in_graph(within)) is is_closed
    assert "_NormalizeBackward" not in names_in_graph(layer(x))
    if not layer.track_running_stats:  # which have moved between the two
        torch.testing.assert_close(within, plain, rtol=0, atol=0)


def test_a_picture_of_one_pixel_is_refused_as_by_torch():
    with ClosedFormInstanceNorm(), pytest.raises(ValueError, match="more than 1 spatial element"):
        F.instance_norm(images(2, 2, 1, 1))
