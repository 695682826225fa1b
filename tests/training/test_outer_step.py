"""How theta moves: any optimiser, clipped directions, and optimiser state carried from game to game."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

import gan_meta as gm
from gan_meta.training.outer_step import optimizer_names
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair


class Fixed(gm.MetaAlgorithm):
    """Always the same direction."""

    def __init__(self, direction):
        super().__init__(objective=SquaresObjective(), inner=gm.InnerLoop())
        self.direction = direction

    def meta_gradient(self, pair, task, seed=0):
        return gm.MetaGradient(dict(self.direction))


def some_direction():
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in smooth_pair().named_parameters()}


def train(**options):
    pair = smooth_pair()
    gm.MetaTrainer(pair, Fixed(some_direction()), [gm.Task({})], iterations=3, meta_lr=1e-2, **options).fit()
    return pair


def by_hand(optimizer_class, **options):
    pair = smooth_pair()
    optimizer = optimizer_class(pair.parameters(), lr=1e-2, **options)
    for i in range(3):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - i / 3)
        for name, parameter in pair.named_parameters():
            parameter.grad = some_direction()[name]
        optimizer.step()
    return pair


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "nadam", "adagrad"])
def test_any_optimizer_by_name(name):
    classes = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "nadam": "NAdam", "adagrad": "Adagrad"}
    expected = by_hand(getattr(torch.optim, classes[name]))
    for a, b in zip(train(meta_optimizer=name).parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_factory_with_options():
    momentum = functools.partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1)
    expected = by_hand(torch.optim.SGD, momentum=0.9, weight_decay=0.1)
    for a, b in zip(train(meta_optimizer=momentum).parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_groups_of_a_factory_keep_the_ratio_of_their_rates():
    def grouped(parameters, lr):
        return torch.optim.Adam([{"params": parameters[:2], "lr": 1e-5}, {"params": parameters[2:]}], lr=lr)

    moved, expected = train(meta_optimizer=grouped), smooth_pair()
    optimizer = grouped(list(expected.parameters()), 1e-2)
    for i in range(3):
        for group, rate in zip(optimizer.param_groups, (1e-5, 1e-2), strict=True):
            group["lr"] = rate * (1 - i / 3)
        for name, parameter in expected.named_parameters():
            parameter.grad = some_direction()[name]
        optimizer.step()
    for a, b in zip(moved.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-15)


def test_a_rate_that_would_be_lost_is_refused():
    with pytest.raises(ValueError, match=r"meta_optimizer factory fixes lr=0.0001, but is called with lr from meta_lr"):
        train(meta_optimizer=functools.partial(torch.optim.Adam, lr=1e-4))
    algorithm, own = Fixed(some_direction()), lambda parameters, lr: torch.optim.SGD(parameters, lr=1e-4)
    with pytest.raises(ValueError, match="meta_lr=0 leaves nothing to scale"):
        gm.MetaTrainer(smooth_pair(), algorithm, [gm.Task({})], meta_lr=0.0, meta_optimizer=own)


def test_every_name_is_offered_but_those_that_need_a_loss():
    assert {"sgd", "adam", "adamw", "radam"} <= set(optimizer_names())
    assert "lbfgs" not in optimizer_names()
    with pytest.raises(ValueError, match="unknown meta_optimizer 'adamv': did you mean 'adam"):
        train(meta_optimizer="adamv")


def test_clipping_is_torchs():
    before = parameters_of(smooth_pair())
    norm = float(torch.sqrt(sum(value.square().sum() for value in some_direction().values())))
    logs = {}
    moved = train(clip_norm=norm / 4, on_iteration=lambda iteration, log: logs.update(log))
    reference = smooth_pair()
    for name, parameter in reference.named_parameters():
        parameter.grad = some_direction()[name]
    torch.nn.utils.clip_grad_norm_(reference.parameters(), norm / 4)
    rates = 1e-2 * (1 + 2 / 3 + 1 / 3)
    for (name, parameter), clipped in zip(moved.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), before[name] - rates * clipped.grad, rtol=1e-5, atol=1e-7)
    assert logs["direction_norm"] == pytest.approx(norm)
    untouched = train(clip_norm=norm * 2)
    assert all(torch.equal(a, b) for a, b in zip(untouched.parameters(), train().parameters(), strict=True))
    with pytest.raises(ValueError, match="clip_norm must be a finite number above 0"):
        train(clip_norm=0.0)


def hand_written_carry(pair, batches, steps, lr):
    """Two games in a row from the same start, with one Adam for each player that is never reset."""
    played = copy.deepcopy(pair)
    optimizers = [torch.optim.Adam(player.parameters(), lr=lr, betas=(0.5, 0.999)) for player in (played.generator, played.discriminator)]
    objective = SquaresObjective()
    for batch in batches:
        played.load_state_dict(pair.state_dict())
        for _ in range(steps):
            generator_loss = gm.objective.total(objective.generator_loss(played, batch))[0].mean()
            discriminator_loss = objective.discriminator_loss(played, batch).mean()
            grads_g = torch.autograd.grad(generator_loss, list(played.generator.parameters()), retain_graph=True)
            grads_d = torch.autograd.grad(discriminator_loss, list(played.discriminator.parameters()))
            for parameter, gradient in zip(played.parameters(), (*grads_g, *grads_d), strict=True):
                parameter.grad = gradient
            for optimizer in optimizers:
                optimizer.step()
    return played


@pytest.mark.parametrize("name", ["reptile", "fomaml", "maml"])
def test_carried_optimizer_state(name):
    pair, batches = smooth_pair(norm=False), [small_batch(8, seed) for seed in (0, 1)]
    inner = gm.InnerLoop(steps=3, lr=1e-2, schedule="constant")
    algorithm = gm.algorithms.create(name, objective=SquaresObjective(), inner=inner, carry_optimizer=True)
    updates = [algorithm.meta_gradient(pair, gm.Task(batch, small_batch(4, seed=9))) for batch in batches]
    expected = hand_written_carry(pair, batches, 3, 1e-2)
    if name == "reptile":
        for (parameter_name, theta), phi in zip(pair.named_parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(updates[1].grads[parameter_name], theta.detach() - phi.detach(), rtol=1e-9, atol=1e-12)
    else:
        loss = gm.objective.total(SquaresObjective().generator_loss(expected, small_batch(4, seed=9)))[0].mean()
        assert updates[1].logs["query_generator"] == pytest.approx(loss.item(), rel=1e-9)
    assert algorithm.carried.counts["generator.0.weight"] == 6


def test_carried_state_resumes_bit_for_bit_and_must_be_asked_for_again(tmp_path):
    tasks = gm.FewShotTasks([small_batch(10, seed) for seed in range(3)], shots=5)

    def trainer(carry, **options):
        algorithm = gm.algorithms.create(
            "reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2), carry_optimizer=carry
        )
        return gm.MetaTrainer(smooth_pair(), algorithm, tasks, iterations=4, checkpoint_every=1, **options)

    def stop(iteration, logs):
        if iteration == 2:
            raise KeyboardInterrupt

    undisturbed, fresh = trainer(True).fit(), trainer(False).fit()
    with pytest.raises(KeyboardInterrupt):
        trainer(True, run_dir=tmp_path, on_iteration=stop).fit()
    with pytest.raises(gm.CheckpointError, match="carry_optimizer: True there"):
        trainer(False, run_dir=tmp_path).fit()
    resumed = trainer(True, run_dir=tmp_path).fit(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), fresh.parameters(), strict=True))


def test_plain_sgd_has_nothing_to_carry():
    with pytest.raises(ValueError, match='carry_optimizer=True and optimizer="sgd" exclude each other'):
        gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(optimizer="sgd"), carry_optimizer=True)
