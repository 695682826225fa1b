"""MAML equals `learn2learn` (Arnold et al., 2020) where both play the same game: one player and SGD."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from tests.conftest import small_batch, smooth_pair
from tests.oracles.learn2learn_source import algorithm_module
from tests.oracles.test_higher import Alone, repeated


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
@pytest.mark.parametrize("name", ["maml", "fomaml"])
def test_one_player(name, memory):
    generator, task = smooth_pair(norm=False).generator, gm.Task(small_batch(5), small_batch(4, seed=9))
    inner = gm.InnerLoop(steps=4, optimizer="sgd", lr=5e-2, schedule="constant")
    options = {"memory": memory} if name == "maml" else {}
    update = gm.algorithms.create(name, objective=Alone(), inner=inner, **options).meta_gradient(gm.GANPair(generator), task)

    learner = algorithm_module("maml").MAML(generator, lr=5e-2, first_order=name == "fomaml").clone()
    support = repeated(task.support)
    for _ in range(4):
        learner.adapt((learner(support["pose"]) - support["image"]).square().mean())
    loss = (learner(task.query["pose"]) - task.query["image"]).square().mean()
    parameters = dict(generator.named_parameters(prefix="generator"))
    for parameter_name, gradient in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
        torch.testing.assert_close(update.grads[parameter_name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("memory", ["unrolled", "sweep"])
def test_meta_sgd(memory):
    generator, task = smooth_pair(norm=False).generator, gm.Task(small_batch(5), small_batch(4, seed=9))
    pair = gm.add_learned_rates(gm.GANPair(generator))
    inner = gm.InnerLoop(steps=4, optimizer="sgd", lr=5e-2, schedule="constant")
    update = gm.algorithms.create("meta-sgd", objective=Alone(), inner=inner, memory=memory).meta_gradient(pair, task)

    meta = algorithm_module("meta_sgd").MetaSGD(generator, lr=5e-2)
    learner, support = meta.clone(), repeated(task.support)
    for _ in range(4):
        learner.adapt((learner(support["pose"]) - support["image"]).square().mean())
    loss = (learner(task.query["pose"]) - task.query["image"]).square().mean()
    parameters = dict(generator.named_parameters(prefix="generator"))
    found = torch.autograd.grad(loss, [*parameters.values(), *meta.lrs])
    for number, name in enumerate(parameters):
        torch.testing.assert_close(update.grads[name], found[number], rtol=1e-9, atol=1e-12)
        # Theirs is the rate, ours its multiple of lr.
        torch.testing.assert_close(update.grads[f"rates.{name}"], 5e-2 * found[len(parameters) + number], rtol=1e-9, atol=1e-12)
