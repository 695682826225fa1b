"""Which samples a step of a game sees: draws, unique samples with weights, and the pool they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.objective import Batch
from gan_meta.seeds import derive_seed
from gan_meta.tasks import Samples, count_samples, take

Transform = Callable[[Batch], Batch]
"""A deterministic change of a batch, sample by sample, for example a horizontal flip."""

POOL_LIMIT = 64
"""Pools up to this many items (samples times transforms) are made once a game and kept, with what the objective precomputes."""


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


class SamplePool:
    """A game's samples under every transform, addressed by item number.

    Args:
        samples: what the game learns from.
        transforms: those besides the identity.
        device: where batches are put.
        precompute: the objective's constant per-sample tensors, for example features of real images; computed once and
            kept as long as this pool lives, which is one game. Only small pools precompute (``POOL_LIMIT``).

    Raises:
        ValueError: for empty samples, or when ``precompute`` returns keys that the batch has already.
    """

    def __init__(self, samples: Samples, transforms: Sequence[Transform], device: torch.device, precompute: Transform) -> None:
        self.n_samples = count_samples(samples)
        if self.n_samples == 0:
            raise ValueError("there are no samples to learn from: the support is empty")
        self.transforms: tuple[Transform | None, ...] = (None, *transforms)
        self.device = device
        self.samples = samples
        self.kept: Batch | None = None
        if self.n_samples * len(self.transforms) <= POOL_LIMIT:
            self.kept = self._make(torch.arange(self.n_samples * len(self.transforms)))
            self._add_precomputed(precompute)

    def take(self, items: Tensor) -> Batch:
        """The items, in this order, as one batch on the device."""
        if self.kept is None:
            return self._make(items)
        index = items.to(self.device)
        return {name: tensor.index_select(0, index) for name, tensor in self.kept.items()}

    def _make(self, items: Tensor) -> Batch:
        kinds = torch.div(items, self.n_samples, rounding_mode="floor")
        parts: list[Batch] = []
        positions: list[Tensor] = []
        for number, transform in enumerate(self.transforms):
            where = torch.nonzero(kinds == number).flatten()
            if len(where) == 0:
                continue
            part = {name: tensor.to(self.device) for name, tensor in take(self.samples, (items[where] % self.n_samples).tolist()).items()}
            parts.append(part if transform is None else transform(part))
            positions.append(where)
        if len(parts) == 1:
            return parts[0]
        order = torch.argsort(torch.cat(positions)).to(self.device)
        return {name: torch.cat([part[name] for part in parts]).index_select(0, order) for name in parts[0]}

    def _add_precomputed(self, precompute: Transform) -> None:
        assert self.kept is not None
        with torch.no_grad():
            extra = precompute(dict(self.kept))
        clash = set(extra) & set(self.kept)
        if clash:
            raise ValueError(f"the objective's precompute returns keys that the batch has already: {', '.join(sorted(clash))}")
        self.kept.update(extra)
