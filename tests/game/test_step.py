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


def growing(pair, batch, step):
    """A loss that must be told the step."""
    return (1 + step) * gm.objective.total(SquaresObjective().generator_loss(pair, batch))[0]


def untold(pair, batch):
    """The same at step 0."""
    return growing(pair, batch, 0)


def plainly(function):
    """A decorator without functools.wraps."""

    def wrapper(*arguments, **options):
        return function(*arguments, **options)

    return wrapper


class Squares(SquaresObjective):
    """Whose generator's loss is a function set on the object."""

    def __init__(self, loss):
        self.generator_loss = loss


class Forwarding(SquaresObjective):
    """A loss that hands any keyword on."""

    def __init__(self, loss):
        self.loss = loss

    def generator_loss(self, pair, batch, **options):
        return self.loss(pair, batch, **options)


def by_default(pair, batch, step=0):
    return growing(pair, batch, step)


def by_options(pair, batch, **options):
    return growing(pair, batch, options.get("step", 0))


TOLD = [
    Squares(growing),
    Squares(by_default),
    Squares(by_options),
    Squares(plainly(by_default)),
    Squares(functools.wraps(by_default)(plainly(by_default))),
    Squares(torch.enable_grad()(by_default)),
    Squares(functools.partial(by_default)),
    Forwarding(by_default),
    Forwarding(Forwarding(growing).generator_loss),
]
UNTOLD = [
    Squares(untold),
    Squares(plainly(untold)),
    Squares(torch.enable_grad()(untold)),
    Squares(functools.partial(growing, step=0)),
]


@pytest.mark.parametrize(("objectives", "loss"), [(TOLD, growing), (UNTOLD, untold)])
def test_a_loss_that_asks_for_the_step_is_told_however_it_is_written(objectives, loss):
    played = play(smooth_pair(), Squares(loss), TASK.support, SGD)
    for objective in objectives:
        phi, logs = play(smooth_pair(), objective, TASK.support, SGD)
        assert logs == played[1]
        assert_close(parameters_of(phi), parameters_of(played[0]), rtol=0, atol=0)


def test_a_step_that_cannot_arrive_is_refused():
    def by_place(pair, batch, step=0, /):
        return growing(pair, batch, step)

    @functools.wraps(growing)
    def by_place_alone(*arguments):
        return growing(*arguments)

    for loss in (by_place, by_place_alone, functools.partial(by_place)):
        with pytest.raises(ValueError, match="asks for the step, which is given by keyword"):
            gm.adapt(smooth_pair(), Squares(loss), TASK.support, SGD)
    with pytest.raises(ValueError, match=r"Forwarding\.generator_loss hands the keyword step on to what does not take it"):
        gm.adapt(smooth_pair(), Forwarding(untold), TASK.support, SGD)


def test_losses_set_on_the_object_count_as_its_own():
    def losses(pair, batch, step):
        return gm.Losses(growing(pair, batch, step), gm.objective.total(SquaresObjective().discriminator_loss(pair, batch))[0])

    objective = gm.Objective()
    objective.losses = losses
    expected = gm.adapt(smooth_pair(), Squares(growing), TASK.support, SGD)
    assert_close(parameters_of(gm.adapt(smooth_pair(), objective, TASK.support, SGD)), parameters_of(expected), rtol=0, atol=1e-14)


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
