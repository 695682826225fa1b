"""Words for what torch says of a batch whose types do not fit the networks: which entry, of what type, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_WORDS = ("type", "not implemented for", "is not supported")
"""One of these is in what torch says of types that do not go together."""


def type_problem(module: nn.Module, batch: Mapping[str, Tensor], error: Exception) -> str | None:
    """A sentence for an error that a batch's types explain, or ``None``."""
    said = str(error)
    if isinstance(error, torch.OutOfMemoryError) or not any(word in said for word in _WORDS):
        return None
    wanted = sorted({_word(weight.dtype) for weight in module.parameters()})
    others = {name: tensor.dtype for name, tensor in batch.items() if _word(tensor.dtype) not in wanted}
    if not others:
        return None
    found = ", ".join(f"{name!r} is {_word(dtype)}" for name, dtype in others.items())
    advice = " ".join(dict.fromkeys(_advice(name, dtype, wanted[0]) for name, dtype in others.items()))
    return f"the batch's {found}, while the weights are {' and '.join(wanted)}: {advice} (torch says: {' '.join(said.split())[:200]})"


def _advice(name: str, dtype: torch.dtype, wanted: str) -> str:
    if dtype == torch.uint8:
        return f"give bytes as {name}.to(torch.{wanted}) / 127.5 - 1, which is in [-1, 1], where they are pictures."
    if dtype.is_complex:
        return f"give the parts of {name} as channels, torch.view_as_real({name})."
    if not dtype.is_floating_point:
        return f"give numbers as {name}.to(torch.{wanted}), and a class as an embedding or one-hot."
    return f"give {name}.to(torch.{wanted}), or bring the pair to the samples with pair.to(torch.{_word(dtype)})."


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
