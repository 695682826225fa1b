"""Losses that look like one value a sample but look at the other samples play their repeats as repeats, in every game and algorithm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta.distributed import World
from gan_meta.game.frame_share import FrameShare
from gan_meta.objective import total
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair


def mirror(batch):
    return {name: tensor.flip(-1) for name, tensor in batch.items()}


COUPLINGS = {
    "relativistic": lambda score: score - score.mean(),
    "a baseline without gradient": lambda score: score - score.mean().detach(),
    "spread": lambda score: score * (1 + score.std(correction=0)),
    "contrastive": lambda score: score - torch.logsumexp(score, 0),
    "the neighbour before": lambda score: score + (score - torch.cat([score[:1], score[:-1]])).square(),
    "the neighbour after": lambda score: score + score.roll(-1),
    "running sum": lambda score: score.cumsum(0),
    "rank": lambda score: score * (1 + score.argsort().argsort()),
}


class Coupled(SquaresObjective):
    def __init__(self, name):
        self.name = name

    def generator_loss(self, pair, batch):
        fake = pair.generator(batch["pose"])
        score = pair.discriminator(torch.cat([batch["pose"], fake], 1)).flatten(1).mean(1)
        return total(super().generator_loss(pair, batch))[0] + COUPLINGS[self.name](score).square()


class CoupledLater(Coupled):
    """Couples the samples from the second iteration on."""

    def generator_loss(self, pair, batch, *, step):
        return super().generator_loss(pair, batch) if step else total(SquaresObjective.generator_loss(self, pair, batch))[0]


def both(name, shots, objective=Coupled, pair=None, **options):
    """phi as it is played, and with every repeat."""
    inner = {"steps": 3, "lr": 1e-2, "optimizer": "sgd", "batch_size": 8, **options}
    pair = pair or smooth_pair(norm=False)
    return tuple(
        parameters_of(gm.adapt(pair, objective(name), small_batch(shots), gm.InnerLoop(**inner, unique_samples=unique), seed=3))
        for unique in (True, False)
    )


def assert_close(one, other):
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("shots", [1, 2, 3, 5])
@pytest.mark.parametrize("name", COUPLINGS)
def test_coupled_losses_play_repeats(name, shots):
    assert_close(*both(name, shots))
    assert_close(*both(name, shots, augment=(mirror,), update="alternating"))


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_coupling_that_comes_later_is_seen(name):
    assert_close(*both(name, 3, CoupledLater))


@pytest.mark.parametrize("algorithm", ["reptile", "fomaml", "maml"])
def test_an_algorithm_looks_again_where_it_has_seen_one_sample_only(algorithm):
    """What its workbench learnt of one sample says nothing of several, and what an attribute switches is looked at anew."""
    objective = Coupled("relativistic")
    used = gm.algorithms.create(algorithm, objective=objective, inner=gm.InnerLoop(steps=2, lr=1e-2, optimizer="sgd"))
    pair, query = smooth_pair(norm=False), small_batch(2, seed=9)
    for shots, name in ((1, "relativistic"), (3, "relativistic"), (3, "contrastive"), (1, "contrastive")):
        objective.name = name
        fresh = gm.algorithms.create(
            algorithm,
            objective=Coupled(name),
            inner=gm.InnerLoop(steps=2, lr=1e-2, optimizer="sgd", unique_samples=False),
        )
        task = gm.Task(small_batch(shots), query)
        assert_close(used.meta_gradient(pair, task, seed=1).grads, fresh.meta_gradient(pair, task, seed=1).grads)


class Counting(SquaresObjective):
    def __init__(self):
        self.seen = []

    def generator_loss(self, pair, batch):
        self.seen.append(len(batch["image"]))
        return super().generator_loss(pair, batch)


@pytest.mark.parametrize("norm", ["none", "spectral", "weight"])
def test_losses_of_each_sample_alone_still_save_the_repeats(norm):
    pair = smooth_pair(norm=True).float()
    if norm != "none":
        kind = nn.utils.parametrizations.spectral_norm if norm == "spectral" else nn.utils.parametrizations.weight_norm
        kind(pair.discriminator[0])
    for shots in (1, 2, 5):
        objective = Counting()
        batch = {name: tensor.float() for name, tensor in small_batch(shots).items()}
        gm.adapt(pair, objective, batch, gm.InnerLoop(steps=2))
        assert objective.seen == [shots, shots]


def test_losses_that_fail_for_other_samples_play_repeats():
    class Picky(SquaresObjective):
        def generator_loss(self, pair, batch):
            if len(batch["image"]) not in (2, 8):
                raise ValueError("an even number, please")
            return super().generator_loss(pair, batch)

    inner = gm.InnerLoop(steps=2, optimizer="sgd")
    assert_close(
        parameters_of(gm.adapt(smooth_pair(), Picky(), small_batch(2), inner)),
        parameters_of(gm.adapt(smooth_pair(), SquaresObjective(), small_batch(2), inner)),
    )


@pytest.mark.parametrize("name", COUPLINGS)
def test_ranks_cannot_share_what_is_coupled(name):
    class Alone(World):
        def sum_flat(self, tensors):
            return list(tensors)

    from gan_meta.game.adaptation import play

    share = FrameShare(Alone(rank=0, size=2))
    with pytest.raises(ValueError, match="a sample's loss depends on the others of its batch, which several ranks cannot share"):
        play(smooth_pair(norm=False), Coupled(name), small_batch(4), gm.InnerLoop(steps=1), share=share)


@pytest.mark.parametrize("algorithm", ["fomaml", "maml"])
@pytest.mark.parametrize("name", COUPLINGS)
def test_a_query_of_coupled_losses_is_not_split(name, algorithm):
    inner = gm.InnerLoop(steps=1, lr=1e-2)
    task = gm.Task(small_batch(2), small_batch(5, seed=1))
    split = gm.algorithms.create(algorithm, objective=Coupled(name), inner=inner, query_batch_size=2)
    with pytest.raises(ValueError, match="the generator's loss of a sample depends on the others, so query_batch_size=2 would change it"):
        split.meta_gradient(smooth_pair(norm=False), task)
    whole, halves = (
        gm.algorithms.create(algorithm, objective=SquaresObjective(), inner=inner, query_batch_size=size).meta_gradient(smooth_pair(), task)
        for size in (None, 2)
    )
    assert_close(whole.grads, halves.grads)
