"""Game: the engine that plays the two-player game of one task, in place, with an ordinary optimiser."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_meta.game.factory import group_rates, make_optimizer
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.inner import InnerLoop, Turn
from gan_meta.game.layout import can_be_fused, refuse_overlapping, step_in_layout
from gan_meta.game.passes import Passes
from gan_meta.game.player_loss import check_finite_weights, own_gradients
from gan_meta.game.rates import has_learned_rates, scaled
from gan_meta.game.roles import adapts
from gan_meta.game.table import Table
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.tasks import Samples


class Game:
    """One game, from a start to its adapted weights, step by step.

    Args:
        pair: moved in place; hand in a clone to keep the start.
        objective, support, inner, seed: as for :func:`gan_meta.adapt`.
        share: how the batches are shared by several ranks that play this game together; ``None``: this process plays it alone.
        fused: whether Adam goes over the weights once instead of six times, where it can, a tenth of a step at K = 1; to rounding,
            the same.

    Attributes:
        pair: the weights as they stand.
        position: how many iterations have been played.
        optimizers: one a player; together with the weights and the position they are the game's whole state.
        table: what does not change while the game is played.

    Raises:
        ValueError: as for :func:`gan_meta.adapt`.
    """

    def __init__(
        self,
        pair: GANPair,
        objective: Objective,
        support: Samples,
        inner: InnerLoop,
        seed: int = 0,
        share: FrameShare | None = None,
        *,
        fused: bool = True,
    ) -> None:
        if inner.optimizer != "sgd" and has_learned_rates(pair):
            raise ValueError(f'the pair has learned rates, made for plain SGD; use optimizer="sgd" instead of {inner.optimizer!r}')
        self.pair = pair
        self.inner = inner
        self._is_fused = fused
        self._sit_down(objective, support, seed, share)
        named = dict(pair.named_parameters())
        refuse_overlapping((name, named[name]) for names in self.table.adapting.values() for name in names)
        self._fixed = {name: parameter.detach() for name, parameter in named.items() if not adapts(self.table.roles[name])}
        self.parameters = {player: [named[name] for name in names] for player, names in self.table.adapting.items()}
        self._make_optimizers()

    def restart(self, objective: Objective, support: Samples, seed: int = 0, share: FrameShare | None = None) -> None:
        """Begin another game from the pair as it stands, with optimiser state as if fresh, in the memory of the old.

        Raises:
            ValueError: as for :func:`gan_meta.adapt`.
        """
        self._sit_down(objective, support, seed, share)
        if self.inner.has_own_optimizer:  # whose state may begin with other values than 0
            self._make_optimizers()
        kept = [tensor for optimizer in self.optimizers.values() for state in optimizer.state.values() for tensor in state.values()]
        if kept:
            torch._foreach_zero_(kept)

    def step(self) -> dict[str, Tensor]:
        """Play one iteration and return its losses by name, as scalars on the device."""
        factor = self.inner.factor_at(self.position)
        for player, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[player], strict=True):
                group["lr"] = rate * factor
        logs: dict[str, Tensor] = {}
        with torch.enable_grad(), self.table.iteration(self.position):
            for turn in self.table.turns:
                logs.update(self._move(turn))
        self.position += 1
        return logs

    def finish(self) -> GANPair:
        """The pair, with no gradients left on it.

        Raises:
            NonFiniteLossError: when a weight that moved is not finite.
        """
        names = [name for names in self.table.adapting.values() for name in names]
        moved = [weight for weights in self.parameters.values() for weight in weights]
        check_finite_weights(dict(zip(names, moved, strict=True)), self.position)
        for parameter in self.pair.parameters():
            parameter.grad = None
        return self.pair

    def _sit_down(self, objective: Objective, support: Samples, seed: int, share: FrameShare | None) -> None:
        self.table = Table(self.pair, objective, support, self.inner, seed, share)
        self.share = share
        self.position = 0

    def _move(self, turn: Turn) -> dict[str, Tensor]:
        """Play a turn: take every mover's gradient first, then let them step; returns the losses by name."""
        passes = Passes(self.pair)
        losses = self.table.losses(turn, self.position)
        gradients: list[Tensor | None] = []
        for number, (player, loss) in enumerate(losses.players.items()):
            more_to_come = number + 1 < len(losses.players)
            own = own_gradients(passes, loss, self.parameters[player], player, self.position, retain_graph=more_to_come)
            named = zip(self.table.adapting[player], self.parameters[player], own, strict=True)
            self.table.see_unused(turn, self.position, {name: parameter for name, parameter, gradient in named if gradient is None})
            gradients += own
        parameters = [parameter for player in losses.players for parameter in self.parameters[player]]
        logs = losses.logs
        if self.share is not None:
            gradients, logs = self.share.sum(gradients, parameters, logs)
        names = [name for player in losses.players for name in self.table.adapting[player]]
        for parameter, step in zip(parameters, scaled(names, gradients, self._fixed), strict=True):
            parameter.grad = step
        for player in losses.players:
            step_in_layout(self.optimizers[player])
        return logs

    def _make_optimizers(self) -> None:
        self.optimizers = {player: self._optimizer(player) for player, parameters in self.parameters.items() if parameters}
        self._rates = {player: group_rates(optimizer) for player, optimizer in self.optimizers.items()}

    def _optimizer(self, player: str) -> torch.optim.Optimizer:
        parameters, lr = self.parameters[player], self.inner.base_lr(player)
        if not isinstance(self.inner.optimizer, str):
            named = dict(zip(self.table.adapting[player], parameters, strict=True))
            return make_optimizer(self.inner.optimizer, named, lr, player)
        if self.inner.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=lr)
        fused = self._is_fused and can_be_fused(parameters)
        return torch.optim.Adam(parameters, lr=lr, betas=self.inner.betas, eps=self.inner.eps, fused=fused)
