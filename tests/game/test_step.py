"""The step of the game, for losses that ask for it: the same in every engine, in a resumed training and in the query."""

from __future__ import annotations

import csv
import functools

import pytest
import torch
from torch.testing import assert_close

import gan_meta as gm
from gan_meta.game.adaptation import play
from gan_meta.game.player_loss import NonFiniteLossError, check_finite
from gan_meta.objective import asks_for_step
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair

SGD = gm.InnerLoop(steps=5, optimizer="sgd", lr=0.05, schedule="constant")
TASK = gm.Task(small_batch(5), small_batch(3, seed=1))


class Lazy(SquaresObjective):
    """R1 (Mescheder and others, 2018) in every second iteration, as StyleGAN2 has it in every 16th."""

    def discriminator_loss(self, pair, batch, *, step):
        terms = {"D": super().discriminator_loss(pair, batch)}
        if step % 2 == 1:
            image = batch["image"].requires_grad_()
            score = pair.discriminator(torch.cat([batch["pose"], image], 1))
            (slope,) = torch.autograd.grad(score.sum(), image, create_graph=True)
            terms["R1"] = slope.square().flatten(1).sum(1)
        return terms


class Growing(SharedForwardObjective):
    """A weight that grows with the game, in the forward pass that both players share, by a decorator that hands on all."""

    def decorated(method):
        @functools.wraps(method)
        def wrapper(*arguments, **options):
            return method(*arguments, **options)

        return wrapper

    @decorated
    def losses(self, pair, batch, step):
        both = super().losses(pair, batch)
        return gm.Losses(both.generator * (1 + step), both.discriminator)


class Noisy(SquaresObjective):
    """Draws at random in later iterations only, so that repeats must not be left out there."""

    def generator_loss(self, pair, batch, *, step):
        loss = gm.objective.total(super().generator_loss(pair, batch))[0]
        return loss if step == 0 else loss * (1 + torch.rand_like(loss))


def by_hand(pair, objective, batch, steps, lr):
    """The simultaneous game by plain SGD."""
    for step in range(steps):
        losses = {
            "generator": gm.objective.total(objective.generator_loss(pair, batch))[0].mean(),
            "discriminator": sum(objective.discriminator_loss(pair, batch, step=step).values()).mean(),
        }
        moves = []
        for player, loss in losses.items():
            weights = [weight for _, weight in pair.player_parameters(player)]
            moves += zip(weights, torch.autograd.grad(loss, weights), strict=True)
        with torch.no_grad():
            for weight, gradient in moves:
                weight.sub_(gradient, alpha=lr)
    return pair


def test_the_game_is_told_its_iterations():
    phi, logs = play(smooth_pair(), Lazy(), TASK.support, SGD)
    repeated = {name: tensor[torch.arange(8) % 5] for name, tensor in TASK.support.items()}
    expected = by_hand(smooth_pair(), Lazy(), repeated, 5, 0.05)
    assert_close(parameters_of(phi), parameters_of(expected), rtol=0, atol=1e-13)
    assert set(logs) == {"generator", "discriminator", "D", "G_GAN", "G_L2"}  # the last iteration's, which has no R1


@pytest.mark.parametrize("objective", [Lazy(), Growing(), Noisy()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("update", ["simultaneous", "alternating"])
def test_mamls_engines_agree(objective, update):
    inner = gm.InnerLoop(steps=5, eps=1e-2, lr=0.01, update=update)
    make = functools.partial(gm.algorithms.create, "maml", objective=objective, inner=inner)
    unrolled, sweep = (make(memory=memory).meta_gradient(smooth_pair(), TASK).grads for memory in ("unrolled", "sweep"))
    assert_close(unrolled, sweep, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["fomaml", "maml"])
def test_the_query_sees_the_number_of_iterations_played(name):
    class Telling(SquaresObjective):
        def generator_loss(self, pair, batch, *, step):
            return {"G": gm.objective.total(super().generator_loss(pair, batch))[0] * 0 + step}

    update = gm.algorithms.create(name, objective=Telling(), inner=SGD).meta_gradient(smooth_pair(), TASK)
    assert update.logs["query_generator"] == 5
    assert update.logs["generator"] == 4


@pytest.mark.parametrize("objective", [Lazy(), Growing(), Noisy()], ids=lambda value: type(value).__name__)
def test_a_resumed_training_goes_on_counting(objective, tmp_path):
    def train(folder, stop_at=None):
        def on_step(step, _total, _losses):
            if step == stop_at:
                raise KeyboardInterrupt

        pair = smooth_pair()
        gm.pretrain(pair, objective, small_batch(5), steps=7, inner=gm.InnerLoop(), run_dir=folder, checkpoint_every=3, on_step=on_step)
        return parameters_of(pair)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "halved", stop_at=5)
    assert_close(train(tmp_path / "halved"), whole, rtol=0, atol=0)


@pytest.mark.parametrize("objective", [Lazy(), Noisy()], ids=lambda value: type(value).__name__)
def test_unique_samples_change_nothing(objective):
    phi = [
        parameters_of(gm.adapt(smooth_pair(), objective, small_batch(3), gm.InnerLoop(steps=4, eps=1e-2, unique_samples=unique)))
        for unique in (True, False)
    ]
    assert_close(phi[0], phi[1], rtol=0, atol=1e-12)


def test_the_default_losses_hand_the_step_on():
    objective, pair, batch = Lazy(), smooth_pair(), small_batch(4)
    assert "R1" in objective.losses(pair, batch, step=1).parts
    assert "R1" not in objective.losses(pair, batch, step=2).parts
    with pytest.raises(TypeError, match="step"):
        objective.losses(pair, batch)


def test_only_a_method_that_names_the_step_is_told():
    class AnyOptions(SquaresObjective):
        def generator_loss(self, pair, batch, **options):
            assert not options
            return super().generator_loss(pair, batch)

    gm.adapt(smooth_pair(), AnyOptions(), small_batch(4), SGD)
    assert not asks_for_step(AnyOptions().generator_loss)
    assert asks_for_step(Growing().losses)
    assert asks_for_step(Lazy().discriminator_loss)


def test_a_term_that_is_absent_is_absent_in_every_log(tmp_path):
    tasks = gm.FixedTasks([TASK])
    algorithm = gm.algorithms.create("reptile", objective=Lazy(), inner=gm.InnerLoop(steps=2))
    gm.MetaTrainer(smooth_pair(), algorithm, tasks, iterations=2, run_dir=tmp_path / "meta", logs=("csv", "jsonl")).fit()
    gm.pretrain(smooth_pair(), Lazy(), small_batch(5), steps=3, run_dir=tmp_path / "joint", checkpoint_every=1, logs=("csv",))
    with (tmp_path / "joint" / "pretraining.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["R1"]) for row in rows] == [False, True, False]
    assert [row["iteration"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["D"]) > 0 for row in rows)


def test_what_is_not_finite_is_found_among_absent_terms():
    one, nan = torch.ones(()), torch.tensor(float("nan"))
    check_finite([{"a": one}, {"b": one}])
    with pytest.raises(NonFiniteLossError, match="not finite at iteration 2 of the game: b;"):
        check_finite([{"a": one}, {"a": one, "b": one}, {"b": nan}])
