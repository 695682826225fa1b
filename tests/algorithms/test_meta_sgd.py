"""Meta-SGD: gradients for theta and the scales against finite differences, games with learned rates against a loop by hand."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair
from tests.oracles.finite_differences import directions, relative_error

GAMES = [
    {"update": "simultaneous"},
    {"update": "alternating", "update_ratio": (2, 1), "schedule": "constant"},
    {"update": "alternating", "discriminator_lr": 5e-2, "freeze_d": "reset"},
    {"update": "simultaneous", "freeze_d": "always"},
]


def rated_pair(seed: int = 0, *, spread: float = 0.5) -> gm.GANPair:
    """A smooth pair whose scales lie around 1, some of them below 0 where ``spread`` is large."""
    pair = gm.add_learned_rates(smooth_pair(seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, scale in pair.named_parameters():
            if name.startswith("rates."):
                scale.add_(torch.randn(scale.shape, generator=generator, dtype=scale.dtype), alpha=spread)
    return pair


def task() -> gm.Task:
    return gm.Task(small_batch(5), small_batch(4, seed=9))


def game(**options) -> gm.InnerLoop:
    return gm.InnerLoop(**{"steps": 4, "optimizer": "sgd", "lr": 1e-1, **options})


def direction(pair, inner, name="meta-sgd", objective=None, **options):
    algorithm = gm.algorithms.create(name, objective=objective or SquaresObjective(), inner=inner, **options)
    return algorithm.meta_gradient(pair, task()).grads


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
@pytest.mark.parametrize("options", GAMES, ids=lambda options: "-".join(str(value) for value in options.values()))
def test_theta_and_scales_equal_finite_differences(options, memory):
    pair, inner = rated_pair(), game(**options)
    gradients = direction(pair, inner, memory=memory)
    for prefix in ("generator.", "discriminator.", "rates.generator.", "rates.discriminator."):
        own = {name: gradient for name, gradient in gradients.items() if name.startswith(prefix)}
        stays = options.get("freeze_d", "never") != "never" and prefix == "discriminator."
        assert bool(own) != stays
        if stays or (options.get("freeze_d") == "always" and prefix == "rates.discriminator."):
            assert all(not gradient.any() for gradient in own.values())
            continue
        player = prefix.split(".")[-2]
        for along in directions(own, seed=0):
            assert relative_error(pair, SquaresObjective(), task(), inner, player, own, along) < 1e-6


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_scales_of_one_give_mamls_direction_and_leave_first_order_alone(memory):
    inner = game(update="alternating")
    maml = direction(smooth_pair(), inner, "maml", memory=memory)
    both = direction(gm.add_learned_rates(smooth_pair()), inner, memory=memory)
    assert set(both) == set(maml) | {f"rates.{name}" for name in maml}
    for name, gradient in maml.items():
        torch.testing.assert_close(both[name], gradient, rtol=1e-12, atol=1e-12 * float(gradient.abs().max()))
    for first_order in ("reptile", "fomaml"):
        plain, rated = direction(smooth_pair(), inner, first_order), direction(gm.add_learned_rates(smooth_pair()), inner, first_order)
        assert set(plain) == set(rated)
        assert all(torch.equal(gradient, rated[name]) for name, gradient in plain.items())


@pytest.mark.parametrize("objective", [SquaresObjective(), SharedForwardObjective()], ids=["separate", "shared"])
def test_adapting_with_learned_rates_equals_a_loop_by_hand(objective):
    pair, support, inner = rated_pair(spread=1.5), small_batch(8), game(steps=3, discriminator_lr=5e-2)
    phi = gm.adapt(pair, objective, support, inner)
    by_hand = pair.clone()
    scales = {name.removeprefix("rates."): scale.detach() for name, scale in by_hand.named_parameters() if name.startswith("rates.")}
    assert min(float(scale.min()) for scale in scales.values()) < 0
    for position in range(3):
        gradients = {}
        for player in by_hand.players:
            names, parameters = zip(*by_hand.player_parameters(player), strict=True)
            loss = gm.objective.total(getattr(SquaresObjective(), f"{player}_loss")(by_hand, support))[0].mean()
            gradients.update(zip(names, torch.autograd.grad(loss, parameters), strict=True))
        decay = [1.0, 1.0, 1 - 0.5 / 1.5][position]
        with torch.no_grad():
            for name, parameter in by_hand.named_parameters():
                if name in gradients:
                    rate = 5e-2 if name.startswith("discriminator") else 1e-1
                    parameter -= rate * decay * scales[name] * gradients[name]
    for (name, adapted), expected in zip(phi.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(adapted, expected, rtol=1e-10, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def test_meta_training_learns_the_scales_and_resumes_bit_for_bit(tmp_path):
    tasks = gm.FewShotTasks([small_batch(9, seed) for seed in range(3)], shots=5, queries=4)
    algorithm = gm.algorithms.create("meta-sgd", objective=SquaresObjective(), inner=game(steps=2))
    options = {"iterations": 6, "meta_lr": 1e-2, "meta_optimizer": "adam", "checkpoint_every": 1}

    def stop(iteration, logs):
        if iteration == 3:
            raise KeyboardInterrupt

    undisturbed = gm.MetaTrainer(rated_pair(), algorithm, tasks, **options).fit()
    with pytest.raises(KeyboardInterrupt):
        gm.MetaTrainer(rated_pair(), algorithm, tasks, run_dir=tmp_path, on_iteration=stop, **options).fit()
    resumed = gm.MetaTrainer(rated_pair(1), algorithm, tasks, run_dir=tmp_path, **options).fit(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))
    before, after = parameters_of(rated_pair()), parameters_of(resumed)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in before if name.endswith(".weight")} <= moved
    # The bias in front of the InstanceNorm has no gradient but rounding, so its scale may stay.
    assert set(before) - moved <= {"generator.0.bias", "rates.generator.0.bias"}


def test_learned_rates_travel_in_a_file(tmp_path):
    pair = gm.models.create("pix2pixhd", pose_channels=2, base_channels=4, n_downsample=1, n_blocks=1)
    gm.add_learned_rates(pair)
    with torch.no_grad():
        next(parameter for name, parameter in pair.named_parameters() if name.startswith("rates.")).fill_(0.25)
    gm.save_pair(pair, tmp_path / "pair.safetensors")
    loaded = gm.load_pair(tmp_path / "pair.safetensors")
    assert parameters_of(loaded).keys() == parameters_of(pair).keys()
    assert all(torch.equal(a, b) for a, b in zip(pair.parameters(), loaded.parameters(), strict=True))


def test_roles_hold_scales_and_patterns_for_weights_pass_them_over():
    pair = rated_pair()
    gradients = direction(pair, game(roles={"rates.discriminator.*": "frozen", "*": "shared", "generator.3.*": "meta"}))
    assert {name for name in gradients if name.startswith("rates.")} == {f"rates.{name}" for name, _ in pair.player_parameters("generator")}
    assert gradients["rates.generator.3.weight"].any()
    assert not gradients["rates.generator.0.weight"].any()


def test_refusals():
    with pytest.raises(ValueError, match="rates of plain SGD, but the game's optimizer is 'adam'"):
        direction(rated_pair(), gm.InnerLoop())
    with pytest.raises(ValueError, match=r"for learned rates, but the pair has none; call gan_meta\.add_learned_rates"):
        direction(smooth_pair(), game())
    with pytest.raises(ValueError, match=r"'rates\.\*' cannot be 'meta': learned rates stay fixed"):
        direction(rated_pair(), game(roles={"rates.*": "meta"}))
    with pytest.raises(ValueError, match="plain SGD; use optimizer=\"sgd\" instead of 'adam'"):
        gm.adapt(rated_pair(), SquaresObjective(), small_batch(5), gm.InnerLoop())
    with pytest.raises(ValueError, match="has learned rates already"):
        gm.add_learned_rates(rated_pair())
