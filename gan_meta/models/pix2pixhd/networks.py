"""The networks of pix2pixHD: two generators and the multi-scale discriminator, with the published parameter names.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018, sections 3.1 and 3.2.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from gan_meta.naming import unknown_name

UPSAMPLING = ("transpose", "resize")
MAX_DISCRIMINATOR_CHANNELS = 512


class GlobalGenerator(nn.Module):
    """The global generator: down, residual blocks, up (section 3.1).

    Args:
        in_channels, out_channels: of the input and of the image made.
        base_channels: width at full resolution; it doubles with each halving.
        n_downsample: halvings on the way to the residual blocks.
        n_blocks: residual blocks.
        upsampling: ``"transpose"`` is the published network. ``"resize"`` is our own variant (nearest-neighbour resize, then a
            3x3 convolution), which cannot make checkerboards; published weights do not fit it.

    Raises:
        ValueError: for an unknown ``upsampling``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 3,
        base_channels: int = 64,
        n_downsample: int = 4,
        n_blocks: int = 9,
        *,
        upsampling: str = "transpose",
    ) -> None:
        super().__init__()
        if upsampling not in UPSAMPLING:
            raise ValueError(unknown_name("upsampling", upsampling, UPSAMPLING))
        self.in_channels = in_channels
        self.multiple = 2**n_downsample
        trunk = _trunk(in_channels, base_channels, n_downsample, n_blocks, upsampling)
        self.model = nn.Sequential(*trunk, *_to_image(base_channels, out_channels))
        _initialize(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W) in [-1, 1].

        Raises:
            ValueError: when H or W is not a multiple of ``2 ** n_downsample``, or is smaller than two such steps.
        """
        _check_input(self, inputs)
        return cast(Tensor, self.model(inputs))


class LocalEnhancer(nn.Module):
    """A global generator at reduced resolution, refined at full resolution: the "HD" half (section 3.1).

    Args:
        in_channels, out_channels: of the input and of the image made.
        base_channels: width at full resolution; the global generator inside is ``2 ** n_enhancers`` times as wide.
        n_downsample, n_blocks: of the global generator inside.
        n_enhancers: refinements, each at twice the resolution of the one before.
        n_local_blocks: residual blocks of each refinement.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 3,
        base_channels: int = 32,
        n_downsample: int = 4,
        n_blocks: int = 9,
        n_enhancers: int = 1,
        n_local_blocks: int = 3,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.multiple = 2 ** (n_downsample + n_enhancers)
        self.n_enhancers = n_enhancers
        self.model = nn.Sequential(*_trunk(in_channels, base_channels * 2**n_enhancers, n_downsample, n_blocks, "transpose"))
        for level in range(1, n_enhancers + 1):
            width = base_channels * 2 ** (n_enhancers - level)
            before = [*_from_input(in_channels, width), *_halving(width)]
            after = [*(ResidualBlock(2 * width) for _ in range(n_local_blocks)), *_doubling(2 * width, "transpose")]
            if level == n_enhancers:
                after += _to_image(width, out_channels)
            self.add_module(f"model{level}_1", nn.Sequential(*before))
            self.add_module(f"model{level}_2", nn.Sequential(*after))
        _initialize(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W) in [-1, 1].

        Raises:
            ValueError: when H or W is not a multiple of ``2 ** (n_downsample + n_enhancers)``, or is smaller than two such steps.
        """
        _check_input(self, inputs)
        pyramid = [inputs]
        for _ in range(self.n_enhancers):
            pyramid.append(_halve(pyramid[-1]))
        output = self.model(pyramid.pop())
        for level in range(1, self.n_enhancers + 1):
            refined = self.get_submodule(f"model{level}_1")(pyramid.pop()) + output
            output = self.get_submodule(f"model{level}_2")(refined)
        return cast(Tensor, output)


class MultiscaleDiscriminator(nn.Module):
    """PatchGAN discriminators on an image pyramid; every stage's output is a feature to match (sections 3.2 and 3.3).

    Args:
        in_channels: of the condition and the image together.
        base_channels: width of the first stage; it doubles with each stage, up to 512.
        n_layers: stages of stride 2; two more of stride 1 follow, the last of which gives the scores.
        n_scales: discriminators, each at half the resolution of the one before.

    Raises:
        ValueError: for fewer than one.
    """

    def __init__(self, in_channels: int, base_channels: int = 64, n_layers: int = 3, n_scales: int = 2) -> None:
        super().__init__()
        if n_scales < 1:
            raise ValueError(f"n_scales must be at least 1, got {n_scales}")
        self.n_scales = n_scales
        self.n_stages = n_layers + 2
        for scale in range(n_scales):
            for number, stage in enumerate(_patch_stages(in_channels, base_channels, n_layers)):
                self.add_module(f"scale{scale}_layer{number}", stage)
        _initialize(self)

    def forward(self, inputs: Tensor) -> list[list[Tensor]]:
        """(N, in_channels, H, W) -> for each scale, finest first, its ``n_layers + 2`` stage outputs; the last are the scores."""
        results = []
        # The published names count from the coarsest scale up.
        for scale in reversed(range(self.n_scales)):
            outputs = [inputs]
            for number in range(self.n_stages):
                outputs.append(self.get_submodule(f"scale{scale}_layer{number}")(outputs[-1]))
            results.append(outputs[1:])
            if scale:
                inputs = _halve(inputs)
        return results


class ResidualBlock(nn.Module):
    """``x + f(x)`` with two 3x3 convolutions at constant width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        return inputs + cast(Tensor, self.conv_block(inputs))


# The published parameter names are positions in one flat sequence that counts pads, norms and activations too: so these return
# lists of layers, not modules.


def _trunk(in_channels: int, base_channels: int, n_downsample: int, n_blocks: int, upsampling: str) -> list[nn.Module]:
    """The global generator up to, but without, the layers that make the image."""
    layers = _from_input(in_channels, base_channels)
    for step in range(n_downsample):
        layers += _halving(base_channels * 2**step)
    layers += [ResidualBlock(base_channels * 2**n_downsample) for _ in range(n_blocks)]
    for step in reversed(range(n_downsample)):
        layers += _doubling(base_channels * 2 ** (step + 1), upsampling)
    return layers


def _from_input(in_channels: int, channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU()]


def _to_image(channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels, out_channels, 7), nn.Tanh()]


def _halving(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * channels), nn.ReLU()]


def _doubling(channels: int, upsampling: str) -> list[nn.Module]:
    """Twice the size at half the width; as many layers either way, so that later names stay the same."""
    half = channels // 2
    if upsampling == "transpose":
        resize: nn.Module = nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1)
    else:
        resize = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, half, 3, padding=1))
    return [resize, nn.InstanceNorm2d(half), nn.ReLU()]


def _patch_stages(in_channels: int, base_channels: int, n_layers: int) -> list[nn.Sequential]:
    """The stages of one PatchGAN: all but the first and the last are normalised, the last has no activation."""
    channels = base_channels
    stages = [nn.Sequential(nn.Conv2d(in_channels, channels, 4, stride=2, padding=2), nn.LeakyReLU(0.2))]
    for number in range(1, n_layers + 1):
        wider = min(2 * channels, MAX_DISCRIMINATOR_CHANNELS)
        stride = 2 if number < n_layers else 1
        convolution = nn.Conv2d(channels, wider, 4, stride=stride, padding=2)
        stages.append(nn.Sequential(convolution, nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)))
        channels = wider
    return [*stages, nn.Sequential(nn.Conv2d(channels, 1, 4, padding=2))]


def _halve(images: Tensor) -> Tensor:
    """Half the resolution, for pyramids."""
    return F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)


def _initialize(network: nn.Module) -> None:
    """Convolution weights from N(0, 0.02); biases stay as PyTorch draws them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)


def _check_input(network: GlobalGenerator | LocalEnhancer, inputs: Tensor) -> None:
    name, channels, multiple = type(network).__name__, network.in_channels, network.multiple
    if inputs.ndim != 4 or inputs.shape[1] != channels:
        raise ValueError(f"{name} takes one tensor (N, {channels}, H, W), got {tuple(inputs.shape)}")
    height, width = inputs.shape[2:]
    # Below two steps the coarsest map would be one pixel wide: nothing to normalise over and nothing to reflect.
    if height % multiple or width % multiple or min(height, width) < 2 * multiple:
        raise ValueError(
            f"{name} needs a height and a width that are multiples of {multiple} and at least {2 * multiple}, got {height}x{width}; "
            "resize or pad the input, or build the network with a smaller n_downsample"
        )
