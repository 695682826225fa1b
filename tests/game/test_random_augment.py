"""Laws of random augmentation: drawn anew in every step, the same in every replay, on one rank and on two."""

from __future__ import annotations

import pytest
import torch

import gan_meta as gm
from gan_meta.distributed import World
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.table import Table
from gan_meta.game.unrolled import record
from gan_meta.training.training_state import describe_inner
from tests.conftest import SharedForwardObjective, SquaresObjective, parameters_of, small_batch, smooth_pair


def noisy(batch: gm.Batch) -> gm.Batch:
    """Each picture moved by a number of its own."""
    return {**batch, "image": batch["image"] + 0.3 * torch.rand(len(batch["image"]), 1, 1, 1).double()}


def unchanged(batch: gm.Batch) -> gm.Batch:
    return dict(batch)


class WithFeatures(SquaresObjective):
    """Would be wrong on changed pictures if it were asked once a game."""

    def precompute(self, batch):
        raise AssertionError("nothing may be precomputed of pictures that change")


def inner(**options) -> gm.InnerLoop:
    return gm.InnerLoop(**{"steps": 3, "lr": 1e-2, "batch_size": 4, "eps": 1e-2, **options})


def test_a_change_that_changes_nothing_is_the_plain_game():
    changed = gm.adapt(smooth_pair(), SquaresObjective(), small_batch(2), inner(random_augment=unchanged), seed=1)
    plain = gm.adapt(smooth_pair(), SquaresObjective(), small_batch(2), inner(unique_samples=False), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(changed.parameters(), plain.parameters(), strict=True))


def test_every_step_draws_anew_and_the_same_seed_the_same():
    drawn: list[torch.Tensor] = []

    def spy(batch: gm.Batch) -> gm.Batch:
        changed = noisy(batch)
        drawn.append(changed["image"] - batch["image"])
        return changed

    runs = [gm.adapt(smooth_pair(), WithFeatures(), small_batch(2), inner(random_augment=spy), seed=seed) for seed in (1, 1, 2)]
    first, second, third = (parameters_of(run) for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
    assert len(drawn) == 9
    assert not torch.equal(drawn[0], drawn[1])
    assert all(torch.equal(drawn[step], drawn[3 + step]) for step in range(3))
    assert len(drawn[0][:, 0, 0, 0].unique()) == 4, "two samples fill the batch of four, and each repeat is another picture"


@pytest.mark.parametrize("objective", [SquaresObjective(), SharedForwardObjective()], ids=["separate", "shared"])
def test_maml_replays_the_same_changes(objective):
    game = inner(random_augment=noisy)
    played = [record(smooth_pair(), objective, small_batch(3), game, 5, memory) for memory in ("unrolled", "sweep")]
    ordinary = parameters_of(gm.adapt(smooth_pair(), objective, small_batch(3), game, 5))
    for run in played:
        for name, parameter in run.phi.named_parameters():
            torch.testing.assert_close(parameter, ordinary[name], rtol=1e-12, atol=1e-14)
    task = gm.Task(small_batch(3), small_batch(2, seed=9))
    directions = [
        gm.algorithms.create("maml", objective=objective, inner=game, memory=memory).meta_gradient(smooth_pair(), task, 5)
        for memory in ("unrolled", "sweep")
    ]
    for name, gradient in directions[0].grads.items():
        torch.testing.assert_close(directions[1].grads[name], gradient, rtol=1e-10, atol=1e-12)


def test_two_ranks_share_the_batch_that_one_would_play():
    pair, game = smooth_pair(), inner(random_augment=noisy)
    tables = [Table(pair, SharedForwardObjective(), small_batch(2), game, 3, share) for share in (None, *map(_rank, (0, 1)))]
    losses = []
    for table in tables:
        with table.iteration(1):
            losses.append(table.losses(game.turns()[0], 1).players)
    for player, whole in losses[0].items():
        torch.testing.assert_close(losses[1][player] + losses[2][player], whole, rtol=1e-12, atol=0)
        assert not torch.equal(losses[1][player], losses[2][player])


def _rank(number: int) -> FrameShare:
    return FrameShare(World(number, 2))


def test_a_checkpoint_names_the_change():
    assert describe_inner(inner(random_augment=noisy))["random_augment"] == "noisy"
    assert describe_inner(inner())["random_augment"] is None
