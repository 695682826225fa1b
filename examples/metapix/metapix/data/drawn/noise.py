"""Faults of estimators and cameras, put on a clip: jittering joints, rough masks, motion blur, grain and blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metapix.data.clip import Clip


@dataclass(frozen=True)
class Noise:
    """How strong each fault is; 0 is none.

    Attributes:
        jitter: standard deviation of the joints in pixels of a 64-pixel picture; covered joints get three times as much.
        dropout: chance that a joint is not seen (confidence 0) in a frame.
        mask_blur: softness of the mask's edge in pixels at 64.
        mask_shift: pixels at 64 by which the mask may grow or shrink, drawn per frame.
        motion_blur: share of the frame's interval during which the shutter is open, approximated from the frame before.
        grain: standard deviation of the camera's noise, of 255.
        blocks: how coarsely 8x8 blocks are quantised, in [0, 1].
    """

    jitter: float = 0.0
    dropout: float = 0.0
    mask_blur: float = 0.0
    mask_shift: float = 0.0
    motion_blur: float = 0.0
    grain: float = 0.0
    blocks: float = 0.0


def disturb(clip: Clip, noise: Noise, seed: int) -> Clip:
    """``clip`` with ``noise``; frame i's faults depend on the seed, on i and on the frame before only."""
    scale = clip.size / 64
    frames, joints = clip.frames.clone(), clip.joints.clone()
    masks = None if clip.masks is None else clip.masks.clone()
    for i in range(len(clip)):
        rng = np.random.default_rng([seed, i, 0x2015E])
        joints[i] = _jitter(clip.joints[i], noise, rng, scale)
        picture = clip.frames[i].float()
        if i and noise.motion_blur:
            picture = (1 - 0.5 * noise.motion_blur) * picture + 0.5 * noise.motion_blur * clip.frames[i - 1]
        picture = picture + torch.from_numpy(rng.normal(0, 1, picture.shape).astype(np.float32)) * noise.grain
        frames[i] = _blocky(picture, noise.blocks).round().clamp(0, 255).to(torch.uint8)
        if masks is not None:
            masks[i] = _rough(masks[i].float(), noise, float(rng.uniform(-1, 1)), scale).round().clamp(0, 255).to(torch.uint8)
    return replace(clip, frames=frames, joints=joints, masks=masks)


def _jitter(joints: Tensor, noise: Noise, rng: np.random.Generator, scale: float) -> Tensor:
    moved = joints.clone()
    spread = noise.jitter * scale * (1 + 2 * (1 - joints[:, 2:]))
    moved[:, :2] += torch.from_numpy(rng.normal(0, 1, (len(joints), 2)).astype(np.float32)) * spread
    moved[torch.from_numpy(rng.random(len(joints)) < noise.dropout), 2] = 0.0
    return moved


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    """(1, S, S) picture blurred by a Gaussian of ``sigma`` pixels."""
    if sigma <= 0:
        return picture
    reach = max(1, int(np.ceil(2.5 * sigma)))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(picture[None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[0]


def _rough(mask: Tensor, noise: Noise, amount: float, scale: float) -> Tensor:
    shift = noise.mask_shift * scale * amount
    if shift:
        # Across a straight edge blurred by sigma the mask is Phi(distance / sigma), so its inverse tells how deep a pixel lies.
        sigma = max(abs(shift), 0.7)
        soft = (_blurred(mask, sigma) / 255).clamp(1e-3, 1 - 1e-3)
        depth = sigma * math.sqrt(2) * torch.erfinv(2 * soft - 1)
        mask = (depth + shift + 0.5).clamp(0, 1) * 255
    return _blurred(mask, noise.mask_blur * scale)


def _blocky(picture: Tensor, strength: float) -> Tensor:
    """(3, S, S) picture whose 8x8 blocks lose fine detail as a strongly compressed video's do."""
    if strength <= 0:
        return picture
    side = picture.shape[-1]
    pad = -side % 8
    padded = functional.pad(picture[None], (0, pad, 0, pad), mode="replicate")[0]
    count = (side + pad) // 8
    blocks = padded.view(3, count, 8, count, 8).permute(0, 1, 3, 2, 4)
    k = torch.arange(8)
    basis = torch.cos(torch.pi * (k[None] + 0.5) * k[:, None] / 8) * torch.where(k[:, None] == 0, (1 / 8) ** 0.5, 0.5)
    spectrum = basis @ blocks @ basis.T
    step = 1 + strength * (4 + 6.0 * (k[:, None] + k[None]))
    restored = basis.T @ (torch.round(spectrum / step) * step) @ basis
    return restored.permute(0, 1, 3, 2, 4).reshape(3, side + pad, side + pad)[:, :side, :side]
