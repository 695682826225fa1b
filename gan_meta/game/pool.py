"""SamplePool: a game's samples under every transform, and what the objective knows of them in advance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gan_meta.game.draws import Transform
from gan_meta.objective import Batch
from gan_meta.seeds import random_state
from gan_meta.tasks import Samples, count_samples, take

KEPT_ITEMS = 64
"""Pools up to this many items (samples times transforms) are made once a game and kept."""
FEATURE_BYTES = 2**31
"""What the objective precomputes is kept as long as all of it is smaller than this: 15 frames of 512x512 with VGG19 in float32."""


class SamplePool:
    """A game's samples under every transform, addressed by item number.

    Small pools are made once and kept, with the objective's constant tensors. They last as long as the game, and are made
    anew when tensors that they were made from have been written to or replaced (as torch sees it: a write through numpy to memory
    that a tensor shares is not noticed, and the game goes on with the samples as they were). Nothing is kept when the samples, a
    transform or the objective draw random numbers from a global generator: each batch is then made when it is asked for.

    Args:
        samples: what the game learns from.
        transforms: those besides the identity.
        device: where batches are put.
        precompute: the objective's constant per-sample tensors, for example features of real images. It is asked for one item
            at a time, and no more once they exceed ``FEATURE_BYTES``: batches are then without.

    Attributes:
        is_random: whether a small pool was found to draw random numbers.

    Raises:
        ValueError: for empty samples, or when ``precompute`` returns keys that the batch has already.
    """

    def __init__(self, samples: Samples, transforms: Sequence[Transform], device: torch.device, precompute: Transform) -> None:
        self.n_samples = count_samples(samples)
        if self.n_samples == 0:
            raise ValueError("there are no samples to learn from: the support is empty")
        self.transforms: tuple[Transform | None, ...] = (None, *transforms)
        self.n_items = self.n_samples * len(self.transforms)
        self.device = device
        self.samples = samples
        self.kept: Batch | None = None
        self._precompute = precompute
        self.is_random = False
        self._made_from: list[tuple[Tensor, int]] = []
        if self.n_items <= KEPT_ITEMS and not any(tensor.is_inference() for tensor in self._sources()):
            self._keep()

    def take(self, items: Tensor) -> Batch:
        """The items, in this order, as one batch on the device."""
        if self.kept is not None and self._has_changed():
            self._keep()
        if self.kept is None:
            return self._make(items)
        index = items.to(self.device)
        return {name: tensor.index_select(0, index) for name, tensor in self.kept.items()}

    def _keep(self) -> None:
        before = random_state(self.device)
        self._made_from = [(tensor, tensor._version) for tensor in self._sources()]
        kept = self._make(torch.arange(self.n_items))
        kept.update(self._precomputed(kept))
        self.is_random = before != random_state(self.device)
        before.restore()
        self.kept = None if self.is_random else kept

    def _sources(self) -> list[Tensor]:
        """The tensors that the pool is made from; none for samples that are made when they are asked for."""
        return list(self.samples.values()) if isinstance(self.samples, Mapping) else []

    def _has_changed(self) -> bool:
        now = self._sources()
        return len(now) != len(self._made_from) or any(
            tensor is not before or tensor._version != version for tensor, (before, version) in zip(now, self._made_from, strict=True)
        )

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

    @torch.no_grad()
    def _precomputed(self, made: Batch) -> Batch:
        """The objective's constant tensors of all items, or nothing where they would be too large."""
        found: list[Batch] = []
        for number in range(self.n_items):
            found.append(self._precompute({name: tensor[number : number + 1] for name, tensor in made.items()}))
            clash = set(found[0]) & set(made)
            if clash:
                raise ValueError(f"the objective's precompute returns keys that the batch has already: {', '.join(sorted(clash))}")
            if not found[0] or sum(tensor.nbytes for tensor in found[0].values()) * self.n_items > FEATURE_BYTES:
                return {}
        return {name: torch.cat([batch[name] for batch in found]) for name in found[0]}
