"""What a generator is told of a pose: heatmaps of 18 joints, drawn from coordinates on the device; and the person's region."""

from __future__ import annotations

import torch
from torch import Tensor

from metapix.poses.skeleton import BONES, MIRROR, N_JOINTS

HEATMAP_SIGMA = 1 / 40
"""Standard deviation of a joint's blob as a share of the picture's side."""

PERSON_RADIUS = 1 / 16
"""Radius of the discs along the skeleton that count as "the person" in scores, as a share of the picture's side (4 pixels at 64)."""


def joint_heatmaps(joints: Tensor, size: int, sigma: float = HEATMAP_SIGMA) -> Tensor:
    """One Gaussian blob a joint, the paper's "multi-channel heatmap" (section 3).

    Args:
        joints: (N, 18, 3): x, y in pixels of a ``size`` x ``size`` picture, and a confidence.
        size: side of the heatmaps in pixels.
        sigma: standard deviation of a blob as a share of the side.

    Returns:
        (N, 18, size, size) float32 in [0, 1]; all zero for a joint of confidence 0.
    """
    grid = torch.arange(size, dtype=torch.float32, device=joints.device)
    scale = -0.5 / (sigma * size) ** 2
    # A blob is the product of its two profiles, so the exponentials are taken on lines rather than on the square.
    columns = torch.exp(scale * (grid - joints[..., 0:1]).square())
    rows = torch.exp(scale * (grid - joints[..., 1:2]).square())
    seen = (joints[..., 2] > 0).to(columns.dtype)
    return rows.unsqueeze(-1) * (columns * seen.unsqueeze(-1)).unsqueeze(-2)


def person_discs(joints: Tensor, size: int, radius: float = PERSON_RADIUS) -> Tensor:
    """The part of a picture within a distance of the skeleton's bones: the part one looks at.

    Args:
        joints: (N, 18, 3) in pixels of a ``size`` x ``size`` picture.
        radius: the distance as a share of the side.

    Returns:
        (N, 1, size, size) float32, 1 on the person and 0 elsewhere; bones with an unseen end are left out.
    """
    grid = torch.arange(size, dtype=torch.float32, device=joints.device)
    points = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), dim=-1).reshape(-1, 2)
    region = torch.zeros(len(joints), size * size, dtype=torch.bool, device=joints.device)
    for first, second in BONES:  # a bone at a time: all at once would hold 17 pictures of points for every frame
        start, end = joints[:, first, None], joints[:, second, None]
        origin, along = start[..., :2], (end - start)[..., :2]
        share = ((points - origin) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-6)
        distance = (points - origin - share.clamp(0, 1).unsqueeze(-1) * along).norm(dim=-1)
        region |= (distance <= radius * size) & (start[..., 2] > 0) & (end[..., 2] > 0)
    return region.to(torch.float32).reshape(-1, 1, size, size)


def flip(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mirrored batch: every picture turned over, and left and right joints swapped among the first 18 channels of ``"pose"``."""
    mirrored = {name: tensor.flip(-1) for name, tensor in batch.items()}
    channels = [*MIRROR, *range(N_JOINTS, mirrored["pose"].shape[1])]
    mirrored["pose"] = mirrored["pose"][:, channels]
    return mirrored


def to_unit(frames: Tensor) -> Tensor:
    """uint8 pictures as float32 in [-1, 1]."""
    return frames.to(torch.float32) / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] as uint8; values outside are clamped."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
