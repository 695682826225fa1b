"""The workbench: each game begins at theta as if it were the first, in the memory of the one before."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import gan_meta as gm
from gan_meta.game.adaptation import play
from gan_meta.game.engine import Game
from gan_meta.game.workbench import Workbench
from gan_meta.pair import GANPair
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair

INNER = gm.InnerLoop(steps=3, lr=1e-2)
MOMENTUM = functools.partial(torch.optim.SGD, momentum=0.9)


def addresses(game: Game) -> list[int]:
    """Where the weights and the optimisers' state lie."""
    state = [tensor for optimizer in game.optimizers.values() for kept in optimizer.state.values() for tensor in kept.values()]
    return [tensor.data_ptr() for tensor in (*game.pair.parameters(), *state)]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", MOMENTUM])
def test_later_games_are_what_they_would_be_alone(optimizer):
    inner = gm.InnerLoop(steps=3, lr=1e-2, optimizer=optimizer, augment=(lambda batch: {name: -value for name, value in batch.items()},))
    theta, bench = smooth_pair(), Workbench()
    before = parameters_of(theta)
    for seed in range(3):
        shared, logs = play(theta, SquaresObjective(), small_batch(2 + seed, seed), inner, seed, workbench=bench)
        alone, expected = play(theta, SquaresObjective(), small_batch(2 + seed, seed), inner, seed)
        assert_close(parameters_of(shared), parameters_of(alone), rtol=0, atol=0)
        assert logs == expected
    assert_close(parameters_of(theta), before, rtol=0, atol=0)


def test_no_task_allocates_weights_or_optimiser_state():
    theta, bench = smooth_pair(), Workbench()
    games = []
    for seed in range(3):
        game = bench.begin(theta, SquaresObjective(), small_batch(4, seed), INNER, seed)
        for _ in range(INNER.steps):
            game.step()
        games.append(addresses(game))
    assert games[0] == games[1] == games[2]
    assert len(games[0]) == 4 * len(list(theta.parameters()))


def test_the_algorithms_directions_outlive_the_next_game():
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=INNER)
    theta = smooth_pair()
    first = algorithm.meta_gradient(theta, gm.Task(small_batch(4)), seed=0).grads
    kept = {name: value.clone() for name, value in first.items()}
    algorithm.meta_gradient(theta, gm.Task(small_batch(4, seed=5)), seed=1)
    assert_close(first, kept, rtol=0, atol=0)


def test_what_changes_of_theta_is_followed():
    """Weights, buffers, modes and numbers in place; another dtype, module or pair by a new copy."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Conv2d(2, 3, 1), 1.0
            self.register_buffer("shift", torch.zeros(()))

        def forward(self, pose):
            return self.scale * self.layer(pose) + self.shift + (1 if self.training else 0)

    class Plain(gm.Objective):
        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"].to(next(pair.parameters()))) - batch["image"]).square().flatten(1).mean(1)

    def change_weight(pair):
        pair.generator.layer.weight.data.mul_(2)

    changes = (
        change_weight,
        lambda pair: pair.generator.shift.fill_(0.3),
        lambda pair: pair.eval(),
        lambda pair: setattr(pair.generator, "scale", 0.5),
        lambda pair: pair.float(),
        lambda pair: setattr(pair.generator, "layer", nn.Sequential(nn.Conv2d(2, 3, 1), nn.Tanh())),
        lambda pair: pair.generator.layer.__setitem__(1, nn.Sigmoid()),
        lambda pair: pair.generator.layer[0].weight.requires_grad_(False),
    )
    torch.manual_seed(0)
    theta, bench = GANPair(Scaled()).double(), Workbench()
    for change in (lambda pair: None, *changes):
        change(theta)
        shared, _ = play(theta, Plain(), small_batch(4), INNER, workbench=bench)
        alone, _ = play(theta, Plain(), small_batch(4), INNER)
        assert_close(parameters_of(shared), parameters_of(alone), rtol=0, atol=0)


def test_a_game_that_was_broken_off_leaves_nothing_behind():
    theta, bench = smooth_pair(), Workbench()
    game = bench.begin(theta, SquaresObjective(), small_batch(4), INNER)
    game.step()
    bad = {name: tensor * float("nan") for name, tensor in small_batch(4).items()}
    with pytest.raises(gm.NonFiniteLossError):
        play(theta, SquaresObjective(), bad, INNER, workbench=bench)
    shared, _ = play(theta, SquaresObjective(), small_batch(4), INNER, workbench=bench)
    alone, _ = play(theta, SquaresObjective(), small_batch(4), INNER)
    assert_close(parameters_of(shared), parameters_of(alone), rtol=0, atol=0)
