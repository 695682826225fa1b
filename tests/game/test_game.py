"""The game equals plain loops written out by hand with torch.optim, in every order of updates."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import gan_meta as gm
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair


def lr_by_hand(lr: float, steps: int, i: int) -> float:
    """The paper's schedule, spelled out differently: T/2 constant, then T/2 falling to lr / (T/2)."""
    if i < steps / 2:
        return lr
    return lr * (steps - i) / (steps / 2)


def repeated(batch, batch_size):
    index = [i % len(batch["image"]) for i in range(batch_size)]
    return {name: tensor[index] for name, tensor in batch.items()}


def hand_written_loop(pair, batch, *, steps, lr, batch_size, order, optimizer="adam", lr_d=None, ratio=(1, 1)):
    """Fine-tuning as one would write it for a single experiment: repeats, detach, two optimisers, no engine."""
    pair = copy.deepcopy(pair)
    generator, discriminator = pair.generator, pair.discriminator
    make = {"adam": lambda p: torch.optim.Adam(p, lr=lr, betas=(0.5, 0.999)), "sgd": lambda p: torch.optim.SGD(p, lr=lr)}[optimizer]
    opt_g, opt_d = make(generator.parameters()), make(discriminator.parameters())
    full = repeated(batch, batch_size)
    pose, real = full["pose"], full["image"]

    def d_loss(fake):
        on_real = discriminator(torch.cat([pose, real], 1))
        on_fake = discriminator(torch.cat([pose, fake.detach()], 1))
        return ((on_real - 1) ** 2).mean() / 2 + (on_fake**2).mean() / 2

    def g_loss(fake):
        return ((discriminator(torch.cat([pose, fake], 1)) - 1) ** 2).mean() + 3 * ((fake - real) ** 2).mean()

    for i in range(steps):
        opt_g.param_groups[0]["lr"] = lr_by_hand(lr, steps, i)
        opt_d.param_groups[0]["lr"] = lr_by_hand(lr if lr_d is None else lr_d, steps, i)
        if order == "simultaneous":
            fake = generator(pose)
            loss_d, loss_g = d_loss(fake), g_loss(fake)
            opt_g.zero_grad()
            loss_g.backward(retain_graph=True)
            grads_g = [p.grad.clone() for p in generator.parameters()]
            opt_d.zero_grad()
            loss_d.backward()
            for parameter, gradient in zip(generator.parameters(), grads_g, strict=True):
                parameter.grad = gradient
            opt_g.step()
            opt_d.step()
        else:
            for _ in range(ratio[0]):
                opt_d.zero_grad()
                d_loss(generator(pose)).backward()
                opt_d.step()
            for _ in range(ratio[1]):
                opt_g.zero_grad()
                g_loss(generator(pose)).backward()
                opt_g.step()
    return pair


def assert_same(one: gm.GANPair, other: gm.GANPair, batch, tolerance: float = 1e-9) -> None:
    """Equal weights, the bias in front of the InstanceNorm left out: its gradient is zero but for rounding, which Adam blows up."""
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        if name != "generator.0.bias":
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(one.generator(batch["pose"]), other.generator(batch["pose"]), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("objective", [SquaresObjective(), SharedForwardObjective()], ids=["separate", "shared"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("order", ["simultaneous", "alternating"])
@pytest.mark.parametrize("k", [1, 3, 5, 8])
def test_game_equals_hand_written_loop(order, optimizer, k, objective):
    pair, batch = smooth_pair(), small_batch(k)
    lr = 1e-2 if optimizer == "adam" else 1e-1
    inner = gm.InnerLoop(steps=7, lr=lr, update=order, optimizer=optimizer)
    expected = hand_written_loop(pair, batch, steps=7, lr=lr, batch_size=8, order=order, optimizer=optimizer)
    assert_same(gm.adapt(pair, objective, batch, inner), expected, batch)


@pytest.mark.parametrize("ratio", [(2, 1), (1, 3), (5, 2)])
def test_update_ratio(ratio):
    pair, batch = smooth_pair(), small_batch(3)
    inner = gm.InnerLoop(steps=4, lr=1e-2, update="alternating", update_ratio=ratio)
    expected = hand_written_loop(pair, batch, steps=4, lr=1e-2, batch_size=8, order="alternating", ratio=ratio)
    assert_same(gm.adapt(pair, SquaresObjective(), batch, inner), expected, batch)


def test_discriminator_has_its_own_rate():
    pair, batch = smooth_pair(), small_batch(5)
    inner = gm.InnerLoop(steps=5, lr=1e-2, discriminator_lr=1e-3)
    expected = hand_written_loop(pair, batch, steps=5, lr=1e-2, lr_d=1e-3, batch_size=8, order="simultaneous")
    assert_same(gm.adapt(pair, SquaresObjective(), batch, inner), expected, batch)


def test_schedule_is_the_papers():
    inner = gm.InnerLoop(steps=20, lr=1.0)
    assert [inner.lr_at(i) for i in range(10)] == [1.0] * 10
    assert [inner.lr_at(i) for i in range(10, 20)] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_no_steps_give_a_copy_of_the_start():
    pair = smooth_pair()
    adapted = gm.adapt(pair, SquaresObjective(), small_batch(5), gm.InnerLoop(steps=0))
    assert all(torch.equal(a, b) and a is not b for a, b in zip(pair.parameters(), adapted.parameters(), strict=True))


@pytest.mark.parametrize("order", ["simultaneous", "alternating"])
def test_unique_samples_equal_repeats(order):
    pair, batch = smooth_pair(norm=False), small_batch(5)
    options = {"steps": 6, "lr": 1e-2, "update": order, "augment": (lambda b: {k: v.flip(-1) for k, v in b.items()},)}
    unique = gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(**options), seed=3)
    repeats = gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(**options, unique_samples=False), seed=3)
    for a, b in zip(unique.parameters(), repeats.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


class Counting(SquaresObjective):
    """Notes how many samples each call saw."""

    def __init__(self, transform=None):
        self.seen: list[int] = []
        self.transform = transform or (lambda loss: loss)

    def generator_loss(self, pair, batch):
        self.seen.append(len(batch["image"]))
        return self.transform(gm.objective.total(super().generator_loss(pair, batch))[0])


def test_unique_samples_save_work():
    objective = Counting()
    gm.adapt(smooth_pair(), objective, small_batch(3), gm.InnerLoop(steps=2))
    assert objective.seen == [3, 3]


@pytest.mark.parametrize(
    "transform", [lambda loss: loss.max(), lambda loss: loss * torch.rand(len(loss), dtype=loss.dtype)], ids=["scalar", "random"]
)
def test_coupled_or_random_losses_see_the_repeats(transform):
    objective = Counting(transform)
    gm.adapt(smooth_pair(), objective, small_batch(3), gm.InnerLoop(steps=2))
    assert objective.seen == [8, 8]  # the trial with three is undone


def test_a_random_loss_equals_its_game_without_unique_samples():
    pair, batch = smooth_pair(), small_batch(3)
    objective = Counting(lambda loss: loss * torch.rand(len(loss), dtype=loss.dtype))
    one = gm.adapt(pair, objective, batch, gm.InnerLoop(steps=3, lr=1e-2))
    other = gm.adapt(pair, objective, batch, gm.InnerLoop(steps=3, lr=1e-2, unique_samples=False))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_batch_norm_in_training_mode_sees_the_repeats():
    torch.manual_seed(0)
    pair = smooth_pair()
    pair.generator[1] = nn.BatchNorm2d(4).double()
    objective = Counting()
    adapted = gm.adapt(pair, objective, small_batch(3), gm.InnerLoop(steps=2))
    assert objective.seen == [8, 8]
    assert int(adapted.generator[1].num_batches_tracked) == 4  # each player's loss passes once an iteration
    assert int(pair.generator[1].num_batches_tracked) == 0


def test_adapt_leaves_the_start_and_the_generator_state_untouched():
    pair, batch = smooth_pair(), small_batch(5)
    before, flags = parameters_of(pair), [p.requires_grad for p in pair.parameters()]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    adapted = gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(steps=3, lr=1e-2))
    assert all(torch.equal(before[name], p) for name, p in pair.named_parameters())
    assert all(p.grad is None for p in [*pair.parameters(), *adapted.parameters()])
    assert [p.requires_grad for p in adapted.parameters()] == flags
    assert torch.equal(state, torch.get_rng_state())
    assert not any(torch.equal(before[name], p) for name, p in adapted.named_parameters())


def test_same_seed_same_bits_other_seed_other_draws():
    pair, batch = smooth_pair(), small_batch(20)
    inner = gm.InnerLoop(steps=3, lr=1e-2)
    first, again, other = (gm.adapt(pair, SquaresObjective(), batch, inner, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("freeze_d", "moves"), [("never", True), ("reset", True), ("always", False)])
def test_freeze_d_inside_the_task(freeze_d, moves):
    pair = smooth_pair()
    adapted = gm.adapt(pair, SquaresObjective(), small_batch(5), gm.InnerLoop(steps=2, lr=1e-2, freeze_d=freeze_d))
    same = all(torch.equal(a, b) for a, b in zip(pair.discriminator.parameters(), adapted.discriminator.parameters(), strict=True))
    assert same is not moves


def test_roles_freeze_by_glob_and_requires_grad_counts():
    pair = smooth_pair()
    pair.generator[3].bias.requires_grad_(False)
    adapted = gm.adapt(pair, SquaresObjective(), small_batch(5), gm.InnerLoop(steps=2, lr=1e-2, roles={"generator.0.*": "frozen"}))
    moved = {name for name, p in adapted.named_parameters() if not torch.equal(p, dict(pair.named_parameters())[name])}
    assert moved == {"generator.3.weight", *(f"discriminator.{i}.{w}" for i in (0, 2) for w in ("weight", "bias"))}


def test_generator_alone():
    class Alone(gm.Objective):
        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"]) - batch["image"]).square().flatten(1).mean(1)

    pair = gm.GANPair(smooth_pair().generator)
    batch = small_batch(4)
    expected = copy.deepcopy(pair.generator)
    optimizer = torch.optim.Adam(expected.parameters(), lr=1e-2, betas=(0.5, 0.999))
    for i in range(4):
        optimizer.param_groups[0]["lr"] = lr_by_hand(1e-2, 4, i)
        optimizer.zero_grad()
        ((expected(batch["pose"]) - batch["image"]) ** 2).mean().backward()
        optimizer.step()
    adapted = gm.adapt(pair, Alone(), batch, gm.InnerLoop(steps=4, lr=1e-2))
    torch.testing.assert_close(adapted.generator(batch["pose"]), expected(batch["pose"]), rtol=1e-9, atol=1e-9)


def test_precomputed_features_follow_a_changed_frame():
    class Precomputing(SquaresObjective):
        def precompute(self, batch):
            return {"target": batch["image"] * 0.5}

        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"]) - batch.get("target", batch["image"] * 0.5)).square().flatten(1).mean(1)

    pair, batch = smooth_pair(), small_batch(3)
    inner = gm.InnerLoop(steps=3, lr=1e-2)
    gm.adapt(pair, Precomputing(), batch, inner)
    batch["image"][1] = -batch["image"][1]
    after_change = gm.adapt(pair, Precomputing(), batch, inner)
    fresh = gm.adapt(pair, Precomputing(), {k: v.clone() for k, v in batch.items()}, inner)
    assert all(torch.equal(a, b) for a, b in zip(after_change.parameters(), fresh.parameters(), strict=True))


def test_support_forms_agree():
    pair, batch = smooth_pair(), small_batch(6)

    class Source:
        def __len__(self):
            return 6

        def batch(self, indices):
            return {name: tensor[list(indices)] for name, tensor in batch.items()}

    as_list = [{name: tensor[i] for name, tensor in batch.items()} for i in range(6)]
    inner = gm.InnerLoop(steps=3, lr=1e-2, batch_size=4)
    results = [gm.adapt(pair, SquaresObjective(), support, inner, seed=1) for support in (batch, Source(), as_list)]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0].parameters(), other.parameters(), strict=True))


def test_non_finite_loss_names_term_and_iteration():
    class Explodes(SquaresObjective):
        calls = 0

        def generator_loss(self, pair, batch):
            self.calls += 1
            terms = dict(super().generator_loss(pair, batch))
            if self.calls == 3:
                terms["G_L2"] = terms["G_L2"] * math.inf
            return terms

    with pytest.raises(gm.NonFiniteLossError, match=r"iteration 2 .*generator, G_L2"):
        gm.adapt(smooth_pair(), Explodes(), small_batch(8), gm.InnerLoop(steps=4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"update_ratio": (2, 1)}, "alternating"),
        ({"freeze_d": "always", "update": "alternating", "update_ratio": (2, 1)}, "exclude each other"),
        ({"freeze_d": "reset", "roles": {"discriminator.*": "meta"}}, "roles alone"),
        ({"roles": {"generator.*": "froze"}}, "did you mean 'frozen'"),
        ({"steps": -1}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": math.nan}, "lr"),
        ({"update_ratio": (0, 1)}, "at least 1"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        gm.InnerLoop(**options)


def test_bad_losses_and_roles_are_refused_in_words():
    pair, batch, inner = smooth_pair(), small_batch(5), gm.InnerLoop(steps=1)

    class WrongShape(SquaresObjective):
        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"]) - batch["image"]).square().flatten(2).mean(2)

    class Detached(SquaresObjective):
        def generator_loss(self, pair, batch):
            return (pair.generator(batch["pose"]).detach() - batch["image"]).square().flatten(1).mean(1)

    with pytest.raises(ValueError, match=r"generator's loss has shape \(8, 3\) at iteration 0"):
        gm.adapt(pair, WrongShape(), batch, inner)
    with pytest.raises(ValueError, match="generator's loss has no gradient"):
        gm.adapt(pair, Detached(), batch, inner)
    with pytest.raises(ValueError, match=r"'generator.9.\*' matches no parameter; nearest names: generator"):
        gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(roles={"generator.9.*": "frozen"}))
    with pytest.raises(ValueError, match="generator takes turns but has no weight"):
        gm.adapt(pair, SquaresObjective(), batch, gm.InnerLoop(roles={"generator.*": "frozen"}))
    with pytest.raises(ValueError, match="disagree on the number of samples"):
        gm.adapt(pair, SquaresObjective(), {**batch, "image": batch["image"][:2]}, inner)
    with pytest.raises(ValueError, match="support is empty"):
        gm.adapt(pair, SquaresObjective(), {k: v[:0] for k, v in batch.items()}, inner)
