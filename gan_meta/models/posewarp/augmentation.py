"""Posewarp's augmentation: each pair of frames moved, turned, scaled, mirrored and coloured in one way, drawn anew for every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.models.limbs import pixel_grid, sample, transform_points
from gan_meta.objective import Batch

MIRROR = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10)
"""Which joint, in MPII order, a joint is in the mirrored picture: the person's left becomes the right."""

PUBLISHED_SIDE = 256
_IMAGES = ("source", "image")
_JOINTS = ("source_joints", "target_joints")
_PICTURES = (*_IMAGES, "weight")


@dataclass(frozen=True)
class PosewarpAugmentation:
    """The published random change of training pairs, for :class:`gan_meta.InnerLoop`'s ``random_augment``.

    A sample's draw holds for its source and its target alike. Both are scaled and turned about the picture's centre, shifted by
    whole pixels of a 256 x 256 picture (in proportion at other sizes), and mirrored. What comes in from outside is the border's
    pixel. Numbers are drawn from torch's global CPU generator, so any device sees the same.

    Attributes:
        scale: least and largest enlargement.
        degrees: turned by up to so much either way.
        saturation: colours are multiplied by 1 plus or minus up to this and clipped above at 1.
        shift: ``int(shift * (u - 1/2))`` pixels an axis, u uniform in [0, 1).
        mirror: the probability of a horizontal flip, which swaps left and right joints.

    Raises:
        ValueError: for a scale that is not positive or out of order, or a probability that is none.
    """

    scale: tuple[float, float] = (0.90, 1.05)
    degrees: float = 5.0
    saturation: float = 0.05
    shift: float = 10.0
    mirror: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale must be two positive numbers in order, got {self.scale}")
        if not 0 <= self.mirror <= 1:
            raise ValueError(f"mirror is a probability and must be in [0, 1], got {self.mirror}")

    def __call__(self, batch: Batch) -> Batch:
        """Pairs (``"source"``, ``"image"``, ``"source_joints"``, ``"target_joints"``, maybe ``"weight"``), each changed in its way."""
        image = batch["image"]
        height, width = image.shape[-2:]
        draws = torch.rand(len(image), 6).to(image)
        moves, mirrored = self._moves(draws, height, width), draws[:, 5] < self.mirror
        places = transform_points(_inverse(moves)[:, None], pixel_grid(height, width, like=image))
        factor = 1 + self.saturation * (2 * draws[:, 2] - 1)[:, None, None, None]
        changed = dict(batch)
        for name in _PICTURES:
            if name in batch:
                changed[name] = sample(batch[name], places, "border")
        for name in _IMAGES:
            changed[name] = (changed[name] * factor).clamp(max=1)
        for name in _JOINTS:
            joints = batch[name]
            swapped = torch.where(mirrored[:, None, None], joints[:, list(MIRROR)], joints)
            changed[name] = transform_points(moves, swapped)
        return changed

    def _moves(self, draws: Tensor, height: int, width: int) -> Tensor:
        """(N, 2, 3): where a pixel goes."""
        low, high = self.scale
        size = low + (high - low) * draws[:, 0]
        angle = math.radians(self.degrees) * (2 * draws[:, 1] - 1)
        shift = (self.shift * (draws[:, 3:5] - 0.5)).trunc() * (max(height, width) / PUBLISHED_SIDE)
        side = torch.where(draws[:, 5] < self.mirror, -torch.ones_like(size), torch.ones_like(size))
        a, b = size * angle.cos(), size * angle.sin()
        linear = torch.stack([torch.stack([side * a, -side * b], -1), torch.stack([b, a], -1)], -2)
        centre = draws.new_tensor([(width - 1) / 2, (height - 1) / 2])
        shift = shift * torch.stack([side, torch.ones_like(side)], -1)
        offset = centre + shift - (linear @ centre.unsqueeze(-1)).squeeze(-1)
        return torch.cat([linear, offset.unsqueeze(-1)], -1)


def mirror_pairs(batch: Batch) -> Batch:
    """The mirrored pairs, for :class:`gan_meta.InnerLoop`'s ``augment``: every picture turned over, left and right joints swapped."""
    last = batch["image"].shape[-1] - 1
    changed = dict(batch)
    for name in _PICTURES:
        if name in batch:
            changed[name] = batch[name].flip(-1)
    for name in _JOINTS:
        x, y = batch[name][:, list(MIRROR)].unbind(-1)
        changed[name] = torch.stack([last - x, y], -1)
    return changed


def _inverse(moves: Tensor) -> Tensor:
    linear = torch.linalg.inv(moves[..., :2])
    return torch.cat([linear, -(linear @ moves[..., 2:])], -1)
