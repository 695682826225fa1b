"""Adam's update as one operation: torch.optim's numbers forward, finite differences' back."""

from __future__ import annotations

import pytest
import torch

from gan_meta.game.adam import AdamRates, adam_update


def tensors(seed: int = 0) -> tuple[torch.Tensor, ...]:
    weight, gradient, mean, square = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return tuple(tensor.requires_grad_() for tensor in (weight, gradient, mean, square.abs() + 0.1))


@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.9, 0.99), (0.0, 0.5)])
def test_several_updates_are_torch_optims_bit_for_bit(betas):
    gradients = torch.randn(4, 7, generator=torch.Generator().manual_seed(3))
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = torch.optim.Adam([parameter], lr=1e-2, betas=betas, eps=1e-6)
    weight, mean, square = parameter.detach().clone(), torch.zeros(7), torch.zeros(7)
    for count, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient
        optimizer.step()
        weight, mean, square = adam_update(weight, gradient, mean, square, AdamRates(1e-2, *betas, 1e-6, count))
        assert torch.equal(weight, parameter)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_derivatives_of_all_that_goes_in_against_finite_differences(count):
    update = lambda *given: adam_update(*given, AdamRates(0.1, 0.5, 0.999, 1e-2, count))  # noqa: E731
    assert torch.autograd.gradcheck(update, tensors())
    assert torch.autograd.gradgradcheck(update, tensors())


def test_a_weight_that_has_had_no_gradient_has_a_finite_slope():
    weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    updated, _, _ = adam_update(weight, nothing, torch.zeros_like(weight), torch.zeros_like(weight), AdamRates(0.1, 0.5, 0.999, 1e-3, 1))
    for_weight, for_gradient = torch.autograd.grad(updated.sum(), [weight, nothing])
    assert for_weight.tolist() == [1, 1]
    # mean_hat = g at the first update, so the slope is -lr / eps while the root stands still at 0.
    assert for_gradient.tolist() == pytest.approx([-0.1 / 1e-3] * 2)
