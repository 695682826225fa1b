"""Factories: optimisers of one's own, what they are asked for, and what is seen to before one is stepped."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gan_meta.game.layout import unfuse_where_needed

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""Called as ``factory(parameters, lr=...)``, with ``player="generator"`` or ``"discriminator"`` as well where it has such an argument: a
class of ``torch.optim``, a ``functools.partial`` of one, or any function."""

_UNSUITABLE = {
    torch.optim.LBFGS: "asks for the loss again within a step, which is not offered here",
    torch.optim.SparseAdam: "is for sparse gradients, which are dense here",
}


def check_factory(factory: OptimizerFactory, what: str, rate: str) -> None:
    """Refuse a factory whose learning rate would be lost.

    Args:
        what: the option that holds it, for the message.
        rate: the option that its ``lr`` comes from.

    Raises:
        ValueError: when it takes no ``lr``, or is a partial that fixes it.
    """
    if "lr" in _fixed(factory):
        raise ValueError(
            f"{what} fixes lr={_fixed(factory)['lr']!r}, but is called with lr from {rate}; leave lr out of the partial and write "
            f"{rate.replace('...', repr(_fixed(factory)['lr']))} instead"
        )
    if not _takes(factory, "lr", or_any=True):
        raise ValueError(f"{what} is called as factory(parameters, lr=...), but takes no lr; give it that argument ({rate} is its value)")


def make_optimizer(
    factory: OptimizerFactory, named: Mapping[str, Tensor], lr: float, player: str | None = None, what: str = "optimizer"
) -> torch.optim.Optimizer:
    """The optimiser that a factory makes of these weights, if one can be stepped with it.

    Args:
        named: the weights that it shall move, by name.
        lr: the learning rate that it is told; groups with rates of their own keep them.
        player: whose weights they are; told to a factory that has an argument of this name.
        what: the option that holds the factory, for messages.

    Raises:
        TypeError: when it makes something else than an optimiser.
        ValueError: when the optimiser asks for what is not there, moves other weights than these or not all of them, has a rate that is no
            finite number of 0 or more, a scheduler of its own, or wraps one whose rates are others.
    """
    told = {"player": player} if player is not None and _takes(factory, "player") and "player" not in _fixed(factory) else {}
    optimizer = factory(list(named.values()), lr=lr, **told)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"the {what} factory must return a torch.optim.Optimizer, got {type(optimizer).__name__}")
    for kind, reason in _UNSUITABLE.items():
        if isinstance(optimizer, kind):
            raise ValueError(f"{kind.__name__} {reason}; use another optimizer")
    if any(group.get("differentiable") for group in optimizer.param_groups):
        raise ValueError(f"{type(optimizer).__name__} with differentiable=True cannot move weights in place; leave that out")
    _check_members(optimizer, named, what)
    _check_rates(optimizer, what)
    _check_wrapped(optimizer, what)
    unfuse_where_needed(optimizer)
    return optimizer


def group_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rate of each parameter group."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def _check_members(optimizer: torch.optim.Optimizer, named: Mapping[str, Tensor], what: str) -> None:
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    left_out = [name for name, weight in named.items() if id(weight) not in held]
    foreign = held - {id(weight) for weight in named.values()}
    if foreign:
        raise ValueError(
            f"the {what} factory's groups hold {len(foreign)} weights that it was not given; a game is played on a copy of the pair, so "
            "make the groups of the parameters that the factory is called with"
        )
    if left_out:
        raise ValueError(
            f"the {what} factory leaves out {len(left_out)} of the {len(named)} weights that it was given ({', '.join(left_out[:3])}); "
            f'weights that shall not move are named by InnerLoop(roles={{{left_out[0]!r}: "frozen"}}), or get a group with lr=0'
        )


def _check_rates(optimizer: torch.optim.Optimizer, what: str) -> None:
    for group in optimizer.param_groups:
        if "initial_lr" in group:  # torch's schedulers leave it there
            raise ValueError(
                f"the {what} factory's optimizer has a learning rate scheduler of its own; the rates follow the schedule that is set "
                "beside the factory, and no checkpoint would keep another: leave the scheduler out"
            )
        rate = group.get("lr")
        if not isinstance(rate, numbers.Real | Tensor) or not 0 <= float(rate) < math.inf:
            raise ValueError(f"a parameter group of the {what} factory has lr={rate!r}; it must be a finite number, 0 or more")
        group["lr"] = float(rate)


def _check_wrapped(optimizer: torch.optim.Optimizer, what: str) -> None:
    own = {id(group) for group in optimizer.param_groups}
    for wrapped in vars(optimizer).values():
        if isinstance(wrapped, torch.optim.Optimizer) and not own.issuperset(map(id, wrapped.param_groups)):
            raise ValueError(
                f"the {what} factory's {type(optimizer).__name__} has other parameter groups than the {type(wrapped).__name__} that it "
                "wraps, so the schedule's rates would not reach that one: let them share the groups "
                "(self.param_groups = wrapped.param_groups)"
            )


def _fixed(factory: OptimizerFactory) -> Mapping[str, object]:
    """The keywords that a partial has set already."""
    return factory.keywords if isinstance(factory, functools.partial) else {}


def _takes(factory: OptimizerFactory, name: str, *, or_any: bool = False) -> bool:
    """Whether a factory has an argument of this name that can be given by keyword, or (``or_any``) may be given any."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return or_any
    if or_any and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    found = parameters.get(name)
    return found is not None and found.kind in (found.POSITIONAL_OR_KEYWORD, found.KEYWORD_ONLY)
