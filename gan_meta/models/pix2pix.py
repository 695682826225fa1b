"""pix2pix: a U-Net and a PatchGAN, their objective, and the builder for the registry.

Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from gan_meta.losses import ADVERSARIAL, pixel_l1
from gan_meta.models.layers import initialize, needs_bias, normalization
from gan_meta.models.registry import register
from gan_meta.naming import unknown_name
from gan_meta.objective import Batch, Losses, Objective, total
from gan_meta.pair import GANPair

__all__ = ["PatchDiscriminator", "Pix2PixObjective", "UNetGenerator", "build_pix2pix"]

WIDEST = 8
"""Widths stop doubling at this multiple of the first (512 of 64)."""
DROPOUT_STAGES = 3
"""How many of the innermost doublings drop features: pix2pix's only source of noise (section 3.2)."""


class UNetGenerator(nn.Module):
    """Halvings down to the bottleneck and doublings back up, each of which also sees the map of its size on the way down.

    Args:
        in_channels, out_channels: of the condition and of the image made.
        base_channels: width after the first halving; it doubles with each further one, up to eight times this.
        n_downsample: halvings; the published network has 8, for 256x256.
        norm: ``"batch"`` (published), ``"instance"`` or ``"none"``.
        dropout: probability of dropping a feature after the three innermost doublings but the very first; the published one is 0.5.

    Raises:
        ValueError: for fewer than 2 halvings, an unknown norm, or a probability outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 3,
        base_channels: int = 64,
        n_downsample: int = 8,
        norm: str = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if n_downsample < 2:
            raise ValueError(f"n_downsample must be at least 2, got {n_downsample}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a probability in [0, 1), got {dropout}")
        self.in_channels = in_channels
        self.multiple = 2**n_downsample
        widths = [base_channels * min(2**level, WIDEST) for level in range(n_downsample)]
        last = n_downsample - 1
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            before = in_channels if level == 0 else widths[level - 1]
            inner = normalization(norm, width) if 0 < level < last else []
            activation = [nn.LeakyReLU(0.2)] if level else []
            self.down.append(nn.Sequential(*activation, nn.Conv2d(before, width, 4, 2, 1, bias=needs_bias(norm)), *inner))
        self.up = nn.ModuleList()
        for level in reversed(range(n_downsample)):
            incoming = widths[level] if level == last else 2 * widths[level]
            if level == 0:
                self.up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(incoming, out_channels, 4, 2, 1), nn.Tanh()))
                continue
            outgoing = widths[level - 1]
            drops = dropout > 0 and last - DROPOUT_STAGES <= level < last
            convolution = nn.ConvTranspose2d(incoming, outgoing, 4, 2, 1, bias=needs_bias(norm))
            self.up.append(nn.Sequential(nn.ReLU(), convolution, *normalization(norm, outgoing), *([nn.Dropout(dropout)] if drops else [])))
        initialize(self)

    def forward(self, condition: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W) in [-1, 1].

        Raises:
            ValueError: when the channels are others, or H or W is not a multiple of ``2 ** n_downsample``.
        """
        if condition.ndim != 4 or condition.shape[1] != self.in_channels:
            raise ValueError(f"UNetGenerator takes one tensor (N, {self.in_channels}, H, W), got {tuple(condition.shape)}")
        if condition.shape[2] % self.multiple or condition.shape[3] % self.multiple:
            raise ValueError(
                f"UNetGenerator needs a height and a width that are multiples of {self.multiple}, got "
                f"{condition.shape[2]}x{condition.shape[3]}; resize or pad the input, or build it with a smaller n_downsample"
            )
        maps = [condition]
        for stage in self.down:
            maps.append(stage(maps[-1]))
        image = maps.pop()
        for number, stage in enumerate(self.up):
            image = stage(image if number == 0 else torch.cat([maps.pop(), image], dim=1))
        return image


class PatchDiscriminator(nn.Module):
    """A PatchGAN: one score for each overlapping patch (section 3.2.2); 70x70 pixels for 3 layers.

    Args:
        in_channels: of the condition and the image together.
        base_channels: width of the first stage; it doubles with each stage, up to eight times this.
        n_layers: stages of stride 2; two more of stride 1 follow, the last of which gives the scores.
        norm: ``"batch"`` (published), ``"instance"`` or ``"none"``.

    Raises:
        ValueError: for an unknown norm.
    """

    def __init__(self, in_channels: int, base_channels: int = 64, n_layers: int = 3, norm: str = "batch") -> None:
        super().__init__()
        self.smallest = 3 * 2**n_layers
        layers: list[nn.Module] = [nn.Conv2d(in_channels, base_channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = base_channels
        for number in range(1, n_layers + 1):
            wider = base_channels * min(2**number, WIDEST)
            stride = 2 if number < n_layers else 1
            layers += [nn.Conv2d(width, wider, 4, stride, 1, bias=needs_bias(norm)), *normalization(norm, wider), nn.LeakyReLU(0.2)]
            width = wider
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))
        initialize(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, 1, h, w): the scores, without a sigmoid; 256x256 pixels give 30x30 of them.

        Raises:
            ValueError: when H or W is below ``3 * 2 ** n_layers``, so that not one score is left.
        """
        if min(inputs.shape[2:]) < self.smallest:
            raise ValueError(
                f"PatchDiscriminator needs at least {self.smallest}x{self.smallest} pixels, got {inputs.shape[2]}x{inputs.shape[3]}; "
                "build it with a smaller n_layers"
            )
        return cast(Tensor, self.model(inputs))


class Pix2PixObjective(Objective):
    """The published losses (section 3.1): the generator's ``G_GAN + pixel * L1``, the discriminator's ``(D_real + D_fake) / 2``.

    A batch has the condition (N, C, H, W) and ``"image"`` (N, C', H, W) in [-1, 1]. Terms are logged as ``"G_GAN"``, ``"G_L1"``,
    ``"D_real"`` and ``"D_fake"``, each (N,) and weighted as it enters the sum.

    Args:
        adversarial: ``"non-saturating"`` (published), ``"lsgan"``, ``"hinge"`` or ``"wasserstein"``.
        pixel: weight of the mean absolute difference of pixels.
        condition: the batch's key of the condition, for example ``"pose"``.

    Raises:
        ValueError: for an unknown name or a negative weight.
    """

    def __init__(self, adversarial: str = "non-saturating", pixel: float = 100.0, condition: str = "condition") -> None:
        if adversarial not in ADVERSARIAL:
            raise ValueError(unknown_name("adversarial loss", adversarial, ADVERSARIAL))
        if pixel < 0:
            raise ValueError(f"pixel is the weight of a loss and must be 0 or more, got {pixel}")
        self.adversarial = ADVERSARIAL[adversarial]
        self.pixel = pixel
        self.condition = condition

    def generator_loss(self, pair: GANPair, batch: Batch) -> dict[str, Tensor]:
        """The generator's terms by name, each (N,)."""
        fake = self._make(pair, batch)
        return self._generator_terms(fake, self._judge(pair, batch, fake), batch)

    def discriminator_loss(self, pair: GANPair, batch: Batch) -> dict[str, Tensor]:
        """The discriminator's terms by name, each (N,)."""
        return self._discriminator_terms(self._judge(pair, batch, batch["image"]), self._judge(pair, batch, self._make(pair, batch)))

    def losses(self, pair: GANPair, batch: Batch) -> Losses:
        """Both losses from one pass of the generator and two of the discriminator."""
        fake = self._make(pair, batch)
        on_fake = self._judge(pair, batch, fake)
        generator, parts = total(self._generator_terms(fake, on_fake, batch))
        discriminator, terms = total(self._discriminator_terms(self._judge(pair, batch, batch["image"]), on_fake))
        return Losses(generator, discriminator, {**parts, **terms})

    def _generator_terms(self, fake: Tensor, on_fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"G_GAN": self.adversarial.generator(on_fake), "G_L1": self.pixel * pixel_l1(fake, batch["image"])}

    def _discriminator_terms(self, on_real: Tensor, on_fake: Tensor) -> dict[str, Tensor]:
        return {"D_real": self.adversarial.real(on_real) / 2, "D_fake": self.adversarial.fake(on_fake) / 2}

    def _make(self, pair: GANPair, batch: Batch) -> Tensor:
        if self.condition not in batch:
            raise ValueError(f"the batch has no {self.condition!r}, the key that condition=... names; it has: {', '.join(sorted(batch))}")
        return cast(Tensor, pair.generator(batch[self.condition]))

    def _judge(self, pair: GANPair, batch: Batch, image: Tensor) -> Tensor:
        assert pair.discriminator is not None
        return cast(Tensor, pair.discriminator(torch.cat([batch[self.condition], image], dim=1)))


@register("pix2pix")
def build_pix2pix(
    condition_channels: int = 3,
    image_channels: int = 3,
    base_channels: int = 64,
    n_downsample: int = 8,
    norm: str = "batch",
    dropout: float = 0.5,
    discriminator_channels: int = 64,
    n_layers: int = 3,
) -> GANPair:
    """A pix2pix pair: a condition in, an image out, judged together patch by patch. Its objective is :class:`Pix2PixObjective`.

    Generator: (N, condition_channels, H, W) -> (N, image_channels, H, W) in [-1, 1]; H and W multiples of ``2 ** n_downsample``.
    Discriminator: (N, condition_channels + image_channels, H, W) -> (N, 1, h, w) scores.

    Args:
        condition_channels, image_channels: of the condition and of the image.
        base_channels: the generator's width after the first halving.
        n_downsample: its halvings; the published 8 are for 256x256.
        norm: ``"batch"`` (published); ``"instance"`` or ``"none"`` keep the samples of a few-shot batch apart.
        dropout: probability in the innermost doublings; 0 makes the generator deterministic.
        discriminator_channels, n_layers: of the discriminator.

    Raises:
        ValueError: for an unknown norm, or a number out of range.
    """
    return GANPair(
        UNetGenerator(condition_channels, image_channels, base_channels, n_downsample, norm, dropout),
        PatchDiscriminator(condition_channels + image_channels, discriminator_channels, n_layers, norm),
    )
