"""Laws of the game's options: schedules, turns and roles."""

from __future__ import annotations

import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gan_meta as gm
from gan_meta.game.inner import SCHEDULES
from gan_meta.game.roles import ROLES, resolve_roles
from tests.conftest import smooth_pair

NAMES = [name for name, _ in smooth_pair().named_parameters()]
GLOBS = st.sampled_from(["*", "generator.*", "discriminator.*", "*.bias", "*.0.*", "generator.3.weight"])
RATES = st.floats(1e-6, 1.0)


@given(steps=st.integers(1, 300), lr=RATES)
def test_law_linear_schedule(steps, lr):
    """Constant for the first half, never rising, never 0, and a half's worth of its steps fall by equal amounts."""
    rates = [gm.InnerLoop(steps=steps, lr=lr).lr_at(i) for i in range(steps)]
    assert rates[: (steps + 1) // 2] == [lr] * ((steps + 1) // 2)
    assert all(earlier >= later > 0 for earlier, later in itertools.pairwise(rates))
    falls = [earlier - later for earlier, later in itertools.pairwise(rates[steps // 2 + 1 :])]
    assert falls == pytest.approx([lr / (steps / 2)] * len(falls))


@given(steps=st.integers(0, 50), lr=RATES, discriminator_lr=st.none() | RATES, schedule=st.sampled_from(SCHEDULES))
def test_law_players_rates_keep_their_proportion(steps, lr, discriminator_lr, schedule):
    inner = gm.InnerLoop(steps=steps, lr=lr, discriminator_lr=discriminator_lr, schedule=schedule)
    for i in range(max(steps, 1)):
        expected = inner.lr_at(i) * (1 if discriminator_lr is None else discriminator_lr / lr)
        assert inner.lr_at(i, "discriminator") == pytest.approx(expected)


@given(ratio=st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_law_turns(ratio):
    """Each player has its number of updates, on different batches, the discriminator first."""
    turns = gm.InnerLoop(update="alternating", update_ratio=ratio).turns()
    for player, updates in zip(("discriminator", "generator"), ratio, strict=True):
        assert [turn.batch for turn in turns if turn.players == (player,)] == list(range(updates))
    assert turns[0].players == ("discriminator",)
    assert len(turns) == sum(ratio)


@given(globs=st.dictionaries(GLOBS, st.sampled_from(list(ROLES))))
def test_law_the_last_matching_glob_decides(globs):
    resolved = resolve_roles(smooth_pair(), globs)
    assert list(resolved) == NAMES
    for name, role in resolved.items():
        matching = [asked for glob, asked in globs.items() if fnmatch.fnmatch(name, glob)]
        assert role == (matching[-1] if matching else "meta")


@given(globs=st.dictionaries(st.sampled_from(["*", "generator.*", "*.bias"]), st.sampled_from(list(ROLES))))
@pytest.mark.parametrize(("freeze_d", "role"), [("reset", "local"), ("always", "frozen")])
def test_law_freeze_d_has_the_last_word_on_the_discriminator(freeze_d, role, globs):
    resolved = resolve_roles(smooth_pair(), gm.InnerLoop(freeze_d=freeze_d, roles=globs).all_roles)
    assert {asked for name, asked in resolved.items() if name.startswith("discriminator")} == {role}


def test_parameters_without_gradient_are_frozen_whatever_is_asked():
    pair = smooth_pair()
    pair.generator[0].weight.requires_grad_(False)
    assert resolve_roles(pair, {"generator.0.weight": "meta"})["generator.0.weight"] == "frozen"
