"""The meta-gradient's oracle: central differences of a player's query loss after an ordinary game, played by torch.optim."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import gan_meta as gm
from gan_meta.game.player_loss import player_loss
from gan_meta.seeds import derive_seed, seeded


def query_loss(pair: gm.GANPair, objective: gm.Objective, task: gm.Task, inner: gm.InnerLoop, player: str, seed: int = 0) -> float:
    """L_p(phi(theta)): adapt, then the player's mean loss over the query."""
    phi = gm.adapt(pair, objective, task.support, inner, seed=seed)
    with torch.no_grad(), seeded(derive_seed(seed, "query", player), torch.device("cpu")):
        return float(player_loss(objective, phi, task.query, player)[0].mean())


def slope(loss_at, step: float = 5e-5) -> float:
    """d loss_at(h) / dh at 0 by central differences, Richardson's extrapolation taking the h^2 error away.

    The step is small because Adam is not smooth where a gradient passes through 0: ``sqrt(square)`` has a kink there.
    """
    coarse = (loss_at(step) - loss_at(-step)) / (2 * step)
    fine = (loss_at(step / 2) - loss_at(-step / 2)) / step
    return (4 * fine - coarse) / 3


def relative_error(pair, objective, task, inner, player, gradient: Mapping[str, Tensor], direction: Mapping[str, Tensor], seed=0) -> float:
    """How far ``<gradient, direction>`` is from the slope along the direction, relative to the slope."""

    def loss_at(h: float) -> float:
        moved = pair.clone()
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                if name in direction:
                    parameter.add_(direction[name], alpha=h)
        return query_loss(moved, objective, task, inner, player, seed)

    expected = slope(loss_at)
    found = sum(float((gradient[name] * direction[name]).sum()) for name in direction)
    return abs(found - expected) / abs(expected)


def directions(gradient: Mapping[str, Tensor], seed: int) -> list[dict[str, Tensor]]:
    """Two unit directions: the gradient's own, and one at random, turned towards the gradient so that the slope is not near 0."""
    generator = torch.Generator().manual_seed(seed)
    own = _unit(gradient)
    noise = _unit({name: torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in gradient.items()})
    return [own, _unit({name: noise[name] + 0.3 * own[name] for name in own})]


def _unit(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    norm = torch.sqrt(sum(tensor.square().sum() for tensor in tensors.values()))
    return {name: tensor / norm for name, tensor in tensors.items()}
