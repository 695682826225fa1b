"""pix2pixHD's objective against a loop over samples with plain PyTorch losses, and the laws the engine relies on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_meta import GANPair, InnerLoop, adapt, models
from gan_meta.models.pix2pixhd import Pix2PixHDObjective
from gan_meta.objective import Batch, total


class Edges(nn.Module):
    """A small extractor of our own: two smooth feature maps."""

    layer_weights = (0.5, 2.0)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.first = nn.Parameter(torch.randn(4, 3, 3, 3, generator=generator), requires_grad=False)
        self.second = nn.Parameter(torch.randn(5, 4, 3, 3, generator=generator), requires_grad=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        first = F.silu(F.conv2d(images, self.first))
        return [first, F.silu(F.conv2d(first, self.second))]


@pytest.fixture
def pair() -> GANPair:
    torch.manual_seed(0)
    pair = models.create("pix2pixhd", pose_channels=2, base_channels=4, n_downsample=1, n_blocks=1, discriminator_channels=4, n_layers=2)
    generator = torch.Generator().manual_seed(1)
    for parameter in pair.double().parameters():
        nn.init.normal_(parameter, 0.0, 0.2, generator=generator)
    return pair


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    return {
        "pose": torch.rand(3, 2, 16, 16, generator=generator, dtype=torch.float64),
        "image": torch.rand(3, 3, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1,
    }


def everything(**options: Any) -> Pix2PixHDObjective:
    return Pix2PixHDObjective(**{"perceptual": Edges(), "pixel": 3.0, **options})


def published_losses(pair: GANPair, batch: Batch, extractor: Edges) -> dict[str, float]:
    """One sample's losses, term by term as the paper has them, with PyTorch's own reductions."""
    assert pair.discriminator is not None
    pose, real = batch["pose"], batch["image"]
    fake = pair.generator(pose)
    judged_fake = pair.discriminator(torch.cat([pose, fake], 1))
    judged_real = pair.discriminator(torch.cat([pose, real], 1))
    parts = dict.fromkeys(("G_GAN", "G_FM", "G_VGG", "G_L1", "D_real", "D_fake"), 0.0)
    for fake_stages, real_stages in zip(judged_fake, judged_real, strict=True):
        parts["G_GAN"] += F.mse_loss(fake_stages[-1], torch.ones_like(fake_stages[-1])).item()
        parts["D_fake"] += F.mse_loss(fake_stages[-1], torch.zeros_like(fake_stages[-1])).item()
        parts["D_real"] += F.mse_loss(real_stages[-1], torch.ones_like(real_stages[-1])).item()
        for stage in range(3):  # n_layers + 1
            parts["G_FM"] += 10 * (1 / 2) * (4 / 3) * F.l1_loss(fake_stages[stage], real_stages[stage]).item()
    for weight, a, b in zip((0.5, 2.0), extractor(fake), extractor(real), strict=True):
        parts["G_VGG"] += 10 * weight * F.l1_loss(a, b).item()
    parts["G_L1"] = 3 * F.l1_loss(fake, real).item()
    return parts


def test_every_term_equals_the_published_loss_of_each_sample(pair: GANPair, batch: Batch) -> None:
    losses = everything().losses(pair, batch)
    for sample in range(3):
        alone = {key: value[sample : sample + 1] for key, value in batch.items()}
        expected = published_losses(pair, alone, Edges().double())
        assert {name: part[sample].item() for name, part in losses.parts.items()} == pytest.approx(expected, rel=1e-10)
        assert losses.generator[sample].item() == pytest.approx(sum(v for k, v in expected.items() if k.startswith("G_")), rel=1e-10)
        assert losses.discriminator is not None
        assert losses.discriminator[sample].item() == pytest.approx((expected["D_real"] + expected["D_fake"]) / 2, rel=1e-10)


@pytest.mark.parametrize("adversarial", ["lsgan", "hinge", "non-saturating", "wasserstein"])
@pytest.mark.parametrize("options", [{}, {"feature_matching": 0.0, "perceptual": None, "pixel": 0.0}], ids=["all", "adversarial"])
def test_shared_forward_gives_the_separate_losses_and_gradients(
    pair: GANPair, batch: Batch, adversarial: str, options: dict[str, Any]
) -> None:
    objective = everything(adversarial=adversarial, **options)
    shared = objective.losses(pair, batch)
    assert shared.discriminator is not None
    generator, _ = total(objective.generator_loss(pair, batch))
    discriminator = objective.discriminator_loss(pair, batch)
    for player, together, separate in (("generator", shared.generator, generator), ("discriminator", shared.discriminator, discriminator)):
        torch.testing.assert_close(together, separate, rtol=1e-13, atol=0)
        parameters = [parameter for _, parameter in pair.player_parameters(player)]
        ours = torch.autograd.grad(together.sum(), parameters, retain_graph=True)
        theirs = torch.autograd.grad(separate.sum(), parameters)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_one_generator_pass_and_two_discriminator_passes(pair: GANPair, batch: Batch) -> None:
    calls: list[str] = []
    assert pair.discriminator is not None
    pair.generator.register_forward_hook(lambda *_: calls.append("generator"))
    pair.discriminator.register_forward_hook(lambda *_: calls.append("discriminator"))
    everything().losses(pair, batch)
    assert sorted(calls) == ["discriminator", "discriminator", "generator"]


def test_the_discriminators_loss_depends_on_the_generator(pair: GANPair, batch: Batch) -> None:
    """Nothing is detached: a meta-gradient needs this path."""
    losses = everything().losses(pair, batch)
    assert losses.discriminator is not None
    gradients = torch.autograd.grad(losses.discriminator.sum(), [p for _, p in pair.player_parameters("generator")])
    assert max(gradient.abs().max().item() for gradient in gradients) > 1e-4


def test_precomputed_features_give_the_same_losses_and_spare_the_extractor(pair: GANPair, batch: Batch) -> None:
    objective = everything()
    extra = objective.precompute(batch)
    assert list(extra) == ["real_features.0", "real_features.1"]
    assert [len(feature) for feature in extra.values()] == [3, 3]
    assert Pix2PixHDObjective().precompute(batch) == {}
    plain = objective.losses(pair, batch).generator
    calls: list[int] = []
    assert isinstance(objective.extractor, nn.Module)
    objective.extractor.register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(objective.losses(pair, {**batch, **extra}).generator, plain)
    assert len(calls) == 1
    # They are really read: other features, another loss.
    other = {**batch, **{key: value + 1 for key, value in extra.items()}}
    assert not torch.equal(objective.losses(pair, other).generator, plain)


def test_pixel_weights_count_pixels(pair: GANPair, batch: Batch) -> None:
    objective = Pix2PixHDObjective(feature_matching=0.0, pixel=2.0)
    weight = torch.zeros(3, 1, 16, 16, dtype=torch.float64)
    weight[:, :, 4:8, 2:4] = 5.0
    part = objective.losses(pair, {**batch, "weight": weight}).parts["G_L1"]
    inside = (pair(batch["pose"]) - batch["image"])[:, :, 4:8, 2:4].abs().sum((1, 2, 3))
    torch.testing.assert_close(part, 2 * 5 * inside / (3 * 16 * 16), rtol=1e-12, atol=0)
    unweighted = objective.losses(pair, batch).generator
    torch.testing.assert_close(objective.losses(pair, {**batch, "weight": torch.ones_like(weight)}).generator, unweighted)


def test_a_generator_alone_has_perceptual_and_pixel_terms(pair: GANPair, batch: Batch) -> None:
    alone = GANPair(pair.generator)
    losses = everything().losses(alone, batch)
    both = everything().losses(pair, batch)
    assert losses.discriminator is None
    assert set(losses.parts) == {"G_VGG", "G_L1"}
    torch.testing.assert_close(losses.generator, both.parts["G_VGG"] + both.parts["G_L1"])
    torch.testing.assert_close(total(everything().generator_loss(alone, batch))[0], losses.generator)
    with pytest.raises(ValueError, match="nothing to learn from"):
        Pix2PixHDObjective().losses(alone, batch)
    with pytest.raises(ValueError, match="no discriminator"):
        everything().discriminator_loss(alone, batch)


def test_second_derivatives_reach_both_players(pair: GANPair, batch: Batch) -> None:
    """The change of D's gradient with G's weights, against central differences, with smooth activations and squared losses."""
    for module in list(pair.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(module, name, nn.SiLU())
    objective = Pix2PixHDObjective(feature_matching=0.0)
    assert pair.discriminator is not None
    weight, probe = pair.generator.get_parameter("model.1.weight"), pair.discriminator.get_parameter("scale1_layer0.0.weight")

    def slope() -> Tensor:
        return torch.autograd.grad(objective.discriminator_loss(pair, batch).sum(), probe, create_graph=True)[0].sum()

    (mixed,) = torch.autograd.grad(slope(), weight)
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ends = []
    for step in (1e-5, -2e-5):
        weight.data.add_(step * direction)
        ends.append(slope().item())
    assert (mixed * direction).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_the_engine_plays_it(pair: GANPair, batch: Batch) -> None:
    objective = everything()
    adapted = adapt(pair.float(), objective, {key: value.float() for key, value in batch.items()}, InnerLoop(steps=4, batch_size=4), seed=0)
    before, after = (objective.losses(p, {k: v.float() for k, v in batch.items()}).generator.mean().item() for p in (pair, adapted))
    assert after < before
    # The extractor is no part of the pair.
    assert {name.split(".")[0] for name, _ in adapted.named_parameters()} == {"generator", "discriminator"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pix2PixHDObjective("lsgna"), "unknown adversarial loss 'lsgna': did you mean 'lsgan'.*hinge.*non-saturating.*wasserstein"),
        (lambda: Pix2PixHDObjective(pixel=-1.0), "pixel is the weight of a loss and must be 0 or more, got -1"),
        (lambda: Pix2PixHDObjective(perceptual="vgg"), "unknown perceptual features 'vgg'"),
    ],
)
def test_mistakes_at_construction_are_named(make: Callable[[], Pix2PixHDObjective], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_missing_key_is_named(pair: GANPair, batch: Batch) -> None:
    for key in ("pose", "image"):
        partial = {name: value for name, value in batch.items() if name != key}
        with pytest.raises(ValueError, match=f"the batch has no '{key}'"):
            everything().losses(pair, partial)


def test_the_adversarial_weight_scales_the_term_and_0_leaves_it_out(pair: GANPair, batch: Batch) -> None:
    usual, third, none = (everything(adversarial_weight=weight).losses(pair, batch).parts for weight in (1.0, 1 / 3, 0.0))
    torch.testing.assert_close(third["G_GAN"], usual["G_GAN"] / 3)
    assert set(usual) - set(none) == {"G_GAN"}
    assert all(torch.equal(none[name], usual[name]) for name in none)
    with pytest.raises(ValueError, match="adversarial_weight is the weight of a loss and must be 0 or more"):
        everything(adversarial_weight=-1.0)
