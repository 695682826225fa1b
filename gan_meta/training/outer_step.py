"""OuterStep: how theta moves along the directions that a meta-batch of tasks gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gan_meta.algorithms.base import MetaGradient
from gan_meta.game.factory import OptimizerFactory as OptimizerFactory
from gan_meta.game.factory import check_factory, group_rates, make_optimizer
from gan_meta.game.layout import refuse_overlapping, step_in_layout
from gan_meta.naming import unknown_name

# These ask for a loss that can be evaluated again, or for sparse gradients; a direction is neither.
_UNSUITABLE = ("LBFGS", "SparseAdam")


def optimizer_names() -> dict[str, OptimizerFactory]:
    """The optimisers of ``torch.optim`` that can take a direction, by lower-case name."""
    return {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
        if name not in _UNSUITABLE
    }


class OuterStep:
    """One optimiser over the parameters whose start is learned.

    Args:
        parameters: those parameters, by name; moved in place.
        optimizer: a name of :func:`optimizer_names`, or a factory.
        lr: the first step's learning rate; groups of a factory with rates of their own keep their ratios to it.
        clip_norm: the largest norm of a direction, over all parameters together; longer ones are shortened to it.

    Raises:
        ValueError: for an unknown optimiser, a factory that :func:`make_optimizer` refuses, a ``clip_norm`` that is not above 0, or an
            expanded weight.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], optimizer: str | OptimizerFactory, lr: float, clip_norm: float | None = None
    ) -> None:
        if clip_norm is not None and not 0 < clip_norm < math.inf:
            raise ValueError(f"clip_norm must be a finite number above 0, or None for no clipping; got {clip_norm}")
        self.parameters = dict(parameters)
        self.clip_norm = clip_norm
        refuse_overlapping(self.parameters.items())
        self.optimizer = make_optimizer(_factory(optimizer), self.parameters, lr, what="meta_optimizer")
        rates = group_rates(self.optimizer)
        if lr == 0 and any(rates):
            raise ValueError(f"meta_lr=0 leaves nothing to scale the meta_optimizer's own rates {rates} by; give meta_lr a value above 0")
        self._shares = [own / lr if lr else 0.0 for own in rates]

    def move(self, directions: Sequence[MetaGradient], rate: float) -> float:
        """Step along the mean of the directions at this learning rate; returns the mean's norm, before clipping."""
        gradients = {name: mean([direction.grads[name] for direction in directions]) for name in self.parameters}
        norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients.values()])))
        if self.clip_norm is not None and norm > self.clip_norm:
            gradients = {name: gradient * (self.clip_norm / norm) for name, gradient in gradients.items()}
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name]
        for group, share in zip(self.optimizer.param_groups, self._shares, strict=True):
            group["lr"] = share * rate
        step_in_layout(self.optimizer)
        for parameter in self.parameters.values():
            parameter.grad = None
        return norm


def mean(values: Sequence[Tensor]) -> Tensor:
    """The elementwise mean; one value is handed through as it is."""
    return values[0] if len(values) == 1 else torch.stack(list(values)).mean(dim=0)


def _factory(optimizer: str | OptimizerFactory) -> OptimizerFactory:
    if not isinstance(optimizer, str):
        check_factory(optimizer, "the meta_optimizer factory", "meta_lr=...")
        return optimizer
    known = optimizer_names()
    if optimizer not in known:
        raise ValueError(unknown_name("meta_optimizer", optimizer, known))
    return known[optimizer]
