"""Laws of draws: repeats, epochs, weights, transforms."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_meta.game.draws import Draw, draw


@given(st.integers(1, 8), st.integers(1, 16), st.integers(0, 50))
def test_few_samples_are_repeated_in_order(n, batch_size, position):
    if n <= batch_size:
        assert draw(n, batch_size, 1, position, seed=0).items.tolist() == [i % n for i in range(batch_size)]


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 5))
@settings(max_examples=50)
def test_many_samples_come_once_an_epoch(n, batch_size, seed):
    if n <= batch_size:
        return
    stream = torch.cat([draw(n, batch_size, 1, position, seed).items for position in range(n)])  # batch_size whole epochs
    for epoch in stream.split(n):
        assert sorted(epoch.tolist()) == list(range(n))


def test_epochs_differ_and_a_position_stands_alone():
    first, second = draw(100, 100 - 1, 1, 0, 0).items, draw(100, 100 - 1, 1, 1, 0).items
    assert first.tolist() != second.tolist()
    assert torch.equal(second, draw(100, 100 - 1, 1, 1, 0).items)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_unique_weights_sum_to_one_and_keep_every_mean(items):
    drawn = Draw(torch.tensor(items))
    unique, weights = drawn.unique(torch.float64)
    values = torch.arange(10, dtype=torch.float64) ** 2
    assert abs(float(weights.sum()) - 1) < 1e-12
    assert abs(float((values[unique] * weights).sum() - values[drawn.items].mean())) < 1e-10


def test_transforms_are_equally_likely():
    items = torch.cat([draw(1, 8, 2, position, 0).items for position in range(500)])
    assert abs(float((items == 1).double().mean()) - 0.5) < 0.03  # 4000 draws: two standard deviations are 0.016
