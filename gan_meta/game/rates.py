"""Learned inner rates: a scale for each weight, kept in the pair beside its players, by which its steps in a game are multiplied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gan_meta.pair import GANPair

PREFIX = "rates."
"""The scale of the weight ``generator.0.weight`` is the parameter ``rates.generator.0.weight``."""


def add_learned_rates(pair: GANPair) -> GANPair:
    """Give a pair a learned rate for each weight, from which every later game with this pair is played.

    The rate of a weight is the game's learning rate (its schedule included) times a scale of the weight's shape. The scales are
    ordinary parameters of the pair, so they are saved, loaded, copied and moved with it. They start at 1, which changes nothing.

    Args:
        pair: changed in place, and returned; parameters that do not require a gradient get no scale.

    Raises:
        ValueError: when the pair has learned rates already.
    """
    if has_learned_rates(pair):
        raise ValueError("the pair has learned rates already")
    tree = nn.Module()
    for name, parameter in pair.named_parameters():
        if parameter.requires_grad:
            _put(tree, name, nn.Parameter(torch.ones_like(parameter)))
    pair.add_module(PREFIX.rstrip("."), tree)
    return pair


def has_learned_rates(pair: GANPair) -> bool:
    """Whether the pair has learned rates."""
    return any(is_rate(name) for name, _ in pair.named_parameters())


def is_rate(name: str) -> bool:
    """Whether a parameter's name, or a pattern over such names, is that of a learned rate."""
    return name.startswith(PREFIX)


def scaled(names: Sequence[str], gradients: Sequence[Tensor | None], tensors: Mapping[str, Tensor]) -> list[Tensor | None]:
    """The gradients of these weights, each times its scale where the tensors hold one."""
    scales = [tensors.get(f"{PREFIX}{name}") for name in names]
    return [gradient if gradient is None or scale is None else gradient * scale for gradient, scale in zip(gradients, scales, strict=True)]


def _put(tree: nn.Module, path: str, parameter: nn.Parameter) -> None:
    *folders, name = path.split(".")
    for folder in folders:
        if folder not in dict(tree.named_children()):
            tree.add_module(folder, nn.Module())
        tree = tree.get_submodule(folder)
    tree.register_parameter(name, parameter)
