"""replay(): one iteration of a game as differentiable functions from state to state, a turn each, with torch.optim's mathematics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from gan_meta.game.adam import AdamRates, adam_update
from gan_meta.game.copies import put_loose, take_loose
from gan_meta.game.hooks import obeyed
from gan_meta.game.inner import Turn
from gan_meta.game.instance_norm import ClosedFormInstanceNorm
from gan_meta.game.layout import as_weight
from gan_meta.game.passes import Passes
from gan_meta.game.player_loss import own_gradients
from gan_meta.game.rates import scaled
from gan_meta.game.state import GameState
from gan_meta.game.table import Table, TurnLosses
from gan_meta.pair import GANPair

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Link:
    """One turn with its graph, from the state before it to the state after it.

    Attributes:
        table: the game's.
        passes: the turn's way through the pair.
        seated: what sat in the pair in this turn, and sits there again while the turn is differentiated: something may be recomputed.
        before: the tensors that a gradient is pulled back to, by name; leaves.
        after: those that it is pulled back from.
    """

    table: Table
    passes: Passes
    seated: dict[str, Tensor]
    before: Mapping[str, Tensor]
    after: Mapping[str, Tensor]

    def pull(self, cotangents: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Vector-Jacobian products, one for each cotangent, all by name; the graph is freed."""
        return _sitting(self.table.pair, self.seated, lambda: self._pulled(cotangents))

    def _pulled(self, cotangents: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
        pulled = []
        for number, cotangent in enumerate(cotangents):
            names = [name for name in cotangent if self.after[name].requires_grad]
            outputs, given = [self.after[name] for name in names], [cotangent[name] for name in names]
            more_to_come = number + 1 < len(cotangents)
            found = self.passes.gradients(outputs, list(self.before.values()), given, retain_graph=more_to_come)
            pulled.append({name: value for name, value in zip(self.before, found, strict=True) if value is not None})
        return pulled


def replay(table: Table, state: GameState, fixed: Mapping[str, Tensor], position: int) -> tuple[list[Link], GameState, dict[str, Tensor]]:
    """Play the iteration at a position from a state, and keep the graph of each turn.

    Args:
        table: the game's; its own weights and buffers are neither read nor moved.
        state: where the game stands; its tensors stay as they are. What its modules and objective keep besides tensors is put into the
            table's.
        fixed: the parameters that do not adapt, by name; a gradient goes to those that require one.

    Returns:
        The turns, the new state, and the iteration's losses by name, as detached scalars.

    Raises:
        ValueError: for what cannot be differentiated twice, and as for :func:`gan_meta.adapt`.
    """
    links: list[Link] = []
    logs: dict[str, Tensor] = {}
    table.objective = put_loose(table.pair, state.loose)
    with torch.enable_grad(), table.iteration(position):
        for turn in table.turns:
            link, state, losses = _play_turn(table, turn, state.leaves(), fixed, position)
            links.append(link)
            logs.update(losses.logs)
    return links, replace(state, loose=take_loose(table.pair, table.objective)), logs


def _play_turn(
    table: Table, turn: Turn, state: GameState, fixed: Mapping[str, Tensor], position: int
) -> tuple[Link, GameState, TurnLosses]:
    """A turn from a state of leaves. A player's gradient is its own: it cannot flow on through what the other answered to these
    weights before, which would be a different game ("unrolled GAN")."""
    shared = {name: tensor for name, tensor in fixed.items() if tensor.requires_grad}
    before = {**shared, **state.tensors()}
    buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
    seated = {**fixed, **state.weights, **buffers}

    def play() -> tuple[Passes, TurnLosses, dict[str, dict[str, Tensor | None]]]:
        passes = Passes(table.pair)
        losses = table.losses(turn, position)
        found = {}
        for player, loss in losses.players.items():
            own = {name: state.weights[name] for name in table.adapting[player]}
            options = {"retain_graph": True, "create_graph": True, "leaves": before.values()}
            gradients = own_gradients(passes, loss, list(own.values()), player, position, **options)
            found[player] = dict(zip(own, gradients, strict=True))
            table.see_unused(turn, position, {name: own[name] for name, gradient in found[player].items() if gradient is None})
        return passes, losses, found

    passes, losses, found = _sitting(table.pair, seated, play)
    new = replace(state, buffers={name: seated[name].detach() for name in buffers})
    parameters = dict(table.pair.named_parameters())
    for player, own in found.items():
        gradients = obeyed(list(own), list(own.values()), parameters)
        steps = zip(own, scaled(list(own), gradients, fixed), strict=True)
        new = _moved(table, new, {name: step for name, step in steps if step is not None}, position, player)
    return Link(table, passes, seated, before, {**shared, **new.tensors()}), new, losses


class _Holder(nn.Module):
    """Lets a question about a pair be asked while other tensors sit in it."""

    def __init__(self, pair: GANPair) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, question: Callable[[], Answer]) -> Answer:
        return question()


def _sitting(pair: GANPair, tensors: dict[str, Tensor], question: Callable[[], Answer]) -> Answer:
    """The answer while these tensors sit in the pair; a tensor that a module puts in a buffer's place is put among them."""
    named = {f"pair.{place}": tensors[name] for place, name in _places(pair).items() if name in tensors}
    with ClosedFormInstanceNorm():
        # Not tie_weights: it takes a module under two names for two, and gives it back with the tensors that sat there.
        answer: Answer = torch.func.functional_call(_Holder(pair), named, (question,), tie_weights=False)
    tensors.update({name: named[f"pair.{name}"] for name in tensors})
    return answer


def _places(pair: GANPair) -> dict[str, str]:
    """Every place of a parameter or buffer, and the name of what is there: the first of its places."""
    names: dict[int, str] = {}
    return {
        place: names.setdefault(id(tensor), place)
        for prefix, module in pair.named_modules()
        for place, tensor in (
            (f"{prefix}.{name}".lstrip("."), item) for name, item in [*module._parameters.items(), *module._buffers.items()]
        )
        if tensor is not None
    }


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
