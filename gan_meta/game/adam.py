"""Adam's update as one differentiable operation, with torch.optim's arithmetic forward and a closed form back."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_meta.game.passes import unseen


class AdamRates(NamedTuple):
    """What an update is made with: the learning rate, the moments' decays, eps, and the number of this update, from 1."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    number: int


def adam_update(weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rates: AdamRates) -> tuple[Tensor, Tensor, Tensor]:
    """One update of Adam, from (weight, gradient, mean, square) to the new (weight, mean, square); all tensors of one shape.

    The update of a weight with no gradient so far is ``mean / (sqrt(square) + eps)`` with ``mean = 0``, so the slope of the root, which
    is infinite there, does not matter: it is taken as 0 where the square is below the smallest normal number. As in torch.optim, a
    complex weight is two real ones.

    Source: Kingma and Ba, "Adam", 2015, algorithm 1.
    """
    if weight.is_complex():
        parts = [torch.view_as_real(tensor.resolve_conj()) for tensor in (weight, gradient, mean, square)]
        new_weight, new_mean, new_square = adam_update(parts[0], parts[1], parts[2], parts[3], rates)
        return torch.view_as_complex(new_weight), torch.view_as_complex(new_mean), torch.view_as_complex(new_square)
    updated: tuple[Tensor, Tensor, Tensor] = _Adam.apply(weight, gradient, mean, square, rates)
    return updated


class _Adam(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rates: AdamRates
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = mean.lerp(gradient, 1 - rates.beta1)
        square = square.mul(rates.beta2).addcmul_(gradient, gradient, value=1 - rates.beta2)
        ctx.save_for_backward(gradient, mean, square)
        ctx.rates = rates
        root = square.sqrt().div_(_root_correction(rates))
        return weight.addcdiv(mean, root.add_(rates.eps), value=-_step_size(rates)), mean, square

    @staticmethod
    @unseen
    def backward(ctx: Any, for_weight: Tensor, for_mean: Tensor, for_square: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        gradient, mean, square = ctx.saved_tensors
        rates: AdamRates = ctx.rates
        root = square.sqrt()
        divisor = root / _root_correction(rates) + rates.eps
        quotient = for_weight / divisor
        # d/d square of -mean / divisor is mean / divisor^2 * d divisor / d square, and d root / d square = 1 / (2 root)
        slope = (quotient * mean / (divisor * root)).masked_fill(square < torch.finfo(square.dtype).tiny, 0)
        for_square = for_square.add(slope, alpha=_step_size(rates) / (2 * _root_correction(rates)))
        for_mean = for_mean.sub(quotient, alpha=_step_size(rates))
        for_gradient = (for_mean * (1 - rates.beta1)).addcmul(gradient, for_square, value=2 * (1 - rates.beta2))
        return for_weight, for_gradient, for_mean * rates.beta1, for_square * rates.beta2, None


def _root_correction(rates: AdamRates) -> float:
    return float((1 - rates.beta2**rates.number) ** 0.5)


def _step_size(rates: AdamRates) -> float:
    return float(rates.lr / (1 - rates.beta1**rates.number))
