"""Layout: an optimiser steps with every gradient and every average of its own laid out in memory as the weight that they belong to.

Fused optimisers walk through memory from a tensor's first number to its last, and take it for granted that weight, gradient and running
averages have equal strides; where they do not, other weights move, or memory beyond them. Gradients come in any strides
(``channels_last``, the gradient of a transposed weight, an expanded one), and averages from a file or from another game.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


def step_in_layout(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser step, its gradients and its state of a weight's shape first copied to the weight's strides where they differ.

    Raises:
        ValueError: when it asks for what is not there, such as a closure.
    """
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
    try:
        optimizer.step()
    except (AssertionError, TypeError) as error:
        kind = type(optimizer).__name__
        raise ValueError(f"{kind}.step(), called without a closure as always here, failed ({error}); use another optimizer") from error


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
    """Refuse weights of which several numbers share one place in memory: expanded ones, overlapping windows, views of one another.

    Raises:
        ValueError: naming the first.
    """
    held: dict[object, list[tuple[int, int, str, Tensor]]] = {}
    for name, weight in named:
        if nn.parameter.is_lazy(weight) or weight.layout is not torch.strided or weight.is_meta or not weight.numel():
            continue
        if _overlaps_itself(weight):
            raise ValueError(
                f"the weight {name!r} is an expanded or overlapping view (shape {tuple(weight.shape)}, strides {weight.stride()}): several "
                "of its numbers share one place in memory, so it cannot be moved; make it with "
                ".clone(memory_format=torch.contiguous_format)"
            )
        start = int(weight.storage_offset()) * weight.itemsize
        reach = 1 + sum((size - 1) * stride for size, stride in zip(weight.shape, weight.stride(), strict=True))
        memory = weight.device, weight.untyped_storage().data_ptr()
        held.setdefault(memory, []).append((start, start + reach * weight.itemsize, name, weight))
    for views in held.values():
        _refuse_shared(sorted(views, key=lambda view: view[:2]))


def _refuse_shared(views: Sequence[tuple[int, int, str, Tensor]]) -> None:
    """Refuse views of one memory, in the order in which they begin, of which two have a place in common."""
    for number, (_, end, name, weight) in enumerate(views):
        for start, _, other_name, other in views[number + 1 :]:
            if start >= end:
                break
            if bool(torch.isin(_places(weight), _places(other)).any()):
                raise ValueError(
                    f"the weights {name!r} and {other_name!r} share memory, so that each would move with the other here and not in a copy: "
                    "make them one parameter (first.weight = second.weight) to tie them, or .clone() one to part them"
                )


def _overlaps_itself(weight: Tensor) -> bool:
    reach = 0
    for stride, size in sorted(zip(weight.stride(), weight.shape, strict=True)):
        if size > 1 and stride <= reach:  # more than one place may be reached in two ways
            return int(_places(weight).bincount().max()) > 1
        reach += (size - 1) * stride
    return False


def _places(weight: Tensor) -> Tensor:
    """Where the numbers begin in memory, in bytes."""
    places = torch.tensor([weight.storage_offset()])
    for size, stride in zip(weight.shape, weight.stride(), strict=True):
        places = (places.unsqueeze(-1) + torch.arange(size) * stride).flatten()
    return places * weight.itemsize
