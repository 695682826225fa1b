"""Seeded blocks: what is drawn in them is a function of the seed, in any thread; and the process's generators stay as they were."""

from __future__ import annotations

import os
import random
import threading
import warnings
from concurrent import futures

import numpy as np
import pytest
import torch
from torch import nn

import gan_meta as gm
from gan_meta import seeds
from gan_meta.seeds import between_blocks, derive_seed, random_state, seeded
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair

DRAWS = {"torch": lambda: float(torch.rand(())), "python": random.random, "numpy": lambda: float(np.random.rand())}  # noqa: NPY002


class Drawing(SquaresObjective):
    """Its generator's loss is scaled at random."""

    def __init__(self, by: str) -> None:
        self.by = by

    def generator_loss(self, pair, batch):
        return sum(super().generator_loss(pair, batch).values()) * (0.5 + DRAWS[self.by]())


def in_threads(count, work):
    """What each thread's work gives, all begun together; an error in one is raised here."""
    gate, results, errors = threading.Barrier(count), [], []

    def run():
        gate.wait()
        try:
            results.append(work())
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


def is_same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def dropout_pair():
    pair = smooth_pair()
    pair.generator.insert(2, nn.Dropout(0.3))
    return pair


@pytest.mark.parametrize("by", DRAWS)
def test_a_block_draws_by_its_seed_and_leaves_no_trace(by):
    before = random_state()
    drawn = []
    for seed in (1, 2, 1):
        with seeded(seed):
            drawn.append(DRAWS[by]())
            with seeded(7):
                DRAWS[by]()
            drawn.append(DRAWS[by]())
    assert drawn[:2] == drawn[4:] != drawn[2:4]
    assert before == random_state()
    DRAWS[by]()
    assert before != random_state()
    before.restore()
    assert before == random_state()


@pytest.mark.parametrize("work", ["dropout", *DRAWS, "reptile", "fomaml", "maml"])
def test_threads_play_what_one_plays_alone(work):
    pair = dropout_pair()
    objective = Drawing(work) if work in DRAWS else SquaresObjective()
    inner = gm.InnerLoop(steps=6, lr=1e-2)
    task = gm.Task(small_batch(3), small_batch(2, seed=1))
    # One algorithm for all threads: each has a workbench of its own.
    algorithm = None if work == "dropout" or work in DRAWS else gm.algorithms.create(work, objective=objective, inner=inner)

    def play():
        if algorithm is not None:
            return algorithm.meta_gradient(pair, task, seed=7).grads
        return parameters_of(gm.adapt(pair, objective, task.support, inner, seed=7))

    alone, before = play(), random_state()
    assert all(is_same(alone, found) for found in in_threads(4, play))
    assert before == random_state()


def test_two_trainings_at_once_are_two_trainings():
    def train():
        pair = smooth_pair_of(0)
        algorithm = gm.algorithms.create("reptile", objective=Drawing("numpy"), inner=gm.InnerLoop(steps=2, lr=1e-2))
        return parameters_of(gm.MetaTrainer(pair, algorithm, [gm.Task(small_batch(3))], iterations=3).fit())

    def smooth_pair_of(seed):
        with seeded(seed):
            return smooth_pair(seed)

    alone = train()
    assert all(is_same(alone, found) for found in in_threads(3, train))


def test_an_optimiser_state_that_is_carried_belongs_to_one_thread_at_a_time():
    waiting, go = threading.Event(), threading.Event()

    class Slow(SquaresObjective):
        def generator_loss(self, pair, batch):
            waiting.set()
            go.wait(10)
            return super().generator_loss(pair, batch)

    pair, task = smooth_pair(), gm.Task(small_batch(2))
    algorithm = gm.algorithms.create("reptile", objective=Slow(), inner=gm.InnerLoop(steps=1), carry_optimizer=True)
    # A game waits for its turn to draw before it takes the state up, so a second one is refused only where it asks out of turn.
    first = threading.Thread(target=algorithm.meta_gradient, args=(pair, task))
    first.start()
    assert waiting.wait(10)
    try:
        with pytest.raises(RuntimeError, match="one after another, in one thread at a time"):
            algorithm.carried.played_on(None).__enter__()
    finally:
        go.set()
        first.join()
    assert len(in_threads(1, lambda: algorithm.meta_gradient(pair, task).grads)) == 1


class Asking(SquaresObjective):
    """Plays a game in other threads, and waits for them."""

    def __init__(self, way):
        self.way, self.errors = way, []

    def generator_loss(self, pair, batch):
        def play():
            try:
                gm.adapt(smooth_pair(), SquaresObjective(), small_batch(2), gm.InnerLoop(steps=1))
            except RuntimeError as error:
                said.append(str(error))

        said = []
        if self.way == "join":
            thread = threading.Thread(target=play, daemon=True)
            thread.start()
            thread.join()
        else:
            with futures.ThreadPoolExecutor(2) as pool:
                futures.wait([pool.submit(play)]) if self.way == "wait" else list(pool.map(lambda _: play(), range(1)))
        self.errors = said
        return super().generator_loss(pair, batch)


@pytest.mark.parametrize("way", ["join", "map", "wait"])
def test_a_game_that_waits_for_a_thread_that_waits_for_it_is_refused_there(way, monkeypatch):
    monkeypatch.setattr(seeds, "_LOOK", 0.05)
    objective = Asking(way)
    gm.adapt(smooth_pair(), objective, {name: value[:1] for name, value in small_batch(2).items()}, gm.InnerLoop(steps=1, batch_size=1))
    assert [error.partition(":")[0] for error in objective.errors] == ["two threads wait for each other"]


def test_between_blocks_the_generators_are_put_back_once():
    before = random_state()
    with seeded(3):
        outside = DRAWS["numpy"]()
        with between_blocks():
            for seed in (1, 2):
                with seeded(seed):
                    inside = random_state()
                    with seeded(5):
                        DRAWS["numpy"]()
                    assert inside == random_state()
        after = DRAWS["numpy"]()
    with seeded(3):
        assert [outside, after] == [DRAWS["numpy"](), DRAWS["numpy"]()]
    assert before == random_state()


def test_what_is_called_after_each_iteration_draws_from_the_process_s_generators():
    def play(seed):
        drawn = []
        torch.manual_seed(5)
        gm.adapt(dropout_pair(), SquaresObjective(), small_batch(2), gm.InnerLoop(steps=2), seed, lambda *_: drawn.append(DRAWS["torch"]()))
        return drawn

    assert play(1) == play(2)


def test_a_process_forked_while_another_thread_plays_can_play(tmp_path):
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with seeded(0):
            inside.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(10)
    with warnings.catch_warnings():  # newer Pythons warn of forks beside threads, which is what is tried here
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # nothing but the block, and out without the parent's endings
        with seeded(1):
            value = torch.rand(()).item()
        (tmp_path / "drawn").write_text(str(value))
        os._exit(0)
    leave.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
    with seeded(1):
        assert float((tmp_path / "drawn").read_text()) == torch.rand(()).item()


def test_pairs_load_in_several_threads(tmp_path):
    pair = gm.models.create("dcgan", base_channels=4, discriminator_channels=4, size=16)
    gm.save_pair(pair, tmp_path / "pair.safetensors")
    loaded = in_threads(6, lambda: gm.load_pair(tmp_path / "pair.safetensors").state_dict())
    assert all(is_same(pair.state_dict(), found) for found in loaded)


def test_seeds_of_seeds_tell_their_parts_apart():
    assert len({derive_seed(0, part) for part in (1, -1, "1", 0)}) == 4
    assert derive_seed(3, "a") == derive_seed(np.int64(3), "a")
