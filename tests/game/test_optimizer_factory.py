"""An optimiser of one's own inside the game: exact where it can be checked, refused where its steps would have to be differentiated."""

from __future__ import annotations

import functools
from typing import ClassVar

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


def grouped(parameters, lr, player="nobody"):
    """Adam with the biases at a hundredth of the rate; the discriminator is halved."""
    parameters = list(parameters)
    own = lr / 2 if player == "discriminator" else lr
    groups = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim < 2], "lr": torch.tensor(own / 100, dtype=torch.float64)},
    ]
    return torch.optim.Adam(groups, lr=own, betas=(0.5, 0.999))


@pytest.mark.parametrize("schedule", ["constant", "constant_then_linear"])
def test_groups_keep_their_rates_and_follow_the_schedule(schedule):
    pair, batch, objective = smooth_pair(norm=False), small_batch(8), SquaresObjective()
    inner = gm.InnerLoop(steps=6, lr=1e-2, optimizer=grouped, schedule=schedule, discriminator_lr=4e-2)
    adapted = gm.adapt(pair, objective, batch, inner)
    work = pair.clone()
    optimizers = {p: grouped(getattr(work, p).parameters(), inner.base_lr(p), p) for p in work.players}
    first = {p: [float(group["lr"]) for group in optimizer.param_groups] for p, optimizer in optimizers.items()}
    assert first == {"generator": [1e-2, pytest.approx(1e-4)], "discriminator": [2e-2, pytest.approx(2e-4)]}
    for step in range(6):
        for player, optimizer in optimizers.items():
            for group, rate in zip(optimizer.param_groups, first[player], strict=True):
                group["lr"] = rate * (1 - max(0, step - 3) / 3 if schedule != "constant" else 1)
        losses = {p: gm.objective.total(getattr(objective, f"{p}_loss")(work, batch))[0].mean() for p in work.players}
        for player in work.players:
            parameters = [p for _, p in work.player_parameters(player)]
            for parameter, gradient in zip(parameters, torch.autograd.grad(losses[player], parameters), strict=True):
                parameter.grad = gradient
        for optimizer in optimizers.values():
            optimizer.step()
    for a, b in zip(adapted.parameters(), work.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_group_at_rate_0_stands_still():
    def held(parameters, lr):
        return torch.optim.SGD([{"params": parameters[:1], "lr": 0.0}, {"params": parameters[1:]}], lr=lr)

    pair = smooth_pair()
    adapted = gm.adapt(pair, SquaresObjective(), small_batch(4), gm.InnerLoop(steps=2, lr=1e-2, optimizer=held))
    moved = [not torch.equal(a, b) for a, b in zip(adapted.generator.parameters(), pair.generator.parameters(), strict=True)]
    assert moved[0] is False
    assert all(moved[2:])


class Told(torch.optim.SGD):
    """Plain SGD that notes whose weights it has."""

    players: ClassVar[list] = []

    def __init__(self, params, lr, *, player, momentum=0.0):
        self.players.append((player, lr, momentum))
        super().__init__(params, lr=lr, momentum=momentum)


@pytest.mark.parametrize(
    ("factory", "momentum"),
    [(Told, 0.0), (functools.partial(Told, momentum=0.5), 0.5), (lambda p, lr, player: Told(p, lr, player=player), 0)],
)
def test_a_factory_that_takes_player_is_told_it(factory, momentum):
    Told.players.clear()
    gm.adapt(smooth_pair(), SquaresObjective(), small_batch(4), gm.InnerLoop(steps=1, lr=1e-2, discriminator_lr=1e-3, optimizer=factory))
    assert Told.players == [("generator", 1e-2, momentum), ("discriminator", 1e-3, momentum)]


def test_a_player_that_is_fixed_or_not_asked_for_is_left_alone():
    Told.players.clear()
    inner = gm.InnerLoop(steps=1, lr=1e-2, optimizer=functools.partial(Told, player="mine"))
    gm.adapt(smooth_pair(), SquaresObjective(), small_batch(4), inner)
    assert [player for player, _, _ in Told.players] == ["mine", "mine"]
    gm.InnerLoop(optimizer=lambda parameters, **options: torch.optim.SGD(parameters, **options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"betas": (0.9, 0.999)}, r"betas=\(0.9, 0.999\) and an optimizer factory exclude each other"),
        ({"eps": 1e-3}, "eps=0.001 and an optimizer factory exclude each other"),
        ({"optimizer": functools.partial(torch.optim.Adam, lr=1e-3)}, r"fixes lr=0.001, but is called with lr from InnerLoop\(lr=...\)"),
        ({"optimizer": lambda parameters: torch.optim.SGD(parameters)}, "but takes no lr"),
    ],
)
def test_options_that_a_factory_would_lose_are_refused_at_construction(options, words):
    with pytest.raises(ValueError, match=words):
        gm.InnerLoop(**{"optimizer": MOMENTUM, **options})


def with_scheduler(parameters, lr):
    optimizer = torch.optim.SGD(parameters, lr=lr)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    return optimizer


STRANGER = torch.nn.Parameter(torch.zeros(3))


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda parameters, lr: torch.optim.SGD(parameters[1:], lr=lr), r"leaves out 1 of the 4 weights .* \(generator.0.weight\)"),
        (lambda parameters, lr: torch.optim.SGD([*parameters, STRANGER], lr=lr), "hold 1 weights that it was not given"),
        (with_scheduler, "has a learning rate scheduler of its own"),
        (lambda parameters, lr: torch.optim.SGD([{"params": parameters, "lr": float("nan")}]), "has lr=nan; it must be a finite number"),
        (lambda parameters, lr: torch.optim.SGD([{"params": parameters, "lr": None}]), "has lr=None; it must be a finite number"),
        (torch.optim.SparseAdam, "SparseAdam is for sparse gradients"),
    ],
)
def test_optimizers_that_would_not_do_what_was_asked_are_refused(factory, words):
    with pytest.raises(ValueError, match=words):
        gm.adapt(smooth_pair(norm=False), SquaresObjective(), small_batch(4), gm.InnerLoop(optimizer=factory))
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(roles={"discriminator.*": "local"}))
    with pytest.raises(ValueError, match=words):
        gm.MetaTrainer(smooth_pair(norm=False), algorithm, [gm.Task(small_batch(4))], meta_optimizer=factory)


class Lookahead(torch.optim.Optimizer):
    """Every second step goes half of the way back (Zhang et al., 2019); the wrapped optimiser's groups are its own, or copies."""

    def __init__(self, base, *, copied=False):
        self.base, self.count = base, 0
        super().__init__([dict(group) for group in base.param_groups] if copied else base.param_groups, dict(base.defaults))

    @torch.no_grad()
    def step(self, closure=None):
        self.base.step()
        self.count += 1
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            slow = self.state[weight].setdefault("slow", weight.detach().clone())
            if self.count % 2 == 0:
                weight.copy_(slow.add_(weight - slow, alpha=0.5))


class Own(torch.optim.Adam):
    """An optimiser of one's own that remembers nothing besides its state."""


class NeedsClosure(torch.optim.SGD):
    """Asks for the loss again, as sharpness-aware minimisation does."""

    def step(self, closure=None):
        assert closure is not None, "it was not provided"


def wrapping(parameters, lr, **options):
    return Lookahead(torch.optim.Adam(parameters, lr=lr), **options)


def test_an_optimizer_that_wraps_another_follows_the_schedule():
    def play(factory):
        return gm.adapt(smooth_pair(), SquaresObjective(), small_batch(4), gm.InnerLoop(steps=1, lr=1e-2, optimizer=factory))

    one, other = play(wrapping), play(functools.partial(torch.optim.Adam))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (functools.partial(wrapping, copied=True), "Lookahead has other parameter groups than the Adam that it wraps"),
        (functools.partial(torch.optim.Adam, differentiable=True), "Adam with differentiable=True cannot move weights in place"),
        (NeedsClosure, r"NeedsClosure.step\(\), called without a closure as always here, failed \(it was not provided"),
    ],
)
def test_optimizers_that_cannot_step_here_are_refused(factory, words):
    with pytest.raises(ValueError, match=words):
        gm.adapt(smooth_pair(), SquaresObjective(), small_batch(4), gm.InnerLoop(steps=1, optimizer=factory))


def test_an_optimizer_that_remembers_more_than_a_checkpoint_keeps_has_no_run_folder(tmp_path):
    words = r"Lookahead remembers more than its state \(base, count\), which no checkpoint keeps"
    with pytest.raises(ValueError, match=words):
        gm.pretrain(smooth_pair(), SquaresObjective(), small_batch(4), steps=1, inner=gm.InnerLoop(optimizer=wrapping), run_dir=tmp_path)
    algorithm = gm.algorithms.create("reptile", objective=SquaresObjective(), inner=gm.InnerLoop(steps=1))
    with pytest.raises(ValueError, match=words):
        gm.MetaTrainer(smooth_pair(), algorithm, [gm.Task(small_batch(4))], meta_optimizer=wrapping, run_dir=tmp_path)
    gm.pretrain(smooth_pair(), SquaresObjective(), small_batch(4), steps=1, inner=gm.InnerLoop(optimizer=Own), run_dir=tmp_path)


def test_a_partial_that_fixes_the_rate_is_told_what_to_write():
    with pytest.raises(ValueError, match=r"leave lr out of the partial and write InnerLoop\(lr=0.001\) instead"):
        gm.InnerLoop(optimizer=functools.partial(torch.optim.Adam, lr=1e-3))
