"""Where the parts of a puppet come together: windows of a picture, painted in any order and blended by weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.models.limbs import pixel_grid

_STEP = 8  # window sides are multiples of it, so that few sizes occur


@dataclass(frozen=True, eq=False)
class Window:
    """A rectangle of the same size in each of N pictures: ``grid`` (N, h, w, 2) its pixels, ``flat`` (N, h * w) their indices."""

    grid: Tensor
    flat: Tensor


class Canvas:
    """N square pictures in the making.

    Colours are a weighted mean. Opacity is that of the most opaque part, or the sum where parts share pixels between them:
    two halves of a pixel are a whole one, two overlapping whole ones are no more than one.
    """

    def __init__(self, n: int, size: int, *, like: Tensor) -> None:
        self._size = size
        self._sums = like.new_zeros(n, 6, size * size)  # colour times weight (3), weight, opacity, share
        self._most = like.new_zeros(n, 1, size * size)

    def window(self, segments: Tensor, margin: Tensor) -> Window | None:
        """The smallest window of one size for all N that holds segments (N, 2, 2) with a margin (N,); ``None`` if all are outside."""
        low, high = segments.amin(1) - margin[:, None], segments.amax(1) + margin[:, None]
        low, high = low.floor().clamp(0, self._size), (high.ceil() + 1).clamp(0, self._size)
        extent = (high - low).amax(0)
        if float(extent.min()) <= 0:
            return None
        width, height = (min(self._size, -(-int(side) // _STEP) * _STEP) for side in extent.tolist())
        corner = torch.minimum(low, low.new_tensor([self._size - width, self._size - height]))
        grid = pixel_grid(height, width, like=segments) + corner[:, None, None]
        flat = (grid[..., 1] * self._size + grid[..., 0]).long().flatten(1)
        return Window(grid, flat)

    def add(self, window: Window, colour: Tensor, alpha: Tensor, share: Tensor, weight: Tensor) -> None:
        """Paint one part: colour (N, 3, h, w); opacity, share of the pixel and weight, each (N, 1, h, w)."""
        added = torch.cat([colour * weight, weight, alpha, share], 1).flatten(2)
        index = window.flat.unsqueeze(1)
        # Each pixel occurs once in a window, so reading and writing back adds without any order to depend on.
        spread = index.expand_as(added)
        self._sums.scatter_(2, spread, self._sums.gather(2, spread) + added)
        self._most.scatter_(2, index, torch.maximum(self._most.gather(2, index), alpha.flatten(2)))

    def finish(self) -> tuple[Tensor, Tensor]:
        """Colours (N, 3, S, S), 0 where nothing was painted, and opacity (N, 1, S, S)."""
        colour, weight, alpha, share = torch.split(self._sums, [3, 1, 1, 1], dim=1)
        opacity = torch.maximum(self._most, alpha / share.clamp_min(1))
        colour = (colour / weight.clamp_min(1e-6)).clamp(-1, 1)
        return colour.view(-1, 3, self._size, self._size), opacity.clamp(0, 1).view(-1, 1, self._size, self._size)
