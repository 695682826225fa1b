"""What counts as a weight: the kind, the range and the layout that a tensor out of a file must have before it is copied into a module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

WEIGHT_LIMIT = 1e9
"""No weight or statistic of a network that works comes near this size; float32 holds up to 3e38, so a damaged byte easily does."""

_NEVER_NEGATIVE = ("running_var", "num_batches_tracked")


def value_problems(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Why tensors of a file are no values for a module's entries; empty when they all are.

    A tensor must be dense and of its entry's kind (boolean, integer, real or complex; the width may differ). Real and complex
    values must be finite and smaller than :data:`WEIGHT_LIMIT`; only what the module holds itself already, such as the infinities
    of a mask, may be otherwise. Variances and counters of batches are never negative.

    Args:
        own: the module's entries by name.
        given: the file's tensors; names that ``own`` lacks, and shapes, are not looked at.
    """
    found = ((name, _problem(name, own[name], given[name])) for name in sorted(own.keys() & given.keys()))
    return [f"{name} {problem}" for name, problem in found if problem is not None]


def layout_problem(tensor: Tensor) -> str | None:
    """Why a tensor cannot be read element by element, or ``None``."""
    if tensor.is_quantized:
        return "is quantised; save the network before quantisation"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"is {'nested' if tensor.is_nested else 'sparse'}; save it dense (tensor.to_dense())"
    return "has no values (it is on torch's meta device)" if tensor.is_meta else None


def kind_of(dtype: torch.dtype) -> str:
    """``"boolean"``, ``"integer"``, ``"real"`` or ``"complex"``."""
    if dtype == torch.bool:
        return "boolean"
    return "complex" if dtype.is_complex else "real" if dtype.is_floating_point else "integer"


def largest(tensor: Tensor) -> float:
    """The largest absolute value; NaN where one is not a number, 0 where there is none."""
    if tensor.numel() == 0:
        return 0.0
    values = tensor.detach()
    return float((values.float() if values.element_size() == 1 else values).abs().max())


def _problem(name: str, own: Tensor, given: Tensor) -> str | None:
    problem = layout_problem(given)
    if problem is not None:
        return problem
    if kind_of(own.dtype) != kind_of(given.dtype):
        return f"holds {kind_of(given.dtype)} values ({_short(given.dtype)}), should be {kind_of(own.dtype)} ({_short(own.dtype)})"
    if kind_of(given.dtype) in ("real", "complex"):
        size = largest(given)
        if not size < WEIGHT_LIMIT and not _same(own, given):
            if size != size or size == float("inf"):
                return "holds values that are not finite numbers"
            return f"holds a value of size {size:.3g}; weights are below {WEIGHT_LIMIT:g}"
    if name.endswith(_NEVER_NEGATIVE) and kind_of(given.dtype) != "complex" and bool((given < 0).any()):
        return "holds a value below 0"
    return None


def _same(own: Tensor, given: Tensor) -> bool:
    """Whether a module holds these very values already."""
    return own.shape == given.shape and torch.allclose(own.detach().to("cpu", given.dtype), given.cpu(), rtol=0, atol=0, equal_nan=True)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
