"""pix2pixHD once more, as plain functions of a published state dict: what the tests compare the modules with.

Written from the layer list of the paper's reference model, without any code of the package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def normalize(x: Tensor) -> Tensor:
    """Each channel of each sample to mean 0 and variance 1."""
    mean = x.mean((2, 3), keepdim=True)
    variance = (x - mean).square().mean((2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def reflect(x: Tensor, n: int) -> Tensor:
    return F.pad(x, (n, n, n, n), mode="reflect")


def conv(state: State, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], stride=stride, padding=padding)


def up(state: State, key: str, x: Tensor) -> Tensor:
    weight, bias = state[f"{key}.weight"], state[f"{key}.bias"]
    return normalize(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)).relu()


def block(state: State, key: str, x: Tensor) -> Tensor:
    y = normalize(conv(state, f"{key}.conv_block.1", reflect(x, 1))).relu()
    return x + normalize(conv(state, f"{key}.conv_block.5", reflect(y, 1)))


def trunk(state: State, x: Tensor, n_downsample: int, n_blocks: int) -> tuple[Tensor, int]:
    """The features before the image layers, and the position of the next layer in the sequence."""
    x = normalize(conv(state, "model.1", reflect(x, 3))).relu()
    position = 4
    for _ in range(n_downsample):
        x = normalize(conv(state, f"model.{position}", x, stride=2, padding=1)).relu()
        position += 3
    for _ in range(n_blocks):
        x = block(state, f"model.{position}", x)
        position += 1
    for _ in range(n_downsample):
        x = up(state, f"model.{position}", x)
        position += 3
    return x, position


def global_generator(state: State, x: Tensor, n_downsample: int, n_blocks: int) -> Tensor:
    x, position = trunk(state, x, n_downsample, n_blocks)
    return conv(state, f"model.{position + 1}", reflect(x, 3)).tanh()


def halve(x: Tensor) -> Tensor:
    """3x3 mean with stride 2, counting only pixels inside the image."""
    window = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
    count = F.conv2d(torch.ones_like(x), window, stride=2, padding=1, groups=x.shape[1])
    return F.conv2d(x, window, stride=2, padding=1, groups=x.shape[1]) / count


def local_enhancer(state: State, x: Tensor, n_downsample: int, n_blocks: int, n_enhancers: int, n_local_blocks: int) -> Tensor:
    levels = [x]
    for _ in range(n_enhancers):
        levels.append(halve(levels[-1]))
    output, _ = trunk(state, levels[n_enhancers], n_downsample, n_blocks)
    for n in range(1, n_enhancers + 1):
        y = normalize(conv(state, f"model{n}_1.1", reflect(levels[n_enhancers - n], 3))).relu()
        y = normalize(conv(state, f"model{n}_1.4", y, stride=2, padding=1)).relu() + output
        for number in range(n_local_blocks):
            y = block(state, f"model{n}_2.{number}", y)
        output = up(state, f"model{n}_2.{n_local_blocks}", y)
        if n == n_enhancers:
            output = conv(state, f"model{n}_2.{n_local_blocks + 4}", reflect(output, 3)).tanh()
    return output


def discriminator(state: State, x: Tensor, n_layers: int, n_scales: int) -> list[list[Tensor]]:
    results = []
    for number in range(n_scales):
        key = f"scale{n_scales - 1 - number}_layer"
        y = F.leaky_relu(conv(state, f"{key}0.0", x, stride=2, padding=2), 0.2)
        outputs = [y]
        for layer in range(1, n_layers + 1):
            stride = 1 if layer == n_layers else 2
            y = F.leaky_relu(normalize(conv(state, f"{key}{layer}.0", y, stride=stride, padding=2)), 0.2)
            outputs.append(y)
        outputs.append(conv(state, f"{key}{n_layers + 1}.0", y, padding=2))
        results.append(outputs)
        x = halve(x)
    return results
