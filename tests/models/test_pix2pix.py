"""pix2pix against the published sizes, the published receptive field, and the laws of its objective."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from gan_meta.models.pix2pix import PatchDiscriminator, Pix2PixObjective, UNetGenerator

TINY = {"condition_channels": 2, "base_channels": 3, "n_downsample": 3, "norm": "instance", "discriminator_channels": 3, "n_layers": 1}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def tiny_batch():
    generator = torch.Generator().manual_seed(0)
    shape = {"condition": 2, "image": 3}
    return {key: torch.rand(4, n, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1 for key, n in shape.items()}


def test_published_sizes():
    # "54.414 M" and "2.769 M" is what the published code prints for its 256x256 U-Net and its 70x70 PatchGAN.
    pair = gm.models.create("pix2pix")
    assert round(count(pair.generator) / 1e6, 3) == 54.414
    assert round(count(pair.discriminator) / 1e6, 3) == 2.769


def test_shapes_and_range():
    pair = gm.models.create("pix2pix", base_channels=2, discriminator_channels=2).eval()
    image = pair(torch.randn(1, 3, 256, 256))
    assert image.shape == (1, 3, 256, 256)
    assert float(image.detach().abs().max()) <= 1
    assert pair.discriminator(torch.zeros(1, 6, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("n_layers", "side"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_its_patch_and_nothing_else(n_layers, side):
    """The published patch sizes (section 6.2: 16x16 and 70x70), by asking which pixels one score depends on."""
    discriminator = PatchDiscriminator(1, 2, n_layers, norm="none").double()
    image = torch.zeros(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    scores = discriminator(image)
    (gradient,) = torch.autograd.grad(scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2], image)
    rows, columns = torch.nonzero(gradient[0, 0]).T
    assert int(rows.max() - rows.min()) + 1 == side
    assert int(columns.max() - columns.min()) + 1 == side


def test_every_skip_reaches_the_image():
    """Cutting the bottleneck still lets the input through, at each level; a plain encoder-decoder would go silent."""
    generator = UNetGenerator(2, 3, 3, 3, "none", 0).double()
    inputs = torch.randn(1, 2, 16, 16, dtype=torch.float64)
    whole = generator(inputs)
    with torch.no_grad():
        for level in (2, 1):
            generator.down[level][-1].weight.zero_()
            generator.down[level][-1].bias.zero_()
            cut = generator(inputs)
            assert not torch.allclose(cut, whole)
            assert not torch.allclose(cut, generator(torch.zeros_like(inputs)))
            whole = cut


def test_dropout_is_where_the_published_network_has_it():
    pair = gm.models.create("pix2pix", base_channels=2, discriminator_channels=2)
    drops = [any(isinstance(layer, torch.nn.Dropout) for layer in stage) for stage in pair.generator.up]
    assert drops == [False, True, True, True, False, False, False, False]
    assert not any(isinstance(m, torch.nn.Dropout) for m in gm.models.create("pix2pix", base_channels=2, dropout=0).modules())


def test_the_objective_is_the_published_game():
    pair, batch = gm.models.create("pix2pix", **TINY, dropout=0).double(), tiny_batch()
    objective = Pix2PixObjective(pixel=7.0)
    losses = objective.losses(pair, batch)
    fake = pair.generator(batch["condition"])
    on_fake = torch.sigmoid(pair.discriminator(torch.cat([batch["condition"], fake], 1)))
    on_real = torch.sigmoid(pair.discriminator(torch.cat([batch["condition"], batch["image"]], 1)))
    generator = -on_fake.log().mean((1, 2, 3)) + 7 * (fake - batch["image"]).abs().mean((1, 2, 3))
    discriminator = -(on_real.log() + (1 - on_fake).log()).mean((1, 2, 3)) / 2
    torch.testing.assert_close(losses.generator, generator)
    torch.testing.assert_close(losses.discriminator, discriminator)
    for player in pair.players:
        assert set(losses.parts) == {"G_GAN", "G_L1", "D_real", "D_fake"}
        torch.testing.assert_close(sum(getattr(objective, f"{player}_loss")(pair, batch).values()), getattr(losses, player))


def test_the_condition_may_have_another_name():
    pair, batch = gm.models.create("pix2pix", **TINY, dropout=0).double(), tiny_batch()
    expected = Pix2PixObjective().losses(pair, batch).generator
    renamed = {"pose": batch["condition"], "image": batch["image"]}
    torch.testing.assert_close(Pix2PixObjective(condition="pose").losses(pair, renamed).generator, expected)
    with pytest.raises(ValueError, match="the batch has no 'condition'"):
        Pix2PixObjective().losses(pair, renamed)


def test_refusals():
    with pytest.raises(ValueError, match="multiples of 8, got 12x16"):
        UNetGenerator(2, n_downsample=3, base_channels=2)(torch.zeros(1, 2, 12, 16))
    with pytest.raises(ValueError, match=r"takes one tensor \(N, 2, H, W\)"):
        UNetGenerator(2, n_downsample=3, base_channels=2)(torch.zeros(1, 3, 16, 16))
    assert PatchDiscriminator(1, 2)(torch.zeros(1, 1, 24, 24)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="needs at least 24x24 pixels, got 24x23; build it with a smaller n_layers"):
        PatchDiscriminator(1, 2)(torch.zeros(1, 1, 24, 23))
    with pytest.raises(ValueError, match="n_downsample must be at least 2"):
        UNetGenerator(2, n_downsample=1)
    with pytest.raises(ValueError, match="dropout must be a probability"):
        UNetGenerator(2, dropout=1.0)
    with pytest.raises(ValueError, match="pixel is the weight of a loss"):
        Pix2PixObjective(pixel=-1)
    with pytest.raises(ValueError, match="unknown adversarial loss 'hing': did you mean 'hinge'"):
        Pix2PixObjective("hing")
