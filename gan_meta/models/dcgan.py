"""DCGAN: noise in, image out; its two networks, its objective, and the builder for the registry.

Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks", ICLR 2016.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from gan_meta.losses import ADVERSARIAL
from gan_meta.models.layers import initialize, needs_bias, normalization
from gan_meta.models.registry import register
from gan_meta.naming import unknown_name
from gan_meta.objective import Batch, Losses, Objective
from gan_meta.pair import GANPair

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "DCGANObjective", "build_dcgan"]

SMALLEST = 8
"""The smallest image: one doubling after the 4x4 map that the noise becomes."""


class DCGANGenerator(nn.Module):
    """Noise to a 4x4 map, then doublings by transposed convolutions (figure 1).

    Args:
        latent_channels: of the noise.
        image_channels: of the image made.
        base_channels: width at half the final resolution; it doubles with each halving down to 4x4.
        size: height and width of the image: a power of two, 8 or more.
        norm: ``"batch"`` (published), ``"instance"`` or ``"none"``.

    Raises:
        ValueError: for another size, or an unknown norm.
    """

    def __init__(
        self, latent_channels: int = 100, image_channels: int = 3, base_channels: int = 64, size: int = 64, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        width = base_channels * 2 ** (_doublings(size) - 1)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_channels, width, 4, bias=needs_bias(norm)),
            *normalization(norm, width),
            nn.ReLU(),
        ]
        while width > base_channels:
            layers += [nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=needs_bias(norm))]
            layers += [*normalization(norm, width // 2), nn.ReLU()]
            width //= 2
        layers += [nn.ConvTranspose2d(width, image_channels, 4, stride=2, padding=1, bias=False), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        initialize(self)

    def forward(self, noise: Tensor) -> Tensor:
        """(N, latent_channels) -> (N, image_channels, size, size) in [-1, 1].

        Raises:
            ValueError: when the noise has another shape.
        """
        if noise.ndim != 2 or noise.shape[1] != self.latent_channels:
            raise ValueError(f"DCGANGenerator takes noise (N, {self.latent_channels}), got {tuple(noise.shape)}")
        return cast(Tensor, self.model(noise[:, :, None, None]))


class DCGANDiscriminator(nn.Module):
    """Halvings by strided convolutions down to 4x4, then one score; the first stage is not normalised.

    Args:
        image_channels: of the image judged.
        base_channels: width after the first halving; it doubles with each further one.
        size: height and width of the image: a power of two, 8 or more.
        norm: ``"batch"`` (published), ``"instance"`` or ``"none"``.

    Raises:
        ValueError: for another size, or an unknown norm.
    """

    def __init__(self, image_channels: int = 3, base_channels: int = 64, size: int = 64, norm: str = "batch") -> None:
        super().__init__()
        self.image_shape = (image_channels, size, size)
        layers: list[nn.Module] = [nn.Conv2d(image_channels, base_channels, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2)]
        width = base_channels
        for _ in range(_doublings(size) - 1):
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=needs_bias(norm))]
            layers += [*normalization(norm, 2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, bias=False))
        initialize(self)

    def forward(self, image: Tensor) -> Tensor:
        """(N, image_channels, size, size) -> (N,): the scores, without a sigmoid.

        Raises:
            ValueError: when the image has another shape.
        """
        if image.shape[1:] != self.image_shape:
            raise ValueError(f"DCGANDiscriminator judges images (N, {', '.join(map(str, self.image_shape))}), got {tuple(image.shape)}")
        return cast(Tensor, self.model(image).flatten())


class DCGANObjective(Objective):
    """An adversarial game on noise: the generator fools, the discriminator minimises the mean of its two terms.

    A batch has ``"image"`` (N, C, H, W) in [-1, 1] and may have ``"noise"`` (N, latent_channels); where it is absent, noise is
    drawn from N(0, 1), one draw for both players in ``losses``, seeded by the engine step by step.

    Args:
        adversarial: ``"non-saturating"`` (published), ``"lsgan"``, ``"hinge"`` or ``"wasserstein"``.

    Raises:
        ValueError: for an unknown name.
    """

    def __init__(self, adversarial: str = "non-saturating") -> None:
        if adversarial not in ADVERSARIAL:
            raise ValueError(unknown_name("adversarial loss", adversarial, ADVERSARIAL))
        self.adversarial = ADVERSARIAL[adversarial]

    def generator_loss(self, pair: GANPair, batch: Batch) -> Tensor:
        """(N,): how well the discriminator sees through what is made."""
        return self.adversarial.generator(_judge(pair, self._make(pair, batch)))

    def discriminator_loss(self, pair: GANPair, batch: Batch) -> Tensor:
        """(N,): ``(D_real + D_fake) / 2``."""
        return self._judged(_judge(pair, batch["image"]), _judge(pair, self._make(pair, batch)))

    def losses(self, pair: GANPair, batch: Batch) -> Losses:
        """Both losses from one draw of noise, one pass of the generator and two of the discriminator."""
        on_fake = _judge(pair, self._make(pair, batch))
        return Losses(self.adversarial.generator(on_fake), self._judged(_judge(pair, batch["image"]), on_fake))

    def _judged(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        return (self.adversarial.real(on_real) + self.adversarial.fake(on_fake)) / 2

    def _make(self, pair: GANPair, batch: Batch) -> Tensor:
        image = batch["image"]
        noise = batch.get("noise")
        if noise is None:
            noise = torch.randn(len(image), cast(int, pair.generator.latent_channels), device=image.device, dtype=image.dtype)
        return cast(Tensor, pair.generator(noise))


@register("dcgan")
def build_dcgan(
    latent_channels: int = 100,
    image_channels: int = 3,
    base_channels: int = 64,
    size: int = 64,
    norm: str = "batch",
    discriminator_channels: int = 64,
) -> GANPair:
    """A DCGAN pair: noise in, image out, judged as a whole. Its objective is :class:`DCGANObjective`.

    Generator: (N, latent_channels) -> (N, image_channels, size, size) in [-1, 1].
    Discriminator: (N, image_channels, size, size) -> (N,) scores.

    Args:
        latent_channels: of the noise.
        image_channels: of the image.
        base_channels: the generator's width at half the final resolution.
        size: height and width of the image: a power of two, 8 or more; the published one is 64.
        norm: ``"batch"`` (published); ``"instance"`` or ``"none"`` keep the samples of a few-shot batch apart.
        discriminator_channels: the discriminator's width after the first halving.

    Raises:
        ValueError: for another size, or an unknown norm.
    """
    return GANPair(
        DCGANGenerator(latent_channels, image_channels, base_channels, size, norm),
        DCGANDiscriminator(image_channels, discriminator_channels, size, norm),
    )


def _judge(pair: GANPair, image: Tensor) -> Tensor:
    assert pair.discriminator is not None
    return cast(Tensor, pair.discriminator(image))


def _doublings(size: int) -> int:
    """How often 4x4 has to be doubled."""
    if size < SMALLEST or size & (size - 1):
        raise ValueError(f"size must be a power of two, {SMALLEST} or more, got {size}")
    return int(math.log2(size)) - 2
