"""Convolutions out of Keras HDF5 files, weights-only (`save_weights`) and whole-model (`save`) ones."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gan_meta.weight_values import WEIGHT_LIMIT, largest

if TYPE_CHECKING:
    import h5py

HDF5_SUFFIXES = (".h5", ".hdf5")

FLOAT_BYTES = 4
DENSEST = 8
"""Weights do not compress to less than one in so many bytes."""
_NAMED = 5  # how many things of a kind a message lists


def read_keras_convolutions(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[Tensor, Tensor]]:
    """The named convolutions of a file that may hold other layers too.

    Args:
        shapes: of each kernel wanted, by layer name, in PyTorch's order (out, in, kh, kw).

    Returns:
        By layer name, in the order asked for: kernel (out, in, kh, kw) and bias (out,), float32.

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: when h5py is not installed (with what to do).
        ValueError: when the file is damaged, or a layer is missing or has another shape.
    """
    with KerasFile(path) as file:
        missing = [name for name in shapes if name not in file.layers]
        if missing:
            raise ValueError(f"{path} has no layer{_plural(missing)} {_listed(missing)}; its layers: {_listed(file.layers)}")
        return {name: file.convolution(name, shape) for name, shape in shapes.items()}


class KerasFile:
    """An open Keras HDF5 file: which layers have weights, and convolutions read one at a time. A context manager.

    Args:
        path: a weights-only or a whole-model file; of the latter the optimiser's state is passed over.

    Attributes:
        layers: each layer's datasets, by the layer's name.

    Raises:
        FileNotFoundError, ImportError, ValueError: as for :func:`read_keras_convolutions`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import h5py
        except ImportError as error:
            raise ImportError('Keras files need h5py: install it with: pip install "gan-meta[keras]"') from error
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no weights file {self.path}")
        try:
            self._file = h5py.File(self.path, "r")
            self.layers = _layers(self._file, self.path.stat().st_size)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{self.path} is not a Keras HDF5 file, or is damaged: {error}") from error

    def __enter__(self) -> KerasFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def kernel_shape(self, layer: str) -> tuple[int, ...]:
        """The shape (out, in, kh, kw) of a layer's kernel.

        Raises:
            ValueError: when the layer is no convolution with a bias.
        """
        height, width, inputs, outputs = self._pair(layer)[0].shape
        return int(outputs), int(inputs), int(height), int(width)

    def convolution(self, layer: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """A layer's kernel (out, in, kh, kw), which must be of this shape, and its bias (out,), float32.

        Raises:
            ValueError: when the layer is no such convolution, or its values are damaged or not finite.
        """
        kernel, bias = self._pair(layer)
        # Before anything is read: a damaged header may promise terabytes.
        if self.kernel_shape(layer) != shape or bias.shape != shape[:1]:
            raise ValueError(
                f"{self.path}: layer {layer} is a convolution of shape {self.kernel_shape(layer)} (out, in, height, width) with "
                f"{bias.shape[0]} biases, should be {tuple(shape)} with {shape[0]}"
            )
        return self._tensor(layer, kernel).permute(3, 2, 0, 1).contiguous(), self._tensor(layer, bias)

    def _pair(self, layer: str) -> tuple[h5py.Dataset, h5py.Dataset]:
        datasets = sorted(self.layers[layer], key=lambda dataset: -len(dataset.shape))
        if [len(dataset.shape) for dataset in datasets] != [4, 1]:
            shapes = ", ".join(str(dataset.shape) for dataset in datasets)
            raise ValueError(f"{self.path}: layer {layer} is no convolution with a bias: its weights have the shapes {shapes}")
        return datasets[0], datasets[1]

    def _tensor(self, layer: str, dataset: h5py.Dataset) -> Tensor:
        if dataset.dtype.kind != "f":
            raise ValueError(
                f"{self.path}: layer {layer} holds values of type {dataset.dtype}, which are no weights; they should be real numbers"
            )
        try:
            values = torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is damaged: the weights of layer {layer} cannot be read: {error}") from error
        size = largest(values)
        if not math.isfinite(size):
            raise ValueError(f"{self.path}: layer {layer} has weights that are not finite numbers")
        if size >= WEIGHT_LIMIT:
            raise ValueError(f"{self.path}: layer {layer} holds a value of size {size:.3g}; weights are below {WEIGHT_LIMIT:g}")
        return values


def _layers(file: h5py.File, file_bytes: int) -> dict[str, list[h5py.Dataset]]:
    """Datasets by the group they lie in, which has the layer's name.

    Links to other files are not followed.

    Raises:
        ValueError: when a dataset's values lie in another file, or are more than this one can hold.
    """
    import h5py

    link = file.get("model_weights", getlink=True)
    root = file["model_weights"] if isinstance(link, h5py.HardLink) else file
    layers: dict[str, list[Any]] = {}

    def visit(name: str, entry: Any) -> None:
        if not isinstance(entry, h5py.Dataset):
            return
        if entry.external or entry.is_virtual:
            raise ValueError(f"the values of {name} lie in another file")
        if entry.nbytes > DENSEST * file_bytes:
            raise ValueError(f"{name} claims {entry.nbytes:,} bytes, the file has {file_bytes:,}")
        layers.setdefault(name.rpartition("/")[0].rpartition("/")[2], []).append(entry)

    root.visititems(visit)
    return layers


def _listed(names: Any) -> str:
    known = list(names)
    return (", ".join(known[:_NAMED]) + (", ..." if len(known) > _NAMED else "")) or "none"


def _plural(names: list[str]) -> str:
    return "s" if len(names) > 1 else ""
