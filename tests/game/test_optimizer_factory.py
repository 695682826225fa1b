"""An optimiser of one's own inside the game: exact where it can be checked, refused where its steps would have to be differentiated."""

from __future__ import annotations

import functools

import pytest
import torch

import gan_meta as gm
from gan_meta.game.unrolled import record
from tests.conftest import SquaresObjective, small_batch, smooth_pair

MOMENTUM = functools.partial(torch.optim.SGD, momentum=0.9)


def test_a_factory_for_adam_is_adam():
    pair, batch = smooth_pair(), small_batch(4)
    factory = functools.partial(torch.optim.Adam, betas=(0.5, 0.999), eps=1e-8, fused=True)
    own = gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(steps=4, lr=1e-2, optimizer=factory))
    named = gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(steps=4, lr=1e-2, optimizer="adam"))
    assert all(torch.equal(a, b) for a, b in zip(own.parameters(), named.parameters(), strict=True))


def test_momentum_is_the_loop_by_hand():
    pair, batch, objective = smooth_pair(), small_batch(4), SquaresObjective()
    adapted = gm.adapt(pair, objective, batch, gm.InnerLoop(steps=3, lr=1e-2, schedule="constant", batch_size=4, optimizer=MOMENTUM))
    weights = {name: parameter.detach().clone() for name, parameter in pair.named_parameters()}
    velocity = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for _ in range(3):
        work = pair.clone()
        work.load_state_dict(weights)
        for player in work.players:
            names, parameters = zip(*work.player_parameters(player), strict=True)
            loss = gm.objective.total(getattr(objective, f"{player}_loss")(work, batch))[0].mean()
            for name, gradient in zip(names, torch.autograd.grad(loss, parameters), strict=True):
                velocity[name] = 0.9 * velocity[name] + gradient
                weights[name] = weights[name] - 1e-2 * velocity[name]
    for name, parameter in adapted.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["reptile", "fomaml"])
def test_first_order_algorithms_take_it_and_checkpoints_resume(name, tmp_path):
    tasks = [gm.Task(small_batch(4), small_batch(3, seed=1))]

    def stop(iteration, logs):
        raise KeyboardInterrupt

    def trained(run_dir, iterations):
        pair = smooth_pair()
        algorithm = gm.algorithms.create(name, objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2, optimizer=MOMENTUM))
        options = {"iterations": 4, "meta_lr": 0.5, "meta_schedule": "constant", "run_dir": run_dir, "checkpoint_every": 2}
        if iterations == 2:
            with pytest.raises(KeyboardInterrupt):
                gm.MetaTrainer(pair, algorithm, tasks, on_iteration=lambda done, logs: done < 2 or stop(done, logs), **options).fit()
        else:
            gm.MetaTrainer(pair, algorithm, tasks, **options).fit()
        return pair

    straight = trained(None, 4)
    trained(tmp_path, 2)
    resumed = trained(tmp_path, 4)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_what_needs_to_know_the_mathematics_refuses_it():
    inner = gm.InnerLoop(optimizer=MOMENTUM)
    for name, options in (("maml", {}), ("anil", {"head": ["*"]})):
        with pytest.raises(ValueError, match="cannot go through an optimizer factory"):
            gm.algorithms.create(name, objective=SquaresObjective(), inner=inner, **options)
    with pytest.raises(ValueError, match="cannot be differentiated"):
        record(smooth_pair(), SquaresObjective(), small_batch(4), inner)
    with pytest.raises(ValueError, match="excludes an optimizer factory"):
        gm.algorithms.create("reptile", objective=SquaresObjective(), inner=inner, carry_optimizer=True)


def test_factories_that_cannot_play_are_refused():
    with pytest.raises(ValueError, match="LBFGS asks for the loss again"):
        gm.adapt(smooth_pair(), SquaresObjective(), small_batch(4), gm.InnerLoop(optimizer=torch.optim.LBFGS))
    with pytest.raises(TypeError, match=r"must return a torch\.optim\.Optimizer, got list"):
        gm.adapt(smooth_pair(), SquaresObjective(), small_batch(4), gm.InnerLoop(optimizer=lambda parameters, lr: list(parameters)))
    with pytest.raises(ValueError, match="unknown optimizer 'adamw': did you mean 'adam'"):
        gm.InnerLoop(optimizer="adamw")
