"""The step that the benchmark times gives the gradients of the published procedure, and does the work that is claimed."""

from __future__ import annotations

import pytest
import torch
from measure import counted_calls, operations
from pix2pixhd_step import BATCH, STEPS, PublishedStep, random_frames

import gan_meta as gm
from gan_meta.game.engine import Game
from gan_meta.models.perceptual import vgg19_random
from gan_meta.models.pix2pixhd import Pix2PixHDObjective


@pytest.fixture(scope="module")
def extractor() -> torch.nn.Module:
    return vgg19_random().double()


def both(shots: int, extractor: torch.nn.Module) -> tuple[PublishedStep, Game]:
    """The published step and the game's, from the same weights in double precision."""
    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", base_channels=4, n_downsample=2, n_blocks=1, discriminator_channels=4).double()
    frames = random_frames(shots, 32, dtype=torch.float64)
    inner = gm.InnerLoop(steps=STEPS, batch_size=BATCH, schedule="constant")
    game = Game(pair.clone(), Pix2PixHDObjective(perceptual=extractor), frames, inner)
    return PublishedStep(pair.clone(), extractor, frames), game


@pytest.mark.parametrize("shots", [5, 1])
def test_gradients_are_those_of_the_published_procedure(shots, extractor):
    published, game = both(shots, extractor)
    game.step()
    fake = published.pair.generator(published.pose)
    on_fake, on_real = published.judge(fake), published.judge(published.image)
    discriminator_loss = published.discriminator_loss(published.judge(fake.detach()), on_real)
    generator_loss = published.generator_loss(fake, on_fake, on_real)
    expected = dict(
        zip(
            [name for name, _ in published.pair.named_parameters()],
            [
                *torch.autograd.grad(generator_loss, list(published.pair.generator.parameters()), retain_graph=True),
                *torch.autograd.grad(discriminator_loss, list(published.pair.discriminator.parameters())),
            ],
            strict=True,
        )
    )
    for name, parameter in game.pair.named_parameters():
        assert parameter.grad is not None
        assert float((parameter.grad - expected[name]).abs().max()) <= 1e-12, name


def test_what_a_step_asks_of_each_network(extractor):
    """K frames once through each network, the real ones not again; the published procedure repeats them to fill the batch."""
    published, game = both(5, extractor)
    game.step()
    for step, sizes in ((published, ([8], [8, 8, 8], [8, 8])), (game.step, ([5], [5, 5], [5]))):
        players = published.pair if step is published else game.pair
        features = extractor if step is published else game.table.objective.extractor  # a game plays with its own copy of the objective
        with (
            counted_calls(players.generator) as generator,
            counted_calls(players.discriminator) as discriminator,
            counted_calls(features) as perceptual,
        ):
            step()
        assert (generator, discriminator, perceptual) == sizes


def test_operations_are_counted_with_the_way_back():
    weight, inputs = torch.ones(3, 4, requires_grad=True), torch.ones(2, 3)
    # 2 x 3 x 4 products and as many sums forward, and again for the weight's gradient.
    assert operations(lambda: (inputs @ weight).sum().backward()) == 2 * (2 * 2 * 3 * 4)
