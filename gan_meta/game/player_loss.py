"""One player's loss: asked for, reduced to a scalar, differentiated for that player's weights, and checked on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gan_meta.game.passes import Passes
from gan_meta.objective import Batch, Objective, ask, defines, total
from gan_meta.pair import GANPair


class NonFiniteLossError(ArithmeticError):
    """A loss became infinite or not a number."""


def player_loss(objective: Objective, pair: GANPair, batch: Batch, player: str, step: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """One player's loss and its named terms, taken from ``losses`` where the objective defines nothing else.

    Args:
        step: the 0-based iteration of the game, for a loss that asks for it.
    """
    if not has_own_loss(objective, player):
        both = ask(objective.losses, pair, lent(batch), step)
        return present(getattr(both, player), player), dict(both.parts)
    return total(ask(getattr(objective, f"{player}_loss"), pair, lent(batch), step))


def has_own_loss(objective: Objective, player: str) -> bool:
    """Whether this player's loss is asked for by itself; otherwise it is one of the two that ``losses`` gives."""
    return defines(objective, f"{player}_loss") or not defines(objective, "losses")


def lent(batch: Batch) -> Batch:
    """A batch for one loss: what it does to the dict, or ``requires_grad_()``, does not reach the samples or the next loss."""
    return {name: tensor.detach() for name, tensor in batch.items()}


def present(loss: Tensor | None, player: str) -> Tensor:
    """The loss, which an objective's ``losses`` must give for every player that takes turns.

    Raises:
        ValueError: when there is none.
    """
    if loss is None:
        raise ValueError(f"the objective's losses() returned no {player} loss, but the {player} takes turns")
    return loss


def reduce_loss(loss: Tensor, n_samples: int, weights: Tensor | None, what: str, where: str = "") -> Tensor:
    """The weighted mean of a loss per sample; a scalar stays as it is.

    Raises:
        ValueError: when the loss has neither one value a sample nor one in all, or its values are no real numbers.
    """
    if not loss.is_floating_point():
        kind = str(loss.dtype).removeprefix("torch.")
        raise ValueError(f"{what} is {kind}{where}; a loss is a real number: .float() of a count, .abs() of a complex one")
    if loss.ndim == 0:
        return loss
    if loss.ndim != 1 or len(loss) != n_samples:
        raise ValueError(f"{what} has shape {tuple(loss.shape)}{where}; it must be ({n_samples},), one value a sample, or a scalar")
    return loss.mean() if weights is None else (loss * weights.to(loss.dtype)).sum()


def own_gradients(
    passes: Passes, loss: Tensor, weights: Sequence[Tensor], player: str, position: int, **options: Any
) -> tuple[Tensor | None, ...]:
    """The gradient of a player's reduced loss for these weights of that player; ``None`` where the loss does not use one.

    Args:
        options: those of :meth:`Passes.gradients`.

    Raises:
        ValueError: as for that method, and when the loss depends on none of the weights, or adds to their ``.grad`` instead of giving a
            gradient.
    """
    where = f"at iteration {position}"
    if not loss.requires_grad:
        raise ValueError(
            f"the {player}'s loss has no gradient to the {player} {where}: is the {player} used in it, was it detached, or is the loss "
            "computed under torch.no_grad() or torch.inference_mode(), or by torch.utils.checkpoint without use_reentrant=False?"
        )
    leaves = [weight for weight in weights if weight.is_leaf]
    for leaf in leaves:
        leaf.grad = None
    gradients = passes.gradients([loss], weights, **options)
    if any(leaf.grad is not None for leaf in leaves):
        raise ValueError(
            f"an autograd function calls backward() on the way back of the {player}'s loss {where}, which adds to .grad instead of giving "
            "the gradient: take it by torch.autograd.grad() there and return it, for the weights too, which must be among its inputs"
        )
    if all(gradient is None for gradient in gradients):
        raise ValueError(f"the {player}'s loss does not depend on any adapting weight of the {player} {where}")
    return gradients


def check_finite_weights(named: Mapping[str, Tensor], played: int) -> None:
    """Refuse weights of which some are no numbers after a game: its last step's gradients show in no loss.

    Raises:
        NonFiniteLossError: naming the first of them.
    """
    held = {name: weight.detach() for name, weight in named.items() if weight.numel()}
    if not held or not played:
        return
    finite = torch.isfinite(torch.stack(torch._foreach_norm(list(held.values()), ord=math.inf)))
    if bool(finite.all()):
        return
    bad = [name for name, is_finite in zip(held, finite.tolist(), strict=True) if not is_finite]
    raise NonFiniteLossError(
        f"{bad[0]!r} holds values that are not finite after iteration {played - 1} of the game, its last ({len(bad)} weights do), though "
        "the losses were: a gradient was not; a lower learning rate usually helps, or eps where a root or a quotient meets 0"
    )


def check_finite(history: Sequence[Mapping[str, Tensor]], first_step: int = 0) -> None:
    """Refuse a game whose losses did not stay finite.

    Raises:
        NonFiniteLossError: naming the first iteration and the terms that were not finite.
    """
    if not history:
        return
    bad = ~torch.isfinite(torch.stack([value.float() for logs in history for value in logs.values()]))
    if not bool(bad.any()):
        return
    found = [(step, name) for step, logs in enumerate(history) for name in logs]
    wrong = [where for where, is_bad in zip(found, bad.tolist(), strict=True) if is_bad]
    step = wrong[0][0]
    terms = ", ".join(name for number, name in wrong if number == step)
    raise NonFiniteLossError(f"not finite at iteration {first_step + step} of the game: {terms}; a lower learning rate usually helps")
