"""One player's loss: asked for, reduced to a scalar, differentiated for that player's weights, and checked on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gan_meta.objective import Batch, Objective, ask, total
from gan_meta.pair import GANPair


class NonFiniteLossError(ArithmeticError):
    """A loss became infinite or not a number."""


def player_loss(objective: Objective, pair: GANPair, batch: Batch, player: str, step: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """One player's loss and its named terms, taken from ``losses`` where the objective defines nothing else.

    Args:
        step: the 0-based iteration of the game, for a loss that asks for it.
    """
    separate = f"{player}_loss"
    if getattr(type(objective), separate) is getattr(Objective, separate) and type(objective).losses is not Objective.losses:
        both = ask(objective.losses, pair, lent(batch), step)
        return present(getattr(both, player), player), dict(both.parts)
    return total(ask(getattr(objective, separate), pair, lent(batch), step))


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
        ValueError: when the loss has neither one value a sample nor one in all.
    """
    if loss.ndim == 0:
        return loss
    if loss.ndim != 1 or len(loss) != n_samples:
        raise ValueError(f"{what} has shape {tuple(loss.shape)}{where}; it must be ({n_samples},), one value a sample, or a scalar")
    return loss.mean() if weights is None else (loss * weights.to(loss.dtype)).sum()


def own_gradients(
    loss: Tensor, weights: Sequence[Tensor], player: str, position: int, *, retain_graph: bool, create_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """The gradient of a player's reduced loss for these weights of that player; ``None`` where the loss does not use one.

    Raises:
        ValueError: when the loss depends on none of them.
    """
    where = f"at iteration {position}"
    if not loss.requires_grad:
        raise ValueError(
            f"the {player}'s loss has no gradient to the {player} {where}: is the {player} used in it, was it detached, or is the loss "
            "computed under torch.no_grad() or torch.inference_mode()?"
        )
    gradients = torch.autograd.grad(loss, weights, retain_graph=retain_graph, create_graph=create_graph, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise ValueError(f"the {player}'s loss does not depend on any adapting weight of the {player} {where}")
    return gradients


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
