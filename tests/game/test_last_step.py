"""A game whose last step left weights that are no numbers is not returned: its losses were finite, its gradients were not."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from gan_meta.objective import total
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair


class Rooted(SquaresObjective):
    """The root of 0 has no slope: a finite loss with a gradient that is no number, from this iteration on."""

    def __init__(self, player="generator", since=0):
        self.player, self.since = player, since

    def _rooted(self, pair, batch, loss, player, step):
        fake = pair.generator(batch["pose"])
        score = pair.discriminator(torch.cat([batch["pose"], fake], 1)) if player == "discriminator" else fake
        nothing = (score - score.detach()).square().flatten(1).sum(1).sqrt()
        return total(loss)[0] + (nothing if player == self.player and step >= self.since else 0)

    def generator_loss(self, pair, batch, *, step=0):
        return self._rooted(pair, batch, super().generator_loss(pair, batch), "generator", step)

    def discriminator_loss(self, pair, batch, *, step=0):
        return self._rooted(pair, batch, super().discriminator_loss(pair, batch), "discriminator", step)


def message(steps=1, player="generator"):
    return rf"'{player}\.0\..*' holds values that are not finite after iteration {steps - 1} of the game, its last"


@pytest.mark.parametrize("player", ["generator", "discriminator"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.RMSprop])
def test_adapt_says_it(player, optimizer):
    pair = smooth_pair()
    before = parameters_of(pair)
    for steps in (1, 3):
        inner = gm.InnerLoop(steps=steps, optimizer=optimizer)
        with pytest.raises(gm.NonFiniteLossError, match=message(steps, player)):
            gm.adapt(pair, Rooted(player, since=steps - 1), small_batch(2), inner)
    assert all(torch.equal(tensor, before[name]) for name, tensor in pair.named_parameters())


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
@pytest.mark.parametrize("name", ["reptile", "fomaml", "maml"])
def test_algorithms_say_it(name, memory):
    options = {"memory": memory} if name == "maml" else {}
    algorithm = gm.algorithms.create(name, objective=Rooted(since=1), inner=gm.InnerLoop(steps=2), **options)
    with pytest.raises(gm.NonFiniteLossError, match="iteration 1 of the game, its last"):
        algorithm.meta_gradient(smooth_pair(), gm.Task(small_batch(2), small_batch(2)))


def test_joint_training_says_it():
    with pytest.raises(gm.NonFiniteLossError, match=message(3)):
        gm.pretrain(smooth_pair(), Rooted(since=2), small_batch(2), steps=3)


def test_a_theta_that_the_outer_step_ruined_is_not_returned():
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=1))
    trainer = gm.MetaTrainer(smooth_pair(), algorithm, [gm.Task(small_batch(2))], iterations=1, meta_lr=1e300, meta_optimizer="sgd")
    trainer.pair.generator[0].weight.data.fill_(1e10)
    trainer._outer.optimizer.register_step_post_hook(lambda *_: trainer.pair.generator[0].weight.data.fill_(float("inf")))
    with pytest.raises(gm.NonFiniteLossError, match="holds weights that are not finite after iteration 1"):
        trainer.fit()


def test_a_weight_that_does_not_move_may_be_what_it_is():
    """Such as a mask of infinities; and a game of no steps has no last one."""
    pair = smooth_pair()
    pair.generator.register_parameter("mask", torch.nn.Parameter(torch.full((2,), -torch.inf), requires_grad=False))
    pair.generator.register_parameter("nothing", torch.nn.Parameter(torch.zeros(0, dtype=torch.float64)))
    gm.adapt(pair, SquaresObjective(), small_batch(2), gm.InnerLoop(steps=1))
    pair.generator[0].weight.data[0] = torch.nan
    gm.adapt(pair, SquaresObjective(), small_batch(2), gm.InnerLoop(steps=0))
