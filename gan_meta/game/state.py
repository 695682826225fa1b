"""GameState: everything that an iteration of a game changes, as plain tensors by name; taken from a game and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gan_meta.game.copies import Loose, put_loose, take_loose
from gan_meta.game.engine import Game
from gan_meta.game.layout import as_weight
from gan_meta.game.table import put_buffers


@dataclass(frozen=True)
class GameState:
    """A game between two iterations.

    Attributes:
        weights: the adapting parameters.
        means, squares: Adam's running averages of the gradients and of their squares; empty for SGD.
        counts: how many updates Adam has made of each parameter.
        buffers: the pair's buffers; no gradient goes through them.
        loose: what modules and the objective keep besides; no gradient goes through it either.
    """

    weights: dict[str, Tensor]
    means: dict[str, Tensor]
    squares: dict[str, Tensor]
    counts: dict[str, int]
    buffers: dict[str, Tensor]
    loose: Loose

    def tensors(self) -> dict[str, Tensor]:
        """What a meta-gradient goes through: weights under their own names, averages under the name with a suffix."""
        return {**self.weights, **_suffixed(self.means, "mean"), **_suffixed(self.squares, "square")}

    def leaves(self) -> GameState:
        """The same state, detached, as leaves that a gradient can be asked for."""
        return replace(self, weights=_leaves(self.weights), means=_leaves(self.means), squares=_leaves(self.squares))

    @property
    def nbytes(self) -> int:
        """Memory of the state."""
        return sum(tensor.nbytes for tensor in (*self.tensors().values(), *self.buffers.values()))


def state_of(game: Game) -> GameState:
    """A copy of a game's state."""
    weights, means, squares, counts = {}, {}, {}, {}
    with torch.no_grad():
        for player, name, parameter in _adapting(game):
            weights[name] = parameter.detach().clone()
            if game.inner.optimizer == "adam":
                kept = game.optimizers[player].state.get(parameter, {})
                means[name] = kept["exp_avg"].clone() if kept else torch.zeros_like(parameter)
                squares[name] = kept["exp_avg_sq"].clone() if kept else torch.zeros_like(parameter)
                counts[name] = int(kept["step"]) if kept else 0
        buffers = {name: buffer.clone() for name, buffer in game.pair.named_buffers()}
    return GameState(weights, means, squares, counts, buffers, take_loose(game.pair, game.table.objective))


def put_back(game: Game, state: GameState, position: int) -> None:
    """Set a game to a state, which is copied, at a position."""
    with torch.no_grad():
        for _, name, parameter in _adapting(game):
            parameter.copy_(state.weights[name])
    put_buffers(game.pair, state.buffers)
    game.table.objective = put_loose(game.pair, state.loose)
    put_back_moments(game, state.means, state.squares, state.counts)
    game.position = position


def put_back_moments(game: Game, means: Mapping[str, Tensor], squares: Mapping[str, Tensor], counts: Mapping[str, int]) -> None:
    """Set Adam's running averages, which are copied; a parameter without updates gets none, as in a fresh optimiser."""
    for player, name, parameter in _adapting(game):
        kept = game.optimizers[player].state
        kept.pop(parameter, None)
        if counts.get(name):
            kept[parameter] = {
                "step": torch.tensor(float(counts[name]), device=parameter.device),
                "exp_avg": as_weight(means[name].detach(), parameter).clone(),
                "exp_avg_sq": as_weight(squares[name].detach(), parameter).clone(),
            }


def _adapting(game: Game) -> Iterator[tuple[str, str, torch.nn.Parameter]]:
    for player, names in game.table.adapting.items():
        for name, parameter in zip(names, game.parameters[player], strict=True):
            yield player, name, parameter


def _suffixed(tensors: Mapping[str, Tensor], suffix: str) -> dict[str, Tensor]:
    return {f"{name}/{suffix}": tensor for name, tensor in tensors.items()}


def _leaves(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}
