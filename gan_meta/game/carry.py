"""CarriedMoments: the optimiser state that one game leaves to the next, where a fresh one for each task is not wanted."""

from __future__ import annotations

from collections.abc import Mapping

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

    def hand_to(self, game: Game) -> None:
        """Let a game that has not begun start from this state."""
        put_back_moments(game, self.means, self.squares, self.counts)

    def take_from(self, game: Game) -> None:
        """Keep the state that a finished game leaves."""
        state = state_of(game)
        self.means, self.squares, self.counts = state.means, state.squares, state.counts

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
