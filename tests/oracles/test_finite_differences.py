"""MAML's direction equals central differences of the query loss after ordinary games, whatever the game's options."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import gan_meta as gm
from tests.conftest import SharedForwardObjective, SquaresObjective, small_batch, smooth_pair
from tests.oracles.finite_differences import directions, relative_error

ORDERS = [("simultaneous", (1, 1)), ("alternating", (1, 1)), ("alternating", (2, 1)), ("alternating", (1, 3))]
GAMES = [
    {"update": update, "update_ratio": ratio, "optimizer": optimizer, "schedule": schedule, "freeze_d": freeze_d}
    for (update, ratio), optimizer, schedule, freeze_d in itertools.product(
        ORDERS, ("adam", "sgd"), ("constant", "constant_then_linear"), ("never", "reset", "always")
    )
    if freeze_d != "always" or ratio == (1, 1)
]


def game(**options) -> gm.InnerLoop:
    """A short game; eps is large because with a tiny one Adam's first step is a sign, which finite differences cannot follow."""
    lr = 1e-1 if options.get("optimizer") == "sgd" else 2e-2
    return gm.InnerLoop(**{"steps": 4, "lr": lr, "eps": 1e-2, **options})


def task() -> gm.Task:
    return gm.Task(small_batch(5), small_batch(4, seed=9))


def assert_equals_finite_differences(pair, inner, objective=None, memory="auto", tolerance=1e-6, few_shot=None):
    objective, few_shot = objective or SquaresObjective(), few_shot or task()
    update = gm.algorithms.create("maml", objective=objective, inner=inner, memory=memory).meta_gradient(pair, few_shot)
    players = {name.split(".")[0] for name in update.grads}
    for player in sorted(players):
        own = {name: gradient for name, gradient in update.grads.items() if name.startswith(player)}
        for direction in directions(own, seed=0):
            assert relative_error(pair, objective, few_shot, inner, player, own, direction) < tolerance
    return update


@pytest.mark.parametrize("options", GAMES, ids=lambda options: "-".join(str(value) for value in options.values()))
def test_every_game(options):
    update = assert_equals_finite_differences(smooth_pair(), game(**options), memory="sweep")
    assert ("discriminator.0.weight" in update.grads) == (options["freeze_d"] == "never")


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_one_forward_pass_for_both_players(memory):
    assert_equals_finite_differences(smooth_pair(), game(), SharedForwardObjective(), memory)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_other_rates_draws_and_flips(memory):
    flip = lambda batch: {name: tensor.flip(-1) for name, tensor in batch.items()}  # noqa: E731
    inner = game(discriminator_lr=5e-3, batch_size=4, augment=(flip,), steps=5)
    assert_equals_finite_differences(smooth_pair(), inner, memory=memory, few_shot=gm.Task(small_batch(7), small_batch(3, seed=4)))


@pytest.mark.parametrize(
    "roles",
    [
        {"generator.0.*": "shared", "discriminator.0.*": "shared"},
        {"generator.0.*": "local", "discriminator.2.*": "frozen"},
        {"generator.3.*": "frozen", "discriminator.*": "shared"},
    ],
    ids=["shared", "local-frozen", "shared-discriminator"],
)
@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_roles(roles, memory):
    update = assert_equals_finite_differences(smooth_pair(), game(roles=roles), memory=memory)
    stays = {glob.rstrip("*") for glob, role in roles.items() if role in ("local", "frozen")}
    assert not any(name.startswith(prefix) for name in update.grads for prefix in stays)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
@pytest.mark.parametrize("update", ["simultaneous", "alternating"])
def test_batch_norm_and_dropout(update, memory):
    pair = smooth_pair()
    pair.generator[1] = nn.BatchNorm2d(4).double()
    pair.discriminator[1] = nn.Sequential(nn.BatchNorm2d(4), nn.SiLU(), nn.Dropout(0.3)).double()
    assert_equals_finite_differences(pair, game(update=update), memory=memory)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_spectral_norm_with_its_vectors_held(memory):
    pair = smooth_pair()
    nn.utils.parametrizations.spectral_norm(pair.discriminator[0])
    pair.discriminator[0].parametrizations.eval()
    assert_equals_finite_differences(pair, game(), memory=memory)


class Unconditional(gm.Objective):
    """A GAN that draws its noise itself."""

    def _noise(self, batch):
        return torch.randn(len(batch["image"]), 2, 8, 8, dtype=torch.float64)

    def generator_loss(self, pair, batch):
        return (pair.discriminator(pair.generator(self._noise(batch))) - 1).square().flatten(1).mean(1)

    def discriminator_loss(self, pair, batch):
        fake = pair.generator(self._noise(batch))
        return (pair.discriminator(batch["image"]) - 1).square().flatten(1).mean(1) + pair.discriminator(fake).square().flatten(1).mean(1)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_noise(memory):
    pair = smooth_pair()
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 4, stride=2, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1)).double()
    assert_equals_finite_differences(gm.GANPair(pair.generator, discriminator), game(), Unconditional(), memory)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_generator_alone(memory):
    class Alone(gm.Objective):
        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"]) - batch["image"]).square().flatten(1).mean(1)

    assert_equals_finite_differences(gm.GANPair(smooth_pair().generator), game(), Alone(), memory)


def test_carried_averages_are_constants():
    pair, objective, inner = smooth_pair(), SquaresObjective(), game()
    algorithm = gm.algorithms.create("maml", objective=objective, inner=inner, carry_optimizer=True)
    algorithm.meta_gradient(pair, gm.Task(small_batch(5, seed=3), small_batch(4, seed=5)))
    before = algorithm.state_tensors()
    gradient = algorithm.meta_gradient(pair, task()).grads["generator.3.weight"]

    def loss_at(h):
        algorithm.load_state_tensors(before)
        moved = pair.clone()
        with torch.no_grad():
            moved.generator[3].weight.add_(gradient, alpha=h / float(gradient.norm()))
        return algorithm.meta_gradient(moved, task()).logs["query_generator"]

    from tests.oracles.finite_differences import slope

    assert slope(loss_at) == pytest.approx(float(gradient.norm()), rel=1e-6)
