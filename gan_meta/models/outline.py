"""A model's size before it is built: what a file says of a model may ask for more memory than there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gan_meta.models import create
from gan_meta.pair import GANPair

ARGUMENT_LIMIT = 4096
"""No model of this library comes near an argument of this size; more would keep a machine busy with building alone."""


def outline(name: str, arguments: Mapping[str, Any]) -> GANPair:
    """The model without memory: shapes only.

    Raises:
        ValueError: for arguments that no model has.
    """
    for key, value in arguments.items():
        if isinstance(value, int | float) and not abs(value) <= ARGUMENT_LIMIT:
            raise ValueError(f"its argument {key!r} is {value}, beyond {ARGUMENT_LIMIT}")
    try:
        with torch.device("meta"):
            return create(name, **arguments)
    except (TypeError, ArithmeticError, RuntimeError, LookupError, AttributeError, MemoryError) as error:
        raise ValueError(f"model {name!r} cannot be built from the arguments it names: {error}") from error


def create_within(name: str, arguments: Mapping[str, Any], most: Mapping[str, int]) -> GANPair:
    """Build a model if its players are no larger than what they are to be filled from.

    Args:
        most: by player, how many values its weights and buffers may have.

    Raises:
        ValueError: for arguments that no model has, or a larger player.
    """
    planned = outline(name, arguments)
    for player, limit in most.items():
        values = sum(tensor.numel() for key, tensor in planned.state_dict().items() if key.startswith(f"{player}."))
        if values > limit:
            raise ValueError(f"the {player} it describes has {values:,} values, more than the {limit:,} that the file can hold")
    return create(name, **arguments)
