"""Posewarp's perceptual features: twelve VGG19 maps with average pooling, or EfficientNet-Lite0's, and their response statistics.

A map counts by how far it is off in units of its channel's spread over training images. That spread comes from a statistics file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_meta.checkpoint import save_tensors
from gan_meta.models.keras_weights import HDF5_SUFFIXES, read_keras_convolutions
from gan_meta.models.perceptual import FeatureExtractor, efficientnet_lite0, vgg19, vgg19_random
from gan_meta.models.weights import read_state_dict
from gan_meta.naming import unknown_name
from gan_meta.weight_values import value_problems

POSEWARP_FEATURES = ("vgg19", "efficientnet_lite0", "vgg19-random")
N_VGG19_MAPS = 12
"""Both convolutions of blocks 1 and 2, all four of blocks 3 and 4, after their ReLU."""

SPREAD_OFFSET = 0.1
"""Added to each channel's standard deviation, so that a channel that never speaks cannot dominate."""

_BLOCK_STARTS = (2, 4, 8)
"""The convolutions (from 0) that come after a pooling."""

_KERAS_NAMES = tuple(f"block{block}_conv{number}" for block, count in ((1, 2), (2, 2), (3, 4), (4, 4)) for number in range(1, count + 1))


class ChannelAffine(nn.Module):
    """``scale * image + shift`` with a number of each a channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale).view(-1, 1, 1))
        self.register_buffer("shift", torch.tensor(shift).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return images * self.scale + self.shift


class NormalizedResponses(nn.Module):
    """Feature maps divided by each channel's standard deviation + 0.1, each map with the same weight: the published measure.

    Args:
        extractor: images to a list of maps (N, C, h, w).
        statistics: a map's (2, C) mean and standard deviation, one a map.

    Raises:
        ValueError: when a tensor is not (2, C), or holds a negative or non-finite spread.
    """

    def __init__(self, extractor: nn.Module, statistics: Sequence[Tensor]) -> None:
        super().__init__()
        self.extractor = extractor
        self.layer_weights = (1 / len(statistics),) * len(statistics)
        for number, table in enumerate(statistics):
            if table.ndim != 2 or table.shape[0] != 2 or not bool(torch.isfinite(table[1]).all()) or bool((table[1] < 0).any()):
                raise ValueError(f"statistics of map {number} must be (2, C), means and standard deviations, got {tuple(table.shape)}")
            self.register_buffer(f"factor{number}", (1 / (table[1].double() + SPREAD_OFFSET)).float().view(-1, 1, 1))
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W), RGB in [-1, 1] -> one normalised map (N, C, h, w) a layer.

        Raises:
            ValueError: when the statistics are those of other features.
        """
        maps = self.extractor(images)
        factors = [self.get_buffer(f"factor{number}") for number in range(len(self.layer_weights))]
        if [feature.shape[1] for feature in maps] != [len(factor) for factor in factors]:
            raise ValueError(
                f"the statistics are for maps of {[len(factor) for factor in factors]} channels, these features have "
                f"{[feature.shape[1] for feature in maps]}; compute them with: gan-meta statistics"
            )
        return [feature * factor for feature, factor in zip(maps, factors, strict=True)]


def posewarp_features(name: str, weights: str | os.PathLike[str] | None = None) -> FeatureExtractor:
    """The features that Posewarp's loss compares, by name.

    Args:
        name: ``"vgg19"``: the published twelve maps; ``"efficientnet_lite0"``: its five stages, whose weights come in a package;
            ``"vgg19-random"``: VGG19 with random weights, for timing only.
        weights: for ``"vgg19"``, torchvision's file, or Keras' ``.h5`` file (the published choice); by default torchvision's
            file where ``torch.hub`` keeps it. Images are put on the scale these weights were trained on.

    Raises:
        ValueError: for an unknown name, or a file that does not hold VGG19's weights.
        FileNotFoundError, ImportError: when the weights are not on this machine (with what to do).
    """
    if name not in POSEWARP_FEATURES:
        raise ValueError(unknown_name("Posewarp features", name, POSEWARP_FEATURES))
    if weights is not None and name != "vgg19":
        raise ValueError(f"features {name!r} have weights of their own; a weights file is for 'vgg19'")
    if name == "efficientnet_lite0":
        return efficientnet_lite0()
    if name == "vgg19-random":
        return _average_pooled(_convolutions(vgg19_random()), _torchvision_scale())
    if weights is not None and Path(weights).suffix.lower() in HDF5_SUFFIXES:
        return _average_pooled(_keras_vgg19(Path(weights)), _caffe_scale())
    return _average_pooled(_convolutions(vgg19(weights)), _torchvision_scale())


def response_statistics(extractor: nn.Module, batches: Iterable[Tensor]) -> list[Tensor]:
    """Mean and standard deviation of each channel of each feature map, over all images and places.

    Args:
        extractor: images to a list of maps (N, C, h, w).
        batches: images (N, 3, H, W), RGB in [-1, 1]; sizes may differ from batch to batch.

    Returns:
        One (2, C) tensor a map, float32: the means, then the standard deviations (dividing by the number of values).

    Raises:
        ValueError: when there are no images.
    """
    counts: list[int] = []
    means: list[Tensor] = []
    squares: list[Tensor] = []  # sums of squared deviations from the mean
    for images in batches:
        with torch.no_grad():
            maps = [feature.double().transpose(0, 1).flatten(1) for feature in extractor(images)]
        if not counts:
            counts = [0] * len(maps)
            means = [feature.new_zeros(len(feature)) for feature in maps]
            squares = [feature.new_zeros(len(feature)) for feature in maps]
        for number, values in enumerate(maps):
            # Chan, Golub and LeVeque's update: no difference of large sums.
            n, added = counts[number], values.shape[1]
            step = values.mean(1) - means[number]
            squares[number] += (values - values.mean(1, keepdim=True)).square().sum(1) + step.square() * (n * added / (n + added))
            means[number] += step * (added / (n + added))
            counts[number] = n + added
    if not counts:
        raise ValueError("there are no images to compute response statistics of")
    return [torch.stack([mean, (total / n).sqrt()]).float() for n, mean, total in zip(counts, means, squares, strict=True)]


def save_statistics(path: str | os.PathLike[str], statistics: Sequence[Tensor], facts: Mapping[str, object] | None = None) -> None:
    """Write response statistics into a safetensors file with keys "0", "1", ...

    Raises:
        OSError: when the file cannot be written.
    """
    save_tensors(Path(path), {str(number): table for number, table in enumerate(statistics)}, {"statistics": dict(facts or {})})


def read_statistics(path: str | os.PathLike[str]) -> list[Tensor]:
    """Response statistics from a file whose keys are "0", "1", ...: one (2, C) tensor a map.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds something else.
    """
    tables = read_state_dict(path)
    if not tables or set(tables) != {str(number) for number in range(len(tables))}:
        raise ValueError(f"{path} holds no response statistics (keys 0, 1, ...); make the file with: gan-meta statistics")
    wrong = value_problems({name: torch.empty(table.shape) for name, table in tables.items()}, tables)
    if wrong:
        raise ValueError(f"{path} holds what are no response statistics: table {'; table '.join(wrong[:5])}")
    return [tables[str(number)] for number in range(len(tables))]


def _average_pooled(convolutions: Sequence[nn.Conv2d], scale: ChannelAffine) -> FeatureExtractor:
    """The twelve maps of VGG19, its pooling replaced by averages."""
    stages = []
    for number, convolution in enumerate(convolutions):
        before: list[nn.Module] = [scale] if number == 0 else [nn.AvgPool2d(2)] if number in _BLOCK_STARTS else []
        stages.append(nn.Sequential(*before, convolution, nn.ReLU()))
    return FeatureExtractor(stages, (1 / N_VGG19_MAPS,) * N_VGG19_MAPS, min_size=8)


def _convolutions(extractor: FeatureExtractor) -> list[nn.Conv2d]:
    return [module for module in extractor.modules() if isinstance(module, nn.Conv2d)][:N_VGG19_MAPS]


def _keras_vgg19(path: Path) -> list[nn.Conv2d]:
    """VGG19's first twelve convolutions from Keras' file, for RGB: it has them for BGR."""
    convolutions = _convolutions(vgg19_random())
    shapes = {name: tuple(convolution.weight.shape) for name, convolution in zip(_KERAS_NAMES, convolutions, strict=True)}
    read = read_keras_convolutions(path, shapes)
    for (kernel, bias), convolution in zip(read.values(), convolutions, strict=True):
        with torch.no_grad():
            convolution.weight.copy_(kernel.flip(1) if convolution is convolutions[0] else kernel)
            assert convolution.bias is not None
            convolution.bias.copy_(bias)
    return convolutions


def _torchvision_scale() -> ChannelAffine:
    """From [-1, 1] to [0, 1] minus ImageNet's mean, over its standard deviation: what torchvision's weights were trained on."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return ChannelAffine([0.5 / s for s in std], [(0.5 - m) / s for m, s in zip(mean, std, strict=True)])


def _caffe_scale() -> ChannelAffine:
    """From [-1, 1] to 8-bit values minus ImageNet's mean: what Keras' weights were trained on."""
    return ChannelAffine([127.5] * 3, [127.5 - mean for mean in (123.68, 116.779, 103.939)])
