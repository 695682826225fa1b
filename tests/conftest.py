"""Settings and tiny players shared by the tests."""

from __future__ import annotations

import hypothesis
import pytest
import torch
from torch import nn

import gan_meta as gm

# How long an example takes depends on what else the machine does, and says nothing about the code.
hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def smooth_pair(seed: int = 0, *, norm: bool = True) -> gm.GANPair:
    """A conditional pair on 8x8 pictures, smooth and in float64, so that two ways of computing agree to rounding."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(2, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 3, 3, padding=1), nn.Tanh()]
    if norm:
        layers.insert(1, nn.InstanceNorm2d(4))
    generator = nn.Sequential(*layers)
    discriminator = nn.Sequential(nn.Conv2d(5, 4, 4, stride=2, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1))
    return gm.GANPair(generator, discriminator).double()


class SquaresObjective(gm.Objective):
    """Least squares and an L2 term, one value a sample."""

    def generator_loss(self, pair, batch):
        fake = pair.generator(batch["pose"])
        score = pair.discriminator(torch.cat([batch["pose"], fake], 1))
        return {
            "G_GAN": (score - 1).square().flatten(1).mean(1),
            "G_L2": 3 * (fake - batch["image"]).square().flatten(1).mean(1),
        }

    def discriminator_loss(self, pair, batch):
        fake = pair.generator(batch["pose"])
        on_real = pair.discriminator(torch.cat([batch["pose"], batch["image"]], 1))
        on_fake = pair.discriminator(torch.cat([batch["pose"], fake], 1))
        return (on_real - 1).square().flatten(1).mean(1) / 2 + on_fake.square().flatten(1).mean(1) / 2


class SharedForwardObjective(SquaresObjective):
    """The same losses from one forward pass."""

    def losses(self, pair, batch):
        fake = pair.generator(batch["pose"])
        on_real = pair.discriminator(torch.cat([batch["pose"], batch["image"]], 1))
        on_fake = pair.discriminator(torch.cat([batch["pose"], fake], 1))
        generator = (on_fake - 1).square().flatten(1).mean(1) + 3 * (fake - batch["image"]).square().flatten(1).mean(1)
        discriminator = (on_real - 1).square().flatten(1).mean(1) / 2 + on_fake.square().flatten(1).mean(1) / 2
        return gm.Losses(generator, discriminator)


def small_batch(n: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """n samples for :func:`smooth_pair`."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "pose": torch.rand(n, 2, 8, 8, generator=generator, dtype=torch.float64),
        "image": torch.rand(n, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 - 1,
    }


def parameters_of(pair: gm.GANPair) -> dict[str, torch.Tensor]:
    """Copies of a pair's parameters by name."""
    return {name: parameter.detach().clone() for name, parameter in pair.named_parameters()}
