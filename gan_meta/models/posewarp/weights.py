"""Posewarp's published weights: a Keras HDF5 file into a generator, with the colour channels put from BGR to RGB."""

from __future__ import annotations

import os
import re

import torch
from torch import Tensor, nn

from gan_meta.models.keras_weights import KerasFile
from gan_meta.models.posewarp.network import PosewarpGenerator

_NAME = re.compile(r"conv2d(?:_(\d+))?")
_N_CONVOLUTIONS = 52
_MASK_HEAD = 16
"""The mask U-Net's sixteen convolutions come before its head."""

Weights = list[tuple[Tensor, Tensor]]


def load_official_weights(generator: PosewarpGenerator, path: str | os.PathLike[str]) -> None:
    """Load a published Keras file (``vgg_100000.h5``, ``vgg+gan_5000.h5``) into a generator, all of it or nothing.

    The published network works on BGR images; the loaded generator gives the same pictures on RGB ones.

    Args:
        generator: built with the widths of the file; ``PosewarpGenerator()`` for the published ones.
        path: a file of ``save_weights`` or of ``save`` (a whole model).

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: when h5py is not installed (with what to do).
        TypeError: when ``generator`` is another network.
        ValueError: when the file is damaged or holds another model's weights.
    """
    if not isinstance(generator, PosewarpGenerator):
        raise TypeError(f"these weights are a PosewarpGenerator's, got {type(generator).__name__}")
    convolutions = _build_order(generator)
    with KerasFile(path) as file:
        names = _layer_names(file)
        shapes = [tuple(convolution.weight.shape) for convolution in convolutions]
        weights = [file.convolution(name, shape) for name, shape in zip(names, shapes, strict=True)]
    with torch.no_grad():
        for convolution, (kernel, bias) in zip(convolutions, _for_rgb(weights), strict=True):
            convolution.weight.copy_(kernel)
            assert convolution.bias is not None
            convolution.bias.copy_(bias)


def generator_arguments(path: str | os.PathLike[str]) -> dict[str, int]:
    """The ``n_joints``, ``n_limbs`` and ``base_channels`` of the generator whose weights a file holds.

    Raises:
        FileNotFoundError, ImportError, ValueError: as for :func:`load_official_weights`.
    """
    with KerasFile(path) as file:
        names = _layer_names(file)
        second, third, head = (file.kernel_shape(names[number]) for number in (1, 2, _MASK_HEAD))
    return {"n_joints": third[1] - second[0], "n_limbs": head[0] - 1, "base_channels": second[0]}


def _layer_names(file: KerasFile) -> list[str]:
    """The 52 convolutions in build order: their numbers count on from any start, and ``conv2d`` is number 0.

    Raises:
        ValueError: when there are other layers, or not these 52.
    """
    numbered = {}
    for name in file.layers:
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{file.path} is not a Posewarp generator's file: it has weights of a layer {name!r}, not only conv2d_1, conv2d_2, ..."
            )
        numbered[int(match[1] or 0)] = name
    if len(numbered) != _N_CONVOLUTIONS or max(numbered) - min(numbered) != _N_CONVOLUTIONS - 1:
        found = f"{len(numbered)}, numbered {min(numbered)} to {max(numbered)}" if numbered else "none"
        raise ValueError(
            f"{file.path} is not a Posewarp generator's file: it should hold {_N_CONVOLUTIONS} convolutions in sequence, found {found}"
        )
    return [numbered[number] for number in sorted(numbered)]


def _build_order(generator: PosewarpGenerator) -> list[nn.Conv2d]:
    return [module for module in generator.modules() if isinstance(module, nn.Conv2d)]


def _for_rgb(weights: Weights) -> Weights:
    """The weights with the colours of every convolution that reads or makes images turned round."""
    mask_in, background_in, foreground_in = 0, _MASK_HEAD + 1, 2 * (_MASK_HEAD + 1)
    heads = (foreground_in - 1, foreground_in + _MASK_HEAD)
    turned = list(weights)
    for number in (mask_in, background_in, foreground_in):
        kernel, bias = weights[number]
        turned[number] = (kernel[:, _turned_colours(kernel.shape[1])], bias)
    for number in heads:
        kernel, bias = weights[number]
        turned[number] = (kernel.flip(0), bias.flip(0))
    return turned


def _turned_colours(channels: int) -> list[int]:
    """Input channels with each whole group of three the other way round; a mask behind them keeps its place."""
    whole = channels - channels % 3
    return [3 * (number // 3) + 2 - number % 3 for number in range(whole)] + list(range(whole, channels))
