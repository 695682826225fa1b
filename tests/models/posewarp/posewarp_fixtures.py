"""Small Posewarp networks, batches and Keras files for the tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from gan_meta.models.posewarp import PosewarpGenerator

Convolutions = list[tuple[Tensor, Tensor]]


def small_generator(seed: int = 0, base_channels: int = 2, **options) -> PosewarpGenerator:
    """In float64, with biases too, and weights large enough that every layer matters."""
    generator = PosewarpGenerator(base_channels=base_channels, **options).double()
    draws = torch.Generator().manual_seed(seed)
    for parameter in generator.parameters():
        spread = 1.0 / np.sqrt(parameter[0].numel()) if parameter.ndim == 4 else 0.3
        nn.init.normal_(parameter, 0.0, 1.3 * float(spread), generator=draws)
    return generator


def convolutions(module: nn.Module) -> Convolutions:
    """Kernels and biases in build order."""
    return [(layer.weight.detach(), layer.bias.detach()) for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def small_batch(n: int = 2, size: int = 64, seed: int = 1) -> dict[str, Tensor]:
    """Two images of other people, and joints in and about them."""
    draws = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=draws, dtype=torch.float64)

    return {
        "source": uniform(-1, 1, n, 3, size, size),
        "image": uniform(-1, 1, n, 3, size, size),
        "source_joints": uniform(0.1 * size, 0.9 * size, n, 14, 2),
        "target_joints": uniform(-0.1 * size, 1.1 * size, n, 14, 2),
    }


def write_keras_file(path: Path, weights: Convolutions, names: Iterable[str], *, whole_model: bool = False) -> Path:
    """The layout of Keras' ``save_weights``, or of ``save`` with an optimiser's state beside it."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        listed = ["input_1"]
        root.create_group("input_1").attrs["weight_names"] = np.array([], dtype="S1")
        for name, (kernel, bias) in zip(names, weights, strict=True):
            listed += [name, f"leaky_re_lu_of_{name}"]
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group.create_dataset(f"{name}/kernel:0", data=kernel.permute(2, 3, 1, 0).float().numpy())
            group.create_dataset(f"{name}/bias:0", data=bias.float().numpy())
            root.create_group(listed[-1]).attrs["weight_names"] = np.array([], dtype="S1")
        root.attrs["layer_names"] = [name.encode() for name in sorted(listed)]  # by no means in build order
        root.attrs["backend"] = b"tensorflow"
        if whole_model:
            file.attrs["model_config"] = b"{}"
            state = file.create_group("optimizer_weights/training/Adam/conv2d_1/kernel")
            state.create_dataset("m:0", data=np.zeros((7, 7, 3, 2), dtype=np.float32))
    return path
