"""Losses a sample: four adversarial games, feature matching, perceptual and pixel distances.

Every function returns shape (N,), one value a sample, and detaches nothing: who learns from what is the engine's business.
Where scores are asked for, a list of score maps (one a scale, for example from a multi-scale discriminator) may stand for one
map; each map is averaged over all but its first dimension and the scales are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Scores = Tensor | Sequence[Tensor]
"""A discriminator's scores, first dimension the samples: one map, or one a scale."""


class AdversarialLoss(NamedTuple):
    """One adversarial game: what each player minimises, each a function from scores to (N,).

    Attributes:
        generator: of the scores of generated samples.
        real, fake: the discriminator's terms, of the scores of real and of generated samples.
    """

    generator: Callable[[Scores], Tensor]
    real: Callable[[Scores], Tensor]
    fake: Callable[[Scores], Tensor]


def sample_mean(values: Tensor) -> Tensor:
    """(N, ...) -> (N,): the mean over everything but the samples."""
    flat = values.reshape(values.shape[0], -1)
    # Not mean(): on the way back its division is made for every value, this one once a sample. A sum in bfloat16 would keep 8 bits.
    return flat.sum(1, dtype=torch.promote_types(flat.dtype, torch.float32)) / flat.shape[1]


# -- least squares: Mao et al., "Least Squares Generative Adversarial Networks", 2017, with targets 1 (real) and 0 (fake) ------


def least_squares_generator(fake: Scores) -> Tensor:
    """mean((D(fake) - 1)^2)."""
    return _over_scales(fake, lambda score: (score - 1).square())


def least_squares_real(real: Scores) -> Tensor:
    """mean((D(real) - 1)^2)."""
    return _over_scales(real, lambda score: (score - 1).square())


def least_squares_fake(fake: Scores) -> Tensor:
    """mean(D(fake)^2)."""
    return _over_scales(fake, lambda score: score.square())


# -- hinge: Lim and Ye, "Geometric GAN", 2017 ----------------------------------------------------------------------------------


def hinge_generator(fake: Scores) -> Tensor:
    """mean(-D(fake))."""
    return _over_scales(fake, lambda score: -score)


def hinge_real(real: Scores) -> Tensor:
    """mean(max(0, 1 - D(real)))."""
    return _over_scales(real, lambda score: F.relu(1 - score))


def hinge_fake(fake: Scores) -> Tensor:
    """mean(max(0, 1 + D(fake)))."""
    return _over_scales(fake, lambda score: F.relu(1 + score))


# -- non-saturating: Goodfellow et al., "Generative Adversarial Nets", 2014, section 3; scores are logits ----------------------


def non_saturating_generator(fake: Scores) -> Tensor:
    """mean(-log sigmoid(D(fake)))."""
    return _over_scales(fake, lambda score: F.softplus(-score))


def non_saturating_real(real: Scores) -> Tensor:
    """mean(-log sigmoid(D(real)))."""
    return _over_scales(real, lambda score: F.softplus(-score))


def non_saturating_fake(fake: Scores) -> Tensor:
    """mean(-log(1 - sigmoid(D(fake))))."""
    return _over_scales(fake, lambda score: F.softplus(score))


# -- Wasserstein: Arjovsky et al., 2017, equation 2; keeping the critic Lipschitz (clipping, a penalty) is the caller's part ---


def wasserstein_generator(fake: Scores) -> Tensor:
    """mean(-D(fake))."""
    return _over_scales(fake, lambda score: -score)


def wasserstein_real(real: Scores) -> Tensor:
    """mean(-D(real))."""
    return _over_scales(real, lambda score: -score)


def wasserstein_fake(fake: Scores) -> Tensor:
    """mean(D(fake))."""
    return _over_scales(fake, lambda score: score)


ADVERSARIAL: dict[str, AdversarialLoss] = {
    "lsgan": AdversarialLoss(least_squares_generator, least_squares_real, least_squares_fake),
    "hinge": AdversarialLoss(hinge_generator, hinge_real, hinge_fake),
    "non-saturating": AdversarialLoss(non_saturating_generator, non_saturating_real, non_saturating_fake),
    "wasserstein": AdversarialLoss(wasserstein_generator, wasserstein_real, wasserstein_fake),
}
"""The adversarial games by name."""


# -- distances -----------------------------------------------------------------------------------------------------------------


def feature_matching(fake_features: Sequence[Sequence[Tensor]], real_features: Sequence[Sequence[Tensor]]) -> Tensor:
    """How far the discriminator's features of generated samples are from those of real ones (pix2pixHD, equation 4).

    The sum over scales and over all stages but the last (the scores) of ``1 / scales * 4 / (stages - 1) * mean|fake - real|``.

    Args:
        fake_features, real_features: one list of stage outputs (N, ...) a scale.

    Returns:
        (N,), without any weight in front.

    Raises:
        ValueError: when the two differ in scales or stages, or a scale has no stage besides its scores.
    """
    shape, other = [len(stages) for stages in fake_features], [len(stages) for stages in real_features]
    if shape != other:
        raise ValueError(f"the fake has {shape} stages a scale and the real {other}; both must come from one discriminator")
    if not shape or min(shape) < 2:
        raise ValueError(f"feature matching needs scales with a stage besides the scores, but the stages a scale are {shape}")
    terms = [
        sample_mean((fake - real).abs()) * (4 / (len(fake_stages) - 1) / len(fake_features))
        for fake_stages, real_stages in zip(fake_features, real_features, strict=True)
        for fake, real in zip(fake_stages[:-1], real_stages[:-1], strict=True)
    ]
    return _sum(terms)


def perceptual(fake_features: Sequence[Tensor], real_features: Sequence[Tensor], layer_weights: Sequence[float]) -> Tensor:
    """The weighted sum over layers of ``mean|fake - real|`` between two lists of feature maps (N, C, h, w).

    Returns:
        (N,).

    Raises:
        ValueError: when the two lists and the weights are not equally long.
    """
    if not len(fake_features) == len(real_features) == len(layer_weights) > 0:
        raise ValueError(
            f"{len(fake_features)} feature maps of the fake, {len(real_features)} of the real and {len(layer_weights)} layer weights; "
            "there must be as many of each, and at least one"
        )
    layers = zip(fake_features, real_features, layer_weights, strict=True)
    return _sum([sample_mean((fake - real).abs()) * weight for fake, real, weight in layers])


def pixel_l1(fake: Tensor, real: Tensor, weight: Tensor | None = None) -> Tensor:
    """``mean(weight * |fake - real|)`` over pixels and channels.

    Args:
        fake, real: (N, C, H, W).
        weight: (N, 1, H, W), each pixel's weight; all 1 by default.

    Returns:
        (N,).

    Raises:
        ValueError: when the weight's shape is another.
    """
    difference = (fake - real).abs()
    if weight is None:
        return sample_mean(difference)
    expected = (fake.shape[0], 1, *fake.shape[2:])
    if weight.shape != expected:
        raise ValueError(f"the pixel weight must have shape {expected} (one weight a pixel), got {tuple(weight.shape)}")
    return sample_mean(weight * difference)


def _over_scales(scores: Scores, loss: Callable[[Tensor], Tensor]) -> Tensor:
    maps = [scores] if isinstance(scores, Tensor) else scores
    return _sum([sample_mean(loss(score)) for score in maps])


def _sum(terms: Sequence[Tensor]) -> Tensor:
    if not terms:
        raise ValueError("there are no score maps: a loss needs at least one")
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
