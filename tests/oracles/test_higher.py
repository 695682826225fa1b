"""MAML equals `higher` (Grefenstette et al., 2019) where both play the same game."""

from __future__ import annotations

import warnings

import pytest
import torch

import gan_meta as gm
from gan_meta.objective import total
from tests.conftest import SharedForwardObjective, SquaresObjective, small_batch, smooth_pair

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is older than the torch it is imported with
    import higher


class Alone(gm.Objective):
    """A generator that copies pictures."""

    def generator_loss(self, pair, batch):
        return (pair.generator(batch["pose"]) - batch["image"]).square().flatten(1).mean(1)


def repeated(batch):
    """What the engine calls a batch of 8, without its shortcut."""
    return {name: tensor[[i % len(tensor) for i in range(8)]] for name, tensor in batch.items()}


def assert_same(update, players, expected):
    names = [name for player in players for name in update.grads if name.startswith(player)]
    for name, gradient in zip(names, expected, strict=True):
        scale = float(gradient.abs().max())
        torch.testing.assert_close(
            update.grads[name], gradient, rtol=1e-9, atol=1e-9 * scale, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_player(optimizer, memory):
    """`higher` has the Adam of 2019, whose eps is not bias-corrected; with beta2 = 0 there is nothing to correct."""
    generator, task = smooth_pair(norm=False).generator, gm.Task(small_batch(5), small_batch(4, seed=9))
    inner = gm.InnerLoop(steps=4, optimizer=optimizer, lr=5e-2, betas=(0.5, 0.0), eps=1e-2, schedule="constant")
    algorithm = gm.algorithms.create("maml", objective=Alone(), inner=inner, memory=memory)
    update = algorithm.meta_gradient(gm.GANPair(generator), task)

    theta = list(generator.parameters())
    make = {
        "sgd": lambda: torch.optim.SGD(theta, lr=5e-2),
        "adam": lambda: torch.optim.Adam(theta, lr=5e-2, betas=(0.5, 0.0), eps=1e-2),
    }[optimizer]
    support = repeated(task.support)
    with higher.innerloop_ctx(generator, make(), copy_initial_weights=False) as (player, steps):
        for _ in range(4):
            steps.step((player(support["pose"]) - support["image"]).square().mean())
        loss = (player(task.query["pose"]) - task.query["image"]).square().mean()
        assert_same(update, ["generator"], torch.autograd.grad(loss, theta))


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_two_players_that_move_together(memory):
    """`higher` has no aliases, so in an alternating game its generator would see through the discriminator's last answer."""
    pair, task = smooth_pair(norm=False), gm.Task(small_batch(5), small_batch(4, seed=9))
    inner = gm.InnerLoop(steps=3, optimizer="sgd", lr=5e-2, schedule="constant")
    algorithm = gm.algorithms.create("maml", objective=SharedForwardObjective(), inner=inner, memory=memory)
    update = algorithm.meta_gradient(pair, task)

    optimizers = [torch.optim.SGD(player.parameters(), lr=5e-2) for player in (pair.generator, pair.discriminator)]
    with (
        higher.innerloop_ctx(pair.generator, optimizers[0], copy_initial_weights=False) as (generator, generator_steps),
        higher.innerloop_ctx(pair.discriminator, optimizers[1], copy_initial_weights=False) as (discriminator, discriminator_steps),
    ):
        played = gm.GANPair(torch.nn.Identity(), torch.nn.Identity())
        played.generator, played.discriminator = generator, discriminator
        for _ in range(3):
            losses = SharedForwardObjective().losses(played, repeated(task.support))
            generator_steps.step(losses.generator.mean())
            discriminator_steps.step(losses.discriminator.mean())
        objective, expected = SquaresObjective(), []
        for player in ("generator", "discriminator"):
            loss = total(getattr(objective, f"{player}_loss")(played, task.query))[0].mean()
            expected += torch.autograd.grad(loss, list(getattr(pair, player).parameters()), retain_graph=True)
        assert_same(update, ["generator", "discriminator"], expected)
