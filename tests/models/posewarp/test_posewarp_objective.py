"""Posewarp's objective against plain PyTorch losses of each sample, and the laws the engine relies on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gan_meta as gm
from gan_meta.models.posewarp import PosewarpObjective, pose_inputs
from gan_meta.models.posewarp.features import save_statistics
from gan_meta.objective import Batch, total
from tests.models.posewarp.posewarp_fixtures import small_batch, small_generator

STATISTICS = [torch.tensor([[0.0, 0, 0, 0], [0.4, 0.9, 1.9, 0.1]]), torch.tensor([[0.0, 0.0], [0.3, 0.7]])]


class Edges(nn.Module):
    """A small extractor of our own: two smooth feature maps."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(7)
        self.first = nn.Parameter(torch.randn(4, 3, 3, 3, generator=draws), requires_grad=False)
        self.second = nn.Parameter(torch.randn(2, 4, 3, 3, generator=draws), requires_grad=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        first = F.silu(F.conv2d(images, self.first))
        return [first, F.silu(F.conv2d(first, self.second))]


@pytest.fixture
def pair() -> gm.GANPair:
    torch.manual_seed(0)
    judge = gm.models.create("posewarp", base_channels=2, discriminator=True, size=32, discriminator_channels=2).discriminator
    return gm.GANPair(small_generator(), judge).double()


@pytest.fixture
def batch() -> Batch:
    return small_batch(3, 32)


def everything(**options) -> PosewarpObjective:
    return PosewarpObjective(**{"perceptual": Edges(), "statistics": STATISTICS, "pixel": 3.0, **options})


def published_losses(pair: gm.GANPair, batch: Batch) -> dict[str, float]:
    """One sample's losses, term by term, with PyTorch's own reductions."""
    assert pair.discriminator is not None
    poses = pose_inputs(batch["source_joints"], batch["target_joints"], size=32)
    real, fake = batch["image"], pair.generator(batch["source"], **poses)
    judged = {
        name: pair.discriminator(image, poses["source_pose"], poses["target_pose"]).sigmoid()
        for name, image in (("real", real), ("fake", fake))
    }
    parts = {
        "G_GAN": 0.1 * F.binary_cross_entropy(judged["fake"], torch.ones(1, 1).double()).item(),
        "D_real": F.binary_cross_entropy(judged["real"], torch.ones(1, 1).double()).item(),
        "D_fake": F.binary_cross_entropy(judged["fake"], torch.zeros(1, 1).double()).item(),
        "G_L1": 3 * F.l1_loss(fake, real).item(),
        "G_VGG": 0.0,
    }
    extractor = Edges().double()
    for table, a, b in zip(STATISTICS, extractor(fake), extractor(real), strict=True):
        divisor = (table[1].double() + 0.1).view(-1, 1, 1)
        parts["G_VGG"] += ((a - b).abs() / divisor).mean().item() / 2
    return parts


def test_every_term_equals_the_published_loss_of_each_sample(pair: gm.GANPair, batch: Batch) -> None:
    losses = everything().losses(pair, batch)
    assert losses.discriminator is not None
    assert losses.generator.shape == losses.discriminator.shape == (3,)
    for sample in range(3):
        expected = published_losses(pair, {key: value[sample : sample + 1] for key, value in batch.items()})
        # The spread's reciprocal is kept in single precision.
        assert {name: part[sample].item() for name, part in losses.parts.items()} == pytest.approx(expected, rel=1e-6)
        assert losses.generator[sample].item() == pytest.approx(sum(v for k, v in expected.items() if k.startswith("G_")), rel=1e-6)
        assert losses.discriminator[sample].item() == pytest.approx((expected["D_real"] + expected["D_fake"]) / 2, rel=1e-9)


def test_separate_losses_are_the_shared_ones(pair: gm.GANPair, batch: Batch) -> None:
    both = everything().losses(pair, batch)
    assert both.discriminator is not None
    torch.testing.assert_close(total(everything().generator_loss(pair, batch))[0], both.generator)
    torch.testing.assert_close(everything().discriminator_loss(pair, batch), both.discriminator)


def test_stage_one_has_no_adversarial_term(pair: gm.GANPair, batch: Batch) -> None:
    alone = everything().losses(gm.GANPair(pair.generator), batch)
    assert alone.discriminator is None
    assert set(alone.parts) == {"G_VGG", "G_L1"}
    both = everything().losses(pair, batch)
    torch.testing.assert_close(alone.generator, both.parts["G_VGG"] + both.parts["G_L1"])
    with pytest.raises(ValueError, match="no discriminator"):
        everything().discriminator_loss(gm.GANPair(pair.generator), batch)


def test_pose_inputs_in_the_batch_and_precomputed_features_change_nothing(pair: gm.GANPair, batch: Batch) -> None:
    objective = everything()
    extra = objective.precompute(batch)
    assert set(extra) == {"source_pose", "target_pose", "log_masks", "transforms", "real_features.0", "real_features.1"}
    plain = objective.losses(pair, batch)
    assert torch.equal(objective.losses(pair, {**batch, **extra}).generator, plain.generator)
    without_joints = {key: value for key, value in {**batch, **extra}.items() if not key.endswith("joints")}
    assert torch.equal(objective.losses(pair, without_joints).generator, plain.generator)
    assert set(objective.precompute(without_joints)) == {"real_features.0", "real_features.1"}
    # They are really read.
    other = {**batch, **extra, "real_features.1": extra["real_features.1"] + 1}
    assert not torch.equal(objective.losses(pair, other).generator, plain.generator)
    turned = {**batch, **extra, "target_pose": extra["target_pose"].flip(1)}
    assert not torch.equal(objective.losses(pair, turned).generator, plain.generator)


def test_pixel_weights_count_pixels(pair: gm.GANPair, batch: Batch) -> None:
    objective = PosewarpObjective(pixel=2.0)
    weight = torch.zeros(3, 1, 32, 32, dtype=torch.float64)
    weight[:, :, 4:8, 2:4] = 5.0
    part = objective.losses(pair, {**batch, "weight": weight}).parts["G_L1"]
    fake = pair.generator(batch["source"], **pose_inputs(batch["source_joints"], batch["target_joints"], size=32))
    inside = (fake - batch["image"])[:, :, 4:8, 2:4].abs().sum((1, 2, 3))
    torch.testing.assert_close(part, 2 * 5 * inside / (3 * 32 * 32), rtol=1e-12, atol=0)


def test_nothing_is_detached(pair: gm.GANPair, batch: Batch) -> None:
    losses = everything().losses(pair, batch)
    assert losses.discriminator is not None
    for loss, players in ((losses.generator, ("generator", "discriminator")), (losses.discriminator, ("generator", "discriminator"))):
        for player in players:
            gradients = torch.autograd.grad(loss.sum(), [p for _, p in pair.player_parameters(player)], retain_graph=True)
            assert max(gradient.abs().max().item() for gradient in gradients) > 1e-6


def test_statistics_may_be_a_file(tmp_path: Path, pair: gm.GANPair, batch: Batch) -> None:
    save_statistics(tmp_path / "statistics.safetensors", STATISTICS)
    from_file = everything(statistics=tmp_path / "statistics.safetensors").losses(pair, batch)
    assert torch.equal(from_file.generator, everything().losses(pair, batch).generator)


def test_packaged_features_work_with_statistics(pair: gm.GANPair, batch: Batch) -> None:
    tables = [torch.ones(2, channels) * 0.9 for channels in (16, 24, 40, 112, 320)]
    single = {key: value.float() for key, value in batch.items()}
    losses = PosewarpObjective(perceptual="efficientnet_lite0", statistics=tables).losses(pair.float(), single)
    assert losses.parts["G_VGG"].shape == (3,)
    gradients = torch.autograd.grad(losses.parts["G_VGG"].sum(), list(pair.generator.parameters()))
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("algorithm", ["reptile", "fomaml", "maml"])
@pytest.mark.parametrize("stage", [1, 2])
def test_the_engine_plays_both_stages(pair: gm.GANPair, batch: Batch, algorithm: str, stage: int) -> None:
    played = gm.GANPair(pair.generator) if stage == 1 else pair
    objective, inner = everything(), gm.InnerLoop(steps=3, batch_size=4, lr=1e-3, schedule="constant")
    task = gm.Task(support=batch, query=small_batch(2, 32, seed=8))
    update = gm.algorithms.create(algorithm, objective=objective, inner=inner).meta_gradient(played, task, seed=0)
    assert set(update.grads) == {name for name, _ in played.named_parameters()}
    assert max(grad.abs().max().item() for grad in update.grads.values()) > 1e-5
    adapted = gm.adapt(played, objective, batch, inner, seed=0)
    after, before = (objective.losses(p, batch).parts["G_L1"].mean().item() for p in (adapted, played))
    assert after < before


def test_mistakes_are_named(pair: gm.GANPair, batch: Batch) -> None:
    with pytest.raises(ValueError, match=r"needs response statistics of your training images: make the file with: gan-meta statistics"):
        PosewarpObjective(perceptual="efficientnet_lite0")
    with pytest.raises(ValueError, match="unknown Posewarp features 'vgg'"):
        PosewarpObjective(perceptual="vgg", statistics=STATISTICS)
    with pytest.raises(ValueError, match="statistics belong to features"):
        PosewarpObjective(statistics=STATISTICS, pixel=1.0)
    with pytest.raises(ValueError, match="adversarial_weight is the weight of a loss and must be 0 or more, got -1"):
        PosewarpObjective(adversarial_weight=-1)
    with pytest.raises(ValueError, match="nothing to learn from"):
        PosewarpObjective().losses(gm.GANPair(pair.generator), batch)
    for key in ("source", "image", "source_joints", "target_joints"):
        partial = {name: value for name, value in batch.items() if name != key}
        with pytest.raises(ValueError, match=f"the batch has no '{key}'"):
            everything().losses(pair, partial)
