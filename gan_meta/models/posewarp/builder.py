"""The builder of a Posewarp pair, by which the registry knows it."""

from __future__ import annotations

from gan_meta.models.posewarp.discriminator import PosewarpDiscriminator
from gan_meta.models.posewarp.inputs import ImageSize
from gan_meta.models.posewarp.network import PosewarpGenerator
from gan_meta.models.registry import register
from gan_meta.pair import GANPair


@register("posewarp")
def build_posewarp(
    n_joints: int = 14,
    n_limbs: int = 10,
    base_channels: int = 64,
    padding: str = "published",
    discriminator: bool = False,
    size: ImageSize = 256,
    discriminator_channels: int = 64,
) -> GANPair:
    """A Posewarp generator, alone (stage 1) or with its discriminator (stage 2). Its objective is :class:`PosewarpObjective`.

    Generator: a source image (N, 3, H, W) in [-1, 1] and what :func:`pose_inputs` makes of two poses -> (N, 3, H, W), the same person
    in the target's pose. Discriminator: see :class:`PosewarpDiscriminator`.

    Args:
        n_joints, n_limbs, base_channels, padding: of :class:`PosewarpGenerator`.
        discriminator: whether there is one.
        size, discriminator_channels: of :class:`PosewarpDiscriminator`; unused without it.

    Raises:
        ValueError: as the two networks.
    """
    judge = PosewarpDiscriminator(n_joints, size, discriminator_channels) if discriminator else None
    return GANPair(PosewarpGenerator(n_joints, n_limbs, base_channels, padding), judge)
