"""A model's size before it is built: what a file says of a model may ask for more memory, or more work, than there is."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gan_meta.models import create
from gan_meta.models.registry import argument_problems
from gan_meta.pair import GANPair

ARGUMENT_LIMIT = 65536
"""No model of this library comes near an argument of this size."""


def outline(name: str, arguments: Mapping[str, Any], most_parameters: float = math.inf) -> GANPair:
    """The model without memory: shapes only.

    Args:
        most_parameters: building stops when the model gets more of them than this.

    Raises:
        ValueError: for arguments that no model has, or more parameters.
    """
    problems = argument_problems(name, arguments)
    if problems:
        raise ValueError(f"model {name!r} cannot be built from the arguments it names: {'; '.join(problems[:3])}")
    for key, value in arguments.items():
        if isinstance(value, int | float) and not 0 <= value <= ARGUMENT_LIMIT:
            raise ValueError(f"its argument {key!r} is {value!r:.60}, {'below 0' if value < 0 else f'beyond {ARGUMENT_LIMIT}'}")
    count, builder = 0, threading.get_ident()

    def stop(_module: nn.Module, key: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        if threading.get_ident() != builder:  # the hook hears of every thread's modules
            return
        count += 1
        if parameter is not None and parameter.numel() == 0:
            raise ValueError(f"model {name!r} would have a layer of no channels: its {key} is {tuple(parameter.shape)}")
        if count > most_parameters:
            raise ValueError(f"model {name!r} would have more than the {most_parameters} parameters that the file holds")

    watching = nn.modules.module.register_module_parameter_registration_hook(stop)
    try:
        with torch.device("meta"):
            return create(name, **arguments)
    except (TypeError, ArithmeticError, RuntimeError, LookupError, AttributeError, MemoryError) as error:
        raise ValueError(f"model {name!r} cannot be built from the arguments it names: {error}") from error
    finally:
        watching.remove()


def create_within(name: str, arguments: Mapping[str, Any], most: Mapping[str, int], most_parameters: float = math.inf) -> GANPair:
    """Build a model if it is no larger than what it is to be filled from.

    Args:
        most: by player, how many values its weights and buffers may have.
        most_parameters: as for :func:`outline`.

    Raises:
        ValueError: for arguments that no model has, or a larger player.
    """
    planned = outline(name, arguments, most_parameters)
    for player, limit in most.items():
        values = sum(tensor.numel() for key, tensor in planned.state_dict().items() if key.startswith(f"{player}."))
        if values > limit:
            raise ValueError(f"the {player} it describes has {values:,} values, more than the {limit:,} that the file can hold")
    return create(name, **arguments)
