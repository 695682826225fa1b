"""Losses against numbers worked out by hand, binary cross-entropy, loops, and laws."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_meta import losses


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# One map a sample: sample 0 scores [[3, -1]], sample 1 scores [[0, 0.5]].
SCORES = torch.tensor([[[[3.0, -1.0]]], [[[0.0, 0.5]]]], dtype=torch.float64)


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


@pytest.mark.parametrize(
    ("name", "generator", "real", "fake"),
    [
        ("lsgan", [(4 + 4) / 2, (1 + 0.25) / 2], [(4 + 4) / 2, (1 + 0.25) / 2], [(9 + 1) / 2, 0.25 / 2]),
        ("hinge", [-1.0, -0.25], [(0 + 2) / 2, (1 + 0.5) / 2], [(4 + 0) / 2, (1 + 1.5) / 2]),
        (
            "non-saturating",
            [(softplus(-3) + softplus(1)) / 2, (softplus(0) + softplus(-0.5)) / 2],
            [(softplus(-3) + softplus(1)) / 2, (softplus(0) + softplus(-0.5)) / 2],
            [(softplus(3) + softplus(-1)) / 2, (softplus(0) + softplus(0.5)) / 2],
        ),
        ("wasserstein", [-1.0, -0.25], [-1.0, -0.25], [1.0, 0.25]),
    ],
)
def test_adversarial_losses_equal_hand_computed_numbers(name: str, generator: list[float], real: list[float], fake: list[float]) -> None:
    game = losses.ADVERSARIAL[name]
    for loss, expected in ((game.generator, generator), (game.real, real), (game.fake, fake)):
        torch.testing.assert_close(loss(SCORES), torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=1e-14)


def test_non_saturating_is_binary_cross_entropy() -> None:
    scores = random(0, 4, 1, 5, 3)
    for loss, target in (
        (losses.non_saturating_generator, 1.0),
        (losses.non_saturating_real, 1.0),
        (losses.non_saturating_fake, 0.0),
    ):
        expected = F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target), reduction="none").mean((1, 2, 3))
        torch.testing.assert_close(loss(scores), expected)


@pytest.mark.parametrize("name", sorted(losses.ADVERSARIAL))
def test_scales_add_up_and_a_scalar_score_is_a_map(name: str) -> None:
    scales = [random(1, 3, 1, 8, 8), random(2, 3, 1, 4, 5)]
    for loss in losses.ADVERSARIAL[name]:
        torch.testing.assert_close(loss(scales), loss(scales[0]) + loss(scales[1]), rtol=1e-14, atol=0)
        scores = random(3, 3)
        torch.testing.assert_close(loss(scores), loss(scores.reshape(3, 1, 1, 1)), rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(losses.ADVERSARIAL))
@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_a_sample_never_sees_the_others(name: str, seed: int) -> None:
    scales = [random(seed, 4, 1, 3, 3), random(seed + 1, 4, 1, 2, 2)]
    for loss in losses.ADVERSARIAL[name]:
        together = loss(scales)
        assert together.shape == (4,)
        for sample in range(4):
            alone = loss([scale[sample : sample + 1] for scale in scales])
            torch.testing.assert_close(together[sample : sample + 1], alone, rtol=1e-14, atol=0)


def test_feature_matching_equals_hand_computed_number() -> None:
    # Two scales of three stages (n_layers = 1): each |difference| counts 1/2 * 4/2 = 1, the last stage not at all.
    fake = [[torch.full((1, 2, 2, 2), 3.0), torch.full((1, 4, 1, 1), 1.0), torch.zeros(1, 1, 1, 1)] for _ in range(2)]
    real = [[torch.full((1, 2, 2, 2), 1.0), torch.full((1, 4, 1, 1), 1.5), torch.full((1, 1, 1, 1), 99.0)] for _ in range(2)]
    torch.testing.assert_close(losses.feature_matching(fake, real), torch.tensor([2 * (2.0 + 0.5)]))


def test_feature_matching_equals_the_published_formula_in_a_loop() -> None:
    n_layers, n_scales, n_samples = 3, 2, 3
    fake = [[random(10 * s + j, n_samples, j + 1, 6 - j, 5) for j in range(n_layers + 2)] for s in range(n_scales)]
    real = [[random(100 + 10 * s + j, n_samples, j + 1, 6 - j, 5) for j in range(n_layers + 2)] for s in range(n_scales)]
    result = losses.feature_matching(fake, real)
    for sample in range(n_samples):
        expected = 0.0
        for scale in range(n_scales):
            for stage in range(n_layers + 1):
                mean = F.l1_loss(fake[scale][stage][sample], real[scale][stage][sample]).item()
                expected += 1 / n_scales * 4 / (n_layers + 1) * mean
        assert result[sample].item() == pytest.approx(expected, rel=1e-12)


def test_perceptual_and_pixel_distances_equal_hand_computed_numbers() -> None:
    fake = [torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[5.0]]]])]
    real = [torch.tensor([[[[0.0, 4.0]]]]), torch.tensor([[[[2.0]]]])]
    torch.testing.assert_close(losses.perceptual(fake, real, (0.5, 2.0)), torch.tensor([0.5 * 1.5 + 2 * 3]))
    image, other = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), torch.zeros(1, 2, 1, 2)
    torch.testing.assert_close(losses.pixel_l1(image, other), torch.tensor([2.5]))
    weight = torch.tensor([[[[0.0, 4.0]]]])
    torch.testing.assert_close(losses.pixel_l1(image, other, weight), torch.tensor([(4 * 2 + 4 * 4) / 4.0]))


def test_nothing_is_detached() -> None:
    fake, real = random(0, 2, 3, 4, 4).requires_grad_(), random(1, 2, 3, 4, 4).requires_grad_()
    terms = (
        losses.feature_matching([[fake, fake]], [[real, real]]),
        losses.perceptual([fake], [real], [1.0]),
        losses.pixel_l1(fake, real),
    )
    for term in terms:
        gradients = torch.autograd.grad(term.sum(), (fake, real))
        torch.testing.assert_close(gradients[0], -gradients[1])
        assert gradients[0].abs().min() > 0


def test_mistakes_are_named() -> None:
    one = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"\[2\] stages a scale and the real \[3\]"):
        losses.feature_matching([[one, one]], [[one, one, one]])
    with pytest.raises(ValueError, match="a stage besides the scores"):
        losses.feature_matching([[one]], [[one]])
    with pytest.raises(ValueError, match="1 feature maps of the fake, 1 of the real and 2 layer weights"):
        losses.perceptual([one], [one], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"shape \(1, 1, 2, 2\) \(one weight a pixel\), got \(1, 2, 2\)"):
        losses.pixel_l1(one, one, torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match="no score maps"):
        losses.hinge_generator([])
