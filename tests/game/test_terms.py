"""Terms are logged under names of their own: none takes the place of a total, and none of another player's term."""

from __future__ import annotations

import csv

import pytest
import torch

import gan_meta as gm
from gan_meta.game.terms import RESERVED
from gan_meta.objective import total
from tests.conftest import SquaresObjective, small_batch, smooth_pair


class Named(SquaresObjective):
    """Gives its losses as terms of these names."""

    def __init__(self, generator=("G_GAN",), discriminator=("D_GAN",)):
        self.names = {"generator": generator, "discriminator": discriminator}

    def _named(self, player, loss):
        summed = total(loss)[0]
        return {name: summed / len(self.names[player]) for name in self.names[player]}

    def generator_loss(self, pair, batch):
        return self._named("generator", super().generator_loss(pair, batch))

    def discriminator_loss(self, pair, batch):
        return self._named("discriminator", super().discriminator_loss(pair, batch))


class Shared(Named):
    """The same from one forward pass, all terms in one dict."""

    def losses(self, pair, batch):
        parts = {**self.generator_loss(pair, batch), **self.discriminator_loss(pair, batch)}
        return gm.Losses(total(self.generator_loss(pair, batch))[0], total(self.discriminator_loss(pair, batch))[0], parts)


def play(objective, **options):
    return gm.adapt(smooth_pair(), objective, small_batch(2), gm.InnerLoop(steps=1, **options))


@pytest.mark.parametrize("order", ["simultaneous", "alternating"])
@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_term_cannot_have_a_name_of_the_logs(name, order):
    for objective in (Named((name,)), Named(discriminator=("D_GAN", name)), Shared((name, "G"))):
        with pytest.raises(ValueError, match=f"names a term '{name}', which the logs have for something else"):
            play(objective, update=order)


def test_what_the_logs_say_is_reserved(tmp_path):
    """Whatever a training writes of its own accord is in the list."""
    algorithm = gm.algorithms.create("fomaml", objective=SquaresObjective(), inner=gm.InnerLoop(steps=1))
    trainer = gm.MetaTrainer(
        smooth_pair(), algorithm, [gm.Task(small_batch(2), small_batch(2))], iterations=1, run_dir=tmp_path, logs=("csv",)
    )
    trainer.fit()
    written = set((tmp_path / "meta-training.csv").read_text().splitlines()[0].split(","))
    assert written - {"G_GAN", "G_L2"} <= RESERVED


@pytest.mark.parametrize("order", ["simultaneous", "alternating"])
def test_both_players_cannot_have_a_term_of_one_name(order):
    with pytest.raises(ValueError, match="both players' losses have a term 'adv', of which the logs would keep one"):
        play(Named(("l1", "adv"), ("adv", "gp")), update=order)
    with pytest.raises(ValueError, match="both players' losses have a term 'adv'"):
        Named(("adv",), ("adv",)).losses(smooth_pair(), small_batch(2))


def test_maml_says_it_too():
    algorithm = gm.algorithms.create("maml", objective=Named(("adv",), ("adv",)), inner=gm.InnerLoop(steps=1))
    with pytest.raises(ValueError, match="both players' losses have a term 'adv'"):
        algorithm.meta_gradient(smooth_pair(), gm.Task(small_batch(2), small_batch(2)))


def test_a_name_is_a_string():
    with pytest.raises(ValueError, match="names a term 3; a term's name is a string"):
        play(Named((3,)))


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a\r", "\x0b", "\x85b"])
def test_a_name_is_one_line(name):
    with pytest.raises(ValueError, match="a term's name is one line"):
        play(Named((name,)))


def test_a_name_may_have_any_letters_and_a_resumed_table_keeps_them(tmp_path):
    names = ("a/b c", "é 漢字 😀", 'q"x', "c,d", "")

    def training(iterations):
        algorithm = gm.algorithms.create("reptile", objective=Named(names), inner=gm.InnerLoop(steps=1))
        options = {"run_dir": tmp_path, "logs": ("csv", "jsonl"), "best_by": names[0], "meta_schedule": "constant", "checkpoint_every": 1}
        return gm.MetaTrainer(smooth_pair(), algorithm, [gm.Task(small_batch(2))], 2, **options, on_iteration=stop(iterations))

    def stop(iterations):
        def after(iteration, _logs):
            if iteration == iterations:
                raise InterruptedError

        return after

    with pytest.raises(InterruptedError):
        training(1).fit()
    training(3).fit(resume=True)
    with (tmp_path / "meta-training.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["1", "2"]
    assert all(float(row[name]) > 0 for row in rows for name in names)


def test_a_players_turns_may_come_again():
    """Several updates of one player have the same terms; and one dict may serve both players."""
    logs = []
    options = {"update": "alternating", "update_ratio": (2, 1)}
    for objective in (Named(), Shared()):
        inner = gm.InnerLoop(steps=2, **options)
        gm.adapt(smooth_pair(), objective, small_batch(2), inner, on_step=lambda _step, _pair, losses: logs.append(set(losses)))
    assert logs == [{"generator", "discriminator", "G_GAN", "D_GAN"}] * 4


def test_totals_stay_totals():
    found = {}
    gm.adapt(smooth_pair(), SquaresObjective(), small_batch(2), gm.InnerLoop(steps=1), on_step=lambda *step: found.update(step[2]))
    torch.testing.assert_close(found["generator"], found["G_GAN"] + found["G_L2"])
