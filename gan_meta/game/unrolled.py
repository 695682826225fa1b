"""The game, differentiable: phi as a function of theta, by one of two engines with the same answer.

``unrolled`` keeps the graph of all iterations. ``sweep`` keeps states only: from the last iteration to the first it rebuilds
one iteration from its state and pulls the adjoint of the state through it (reverse accumulation), so that the memory for
activations does not grow with the number of iterations.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from gan_meta.game.carry import CarriedMoments
from gan_meta.game.copies import copy_both, put_loose, show
from gan_meta.game.engine import Game
from gan_meta.game.inner import InnerLoop
from gan_meta.game.passes import unseen
from gan_meta.game.player_loss import check_finite
from gan_meta.game.replay import Link, replay
from gan_meta.game.roles import adapts, is_learned
from gan_meta.game.state import GameState, put_back, state_of
from gan_meta.naming import unknown_name
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.tasks import Samples

MEMORY = ("auto", "unrolled", "sweep")
GRAPH_BYTES = 2**30
"""``memory="auto"`` unrolls as long as the graph of all iterations is expected to be smaller than this."""
STATE_BYTES = 2**28
"""The sweep keeps every state as long as all of them are smaller than this, and every sqrt(T)-th one otherwise."""

Tensors = Mapping[str, Tensor]


class Trajectory(Protocol):
    """A game that has been played, and can be differentiated once.

    Attributes:
        phi: the adapted pair.
        objective: as the game leaves it, for the query.
        logs: the last iteration's losses by name.
    """

    phi: GANPair
    objective: Objective
    logs: dict[str, float]

    def pull(self, cotangents: Sequence[Tensors]) -> list[dict[str, Tensor]]:
        """Pull gradients at phi back to theta: vector-Jacobian products with d phi / d theta. May be called once.

        Args:
            cotangents: each the gradient of some number for phi's parameters, by name; absent names count as zero.

        Returns:
            For each of them the gradient of that number for every parameter whose start is learned.
        """


def record(
    pair: GANPair,
    objective: Objective,
    support: Samples,
    inner: InnerLoop,
    seed: int = 0,
    memory: str = "auto",
    carried: CarriedMoments | None = None,
) -> Trajectory:
    """Play the game as :func:`gan_meta.adapt` does, and remember what is needed to differentiate phi for theta.

    Args:
        pair, objective, support, inner, seed: as for :func:`gan_meta.adapt`; ``pair`` stays untouched.
        memory: ``"unrolled"``, ``"sweep"``, or ``"auto"``: unrolled if the graph is small enough, judged by the first iteration's.
        carried: the optimiser state of the game before, as for :func:`gan_meta.game.adaptation.play`; a constant to the gradient.

    Raises:
        ValueError: for an unknown ``memory``, and as for :func:`gan_meta.adapt`.
        NonFiniteLossError: when a loss becomes infinite or not a number.
    """
    if memory not in MEMORY:
        raise ValueError(unknown_name("memory", memory, MEMORY))
    if inner.has_own_optimizer:
        raise ValueError('a game with an optimizer factory cannot be differentiated; use "adam" or "sgd"')
    # Fused Adam rounds in another order than replay() does, and both engines shall play the same game, bit for bit.
    copies = copy_both(pair, objective)
    game = Game(copies.pair, copies.objective, support, inner, seed, fused=False)
    with contextlib.nullcontext() if carried is None else carried.played_on(game):
        if memory == "auto":
            fits = inner.steps <= 1 or inner.steps * _graph_bytes(game) <= GRAPH_BYTES
            memory = "unrolled" if fits else "sweep"
        trajectory = Unrolled(game) if memory == "unrolled" else Swept(game)
        copies.check()
        show(objective, pair, trajectory.objective, trajectory.phi)
        return trajectory


class Unrolled:
    """A trajectory that keeps the graph of all iterations."""

    def __init__(self, game: Game) -> None:
        fixed = _fixed(game)
        state = state_of(game)
        self._learned_names = _learned_names(game)
        self._links: list[Link] = []
        history = []
        for position in range(game.inner.steps):
            links, state, logs = replay(game.table, state, fixed, position)
            self._links += links
            history.append(logs)
        check_finite(history)
        put_back(game, state, game.inner.steps)
        self.phi, self.objective, self.logs = game.finish(), game.table.objective, _floats(history)

    def pull(self, cotangents: Sequence[Tensors]) -> list[dict[str, Tensor]]:
        """As :meth:`Trajectory.pull`."""
        adjoints = [dict(cotangent) for cotangent in cotangents]
        while self._links:
            adjoints = self._links.pop().pull(adjoints)
        return _chosen(adjoints, self._learned_names)


class Swept:
    """A trajectory that keeps states only, and rebuilds each iteration's graph when it is needed."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._fixed = _fixed(game)
        start = state_of(game)
        self._learned_names = _learned_names(game)
        steps = game.inner.steps
        self._stride = 1 if steps * start.nbytes <= STATE_BYTES else math.ceil(math.sqrt(steps))
        self._kept: dict[int, GameState] = {}
        history = []
        for position in range(steps):
            if position % self._stride == 0:
                self._kept[position] = state_of(game)
            history.append(game.step())
        check_finite(history)
        # The game goes on as the workbench of the sweep, so phi is a copy.
        self.phi, self.objective, _ = copy_both(game.finish(), game.table.objective)
        self.logs = _floats(history)

    def pull(self, cotangents: Sequence[Tensors]) -> list[dict[str, Tensor]]:
        """As :meth:`Trajectory.pull`."""
        adjoints = [dict(cotangent) for cotangent in cotangents]
        for start in reversed(self._kept):
            for position, state in reversed(self._segment(start)):
                links, _, _ = replay(self._game.table, state, self._fixed, position)
                while links:
                    adjoints = links.pop().pull(adjoints)
        self._kept.clear()
        return _chosen(adjoints, self._learned_names)

    def _segment(self, start: int) -> list[tuple[int, GameState]]:
        """The states from a kept one up to the next kept one, by playing on from it."""
        segment = [(start, self._kept[start])]
        stop = min(start + self._stride, self._game.inner.steps)
        if stop - start > 1:
            put_back(self._game, self._kept[start], start)
        for position in range(start + 1, stop):
            self._game.step()
            segment.append((position, state_of(self._game)))
        return segment


def _chosen(adjoints: Sequence[Tensors], names: set[str]) -> list[dict[str, Tensor]]:
    return [{name: value for name, value in adjoint.items() if name in names} for adjoint in adjoints]


def _fixed(game: Game) -> dict[str, Tensor]:
    """The parameters that do not adapt; those whose start is learned all the same ask for a gradient."""
    roles = game.table.roles
    return {
        name: parameter.detach().clone().requires_grad_(is_learned(roles[name]))
        for name, parameter in game.pair.named_parameters()
        if not adapts(roles[name])
    }


def _learned_names(game: Game) -> set[str]:
    return {name for name, role in game.table.roles.items() if is_learned(role)}


def _floats(history: Sequence[Tensors]) -> dict[str, float]:
    return {name: float(value) for name, value in history[-1].items()} if history else {}


def _graph_bytes(game: Game) -> int:
    """Memory of one iteration's graph: what its operations keep for the way back, each storage once."""
    seen: dict[int, int] = {}

    @unseen
    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    start = state_of(game)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        replay(game.table, start, _fixed(game), 0)
    game.table.objective = put_loose(game.pair, start.loose)
    return sum(seen.values())
