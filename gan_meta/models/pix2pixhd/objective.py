"""The objective of pix2pixHD: adversarial, feature-matching, perceptual and pixel terms, from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from gan_meta.losses import ADVERSARIAL, feature_matching, perceptual, pixel_l1
from gan_meta.models.perceptual import create_extractor
from gan_meta.naming import unknown_name
from gan_meta.objective import Batch, Losses, Objective, total
from gan_meta.pair import GANPair

Stages = list[list[Tensor]]


class Rollout(NamedTuple):
    """What one forward pass of both players gives: the image, and the discriminator's stages where they were asked for."""

    fake: Tensor
    fake_stages: Stages | None = None
    real_stages: Stages | None = None


class Pix2PixHDObjective(Objective):
    """The published losses of pix2pixHD (section 3.3, equation 5, and the perceptual term of section 4).

    The generator minimises ``G_GAN + G_FM + G_VGG + G_L1`` and the discriminator ``(D_real + D_fake) / 2``; the terms are in
    ``losses(...).parts`` under these names, each (N,) and weighted as it enters the sum. A pair without a discriminator has
    the perceptual and pixel terms only.

    A batch has ``"pose"`` (N, C, H, W) and ``"image"`` (N, 3, H, W) in [-1, 1], and may have ``"weight"`` (N, 1, H, W), each
    pixel's weight in the pixel term (1 where absent).

    Args:
        adversarial: ``"lsgan"`` (published), ``"hinge"``, ``"non-saturating"`` or ``"wasserstein"``.
        feature_matching: weight of the feature-matching term; 0 leaves it out.
        perceptual: ``None``, ``"vgg19"`` (published), ``"efficientnet_lite0"``, ``"vgg19-random"`` (for timing only), or a module
            that maps images (N, 3, H, W) in [-1, 1] to a list of feature maps; its attribute ``layer_weights`` gives each map's
            weight (all 1 where absent). It follows the images to their device and type, and is no part of the pair.
        perceptual_weight: weight of the perceptual term.
        pixel: weight of the mean absolute difference of pixels; 0 leaves it out.
        adversarial_weight: weight of ``G_GAN``; 0 leaves it out, while the discriminator goes on learning for the features' sake.

    Raises:
        ValueError: for an unknown name or a negative weight.
        FileNotFoundError, ImportError: when the weights that ``perceptual`` names are not there (with what to do).
    """

    def __init__(
        self,
        adversarial: str = "lsgan",
        feature_matching: float = 10.0,
        perceptual: str | nn.Module | None = None,
        perceptual_weight: float = 10.0,
        pixel: float = 0.0,
        adversarial_weight: float = 1.0,
    ) -> None:
        if adversarial not in ADVERSARIAL:
            raise ValueError(unknown_name("adversarial loss", adversarial, ADVERSARIAL))
        weights = {
            "feature_matching": feature_matching,
            "perceptual_weight": perceptual_weight,
            "pixel": pixel,
            "adversarial_weight": adversarial_weight,
        }
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(f"{name} is the weight of a loss and must be 0 or more, got {weight}")
        self.adversarial = ADVERSARIAL[adversarial]
        self.adversarial_weight = adversarial_weight
        self.feature_matching = feature_matching
        self.perceptual_weight = perceptual_weight
        self.pixel = pixel
        self.extractor = create_extractor(perceptual) if isinstance(perceptual, str) else perceptual

    def generate(self, pair: GANPair, batch: Batch) -> Tensor:
        """(N, 3, H, W): what the generator makes of a batch. Override it for a generator that takes more than the pose."""
        return cast(Tensor, pair.generator(_entry(batch, "pose")))

    def generator_loss(self, pair: GANPair, batch: Batch) -> Mapping[str, Tensor]:
        """The generator's terms by name, each (N,).

        Raises:
            ValueError: when the batch lacks a key, or no term is left (a generator alone without perceptual or pixel term).
        """
        fake = self.generate(pair, batch)
        if pair.discriminator is None:
            return self._generator_terms(Rollout(fake), batch)
        real_stages = self._judge(pair, batch, _entry(batch, "image")) if self.feature_matching else None
        return self._generator_terms(Rollout(fake, self._judge(pair, batch, fake), real_stages), batch)

    def discriminator_loss(self, pair: GANPair, batch: Batch) -> Tensor:
        """(N,): ``(D_real + D_fake) / 2``.

        Raises:
            ValueError: when the batch lacks a key.
        """
        return _half_sum(self._discriminator_terms(self._rollout(pair, batch)))

    def losses(self, pair: GANPair, batch: Batch) -> Losses:
        """Both losses from one pass of the generator and two of the discriminator.

        Raises:
            ValueError: when the batch lacks a key, or the generator has no term left.
        """
        rollout = self._rollout(pair, batch)
        parts = self._generator_terms(rollout, batch)
        generator, _ = total(parts)
        if pair.discriminator is None:
            return Losses(generator, None, parts)
        terms = self._discriminator_terms(rollout)
        return Losses(generator, _half_sum(terms), {**parts, **terms})

    def precompute(self, batch: Batch) -> Batch:
        """The perceptual features of the real images, as ``"real_features.0"``, ``"real_features.1"``, ..."""
        if not self._is_perceptual:
            return {}
        return {_feature_key(layer): feature for layer, feature in enumerate(self._features(_entry(batch, "image")))}

    # -- the pass ---------------------------------------------------------------------------------------------------

    def _rollout(self, pair: GANPair, batch: Batch) -> Rollout:
        fake = self.generate(pair, batch)
        if pair.discriminator is None:
            return Rollout(fake)
        return Rollout(fake, self._judge(pair, batch, fake), self._judge(pair, batch, _entry(batch, "image")))

    def _judge(self, pair: GANPair, batch: Batch, image: Tensor) -> Stages:
        assert pair.discriminator is not None
        return cast(Stages, pair.discriminator(torch.cat([_entry(batch, "pose"), image], dim=1)))

    # -- the terms --------------------------------------------------------------------------------------------------

    def _generator_terms(self, rollout: Rollout, batch: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        if rollout.fake_stages is not None:
            if self.adversarial_weight:
                terms["G_GAN"] = self.adversarial_weight * self.adversarial.generator(_scores(rollout.fake_stages))
            if self.feature_matching and rollout.real_stages is not None:
                terms["G_FM"] = self.feature_matching * feature_matching(rollout.fake_stages, rollout.real_stages)
        if self._is_perceptual:
            terms["G_VGG"] = self.perceptual_weight * self._perceptual(rollout.fake, batch)
        if self.pixel:
            terms["G_L1"] = self.pixel * pixel_l1(rollout.fake, _entry(batch, "image"), batch.get("weight"))
        if not terms:
            raise ValueError(
                "a generator without a discriminator has nothing to learn from: give the objective perceptual=... or pixel=..."
            )
        return terms

    def _discriminator_terms(self, rollout: Rollout) -> dict[str, Tensor]:
        if rollout.real_stages is None or rollout.fake_stages is None:
            raise ValueError("the pair has no discriminator, so there is no discriminator loss")
        return {
            "D_real": self.adversarial.real(_scores(rollout.real_stages)),
            "D_fake": self.adversarial.fake(_scores(rollout.fake_stages)),
        }

    # -- the perceptual term ----------------------------------------------------------------------------------------

    @property
    def _is_perceptual(self) -> bool:
        return self.extractor is not None and self.perceptual_weight > 0

    def _perceptual(self, fake: Tensor, batch: Batch) -> Tensor:
        fake_features = self._features(fake)
        keys = [_feature_key(layer) for layer in range(len(fake_features))]
        if all(key in batch for key in keys):
            real_features = [batch[key] for key in keys]
        else:
            real_features = self._features(_entry(batch, "image"))
        layer_weights = getattr(self.extractor, "layer_weights", None)
        return perceptual(fake_features, real_features, [1.0] * len(keys) if layer_weights is None else layer_weights)

    def _features(self, images: Tensor) -> list[Tensor]:
        assert self.extractor is not None
        parameter = next(self.extractor.parameters(), None)
        if parameter is not None and (parameter.device, parameter.dtype) != (images.device, images.dtype):
            self.extractor.to(images)
        return cast(list[Tensor], self.extractor(images))


def _entry(batch: Batch, key: str) -> Tensor:
    if key not in batch:
        raise ValueError(f"the batch has no {key!r}; pix2pixHD needs 'pose' and 'image', this batch has: {', '.join(sorted(batch))}")
    return batch[key]


def _feature_key(layer: int) -> str:
    return f"real_features.{layer}"


def _scores(stages: Stages) -> list[Tensor]:
    """Each scale's score map."""
    return [outputs[-1] for outputs in stages]


def _half_sum(terms: Mapping[str, Tensor]) -> Tensor:
    return (terms["D_real"] + terms["D_fake"]) / 2
