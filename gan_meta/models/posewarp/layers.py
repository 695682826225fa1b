"""Posewarp's layers as its published model computes them: TensorFlow's "same" convolution, the upsampling, the limb warp."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_meta.naming import unknown_name

PADDINGS = {"published": "reflect", "border": "replicate", "zeros": "constant"}
"""What a warp reads beyond the image, by name, and how the pixel next to the image is made; further out it goes on."""


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" zero padding: ceil(size / stride) outputs, an odd pixel goes to the bottom and right.

    Weights start as Glorot and Bengio draw them (2010, uniform), biases at 0, as published.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        (top, bottom), (left, right) = (
            same_padding(length, kernel, stride)
            for length, kernel, stride in zip(inputs.shape[2:], self.kernel_size, self.stride, strict=True)
        )
        if (top, left) == (bottom, right):
            return F.conv2d(inputs, self.weight, self.bias, self.stride, (top, left))
        return F.conv2d(F.pad(inputs, (left, right, top, bottom)), self.weight, self.bias, self.stride)


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a line, so that a convolution gives ceil(length / stride) values."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def upsample(images: Tensor) -> Tensor:
    """Twice the size: output pixel (x, y) shows the place (x/2, y/2), bilinearly, with one mirrored pixel beyond the edge.

    Args:
        images: (N, C, H, W).

    Returns:
        (N, C, 2 H, 2 W).
    """
    wide = torch.stack([images, (images + _next(images, -1)) / 2], -1).flatten(-2)
    return torch.stack([wide, (wide + _next(wide, -2)) / 2], -2).flatten(-3, -2)


def warp_padded(images: Tensor, transforms: Tensor, padding: str = "published") -> Tensor:
    """Backward warp: each pixel of the result shows the image at the transformed place, bilinearly.

    Made of gathers, so it has derivatives of every order in the images and in the transforms.

    The published lookup reads an image with one mirrored pixel around it, clips the four neighbours' positions to that and
    weighs by the distance to the clipped ones. Far outside two neighbours are thus one pixel, with weights like 5 and -4: that
    pixel's value. So here the place itself is clipped, which gives the same without the rounding errors of large weights.

    Args:
        images: (N, C, H, W), at least 2x2.
        transforms: (N, 2, 3), from pixels (x, y) of the result to pixels of the image.
        padding: ``"published"``; ``"border"``: the nearest pixel; ``"zeros"``.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: for another padding, or another number of transforms than images.
    """
    if padding not in PADDINGS:
        raise ValueError(unknown_name("warp padding", padding, PADDINGS))
    if transforms.shape != (len(images), 2, 3):
        raise ValueError(f"{len(images)} images need transforms of shape ({len(images)}, 2, 3), got {tuple(transforms.shape)}")
    height, width = images.shape[2:]
    x, y = _places(transforms, height, width)
    padded = F.pad(images, (1, 1, 1, 1), mode=PADDINGS[padding])
    return _bilinear(padded, (x + 1).clamp(0, width + 1), (y + 1).clamp(0, height + 1))


def _places(transforms: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """x and y, (N, H, W) each: where the pixels go. No matrix product, which may run in a short format on a GPU."""
    columns = torch.arange(width, dtype=transforms.dtype, device=transforms.device)
    rows = torch.arange(height, dtype=transforms.dtype, device=transforms.device).unsqueeze(-1)
    x, y = (row[:, 0, None, None] * columns + (row[:, 1, None, None] * rows + row[:, 2, None, None]) for row in transforms.unbind(1))
    return x, y


def _bilinear(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The images (N, C, H, W), at least 2x2, at places (N, h, w) inside them."""
    height, width = images.shape[2:]
    left, top = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    # The last clamp keeps a place that is not a number inside the image; its weight still shows it.
    index = (top.long() * width + left.long()).clamp(0, (height - 1) * width - 2).flatten(1).unsqueeze(1)
    pixels = images.flatten(2)
    a, b, c, d = (
        pixels.gather(2, (index + step).expand(-1, images.shape[1], -1)).view(*images.shape[:2], *x.shape[1:])
        for step in (0, 1, width, width + 1)
    )
    right, down = (x - left).unsqueeze(1), (y - top).unsqueeze(1)
    upper, lower = a + right * (b - a), c + right * (d - c)
    return upper + down * (lower - upper)


def _next(images: Tensor, dimension: int) -> Tensor:
    """Each pixel's next neighbour; the last one's is its mirrored neighbour, or itself where it is alone."""
    length = images.shape[dimension]
    return torch.cat([images.narrow(dimension, 1, length - 1), images.narrow(dimension, max(length - 2, 0), 1)], dimension)
