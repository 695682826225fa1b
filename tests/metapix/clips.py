"""Small clips for the tests: noise pictures with joints that are seen, or not."""

from __future__ import annotations

import torch
from metapix.data.clip import Clip


def noise_clip(frames: int, size: int = 16, seed: int = 0, unseen: float = 0.0, name: str = "noise") -> Clip:
    """A clip of random pictures and joints; this share of the joints has confidence 0."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (frames, 3, size, size), generator=generator, dtype=torch.uint8)
    joints = torch.rand(frames, 18, 3, generator=generator) * torch.tensor([size - 1.0, size - 1.0, 0.9]) + torch.tensor([0, 0, 0.1])
    joints[..., 2] *= torch.rand(frames, 18, generator=generator) >= unseen
    return Clip(name, pictures, joints)
