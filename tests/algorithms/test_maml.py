"""MAML beside its relatives: its two engines, its limits, its forward game, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gan_meta as gm
from gan_meta.game import unrolled
from gan_meta.game.unrolled import record
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair


def task() -> gm.Task:
    return gm.Task(small_batch(5), small_batch(4, seed=9), "a task")


def direction(name="maml", pair=None, objective=None, few_shot=None, seed=0, inner=None, **options):
    inner = inner or gm.InnerLoop(steps=4, lr=1e-2, eps=1e-2)
    algorithm = gm.algorithms.create(name, objective=objective or SquaresObjective(), inner=inner, **options)
    return algorithm.meta_gradient(pair or smooth_pair(), few_shot or task(), seed=seed)


def assert_close(one, other, rtol, atol=1e-14):
    assert set(one.grads) == set(other.grads)
    for name, gradient in one.grads.items():
        torch.testing.assert_close(gradient, other.grads[name], rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


GAMES = st.builds(
    gm.InnerLoop,
    steps=st.integers(0, 5),
    optimizer=st.sampled_from(["adam", "sgd"]),
    lr=st.floats(1e-3, 3e-2),
    discriminator_lr=st.none() | st.floats(1e-3, 3e-2),
    betas=st.tuples(st.floats(0, 0.95), st.floats(0, 0.999)),
    eps=st.floats(1e-3, 1e-1),
    schedule=st.sampled_from(["constant", "constant_then_linear"]),
    batch_size=st.integers(1, 6),
    update=st.just("alternating"),
    update_ratio=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    freeze_d=st.sampled_from(["never", "reset"]),
    unique_samples=st.booleans(),
)


@settings(max_examples=12, deadline=None)
@given(inner=GAMES, seed=st.integers(0, 2**31))
def test_law_engines_agree_and_play_the_ordinary_game(inner, seed):
    pair, objective = smooth_pair(norm=False), SquaresObjective()
    phi = parameters_of(gm.adapt(pair, objective, task().support, inner, seed=seed))
    for memory in ("unrolled", "sweep"):
        trajectory = record(pair, objective, task().support, inner, seed, memory)
        for name, parameter in trajectory.phi.named_parameters():
            torch.testing.assert_close(parameter.detach(), phi[name], rtol=1e-13, atol=1e-15)
    unrolled_direction, sweep_direction = (direction(pair=pair, inner=inner, seed=seed, memory=memory) for memory in ("unrolled", "sweep"))
    for name, gradient in unrolled_direction.grads.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(sweep_direction.grads[name], gradient, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("objective", [SquaresObjective(), SharedForwardObjective()], ids=["separate", "shared"])
@pytest.mark.parametrize("eps", [1e-2, 1e-8])
def test_forward_game_is_adapts_with_a_norm_and_the_usual_eps(objective, eps):
    pair, inner = smooth_pair(), gm.InnerLoop(steps=6, lr=1e-2, eps=eps)
    phi = gm.adapt(pair, objective, task().support, inner, seed=3)
    for memory in ("unrolled", "sweep"):
        played = record(pair, objective, task().support, inner, 3, memory)
        for (name, one), other in zip(phi.named_parameters(), played.phi.parameters(), strict=True):
            # The bias in front of the InstanceNorm has no true gradient; Adam with a tiny eps blows its rounding up.
            if name != "generator.0.bias" or eps > 1e-3:
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
        assert played.logs.keys() >= {"generator", "discriminator"}


def test_sparse_checkpoints_of_the_sweep_change_nothing(monkeypatch):
    inner = gm.InnerLoop(steps=7, lr=1e-2)
    pair = smooth_pair()
    pair.generator[1] = nn.BatchNorm2d(4).double()
    every = direction(pair=pair, inner=inner, memory="sweep")
    monkeypatch.setattr(unrolled, "STATE_BYTES", 0)
    assert_close(direction(pair=pair, inner=inner, memory="sweep"), every, rtol=0, atol=0)


def test_auto_picks_by_the_size_of_the_graph(monkeypatch):
    pair, inner = smooth_pair(), gm.InnerLoop(steps=3, lr=1e-2)
    assert isinstance(record(pair, SquaresObjective(), task().support, inner), unrolled.Unrolled)
    monkeypatch.setattr(unrolled, "GRAPH_BYTES", 1)
    assert isinstance(record(pair, SquaresObjective(), task().support, inner), unrolled.Swept)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fomaml_is_the_limit_at_vanishing_inner_rate(optimizer):
    differences = []
    for lr in (1e-3, 1e-4):
        inner = gm.InnerLoop(steps=3, lr=lr, optimizer=optimizer, eps=1e-1)
        maml, fomaml = direction(inner=inner), direction("fomaml", inner=inner)
        differences.append(max(float((maml.grads[name] - gradient).abs().max()) for name, gradient in fomaml.grads.items()))
    assert 0 < differences[0] < 1e-2
    assert differences[1] == pytest.approx(differences[0] / 10, rel=0.05)  # first order in the rate


def test_anil_is_maml_with_a_body_that_stays():
    pair, head = smooth_pair(), ["generator.3.*", "discriminator.2.*"]
    anil = direction("anil", pair=pair, head=head)
    roles = {"generator.0.*": "shared", "discriminator.0.*": "shared"}
    assert_close(anil, direction(pair=pair, inner=gm.InnerLoop(steps=4, lr=1e-2, eps=1e-2, roles=roles)), rtol=0, atol=0)

    frozen = smooth_pair()  # the same game with the body frozen gives the head the same direction
    for layer in (frozen.generator[0], frozen.discriminator[0]):
        layer.requires_grad_(False)
    maml = direction(pair=frozen)
    assert set(maml.grads) == {f"{layer}.{kind}" for layer in ("generator.3", "discriminator.2") for kind in ("weight", "bias")}
    for name, gradient in maml.grads.items():
        torch.testing.assert_close(anil.grads[name], gradient, rtol=1e-12, atol=1e-14)


def test_anil_with_a_discriminator_that_restarts_in_every_task():
    inner = gm.InnerLoop(steps=3, lr=1e-2, freeze_d="reset")
    assert {name.split(".")[0] for name in direction("anil", inner=inner, head="generator.3.*").grads} == {"generator"}


def test_no_iterations_leave_the_query_gradient():
    assert_close(direction(inner=gm.InnerLoop(steps=0)), direction("fomaml", inner=gm.InnerLoop(steps=0)), rtol=1e-14)


def test_the_other_players_answer_is_part_of_the_direction():
    class Cut(SquaresObjective):
        def discriminator_loss(self, pair, batch):
            fake = pair.generator(batch["pose"]).detach()
            on_real = pair.discriminator(torch.cat([batch["pose"], batch["image"]], 1))
            on_fake = pair.discriminator(torch.cat([batch["pose"], fake], 1))
            return (on_real - 1).square().flatten(1).mean(1) / 2 + on_fake.square().flatten(1).mean(1) / 2

    inner = gm.InnerLoop(steps=4, lr=3e-2, eps=1e-2, update="alternating")
    whole, cut = direction(inner=inner), direction(inner=inner, objective=Cut())
    name = "generator.3.weight"
    assert float((whole.grads[name] - cut.grads[name]).norm() / whole.grads[name].norm()) > 1e-3


def test_a_weight_without_any_gradient_keeps_the_direction_finite():
    pair = smooth_pair(norm=False)
    with torch.no_grad():  # a dead channel: zero weights in and out of it, and a zero gradient for those in
        pair.generator[2].weight[:, 0] = 0
    pair.generator[1] = nn.ReLU()
    pair.generator[0].bias.data[0] = -100
    update = direction(pair=pair, inner=gm.InnerLoop(steps=3, lr=1e-2))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in update.grads.values())
    assert bool((update.grads["generator.0.weight"][0] == 0).all())


@pytest.mark.parametrize("name", ["maml", "fomaml"])
def test_query_in_pieces(name):
    few_shot = gm.Task(small_batch(5), small_batch(7, seed=2))
    whole = direction(name, few_shot=few_shot)
    for size in (1, 3, 7, 50):
        pieces = direction(name, few_shot=few_shot, query_batch_size=size)
        assert_close(pieces, whole, rtol=1e-11, atol=1e-15)
        assert pieces.logs == pytest.approx(whole.logs)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_the_users_modules_stay_untouched(memory):
    pair = smooth_pair()
    pair.generator[1] = nn.BatchNorm2d(4).double()
    pair.discriminator[0].bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in pair.state_dict().items()}
    flags = [(p.requires_grad, p.grad) for p in pair.parameters()]
    torch.manual_seed(11)
    state = torch.get_rng_state()
    update = direction(pair=pair, memory=memory)
    assert all(torch.equal(before[name], tensor) for name, tensor in pair.state_dict().items())
    assert [(p.requires_grad, p.grad) for p in pair.parameters()] == flags
    assert torch.equal(state, torch.get_rng_state())
    phi = gm.adapt(pair, SquaresObjective(), task().support, gm.InnerLoop(steps=4, lr=1e-2, eps=1e-2))
    torch.testing.assert_close(update.buffers["generator.1.running_mean"], phi.generator[1].running_mean, rtol=1e-12, atol=1e-14)
    assert "discriminator.0.bias" not in update.grads


def test_meta_training_with_maml_lowers_the_query_loss_and_resumes_bit_for_bit(tmp_path):
    tasks = gm.FewShotTasks([small_batch(9, seed) for seed in range(3)], shots=5, queries=4)
    algorithm = gm.algorithms.create("maml", objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2, freeze_d="reset"))
    losses: list[float] = []

    def note(iteration, logs):
        losses.append(logs["query_generator"])
        if len(losses) == 12 and iteration == 12:
            raise KeyboardInterrupt

    options = {"iterations": 20, "meta_lr": 1e-2, "meta_optimizer": "adam", "meta_schedule": "constant", "checkpoint_every": 4}
    undisturbed = gm.MetaTrainer(smooth_pair(), algorithm, tasks, **options).fit()
    with pytest.raises(KeyboardInterrupt):
        gm.MetaTrainer(smooth_pair(), algorithm, tasks, run_dir=tmp_path, on_iteration=note, **options).fit()
    resumed = gm.MetaTrainer(smooth_pair(1), algorithm, tasks, run_dir=tmp_path, on_iteration=note, **options).fit(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])


def test_compiled_modules_are_refused_by_maml_and_equal_for_first_order():
    pair, compiled = smooth_pair(), smooth_pair()
    compiled.generator.compile(backend="eager")
    with pytest.raises(ValueError, match=r"MAML cannot use the compiled module 'generator'.*first-order"):
        direction(pair=compiled)
    assert_close(direction("fomaml", pair=compiled), direction("fomaml", pair=pair), rtol=1e-12)


def test_spectral_norm_in_training_mode_is_refused_in_words():
    for add in (nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm):
        pair = smooth_pair()
        add(pair.discriminator[0])
        with pytest.raises(ValueError, match=r"spectral normalisation in 'discriminator\.0.*power iteration.*eval\(\)"):
            direction(pair=pair)
        assert len(direction("fomaml", pair=pair).grads) == 8
        pair.discriminator.eval()
        assert len(direction(pair=pair).grads) == 8


def test_refusals():
    with pytest.raises(ValueError, match="unknown memory 'swep': did you mean 'sweep'"):
        direction(memory="swep")
    with pytest.raises(TypeError, match=r"unknown option of algorithm 'maml' 'memroy': did you mean 'memory'"):
        direction(memroy="sweep")
    with pytest.raises(ValueError, match=r"MAML needs a query .* task 'x' has none"):
        direction(few_shot=gm.Task(small_batch(5), name="x"))
    with pytest.raises(ValueError, match="query_batch_size must be at least 1"):
        direction(query_batch_size=0)
    with pytest.raises(ValueError, match="head is empty"):
        direction("anil", head=[])
    with pytest.raises(ValueError, match="generator takes turns but has no weight that adapts"):
        direction("anil", head=["discriminator.2.*"])
    pair = smooth_pair()
    pair.generator[1] = nn.BatchNorm2d(4).double()
    with pytest.raises(ValueError, match="query_batch_size=2 would change batch normalisation's statistics"):
        direction(pair=pair, query_batch_size=2)


def test_bad_query_losses_are_named():
    class Coupled(SquaresObjective):
        def generator_loss(self, pair, batch):
            return super().generator_loss(pair, batch)["G_L2"].mean()

    with pytest.raises(ValueError, match="generator's loss is one scalar, so query_batch_size=2 would change it"):
        direction(objective=Coupled(), query_batch_size=2)
    bad = small_batch(4)
    bad["image"][1] = float("inf")
    with pytest.raises(gm.NonFiniteLossError, match="generator's query loss is not finite"):
        direction(few_shot=gm.Task(small_batch(5), bad))
    bad = small_batch(5)
    bad["image"][1] = float("nan")
    for memory in ("unrolled", "sweep"):
        with pytest.raises(gm.NonFiniteLossError, match="not finite at iteration 0 of the game: discriminator, generator"):
            direction(few_shot=gm.Task(bad, small_batch(4)), memory=memory)
