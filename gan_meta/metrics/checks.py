"""What every metric asks of its input: tensors of pictures in [-1, 1], of one shape, on one device; and float64 copies of them."""

from __future__ import annotations

import math

from torch import Tensor

RANGE_TOLERANCE = 1e-3
"""How far a pixel may lie outside [-1, 1] before the images count as being on another scale."""


def exact(tensor: Tensor) -> Tensor:
    """The values in float64, where they are (on the CPU where the device has no float64)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).detach().double()


def unit(images: Tensor) -> Tensor:
    """The images in [0, 1] and float64, as piq wants them; it refuses even 1 + 1e-9."""
    return ((exact(images) + 1) / 2).clamp(0, 1)


def check_pair(generated: Tensor, real: Tensor) -> None:
    check_images("generated", generated)
    check_images("real", real)
    if generated.shape != real.shape:
        raise ValueError(f"generated and real must have the same shape; got {tuple(generated.shape)} and {tuple(real.shape)}")
    if generated.device != real.device:
        raise ValueError(f"generated is on {generated.device} and real on {real.device}; move them to one device")


def check_images(name: str, images: Tensor) -> None:
    check_tensor(name, images)
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{name} must have shape (N, 3, H, W) with at least one frame; got {tuple(images.shape)}")
    check_range(name, images, -1.0, 1.0)


def check_tensor(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor; got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, since differences of {tensor.dtype} wrap round; convert it to float first")


def check_range(name: str, tensor: Tensor, low: float, high: float) -> None:
    smallest, largest = (float(v) for v in tensor.detach().aminmax())
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise ValueError(f"{name} holds NaN or infinite values; find out where they come from before measuring")
    if smallest < low - RANGE_TOLERANCE or largest > high + RANGE_TOLERANCE:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}]; got values from {smallest:g} to {largest:g}")


def check_size(images: Tensor, window: int) -> None:
    if min(images.shape[2:]) < window:
        raise ValueError(f"SSIM's window is {window}x{window} pixels; images of {images.shape[2]}x{images.shape[3]} are too small for it")


def check_peak(peak: float) -> None:
    if not (math.isfinite(peak) and peak > 0):
        raise ValueError(f"peak is the value of a white pixel and must be a positive number; got {peak}")
