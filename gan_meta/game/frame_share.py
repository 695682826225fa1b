"""FrameShare: one game whose batches are shared by all ranks; gradients are summed after each turn."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gan_meta.distributed import World

logger = logging.getLogger(__name__)


class FrameShare:
    """How a game's batches are shared: of a batch's items each rank takes every size-th one, with its weight.

    The weighted losses of all ranks add up to the batch's loss, so the sum of their gradients is the batch's gradient.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._has_warned = False

    def of(self, items: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """This rank's items and their weights; a rank with none gets the first item at weight 0, so that all do alike."""
        rank, size = self.world.rank, self.world.size
        if len(items) < size and rank == 0 and not self._has_warned:
            self._has_warned = True
            logger.warning("a batch has %d different items for %d ranks: %d of them idle", len(items), size, size - len(items))
        if rank >= len(items):
            return items[:1], torch.zeros_like(weights[:1])
        return items[rank::size], weights[rank::size]

    def sum(
        self, gradients: Sequence[Tensor | None], parameters: Sequence[Tensor], logs: Mapping[str, Tensor]
    ) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """Gradients and logs summed over all ranks, in one all_reduce; a gradient is ``None`` where every rank's is."""
        reference = parameters[0]
        present = reference.new_tensor([float(gradient is not None) for gradient in gradients])
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
        scalars = [value.detach().to(reference) for value in logs.values()]
        *summed, users = self.world.sum_flat([*filled, *scalars, present])
        used = users.tolist()
        return (
            [gradient if count else None for gradient, count in zip(summed, used, strict=False)],
            dict(zip(logs, summed[len(filled) :], strict=True)),
        )
