"""Options that make games faster: compiled players that stay compiled from task to task, and bfloat16 with weights as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import gan_meta as gm
from gan_meta.game.engine import Game
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair


class CountingBackend:
    """A backend of torch.compile that compiles nothing, but counts the graphs it is given and their runs."""

    def __init__(self) -> None:
        self.graphs = self.runs = 0

    def __call__(self, graph, example_inputs):
        self.graphs += 1

        def run(*inputs):
            self.runs += 1
            return graph(*inputs)

        return run


@pytest.mark.parametrize("update", ["simultaneous", "alternating"])
def test_no_task_and_no_number_of_frames_compiles_anew(update):
    """After three games torch knows one frame and several; from then on every step runs compiled and nothing is compiled."""
    torch._dynamo.reset()
    backend, objective = CountingBackend(), SharedForwardObjective()
    inner = gm.InnerLoop(steps=2, lr=1e-2, update=update)
    pair = smooth_pair()
    pair.compile(backend=backend)
    algorithm = gm.algorithms.create("reptile", objective=objective, inner=inner)
    for shots in (5, 4, 1):
        algorithm.meta_gradient(pair, gm.Task(small_batch(shots)))
    compiled, before = backend.graphs, backend.runs
    for shots in (3, 6, 8, 2, 7, 1, 5):
        algorithm.meta_gradient(pair, gm.Task(small_batch(shots, seed=shots)), seed=shots)
    assert backend.graphs == compiled > 0
    # A step asks G once and D twice; in turns, D's loss asks the same and then G's loss each of them once.
    assert backend.runs - before == 7 * inner.steps * (3 if update == "simultaneous" else 5)


def test_copies_are_compiled_and_give_the_same():
    torch._dynamo.reset()
    backend = CountingBackend()
    pair, plain = smooth_pair(), smooth_pair()
    pair.compile(backend=backend)
    assert [name for name, _ in pair.named_parameters()] == [name for name, _ in plain.named_parameters()]
    inner = gm.InnerLoop(steps=2, lr=1e-2)
    adapted = gm.adapt(pair, SquaresObjective(), small_batch(3), inner)
    assert backend.runs > 0
    assert_close(parameters_of(adapted), parameters_of(gm.adapt(plain, SquaresObjective(), small_batch(3), inner)), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="MAML cannot use the compiled module"):
        gm.algorithms.create("maml", objective=SquaresObjective(), inner=inner).meta_gradient(pair, gm.Task(small_batch(3), small_batch(2)))


class Linear(gm.Objective):
    """What a generator makes of the pose, against the picture; its precomputed target shows its own type."""

    def precompute(self, batch):
        return {"target": nn.functional.conv2d(batch["image"], torch.eye(3)[..., None, None])}

    def generator_loss(self, pair, batch):
        made = pair.generator(batch["pose"])
        self.types = made.dtype, batch["target"].dtype
        return gm.losses.sample_mean((made - batch["target"]).square())


def small_generator() -> gm.GANPair:
    torch.manual_seed(0)
    return gm.GANPair(nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1)))


def single(n: int) -> gm.Batch:
    return {name: tensor.float() for name, tensor in small_batch(n).items()}


def test_bfloat16_is_used_by_the_networks_and_nowhere_else():
    inner = gm.InnerLoop(steps=3, lr=1e-2, precision="bfloat16", schedule="constant")
    objective = Linear()
    game = Game(small_generator(), objective, single(4), inner)
    losses = game.step()
    assert objective.types == (torch.bfloat16, torch.bfloat16)
    assert losses["generator"].dtype == torch.float32
    kept = [tensor for state in game.optimizers["generator"].state.values() for tensor in state.values()]
    assert {tensor.dtype for tensor in (*game.pair.parameters(), *kept)} == {torch.float32}
    exact = Game(small_generator(), Linear(), single(4), gm.InnerLoop(steps=3, lr=1e-2, schedule="constant"))
    exact.step()
    for ours, theirs in zip(game.pair.parameters(), exact.pair.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        # Eight bits a number: an error of a few hundredths of a gradient's norm, but one there is.
        error = float((ours.grad - theirs.grad).norm() / theirs.grad.norm())
        assert 1e-6 < error < 0.05


def test_autocast_around_a_game_sees_the_weights_as_they_stand():
    """Autocast keeps its copies of weights until it ends; a game inside it must not play on with those of its first step."""
    game = {"steps": 4, "lr": 1e-2, "schedule": "constant"}
    inside = gm.adapt(small_generator(), Linear(), single(4), gm.InnerLoop(**game, precision="bfloat16"))
    with torch.autocast("cpu", torch.bfloat16):
        around = gm.adapt(small_generator(), Linear(), single(4), gm.InnerLoop(**game))
    assert_close(parameters_of(around), parameters_of(inside), rtol=0, atol=0)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision"):
        gm.InnerLoop(precision="bfloat")
