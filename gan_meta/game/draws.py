"""Which samples a step of a game sees: draws, and unique samples with weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.objective import Batch
from gan_meta.seeds import derive_seed

Transform = Callable[[Batch], Batch]
"""A deterministic change of a batch, sample by sample, for example a horizontal flip."""


@dataclass(frozen=True)
class Draw:
    """The items of one batch: item ``t * n + k`` is sample k under transform t (0 is the identity).

    Attributes:
        items: (B,) long, in the order drawn, repeats included.
    """

    items: Tensor

    def unique(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The (U,) distinct items in ascending order and their (U,) weights count / B, which sum to 1."""
        items, counts = torch.unique(self.items, return_counts=True)
        return items, counts.to(dtype) / len(self.items)

    @property
    def has_repeats(self) -> bool:
        """Whether some item occurs more than once."""
        return len(torch.unique(self.items)) < len(self.items)


def draw(n_samples: int, batch_size: int, n_transforms: int, position: int, seed: int) -> Draw:
    """The batch at a position of the endless stream of batches of this seed.

    Up to ``batch_size`` samples are all taken and repeated to fill the batch, index i -> i mod K (the paper's section 3,
    "we repeat the frames to get 8 images for the batch"). More samples are visited in shuffled epochs, each sample
    once an epoch; a batch may straddle two epochs. Each drawn sample gets one of the transforms, all equally likely.

    The result is a function of the arguments alone, so that any step can be rebuilt.
    """
    if n_samples <= batch_size:
        samples = torch.arange(batch_size) % n_samples
    else:
        samples = _shuffled(n_samples, position * batch_size, batch_size, seed)
    if n_transforms > 1:
        generator = torch.Generator().manual_seed(derive_seed(seed, "transform", position))
        samples = samples + n_samples * torch.randint(n_transforms, (batch_size,), generator=generator)
    return Draw(samples)


def _shuffled(n_samples: int, start: int, length: int, seed: int) -> Tensor:
    pieces = []
    while length > 0:
        epoch, offset = divmod(start, n_samples)
        generator = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
        piece = torch.randperm(n_samples, generator=generator)[offset : offset + length]
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return torch.cat(pieces)
