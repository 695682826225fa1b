"""Game: the engine that plays the two-player game of one task, in place, with an ordinary optimiser."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_meta.draws import Draw, SamplePool, draw
from gan_meta.inner import InnerLoop, Turn
from gan_meta.objective import Batch, Objective, total
from gan_meta.pair import GANPair
from gan_meta.roles import adapts, resolve_roles
from gan_meta.seeds import derive_seed, random_state, restore_random_state, seeded
from gan_meta.tasks import Samples


class NonFiniteLossError(ArithmeticError):
    """A loss became infinite or not a number."""


class TurnLosses(NamedTuple):
    """What a turn's players pay: each mover's loss, and the named terms, one value a sample or a scalar."""

    players: dict[str, Tensor]
    parts: dict[str, Tensor]


class Game:
    """One game, from a start to its adapted weights, step by step.

    Args:
        pair: moved in place; hand in a clone to keep the start.
        objective, support, inner, seed: as for :func:`gan_meta.adapt`.

    Attributes:
        pair: the weights as they stand.
        position: how many iterations have been played.
        optimizers: one a player; together with the weights and the position they are the game's whole state.

    Raises:
        ValueError: as for :func:`gan_meta.adapt`.
    """

    def __init__(self, pair: GANPair, objective: Objective, support: Samples, inner: InnerLoop, seed: int = 0) -> None:
        self.pair = pair
        self.objective = objective
        self.inner = inner
        self.seed = seed
        self.position = 0
        roles = resolve_roles(pair, inner.all_roles if pair.discriminator is not None else dict(inner.roles))
        self.parameters = {
            player: [parameter for name, parameter in pair.player_parameters(player) if adapts(roles[name])] for player in pair.players
        }
        self._check_players()
        self.turns = self._playable_turns()
        self.optimizers = {player: self._optimizer(player) for player, parameters in self.parameters.items() if parameters}
        reference = next(pair.parameters())
        self.device, self.dtype = reference.device, reference.dtype
        self.pool = SamplePool(support, inner.augment, self.device, objective.precompute)
        self._unique = inner.unique_samples and not has_batch_statistics(pair)
        self._proven_unique: set[tuple[str, ...]] = set()

    def step(self) -> dict[str, Tensor]:
        """Play one iteration and return its losses by name, as scalars on the device."""
        for player, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.inner.lr_at(self.position, player)
        logs: dict[str, Tensor] = {}
        rounds = max(self.inner.update_ratio)
        with seeded(derive_seed(self.seed, "step", self.position), self.device):
            for turn in self.turns:
                drawn = draw(
                    self.pool.n_samples, self.inner.batch_size, len(self.pool.transforms), self.position * rounds + turn.batch, self.seed
                )
                logs.update(self._move(*self._losses(turn.players, drawn)))
        self.position += 1
        return logs

    def finish(self) -> GANPair:
        """The pair, with no gradients left on it."""
        for parameter in self.pair.parameters():
            parameter.grad = None
        return self.pair

    # -- one turn ---------------------------------------------------------------------------------------------------

    def _losses(self, players: tuple[str, ...], drawn: Draw) -> tuple[TurnLosses, Tensor | None]:
        """The losses of a turn and the samples' weights, ``None`` where all count alike."""
        if not (self._unique and drawn.has_repeats):
            return self._forward(players, self.pool.take(drawn.items)), None
        items, weights = drawn.unique(self.dtype)
        if players in self._proven_unique:
            return self._forward(players, self.pool.take(items)), weights.to(self.device)
        # The first time: only losses per sample that drew nothing at random are the same for unique samples as for repeats.
        buffers = [buffer.clone() for buffer in self.pair.buffers()]
        before = random_state(self.device)
        losses = self._forward(players, self.pool.take(items))
        drew_nothing = all(torch.equal(a, b) for a, b in zip(before, random_state(self.device), strict=True))
        if drew_nothing and all(loss.ndim == 1 for loss in losses.players.values()):
            self._proven_unique.add(players)
            return losses, weights.to(self.device)
        self._unique = False
        with torch.no_grad():
            for buffer, kept in zip(self.pair.buffers(), buffers, strict=True):
                buffer.copy_(kept)
        restore_random_state(before, self.device)
        return self._forward(players, self.pool.take(drawn.items)), None

    def _forward(self, players: tuple[str, ...], batch: Batch) -> TurnLosses:
        """The losses of these players on a batch; where they are separate, each sees the other's weights without gradient."""
        if len(players) == 2 and type(self.objective).losses is not Objective.losses:
            both = self.objective.losses(self.pair, batch)
            return TurnLosses({player: _present(getattr(both, player), player) for player in players}, dict(both.parts))
        losses, parts = {}, {}
        for player in players:
            with self._learning(player):
                losses[player], terms = player_loss(self.objective, self.pair, batch, player)
            parts.update(terms)
        return TurnLosses(losses, parts)

    @contextlib.contextmanager
    def _learning(self, player: str) -> Iterator[None]:
        """Let only this player's adapting weights require a gradient."""
        required = [(parameter, parameter.requires_grad) for parameter in self.pair.parameters()]
        own = {id(parameter) for parameter in self.parameters[player]}
        for parameter, _ in required:
            parameter.requires_grad_(id(parameter) in own)
        try:
            yield
        finally:
            for parameter, flag in required:
                parameter.requires_grad_(flag)

    def _move(self, losses: TurnLosses, weights: Tensor | None) -> dict[str, Tensor]:
        """Take every player's gradient first, then let them step; returns the reduced losses."""
        reduced = {player: reduce_loss(loss, weights, f"the {player}'s loss") for player, loss in losses.players.items()}
        for number, (player, loss) in enumerate(reduced.items()):
            gradients = self._gradients(player, loss, retain_graph=number + 1 < len(reduced))
            for parameter, gradient in zip(self.parameters[player], gradients, strict=True):
                parameter.grad = gradient
        for player in reduced:
            self.optimizers[player].step()
        with torch.no_grad():
            reduced.update({name: reduce_loss(part, weights, f"the term {name!r}") for name, part in losses.parts.items()})
        return {name: value.detach() for name, value in reduced.items()}

    def _gradients(self, player: str, loss: Tensor, retain_graph: bool) -> tuple[Tensor | None, ...]:
        where = f"at iteration {self.position}"
        if not loss.requires_grad:
            raise ValueError(
                f"the {player}'s loss has no gradient to the {player} {where}: is the {player} used in it, or was it detached?"
            )
        gradients = torch.autograd.grad(loss, self.parameters[player], retain_graph=retain_graph, allow_unused=True)
        if all(gradient is None for gradient in gradients):
            raise ValueError(f"the {player}'s loss does not depend on any adapting weight of the {player} {where}")
        return gradients

    # -- construction -----------------------------------------------------------------------------------------------

    def _check_players(self) -> None:
        if not self.parameters["generator"]:
            raise ValueError("the generator takes turns but has no weight that adapts: all of its weights are 'shared' or 'frozen'")
        if self.pair.discriminator is None and self.inner.update_ratio != (1, 1):
            raise ValueError(f"update_ratio={self.inner.update_ratio} needs a discriminator, but the pair has none")
        if self.inner.freeze_d != "never" and self.pair.discriminator is None:
            raise ValueError(f"freeze_d={self.inner.freeze_d!r} needs a discriminator, but the pair has none")
        if self.inner.update_ratio != (1, 1) and not self.parameters.get("discriminator"):
            raise ValueError(f"update_ratio={self.inner.update_ratio} gives the discriminator turns, but none of its weights adapts")

    def _playable_turns(self) -> list[Turn]:
        moving = {player for player, parameters in self.parameters.items() if parameters}
        turns = [Turn(tuple(player for player in turn.players if player in moving), turn.batch) for turn in self.inner.turns()]
        return [turn for turn in turns if turn.players]

    def _optimizer(self, player: str) -> torch.optim.Optimizer:
        parameters, lr = self.parameters[player], self.inner.lr_at(0, player)
        if self.inner.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=lr)
        return torch.optim.Adam(parameters, lr=lr, betas=self.inner.betas, eps=self.inner.eps)


def player_loss(objective: Objective, pair: GANPair, batch: Batch, player: str) -> tuple[Tensor, dict[str, Tensor]]:
    """One player's loss and its named terms, taken from ``losses`` where the objective defines nothing else."""
    separate = f"{player}_loss"
    if getattr(type(objective), separate) is getattr(Objective, separate) and type(objective).losses is not Objective.losses:
        both = objective.losses(pair, batch)
        return _present(getattr(both, player), player), dict(both.parts)
    return total(getattr(objective, separate)(pair, batch))


def reduce_loss(loss: Tensor, weights: Tensor | None, what: str) -> Tensor:
    """The weighted mean of a loss per sample; a scalar stays as it is.

    Raises:
        ValueError: when the loss has neither one value a sample nor one in all.
    """
    if loss.ndim == 0:
        return loss
    if loss.ndim != 1 or (weights is not None and len(loss) != len(weights)):
        expected = "(N,)" if weights is None else f"({len(weights)},)"
        raise ValueError(f"{what} has shape {tuple(loss.shape)}; it must be {expected}, one value a sample, or a scalar")
    return loss.mean() if weights is None else (loss * weights.to(loss.dtype)).sum()


def check_finite(history: Sequence[Mapping[str, Tensor]], first_step: int = 0) -> None:
    """Refuse a game whose losses did not stay finite.

    Raises:
        NonFiniteLossError: naming the first iteration and the terms that were not finite.
    """
    if not history:
        return
    names = list(history[0])
    table = torch.stack([torch.stack([logs[name].float() for name in names]) for logs in history])
    bad = ~torch.isfinite(table)
    if not bool(bad.any()):
        return
    step = int(bad.any(dim=1).nonzero()[0])
    terms = ", ".join(name for name, is_bad in zip(names, bad[step].tolist(), strict=True) if is_bad)
    raise NonFiniteLossError(f"not finite at iteration {first_step + step} of the game: {terms}; a lower learning rate usually helps")


def has_batch_statistics(pair: GANPair) -> bool:
    """Whether some normalisation mixes the samples of a batch, or keeps statistics of them, as the pair stands."""
    for module in pair.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or not module.track_running_stats):
            return True
        if isinstance(module, nn.modules.instancenorm._InstanceNorm) and module.training and module.track_running_stats:
            return True
    return False


def _present(loss: Tensor | None, player: str) -> Tensor:
    if loss is None:
        raise ValueError(f"the objective's losses() returned no {player} loss, but the {player} takes turns")
    return loss
