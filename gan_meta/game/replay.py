"""replay(): one iteration of a game as a differentiable function from state to state, with torch.optim's mathematics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from gan_meta.game.adam import AdamRates, adam_update
from gan_meta.game.copies import put_loose, take_loose
from gan_meta.game.hooks import obeyed
from gan_meta.game.inner import Turn
from gan_meta.game.instance_norm import ClosedFormInstanceNorm
from gan_meta.game.layout import as_weight
from gan_meta.game.player_loss import own_gradients
from gan_meta.game.rates import scaled
from gan_meta.game.state import GameState
from gan_meta.game.table import Table, TurnLosses
from gan_meta.pair import GANPair


def replay(table: Table, state: GameState, fixed: Mapping[str, Tensor], position: int) -> tuple[GameState, dict[str, Tensor]]:
    """Play the iteration at a position from a state, keeping the graph from the new state to the old one.

    Args:
        table: the game's; its own weights and buffers are neither read nor moved.
        state: where the game stands; its tensors stay as they are. What its modules and objective keep besides tensors is put into the
            table's.
        fixed: the parameters that do not adapt, by name; a gradient goes to those that require one.

    Returns:
        The new state and the iteration's losses by name, as detached scalars.
    """
    logs: dict[str, Tensor] = {}
    table.objective = put_loose(table.pair, state.loose)
    state = replace(state, buffers={name: buffer.clone() for name, buffer in state.buffers.items()})
    with torch.enable_grad(), table.iteration(position):
        for turn in table.turns:
            state, losses = _play_turn(table, turn, state, fixed, position)
            logs.update(losses.logs)
    return replace(state, loose=take_loose(table.pair, table.objective)), logs


def _play_turn(table: Table, turn: Turn, state: GameState, fixed: Mapping[str, Tensor], position: int) -> tuple[GameState, TurnLosses]:
    # A player's gradient is its own, for its weights as they stand now: fresh aliases keep it from flowing on through the
    # other's earlier answers to these weights, which is a different game ("unrolled GAN").
    aliases = {name: weight[...] for player in turn.players for name, weight in _own(table, state, player).items()}
    seated = {**fixed, **state.weights, **aliases, **state.buffers}
    losses = _ask(table.pair, seated, lambda: table.losses(turn, position))
    state = replace(state, buffers={name: seated[name].detach() for name in state.buffers})
    for player, loss in losses.players.items():
        names = table.adapting[player]
        own = [aliases[name] for name in names]
        found = own_gradients(loss, own, player, position, retain_graph=True, create_graph=True)
        gradients = obeyed(names, found, dict(table.pair.named_parameters()))
        steps = zip(names, scaled(names, gradients, fixed), strict=True)
        state = _moved(table, state, {name: step for name, step in steps if step is not None}, position, player)
    return state, losses


def _own(table: Table, state: GameState, player: str) -> dict[str, Tensor]:
    return {name: state.weights[name] for name in table.adapting[player]}


class _Seat(nn.Module):
    """Lets a question about a pair be asked while other weights sit in it."""

    def __init__(self, pair: GANPair) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, question: Callable[[], TurnLosses]) -> TurnLosses:
        return question()


def _ask(pair: GANPair, tensors: dict[str, Tensor], question: Callable[[], TurnLosses]) -> TurnLosses:
    """The answer; a module that puts another tensor in a buffer's place puts it among the given tensors too."""
    seated = {f"pair.{name}": tensor for name, tensor in tensors.items()}
    with ClosedFormInstanceNorm():
        answer: TurnLosses = torch.func.functional_call(_Seat(pair), seated, (question,))
    tensors.update({name: seated[f"pair.{name}"] for name in tensors})
    return answer


def _moved(table: Table, state: GameState, gradients: Mapping[str, Tensor], position: int, player: str) -> GameState:
    """The state after one update of a player; a weight without a gradient is passed over, as torch.optim does."""
    lr = table.inner.lr_at(position, player)
    weights = dict(state.weights)
    gradients = {name: as_weight(gradient, weights[name]) for name, gradient in gradients.items()}
    if table.inner.optimizer == "sgd":
        weights.update({name: weights[name].add(gradient, alpha=-lr) for name, gradient in gradients.items()})
        return replace(state, weights=weights)
    means, squares, counts = dict(state.means), dict(state.squares), dict(state.counts)
    for name, gradient in gradients.items():
        counts[name] += 1
        rates = AdamRates(lr, *table.inner.betas, table.inner.eps, counts[name])
        weights[name], means[name], squares[name] = adam_update(weights[name], gradient, means[name], squares[name], rates)
    return replace(state, weights=weights, means=means, squares=squares, counts=counts)
