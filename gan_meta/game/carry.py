"""CarriedMoments: the optimiser state that one game leaves to the next, where a fresh one for each task is not wanted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gan_meta.game.engine import Game
from gan_meta.game.state import put_back_moments, state_of


class CarriedMoments:
    """Adam's running averages, from game to game (as the released Posewarp training code does). Empty at first."""

    def __init__(self) -> None:
        self.means: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self._player: int | None = None

    @contextlib.contextmanager
    def played_on(self, game: Game) -> Iterator[None]:
        """Around a game that has not begun: it starts from this state, which becomes the one that the game leaves if it ends well.

        Raises:
            RuntimeError: when another thread's game has taken it up: which of them comes next would be a matter of chance.
        """
        before, me = self._player, threading.get_ident()
        if before not in (None, me):
            raise RuntimeError(
                "an algorithm with carry_optimizer=True hands its optimiser's state from game to game, so its games are played one after "
                "another, in one thread at a time; give each thread an algorithm of its own"
            )
        self._player = me
        try:
            put_back_moments(game, self.means, self.squares, self.counts)
            yield
            state = state_of(game)
            self.means, self.squares, self.counts = state.means, state.squares, state.counts
        finally:
            self._player = before

    def tensors(self) -> dict[str, Tensor]:
        """The state as tensors by name, for a checkpoint."""
        counts = {name: torch.tensor(count) for name, count in self.counts.items()}
        groups: dict[str, Mapping[str, Tensor]] = {"mean": self.means, "square": self.squares, "count": counts}
        return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`tensors` gave."""
        groups: dict[str, dict[str, Tensor]] = {"mean": {}, "square": {}, "count": {}}
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            groups[group][name] = tensor
        self.means, self.squares = groups["mean"], groups["square"]
        self.counts = {name: int(count) for name, count in groups["count"].items()}
