"""Intervals and tests against scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metapix.evaluation.statistics import bootstrap, compare, sign_flip_test
from scipy import stats

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=9)


def sample(n: int, seed: int = 0, mean: float = 0.4) -> list[float]:
    return (np.random.default_rng(seed).normal(mean, 1.0, n)).tolist()


def test_the_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    values = sample(8)
    mine = bootstrap(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="percentile", random_state=1).confidence_interval
    assert mine.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_two_videos_give_the_interval_from_one_to_the_other() -> None:
    interval = bootstrap([1.0, 3.0])
    assert (interval.mean, interval.low, interval.high) == (2.0, 1.0, 3.0)  # each end is drawn a quarter of the time


@pytest.mark.parametrize("n", [3, 8, 11])
def test_the_exact_test_agrees_with_scipy(n: int) -> None:
    differences = sample(n, seed=n)
    theirs = stats.permutation_test((differences, np.zeros(n)), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_many_videos_are_tested_by_random_signs() -> None:
    differences = sample(30, mean=0.35)
    t_test = stats.ttest_1samp(differences, 0.0).pvalue
    assert sign_flip_test(differences) == pytest.approx(t_test, rel=0.25, abs=0.01)


def test_the_smallest_value_that_a_number_of_videos_can_give() -> None:
    assert [sign_flip_test([1.0] * n) for n in (1, 5, 8)] == [1.0, 2 / 2**5, 2 / 2**8]


@settings(max_examples=25, deadline=None)
@given(values=VALUES, shift=st.floats(-50, 50))
def test_laws_of_the_interval(values: list[float], shift: float) -> None:
    interval, moved = bootstrap(values), bootstrap([value + shift for value in values])
    assert min(values) - 1e-9 <= interval.low <= interval.mean + 1e-9
    assert interval.mean - 1e-9 <= interval.high <= max(values) + 1e-9
    assert (moved.low, moved.high) == pytest.approx((interval.low + shift, interval.high + shift), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(values=VALUES)
def test_the_test_does_not_care_about_the_sign(values: list[float]) -> None:
    assert sign_flip_test(values) == sign_flip_test([-value for value in values])
    assert 2 / 2 ** len(values) <= sign_flip_test(values) <= 1


def test_the_interval_of_five_videos_is_too_narrow_as_said() -> None:
    generator = np.random.default_rng(0)
    table = generator.normal(size=(400, 5))
    held = [(interval := bootstrap(row.tolist())).low <= 0 <= interval.high for row in table]
    assert np.mean(held) == pytest.approx(0.83, abs=0.05)


def test_pairs_are_by_name() -> None:
    found = compare({"a": 3.0, "b": 5.0, "c": 1.0}, {"b": 4.0, "a": 1.0, "d": 100.0})
    assert found is not None
    assert (found.difference.mean, found.better, found.videos) == (1.5, 2, 2)
    assert compare({"a": 1.0}, {"b": 1.0}) is None


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [math.inf]])
def test_nothing_and_what_is_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="interval over videos needs"):
        bootstrap(values)
