"""Posewarp's objective: the perceptual term of its first stage, the adversarial one of its second, and a pixel term."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from gan_meta.losses import ADVERSARIAL, perceptual, pixel_l1
from gan_meta.models.limbs import POSEWARP_LIMBS
from gan_meta.models.posewarp.features import NormalizedResponses, posewarp_features, read_statistics
from gan_meta.models.posewarp.inputs import pose_inputs
from gan_meta.objective import Batch, Losses, Objective, total
from gan_meta.pair import GANPair

POSE_INPUTS = ("source_pose", "target_pose", "log_masks", "transforms")

Statistics = str | os.PathLike[str] | Sequence[Tensor]

_CROSS_ENTROPY = ADVERSARIAL["non-saturating"]


class PosewarpObjective(Objective):
    """The published losses of Posewarp (section 3.4): features of image and target compared, and in stage 2 a judge.

    The generator minimises ``G_VGG + G_L1``, with a discriminator ``+ G_GAN`` (binary cross-entropy), and the discriminator
    ``(D_real + D_fake) / 2``; the terms are in ``losses(...).parts`` under these names, each (N,), weighted as it enters the sum.

    A batch has ``"source"`` and ``"image"`` (N, 3, H, W), RGB in [-1, 1], and either ``"source_joints"`` and ``"target_joints"``
    (N, J, 2) in pixels, or what ``pose_inputs`` makes of them. It may have ``"weight"`` (N, 1, H, W), each pixel's weight in the pixel
    term (1 where absent).

    Args:
        perceptual: ``None``, ``"vgg19"`` (published), ``"efficientnet_lite0"``, ``"vgg19-random"`` (for timing only), or a module that
            maps images (N, 3, H, W) in [-1, 1] to a list of feature maps; its attribute ``layer_weights`` gives each map's weight
            (all 1 where absent). It follows the images to their device and type, and is no part of the pair.
        statistics: response statistics, as a file of ``gan-meta statistics`` or a list of (2, C) tensors; what is named in
            ``perceptual`` needs them, a module may have them.
        perceptual_weight: weight of the perceptual term.
        pixel: weight of the mean absolute difference of pixels; 0 leaves it out.
        adversarial_weight: weight of the generator's adversarial term.
        limbs, limb_width: as for ``pose_inputs``.

    Raises:
        ValueError: for an unknown name, a negative weight, or missing or foreign statistics.
        FileNotFoundError, ImportError: when the weights that ``perceptual`` names are not there (with what to do).
    """

    def __init__(
        self,
        perceptual: str | nn.Module | None = None,
        statistics: Statistics | None = None,
        perceptual_weight: float = 1.0,
        pixel: float = 0.0,
        adversarial_weight: float = 0.1,
        limbs: Sequence[Sequence[int]] = POSEWARP_LIMBS,
        limb_width: float = 1.0,
    ) -> None:
        weights = {"perceptual_weight": perceptual_weight, "pixel": pixel, "adversarial_weight": adversarial_weight}
        for name, weight in weights.items():
            if weight < 0:
                raise ValueError(f"{name} is the weight of a loss and must be 0 or more, got {weight}")
        self.perceptual_weight = perceptual_weight
        self.pixel = pixel
        self.adversarial_weight = adversarial_weight
        self.limbs = limbs
        self.limb_width = limb_width
        self.extractor = _extractor(perceptual, statistics)

    def generator_loss(self, pair: GANPair, batch: Batch) -> Mapping[str, Tensor]:
        """The generator's terms by name, each (N,).

        Raises:
            ValueError: when the batch lacks a key, or no term is left.
        """
        poses = self._pose_inputs(batch)
        fake = _generate(pair, batch, poses)
        return self._generator_terms(fake, _judge(pair, fake, poses) if self._plays_against(pair) else None, batch)

    def discriminator_loss(self, pair: GANPair, batch: Batch) -> Tensor:
        """(N,): ``(D_real + D_fake) / 2``.

        Raises:
            ValueError: when the batch lacks a key, or the pair has no discriminator.
        """
        poses = self._pose_inputs(batch)
        on_fake = _judge(pair, _generate(pair, batch, poses), poses)
        return _half_sum(_discriminator_terms(on_fake, _judge(pair, _entry(batch, "image"), poses)))

    def losses(self, pair: GANPair, batch: Batch) -> Losses:
        """Both losses from one pass of the generator and two of the discriminator.

        Raises:
            ValueError: when the batch lacks a key, or the generator has no term left.
        """
        poses = self._pose_inputs(batch)
        fake = _generate(pair, batch, poses)
        if pair.discriminator is None:
            parts = self._generator_terms(fake, None, batch)
            return Losses(total(parts)[0], None, parts)
        on_fake = _judge(pair, fake, poses)
        parts = self._generator_terms(fake, on_fake if self._plays_against(pair) else None, batch)
        terms = _discriminator_terms(on_fake, _judge(pair, _entry(batch, "image"), poses))
        return Losses(total(parts)[0], _half_sum(terms), {**parts, **terms})

    def precompute(self, batch: Batch) -> Batch:
        """The pose inputs, where the batch has joints, and the features of the real images: ``"real_features.0"``, ..."""
        extra = {} if _has_pose_inputs(batch) else self._pose_inputs(batch)
        if self._is_perceptual:
            features = self._features(_entry(batch, "image"))
            extra.update({_feature_key(layer): feature for layer, feature in enumerate(features)})
        return extra

    # -- what goes in -----------------------------------------------------------------------------------------------

    def _pose_inputs(self, batch: Batch) -> dict[str, Tensor]:
        if _has_pose_inputs(batch):
            return {key: batch[key] for key in POSE_INPUTS}
        joints = _entry(batch, "source_joints"), _entry(batch, "target_joints")
        return pose_inputs(*joints, tuple(_entry(batch, "source").shape[2:]), self.limbs, self.limb_width)

    # -- the terms --------------------------------------------------------------------------------------------------

    def _plays_against(self, pair: GANPair) -> bool:
        return pair.discriminator is not None and self.adversarial_weight > 0

    def _generator_terms(self, fake: Tensor, on_fake: Tensor | None, batch: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        if on_fake is not None:
            terms["G_GAN"] = self.adversarial_weight * _CROSS_ENTROPY.generator(on_fake)
        if self._is_perceptual:
            terms["G_VGG"] = self.perceptual_weight * self._perceptual(fake, batch)
        if self.pixel:
            terms["G_L1"] = self.pixel * pixel_l1(fake, _entry(batch, "image"), batch.get("weight"))
        if not terms:
            raise ValueError(
                "the generator has nothing to learn from: give the objective perceptual=... or pixel=..., or the pair a discriminator"
            )
        return terms

    @property
    def _is_perceptual(self) -> bool:
        return self.extractor is not None and self.perceptual_weight > 0

    def _perceptual(self, fake: Tensor, batch: Batch) -> Tensor:
        fake_features = self._features(fake)
        keys = [_feature_key(layer) for layer in range(len(fake_features))]
        kept = all(key in batch for key in keys)
        real_features = [batch[key] for key in keys] if kept else self._features(_entry(batch, "image"))
        layer_weights = getattr(self.extractor, "layer_weights", None)
        return perceptual(fake_features, real_features, [1.0] * len(keys) if layer_weights is None else layer_weights)

    def _features(self, images: Tensor) -> list[Tensor]:
        assert self.extractor is not None
        held = next(chain(self.extractor.parameters(), self.extractor.buffers()), None)
        if held is not None and (held.device, held.dtype) != (images.device, images.dtype):
            self.extractor.to(images)
        return cast(list[Tensor], self.extractor(images))


def _extractor(features: str | nn.Module | None, statistics: Statistics | None) -> nn.Module | None:
    if features is None:
        if statistics is not None:
            raise ValueError("response statistics belong to features: give perceptual=... as well, or leave the statistics out")
        return None
    extractor = posewarp_features(features) if isinstance(features, str) else features
    if statistics is None:
        if isinstance(features, str):
            raise ValueError(
                f"perceptual={features!r} needs response statistics of your training images: make the file with: "
                f"gan-meta statistics FOLDER --features {features} --out statistics.safetensors, and give statistics=..."
            )
        return extractor
    tables = read_statistics(Path(statistics)) if isinstance(statistics, str | os.PathLike) else statistics
    return NormalizedResponses(extractor, tables)


def _generate(pair: GANPair, batch: Batch, poses: Mapping[str, Tensor]) -> Tensor:
    """(N, 3, H, W): what the generator makes of a batch."""
    return cast(Tensor, pair.generator(_entry(batch, "source"), **poses))


def _judge(pair: GANPair, image: Tensor, poses: Mapping[str, Tensor]) -> Tensor:
    if pair.discriminator is None:
        raise ValueError("the pair has no discriminator, so there is no discriminator loss")
    return cast(Tensor, pair.discriminator(image, poses["source_pose"], poses["target_pose"]))


def _discriminator_terms(on_fake: Tensor, on_real: Tensor) -> dict[str, Tensor]:
    return {"D_real": _CROSS_ENTROPY.real(on_real), "D_fake": _CROSS_ENTROPY.fake(on_fake)}


def _half_sum(terms: Mapping[str, Tensor]) -> Tensor:
    return (terms["D_real"] + terms["D_fake"]) / 2


def _has_pose_inputs(batch: Batch) -> bool:
    return all(key in batch for key in POSE_INPUTS)


def _entry(batch: Batch, key: str) -> Tensor:
    if key not in batch:
        raise ValueError(
            f"the batch has no {key!r}; Posewarp needs 'source', 'image', 'source_joints' and 'target_joints' (or the pose inputs), "
            f"this batch has: {', '.join(sorted(batch))}"
        )
    return batch[key]


def _feature_key(layer: int) -> str:
    return f"real_features.{layer}"
