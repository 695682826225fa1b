"""The builder of a pix2pixHD pair, by which the registry knows it."""

from __future__ import annotations

from torch import nn

from gan_meta.models.pix2pixhd.networks import GlobalGenerator, LocalEnhancer, MultiscaleDiscriminator
from gan_meta.models.registry import register
from gan_meta.naming import unknown_name
from gan_meta.pair import GANPair

GENERATORS = ("global", "local")


@register("pix2pixhd")
def build_pix2pixhd(
    pose_channels: int = 18,
    image_channels: int = 3,
    base_channels: int = 64,
    n_downsample: int = 4,
    n_blocks: int = 9,
    generator: str = "global",
    n_enhancers: int = 1,
    n_local_blocks: int = 3,
    discriminator_channels: int = 64,
    n_layers: int = 3,
    n_scales: int = 2,
    upsampling: str = "transpose",
) -> GANPair:
    """A pix2pixHD pair: poses in, images out, judged together. Its objective is :class:`Pix2PixHDObjective`.

    Generator: (N, pose_channels, H, W) -> (N, image_channels, H, W) in [-1, 1]; H and W multiples of ``2 ** n_downsample``
    (the enhancer's: of ``2 ** (n_downsample + n_enhancers)``), and at least twice that.
    Discriminator: (N, pose_channels + image_channels, H, W) -> for each scale, finest first, its stages' outputs.

    Args:
        pose_channels, image_channels: of the condition and of the image.
        base_channels, n_downsample, n_blocks: of :class:`GlobalGenerator`, or of :class:`LocalEnhancer`, whose published
            ``base_channels`` is 32.
        generator: ``"global"`` or ``"local"`` (the enhancer).
        n_enhancers, n_local_blocks: of the enhancer; unused by the global generator.
        discriminator_channels, n_layers, n_scales: of :class:`MultiscaleDiscriminator`.
        upsampling: of the global generator; the enhancer knows only ``"transpose"``.

    Raises:
        ValueError: for an unknown ``generator`` or ``upsampling``, or ``"resize"`` with the enhancer.
    """
    if generator not in GENERATORS:
        raise ValueError(unknown_name("generator", generator, GENERATORS))
    if generator == "global":
        network: nn.Module = GlobalGenerator(pose_channels, image_channels, base_channels, n_downsample, n_blocks, upsampling=upsampling)
    elif upsampling == "transpose":
        network = LocalEnhancer(pose_channels, image_channels, base_channels, n_downsample, n_blocks, n_enhancers, n_local_blocks)
    else:
        raise ValueError(f"upsampling={upsampling!r} works with generator='global' only; generator='local' needs upsampling='transpose'")
    discriminator = MultiscaleDiscriminator(pose_channels + image_channels, discriminator_channels, n_layers, n_scales)
    return GANPair(network, discriminator)
