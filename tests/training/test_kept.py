"""What a joint training keeps outside of its checkpoints is said, once, and what makes no difference is not."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import gan_meta as gm
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair


class Counting(SquaresObjective):
    """An objective that counts its calls, in a slot."""

    __slots__ = ("calls",)

    def __init__(self):
        self.calls = 0

    def generator_loss(self, pair, batch):
        self.calls += 1
        return super().generator_loss(pair, batch)


class Iterating(SquaresObjective):
    """One that walks along a list."""

    def __init__(self):
        self.shares = iter([0.1] * 1000)

    def discriminator_loss(self, pair, batch):
        return super().discriminator_loss(pair, batch) * next(self.shares)


CALLS: list[int] = []


class CountingElsewhere(SquaresObjective):
    """One that counts in a variable of its module."""

    def generator_loss(self, pair, batch):
        CALLS.append(1)
        loss = gm.objective.total(super().generator_loss(pair, batch))[0]
        return loss * (1 + len(CALLS))


class Remembering(SquaresObjective):
    """One that keeps the last scores, for whoever wants to look at them."""

    def discriminator_loss(self, pair, batch):
        self.scores = super().discriminator_loss(pair, batch)
        return self.scores


class Averaging(nn.Module):
    """A module that averages what it sees, in a plain attribute."""

    def __init__(self):
        super().__init__()
        self.mean = torch.zeros((), dtype=torch.float64)

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean


def averaging(pair):
    pair.discriminator.insert(0, Averaging())


def old_weight_norm(pair):
    nn.utils.weight_norm(pair.discriminator[0])


def train(objective, change, folder, steps=3):
    pair = smooth_pair()
    change(pair)
    gm.pretrain(pair, objective, small_batch(5), steps=steps, inner=gm.InnerLoop(), run_dir=folder, checkpoint_every=1)
    return parameters_of(pair)


def unchanged(_pair):
    """As it is."""


@pytest.mark.parametrize(
    ("objective", "change", "name"),
    [
        (Counting(), unchanged, "Counting.calls"),
        (Iterating(), unchanged, "Iterating.shares"),
        (CountingElsewhere(), unchanged, "a variable of a class, a module or a function that the losses use"),
        (SquaresObjective(), averaging, "discriminator.0.mean"),
    ],
)
def test_what_no_checkpoint_has_is_named_once(objective, change, name, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train(objective, change, tmp_path)
    said = [record.getMessage() for record in caplog.records if "in no checkpoint" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(f"{name}: kept from iteration to iteration, but in no checkpoint")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("objective", "change"), [(SquaresObjective(), unchanged), (Remembering(), unchanged), (SquaresObjective(), old_weight_norm)]
)
def test_what_makes_no_difference_is_not_named(objective, change, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train(objective, change, tmp_path)
    assert not caplog.records


def test_the_question_moves_nothing(tmp_path):
    pair = smooth_pair()
    averaging(pair)
    gm.pretrain(pair, SquaresObjective(), small_batch(5), steps=3, inner=gm.InnerLoop())
    asked = train(SquaresObjective(), averaging, tmp_path)
    assert all(torch.equal(asked[name], weight) for name, weight in parameters_of(pair).items())
