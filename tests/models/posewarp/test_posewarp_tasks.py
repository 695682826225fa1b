"""Posewarp is meta-learned by every kind of algorithm, alone (stage 1) and against its discriminator (stage 2), augmented."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from gan_meta.models.posewarp import PairTasks, PosewarpAugmentation, PosewarpObjective
from tests.models.posewarp.posewarp_fixtures import small_generator

SIZE = 32


def person(seed: int, count: int = 6) -> gm.Batch:
    draws = torch.Generator().manual_seed(seed)
    joints = SIZE * (0.2 + 0.6 * torch.rand(count, 14, 2, generator=draws, dtype=torch.float64))
    joints[0, 4] = float("nan")  # a wrist that nobody saw
    return {"image": torch.rand(count, 3, SIZE, SIZE, generator=draws, dtype=torch.float64) * 2 - 1, "joints": joints}


def pair(stage: int) -> gm.GANPair:
    torch.manual_seed(0)
    if stage == 1:
        return gm.GANPair(small_generator())
    built = gm.models.create("posewarp", base_channels=2, discriminator=True, size=SIZE, discriminator_channels=1).double()
    for parameter in built.discriminator.parameters():
        # With biases at 0, empty parts of pose maps would sit on the very kink of the activations.
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return gm.GANPair(small_generator(), built.discriminator)


def objective(stage: int) -> PosewarpObjective:
    return PosewarpObjective(pixel=1.0, limb_width=SIZE / 256, adversarial_weight=0.1 if stage == 2 else 0.0)


def task() -> gm.Task:
    return PairTasks([person(1)], shots=2, queries=2).sample(0)


INNER = gm.InnerLoop(steps=2, lr=1e-3, eps=1e-3, batch_size=2, random_augment=PosewarpAugmentation())


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("name", ["reptile", "fomaml", "maml"])
def test_every_player_gets_a_direction(name, stage):
    theta = pair(stage)
    before = {key: tensor.clone() for key, tensor in theta.state_dict().items()}
    update = gm.algorithms.create(name, objective=objective(stage), inner=INNER).meta_gradient(theta, task(), seed=3)
    assert update.grads.keys() == dict(theta.named_parameters()).keys()
    assert all(bool(torch.isfinite(direction).all()) for direction in update.grads.values())
    players = {key.split(".")[0] for key, direction in update.grads.items() if bool(direction.any())}
    assert players == set(theta.players)
    assert all(torch.equal(tensor, before[key]) for key, tensor in theta.state_dict().items())


@pytest.mark.parametrize("stage", [1, 2])
def test_mamls_direction_is_the_slope_of_the_query_loss_through_the_augmented_game(stage):
    theta, played, query = pair(stage), objective(stage), task().query
    update = gm.algorithms.create("maml", objective=played, inner=INNER).meta_gradient(theta, task(), seed=3)
    draws = torch.Generator().manual_seed(7)
    for player in theta.players:
        names = [name for name in update.grads if name.startswith(player)]
        way = {name: torch.randn(update.grads[name].shape, generator=draws, dtype=torch.float64) for name in names}
        values = []
        for step in (1e-6, -1e-6):
            moved = theta.clone()
            with torch.no_grad():
                for name, parameter in moved.named_parameters():
                    if name in way:
                        parameter.add_(step * way[name])
            losses = played.losses(gm.adapt(moved, played, task().support, INNER, 3), query)
            values.append(float(getattr(losses, player).detach().mean()))
        slope = (values[0] - values[1]) / 2e-6
        expected = float(sum((update.grads[name] * way[name]).sum() for name in names))
        assert slope == pytest.approx(expected, rel=2e-3, abs=1e-6), player


def test_meta_training_brings_the_adapted_loss_down():
    theta, played = pair(1), objective(1)
    inner = gm.InnerLoop(steps=3, lr=3e-3, batch_size=4, schedule="constant", random_augment=PosewarpAugmentation())
    tasks = PairTasks([person(seed, 4) for seed in (1, 2)], shots=3)

    def adapted_loss() -> float:
        support = tasks.sample(11).support
        return float(played.generator_loss(gm.adapt(theta, played, support, inner, 4), support)["G_L1"].detach().mean())

    before = adapted_loss()
    algorithm = gm.algorithms.create("reptile", objective=played, inner=inner, carry_optimizer=True)
    gm.MetaTrainer(theta, algorithm, tasks, iterations=8, meta_lr=1.0, meta_schedule="constant").fit()
    assert adapted_loss() < 0.97 * before
