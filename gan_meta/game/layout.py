"""Layout: an optimiser steps with every gradient and every average of its own laid out in memory as the weight that they belong to.

Fused optimisers walk through memory from a tensor's first number to its last, and take it for granted that weight, gradient and running
averages have equal strides; where they do not, other weights move, or memory beyond them. Gradients come in any strides
(``channels_last``, the gradient of a transposed weight, an expanded one), and averages from a file or from another game.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def step_in_layout(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser step, its gradients and its state of a weight's shape first copied to the weight's strides where they differ."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            gradient = weight.grad
            if gradient is None:
                continue
            strides = weight.stride()  # asked for once: a game of small networks has thousands of these
            if gradient.layout is torch.strided and gradient.stride() != strides:
                weight.grad = as_weight(gradient, weight)
            kept = optimizer.state.get(weight, {})
            for name, value in kept.items():
                if (
                    isinstance(value, Tensor)
                    and value.shape == weight.shape
                    and value.layout is torch.strided
                    and value.stride() != strides
                ):
                    kept[name] = as_weight(value, weight)
    optimizer.step()


def as_weight(value: Tensor, weight: Tensor) -> Tensor:
    """The value with the strides that ``torch.zeros_like(weight)`` has, with its graph; itself where it has them, or is sparse."""
    if value.layout is not torch.strided or value.stride() == weight.stride():
        return value
    laid_out = torch.empty_like(weight.detach(), dtype=value.dtype, device=value.device)
    return value if value.stride() == laid_out.stride() else laid_out.copy_(value)


def can_be_fused(weights: Iterable[Tensor]) -> bool:
    """Whether a fused optimiser moves these weights rightly: real ones without gaps between their numbers.

    A view with gaps has other strides than the running averages that torch makes for it.
    """
    return all(weight.is_floating_point() and torch.empty_like(weight, device="meta").stride() == weight.stride() for weight in weights)


def unfuse_where_needed(optimizer: torch.optim.Optimizer) -> None:
    """Switch fused steps off in the groups whose weights they would move wrongly; the mathematics stays the same."""
    for group in optimizer.param_groups:
        if group.get("fused") and not can_be_fused(group["params"]):
            group["fused"] = False


def refuse_overlapping(named: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse weights of which several numbers share one place in memory, such as expanded ones.

    Raises:
        ValueError: naming the first.
    """
    for name, weight in named:
        if any(stride == 0 and size > 1 for size, stride in zip(weight.shape, weight.stride(), strict=True)):
            raise ValueError(
                f"the weight {name!r} is an expanded view (shape {tuple(weight.shape)}, strides {weight.stride()}): several of its numbers "
                "share one place in memory, so it cannot be moved; make it with .clone(memory_format=torch.contiguous_format)"
            )
