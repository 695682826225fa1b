"""Penalties on gradients, as papers and tutorials write them: each game equals one by hand in which everything requires a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import gan_meta as gm
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair

SGD = gm.InnerLoop(steps=3, optimizer="sgd", lr=0.05, schedule="constant", batch_size=4)
TASK = gm.Task(small_batch(4), small_batch(3, seed=1))


def score(pair, pose, image):
    return pair.discriminator(torch.cat([pose, image], 1)).flatten(1).mean(1)


def slope_of(scores, image):
    return torch.autograd.grad(scores.sum(), image, create_graph=True, retain_graph=True, only_inputs=True)[0].flatten(1)


class Penalised(SquaresObjective):
    """Wasserstein losses and a penalty."""

    def discriminator_loss(self, pair, batch):
        fake = self.fake(pair, batch)
        wasserstein = score(pair, batch["pose"], fake) - score(pair, batch["pose"], batch["image"])
        return wasserstein + 10 * self.penalty(pair, batch, fake)

    def fake(self, pair, batch):
        return pair.generator(batch["pose"])


class Plain(Penalised):
    """WGAN-GP (Gulrajani and others, 2017) as the documentation has it."""

    def penalty(self, pair, batch, fake):
        share = torch.rand(len(fake), 1, 1, 1, dtype=fake.dtype)
        between = self.prepared(share * batch["image"] + (1 - share) * fake)
        return (slope_of(score(pair, batch["pose"], between), between).norm(dim=1) - 1).square()

    def prepared(self, between):
        return between


class Requiring(Plain):
    """The same with ``requires_grad_``, as many tutorials have it."""

    def prepared(self, between):
        return between.requires_grad_(True)


class OfData(Plain):
    """The same on the values alone."""

    def prepared(self, between):
        return between.detach().requires_grad_()


class Dragan(Penalised):
    """DRAGAN (Kodali and others, 2017): around the real samples."""

    def penalty(self, pair, batch, fake):
        around = batch["image"] + 0.5 * batch["image"].std() * torch.rand_like(batch["image"])
        around.requires_grad_()
        return (slope_of(score(pair, batch["pose"], around), around).norm(dim=1) - 1).square()


class R1(Penalised):
    """R1 (Mescheder and others, 2018), asking the batch itself for a gradient."""

    def penalty(self, pair, batch, fake):
        batch["image"].requires_grad_()
        return slope_of(score(pair, batch["pose"], batch["image"]), batch["image"]).square().sum(1)


class R2(Penalised):
    """On the fake, of a generator that is called layer by layer and written into."""

    def fake(self, pair, batch):
        made = 1 * pair.generator[-1](pair.generator[:-1](batch["pose"]))
        made[:, :, 0] = 0
        return made

    def penalty(self, pair, batch, fake):
        return slope_of(score(pair, batch["pose"], fake), fake).square().sum(1)


class Consensus(Penalised):
    """Of the generator's slope, in the discriminator's loss (Mescheder and others, "The Numerics of GANs", 2017)."""

    def penalty(self, pair, batch, fake):
        weights = [weight for weight in pair.generator.parameters() if weight.requires_grad]
        slopes = torch.autograd.grad(score(pair, batch["pose"], fake).mean(), weights, create_graph=True)
        return sum(slope.square().sum() for slope in slopes)


PENALTIES = [Plain(), Requiring(), OfData(), Dragan(), R1(), R2(), Consensus()]


def by_hand(pair, objective, batch, inner, seed=0):
    """The same game, in which nothing is left out."""
    for step in range(inner.steps):
        with gm.seeds.seeded(gm.seeds.derive_seed(seed, "step", step), torch.device("cpu")):
            moves = []
            for players in (("discriminator", "generator"),) if inner.update == "simultaneous" else (("discriminator",), ("generator",)):
                for player in players:
                    given = {name: tensor.clone() for name, tensor in batch.items()}
                    loss = gm.objective.total(getattr(objective, f"{player}_loss")(pair, given))[0].mean()
                    weights = [weight for _, weight in pair.player_parameters(player)]
                    moves += zip(weights, torch.autograd.grad(loss, weights), strict=True)
                with torch.no_grad():
                    for weight, gradient in moves:
                        weight.sub_(gradient, alpha=inner.lr)
                moves = []
    return pair


@pytest.mark.parametrize("objective", PENALTIES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("update", ["simultaneous", "alternating"])
def test_the_game_is_that_of_a_loop_in_which_everything_requires_a_gradient(objective, update):
    inner = gm.InnerLoop(steps=3, optimizer="sgd", lr=0.05, schedule="constant", batch_size=4, update=update)
    task = {name: tensor.clone() for name, tensor in TASK.support.items()}
    phi = gm.adapt(smooth_pair(), objective, task, inner)
    expected = parameters_of(by_hand(smooth_pair(), objective, TASK.support, inner))
    assert_close(parameters_of(phi), expected, rtol=1e-10, atol=1e-12)
    assert all(torch.equal(task[name], tensor) and not task[name].requires_grad for name, tensor in TASK.support.items())
    joint = smooth_pair()
    gm.pretrain(joint, objective, TASK.support, steps=3, inner=inner)
    assert_close(parameters_of(joint), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("objective", PENALTIES, ids=lambda value: type(value).__name__)
def test_every_algorithm_plays_with_a_penalty(objective):
    theta = smooth_pair()
    phi = parameters_of(gm.adapt(theta, objective, TASK.support, SGD))
    reptile = gm.algorithms.create("reptile", objective=objective, inner=SGD).meta_gradient(theta, TASK).grads
    assert_close({name: weight.detach() - phi[name] for name, weight in theta.named_parameters()}, reptile, rtol=0, atol=1e-15)
    gm.algorithms.create("fomaml", objective=objective, inner=SGD).meta_gradient(theta, TASK)
    unrolled, sweep = (
        gm.algorithms.create("maml", objective=objective, inner=SGD, memory=memory).meta_gradient(theta, TASK).grads
        for memory in ("unrolled", "sweep")
    )
    assert_close(unrolled, sweep, rtol=1e-9, atol=1e-12)


def test_a_game_can_be_played_where_gradients_are_off():
    expected = parameters_of(gm.adapt(smooth_pair(), SquaresObjective(), TASK.support, SGD))
    create = gm.algorithms.create
    directions = [create(name, objective=SquaresObjective(), inner=SGD) for name in ("reptile", "fomaml", "maml")]
    with torch.no_grad():
        phi = gm.adapt(smooth_pair(), SquaresObjective(), TASK.support, SGD)
        for algorithm in directions:
            algorithm.meta_gradient(smooth_pair(), TASK)
    assert_close(parameters_of(phi), expected, rtol=0, atol=0)
    with torch.inference_mode(), pytest.raises(ValueError, match=r"torch.inference_mode\(\) forbids: play it outside"):
        gm.adapt(smooth_pair(), SquaresObjective(), TASK.support, SGD)


@pytest.mark.parametrize("name", ["reptile", "fomaml", "maml"])
def test_a_loss_without_a_gradient_hears_why(name):
    class Without(SquaresObjective):
        generator_loss = torch.no_grad()(SquaresObjective.generator_loss)

    class Inferring(SquaresObjective):
        def discriminator_loss(self, pair, batch):
            with torch.inference_mode():
                pose = 2 * batch["pose"]
            return score(pair, batch["pose"], pair.generator(pose))

    for objective, words in ((Without(), r"under torch\.no_grad\(\)"), (Inferring(), r"made under torch\.inference_mode\(\)")):
        with pytest.raises(ValueError, match=words):
            gm.algorithms.create(name, objective=objective, inner=SGD).meta_gradient(smooth_pair(), TASK)


def test_a_loss_of_another_type_is_named():
    class Number(SquaresObjective):
        def generator_loss(self, pair, batch):
            return 1.0

    class Missing(SquaresObjective):
        def generator_loss(self, pair, batch):
            return {"G": None}

    for objective, words in ((Number(), "got float"), (Missing(), "got {'G': 'NoneType'}")):
        with pytest.raises(TypeError, match=words):
            gm.adapt(smooth_pair(), objective, TASK.support, SGD)


def test_a_generator_alone_with_a_penalty_on_its_own_slope():
    class Smooth(gm.Objective):
        def generator_loss(self, pair, batch):
            pose = batch["pose"].requires_grad_()
            fake = pair.generator(pose)
            return (fake - batch["image"]).square().flatten(1).mean(1) + slope_of(fake, pose).square().sum(1)

    pair = gm.GANPair(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh()).double())
    phi = gm.adapt(pair, Smooth(), TASK.support, SGD)
    assert not torch.equal(phi.generator[0].weight, pair.generator[0].weight)
