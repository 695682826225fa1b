"""Posewarp once more, as loops over pixels and as plain functions of a list of weights: what the tests compare with.

Written from the description of the published model, without any code of the package. Arrays are height x width x channels, as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Weights = list[tuple[Tensor, Tensor]]

LIMBS = [[0, 1], [2, 3], [3, 4], [5, 6], [6, 7], [8, 9], [9, 10], [11, 12], [12, 13], [2, 5, 8, 11]]


def pose_map(joints: Array, height: int, width: int) -> Array:
    """H/2 x W/2 x J."""
    height, width = height // 2, width // 2
    maps = np.zeros((height, width, len(joints)))
    for number, (x, y) in enumerate(joints / 2):
        if x <= 0 or y <= 0 or x >= width - 1 or y >= height - 1:
            continue
        for row in range(height):
            for column in range(width):
                maps[row, column, number] = math.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * (7 / 4) ** 2))
    return maps


def limb_masks(joints: Array, height: int, width: int) -> Array:
    """H x W x 11, background first."""
    masks = np.zeros((height, width, len(LIMBS)))
    for number, limb in enumerate(LIMBS):
        torso = number == len(LIMBS) - 1
        x0, y0 = joints[limb[:2]].mean(0) if torso else joints[limb[0]]
        x1, y1 = joints[limb[2:]].mean(0) if torso else joints[limb[1]]
        along, across = max(5, ((x0 - x1) ** 2 + (y0 - y1) ** 2) / 1.5), 13**2 if torso else 11**2
        theta = math.atan2(y1 - y0, x0 - x1)
        a = math.cos(theta) ** 2 / (2 * along) + math.sin(theta) ** 2 / (2 * across)
        b = -math.sin(2 * theta) / (4 * along) + math.sin(2 * theta) / (4 * across)
        c = math.sin(theta) ** 2 / (2 * along) + math.cos(theta) ** 2 / (2 * across)
        for row in range(height):
            for column in range(width):
                dx, dy = column - (x0 + x1) / 2, row - (y0 + y1) / 2
                masks[row, column, number] = math.exp(-(a * dx**2 + 2 * b * dx * dy + c * dy**2))
        masks[:, :, number] /= masks[:, :, number].max() + 1e-6
    return np.concatenate([1 - masks.max(2, keepdims=True), masks], 2)


def limb_transforms(source: Array, target: Array) -> Array:
    """2 x 3 x 11: the solution of the linear least squares in (a1, b1, a0, b0), target to source."""
    transforms = np.zeros((2, 3, len(LIMBS) + 1))
    transforms[:, :, 0] = np.eye(2, 3)
    for number, limb in enumerate(LIMBS):
        rows, values = [], []
        for joint in limb:
            x, y = target[joint]
            rows += [[x, -y, 1, 0], [y, x, 0, 1]]
            values += list(source[joint])
        a1, b1, a0, b0 = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
        transforms[:, :, number + 1] = [[a1, -b1, a0], [b1, a1, b0]]
    return transforms


def mirrored(image: Array) -> Array:
    return np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")


def padded_lookup(padded: Array, x: float, y: float) -> Array:
    """The published bilinear lookup, weights and all: C values of a mirrored image at one place of the image."""
    last_x, last_y = padded.shape[1] - 1, padded.shape[0] - 1
    x, y = x + 1, y + 1
    x0, y0 = math.floor(x), math.floor(y)
    left, right = min(max(x0, 0), last_x), min(max(x0 + 1, 0), last_x)
    top, bottom = min(max(y0, 0), last_y), min(max(y0 + 1, 0), last_y)
    dx, dy = right - x, bottom - y
    value: Array = (
        dx * dy * padded[top, left]
        + dx * (1 - dy) * padded[bottom, left]
        + (1 - dx) * dy * padded[top, right]
        + (1 - dx) * (1 - dy) * padded[bottom, right]
    )
    return value


def warp(image: Array, transform: Array) -> Array:
    result, padded = np.zeros_like(image), mirrored(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            result[row, column] = padded_lookup(padded, *(transform @ [column, row, 1]))
    return result


def upsample(image: Array) -> Array:
    result, padded = np.zeros((2 * image.shape[0], 2 * image.shape[1], image.shape[2])), mirrored(image)
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            result[row, column] = padded_lookup(padded, column / 2, row / 2)
    return result


# -- the generator, on a list of 52 (kernel, bias) in build order; tensors are (N, C, H, W) -------------------------------------


def conv(weights: Weights, number: int, x: Tensor, stride: int = 1, leaky: bool = True) -> Tensor:
    kernel, bias = weights[number]
    if stride == 2:
        outputs = F.conv2d(F.pad(x, (0, 1, 0, 1)), kernel, bias, stride=2)
    else:
        outputs = F.conv2d(x, kernel, bias, padding=kernel.shape[2] // 2)
    return torch.where(outputs > 0, outputs, 0.2 * outputs) if leaky else outputs


def each(function, images: Tensor, *others: Sequence[Array]) -> Tensor:
    """A function of one H x W x C array, applied to each of a batch."""
    arrays = images.detach().permute(0, 2, 3, 1).numpy()
    return torch.stack([torch.from_numpy(function(*items)).permute(2, 0, 1) for items in zip(arrays, *others, strict=True)])


def unet(weights: Weights, first: int, image: Tensor, pose: Tensor) -> Tensor:
    def layer(number: int, x: Tensor, stride: int = 1) -> Tensor:
        return conv(weights, first + number, x, stride)

    x0 = layer(0, image)
    x1 = layer(1, x0, 2)
    x3 = layer(2, torch.cat([x1, pose], 1))
    x4 = layer(3, x3, 2)
    x5 = layer(4, x4)
    x6 = layer(5, x5, 2)
    x7 = layer(6, x6)
    x8 = layer(7, x7, 2)
    x9 = layer(8, x8)
    x10 = layer(9, x9, 2)
    x = layer(10, x10)
    for number, skip in enumerate((x9, x7, x5, x3, x0)):
        x = layer(11 + number, torch.cat([each(upsample, x), skip], 1))
    return x


def generator(
    weights: Weights, source: Tensor, source_pose: Tensor, target_pose: Tensor, log_masks: Tensor, transforms: Tensor
) -> dict[str, Tensor]:
    """All parts, for one sample or more; slow."""
    logits = conv(weights, 16, unet(weights, 0, source, source_pose), leaky=False)
    masks = (logits + log_masks).softmax(1)
    stack = [source * masks[:, :1]]
    for limb in range(1, masks.shape[1]):
        stack.append(each(warp, source * masks[:, limb : limb + 1], list(transforms[:, limb].numpy())))
    behind = torch.cat([stack[0], masks[:, :1]], 1)
    background = conv(weights, 33, unet(weights, 17, behind, source_pose), leaky=False).tanh()
    features = unet(weights, 34, torch.cat(stack[1:], 1), target_pose)
    foreground = conv(weights, 50, features, leaky=False).tanh()
    mask = torch.sigmoid(conv(weights, 51, features, leaky=False))
    return {
        "masks": masks,
        "background": background,
        "foreground": foreground,
        "foreground_mask": mask,
        "image": foreground * mask + background * (1 - mask),
    }
