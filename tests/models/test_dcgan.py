"""DCGAN against the published sizes, closed-form layer arithmetic, and the laws of its objective."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

import gan_meta as gm
from gan_meta.models.dcgan import DCGANDiscriminator, DCGANGenerator, DCGANObjective

TINY = {"latent_channels": 6, "image_channels": 2, "base_channels": 3, "size": 16, "discriminator_channels": 3}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def by_hand(inner, outer, width, size, norm):
    """Weights of a DCGAN network from its layers: 4x4 convolutions, and two numbers a channel for each normalised stage."""
    n_between = int(math.log2(size)) - 3
    widths = [width * 2**level for level in range(n_between + 1)]
    bias = 0 if norm == "batch" else 1
    total = 16 * (inner * widths[-1] + outer * widths[0])
    total += sum(16 * a * b for a, b in itertools.pairwise(widths))
    return total, sum(widths), widths[0], bias


def test_published_sizes():
    # The 64x64 network with 100 noise channels and width 64, as the widely used reference implementation prints it.
    pair = gm.models.create("dcgan")
    assert count(pair.generator) == 3_576_704
    assert count(pair.discriminator) == 2_765_568
    assert pair(torch.zeros(2, 100)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_weights_follow_from_the_layers(size, norm):
    generator, discriminator = DCGANGenerator(6, 2, 3, size, norm), DCGANDiscriminator(2, 3, size, norm)
    kernels, widths, first, bias = by_hand(6, 2, 3, size, norm)
    assert count(generator) == kernels + (2 * widths if norm == "batch" else widths * bias)
    kernels, widths, first, bias = by_hand(1, 2, 3, size, norm)
    assert count(discriminator) == kernels + (2 * (widths - first) if norm == "batch" else (widths - first) * bias)
    image = generator(torch.randn(5, 6))
    assert image.shape == (5, 2, size, size)
    assert float(image.detach().abs().max()) <= 1
    assert discriminator(image).shape == (5,)


def test_without_norm_the_generator_is_its_layers_one_after_the_other():
    generator = DCGANGenerator(6, 2, 3, 8, "none").double()
    noise = torch.randn(4, 6, dtype=torch.float64)
    first, last = generator.model[0], generator.model[2]
    # A transposed convolution of a single pixel is the kernel weighted by it: no convolution is needed to say what comes out.
    hidden = torch.einsum("ni,iohw->nohw", noise, first.weight) + first.bias[:, None, None]
    expected = torch.tanh(F.conv_transpose2d(hidden.relu(), last.weight, stride=2, padding=1))
    torch.testing.assert_close(generator(noise), expected)


def test_the_objective_is_the_published_game():
    pair, image = gm.models.create("dcgan", **TINY, norm="none").double(), torch.rand(5, 2, 16, 16, dtype=torch.float64) * 2 - 1
    batch = {"image": image, "noise": torch.randn(5, 6, dtype=torch.float64)}
    on_fake, on_real = pair.discriminator(pair.generator(batch["noise"])), pair.discriminator(image)
    losses = DCGANObjective().losses(pair, batch)
    torch.testing.assert_close(losses.generator, -torch.log(torch.sigmoid(on_fake)))
    torch.testing.assert_close(losses.discriminator, -(torch.log(torch.sigmoid(on_real)) + torch.log(1 - torch.sigmoid(on_fake))) / 2)
    torch.testing.assert_close(DCGANObjective().generator_loss(pair, batch), losses.generator)
    torch.testing.assert_close(DCGANObjective().discriminator_loss(pair, batch), losses.discriminator)


def test_noise_is_drawn_where_the_batch_has_none_and_games_repeat():
    pair = gm.models.create("dcgan", **TINY, norm="instance")
    support, inner = {"image": torch.rand(4, 2, 16, 16)}, gm.InnerLoop(steps=3, batch_size=4)
    one, other = gm.adapt(pair, DCGANObjective(), support, inner, seed=5), gm.adapt(pair, DCGANObjective(), support, inner, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    third = gm.adapt(pair, DCGANObjective(), support, inner, seed=6)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), third.parameters(), strict=True))


def test_refusals():
    with pytest.raises(ValueError, match="size must be a power of two, 8 or more, got 48"):
        gm.models.create("dcgan", size=48)
    with pytest.raises(ValueError, match="unknown norm 'bach': did you mean 'batch'"):
        gm.models.create("dcgan", norm="bach")
    with pytest.raises(ValueError, match=r"takes noise \(N, 6\), got \(2, 5\)"):
        gm.models.create("dcgan", **TINY)(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"judges images \(N, 2, 16, 16\), got \(1, 2, 8, 8\)"):
        gm.models.create("dcgan", **TINY).discriminator(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match="did you mean 'hinge'"):
        DCGANObjective("hinged")
