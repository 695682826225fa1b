"""A training is a function of its seed, whatever its samples draw from: repeated and resumed runs end in the same bits."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import gan_meta as gm
from tests.conftest import SquaresObjective, parameters_of, small_batch, smooth_pair

DRAWS = {"torch": lambda: float(torch.rand(())), "python": random.random, "numpy": lambda: float(np.random.rand())}  # noqa: NPY002
BATCH = small_batch(90)


class Augmenting(Dataset):
    """Brightness at random; its items are dicts."""

    def __init__(self, draw, count=12):
        self.draw, self.count = draw, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError
        scale = 0.5 + self.draw()
        return {"pose": BATCH["pose"][index], "image": BATCH["image"][index] * scale}


class Labelled(Augmenting):
    def __getitem__(self, index):
        return {**super().__getitem__(index), "label": index % 2}


class Batches(Augmenting):
    """The same as a BatchSource."""

    def batch(self, indices):
        items = [self[index] for index in indices]
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}


class Workers(Augmenting):
    """Its items come through the workers of a DataLoader."""

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError
        loader = DataLoader(torch.utils.data.Subset(Augmenting(self.draw), [index]), num_workers=1, batch_size=None)
        return next(iter(loader))


class Own:
    """A source that draws from global generators itself."""

    def __init__(self, draw):
        self.draw = draw

    def sample(self, seed):
        return gm.Task({"pose": BATCH["pose"][:3], "image": BATCH["image"][:3] * self.draw()})


class TaskSet:
    """As learn2learn's with a number of tasks: classes are drawn once, samples at every reading."""

    num_tasks = 4

    def __init__(self, draw):
        self.draw, self.described = draw, {}

    def __len__(self):
        return self.num_tasks

    def __getitem__(self, index):
        if index not in self.described:
            self.described[index] = int(40 * self.draw())
        first = self.described[index]
        return {name: tensor[first : first + 5] * (0.5 + self.draw()) for name, tensor in BATCH.items()}


SOURCES = {
    "few shots": lambda draw: gm.FewShotTasks([Augmenting(draw)], shots=3, queries=2),
    "batch source": lambda draw: gm.FewShotTasks([Batches(draw)], shots=3, queries=2),
    "labels": lambda draw: gm.sources.from_dataset(Labelled(draw), shots=3, queries=2),
    "fixed": lambda draw: [gm.Task(Augmenting(draw), Augmenting(draw, 2))],
    "fixed, large": lambda draw: [gm.Task(Augmenting(draw, 70), Batches(draw, 2))],
    "own source": Own,
    "task set": lambda draw: gm.sources.TaskDatasetTasks(TaskSet(draw), shots=3, queries=2),
}


class Stopped(Exception):
    """What a test stops a training with."""


def scramble(number):
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002


def stopping_at(stop):
    def notice(iteration, *_):
        if iteration == stop:
            raise Stopped

    return notice


def meta_trained(source, scrambled, run_dir=None, stop=None, algorithm="fomaml"):
    pair = smooth_pair()
    scramble(scrambled)
    chosen = "reptile" if isinstance(source, Own) else algorithm
    made = gm.algorithms.create(chosen, objective=SquaresObjective(), inner=gm.InnerLoop(steps=2, lr=1e-2))
    trainer = gm.MetaTrainer(pair, made, source, iterations=4, checkpoint_every=2, run_dir=run_dir, on_iteration=stopping_at(stop))
    with contextlib.suppress(Stopped):
        trainer.fit()
    return parameters_of(pair)


def jointly_trained(dataset, scrambled, run_dir=None, stop=None):
    pair = smooth_pair()
    scramble(scrambled)
    with contextlib.suppress(Stopped):
        gm.pretrain(pair, SquaresObjective(), dataset, steps=4, run_dir=run_dir, checkpoint_every=2, on_step=stopping_at(stop))
    return parameters_of(pair)


def assert_same(one, other):
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("by", DRAWS)
@pytest.mark.parametrize("kind", SOURCES)
def test_meta_training_repeats_and_resumes(tmp_path, kind, by):
    make = SOURCES[kind]
    first = meta_trained(make(DRAWS[by]), 1)
    assert_same(first, meta_trained(make(DRAWS[by]), 2))
    meta_trained(make(DRAWS[by]), 3, tmp_path, stop=2)
    assert_same(first, meta_trained(make(DRAWS[by]), 4, tmp_path))


@pytest.mark.parametrize("by", DRAWS)
@pytest.mark.parametrize("kind", [lambda draw: Augmenting(draw, 70), lambda draw: Augmenting(draw, 5), lambda draw: Batches(draw, 90)])
def test_joint_training_repeats_and_resumes(tmp_path, kind, by):
    first = jointly_trained(kind(DRAWS[by]), 1)
    assert_same(first, jointly_trained(kind(DRAWS[by]), 2))
    jointly_trained(kind(DRAWS[by]), 3, tmp_path, stop=2)
    assert_same(first, jointly_trained(kind(DRAWS[by]), 4, tmp_path))


@pytest.mark.parametrize("by", DRAWS)
def test_workers_of_a_loader_draw_by_the_seed(by):
    one, other = (gm.FewShotTasks([Workers(DRAWS[by])], shots=2) for _ in range(2))
    scramble(1)
    first = one.sample(5).support["image"]
    scramble(2)
    assert torch.equal(first, other.sample(5).support["image"])
    assert not torch.equal(first, other.sample(6).support["image"])


def test_sampling_twice_and_in_another_order_gives_the_same_tasks():
    for kind, make in SOURCES.items():
        if kind.startswith("fixed") or kind == "own source":
            continue
        for by, draw in DRAWS.items():
            one, other = make(draw), make(draw)
            tasks = [one.sample(seed) for seed in range(6)]
            for seed in (5, 3, 3, 0):
                again = other.sample(seed)
                assert torch.equal(tasks[seed].support["image"], again.support["image"]), (kind, by)
                assert torch.equal(tasks[seed].query["image"], again.query["image"]), (kind, by)


def test_a_small_support_that_draws_is_drawn_anew_in_every_step():
    """Whatever it draws from: so it was for torch's generator, and so a Dataset's augmentation is meant."""
    for draw in DRAWS.values():
        seen = []

        class Watching(SquaresObjective):
            def generator_loss(self, pair, batch):
                seen.append(batch["image"].clone())  # noqa: B023 - used within the loop
                return super().generator_loss(pair, batch)

        gm.adapt(smooth_pair(), Watching(), Augmenting(draw, 3), gm.InnerLoop(steps=2, batch_size=3))
        assert len(seen) == 2
        assert not torch.equal(*seen)


class Stateful(Augmenting):
    """Draws from a generator of its own, which no seed reaches."""

    def __init__(self, count=12):
        generator = np.random.default_rng(0)
        super().__init__(generator.random, count)


@pytest.mark.parametrize("train", [lambda data: meta_trained(gm.FewShotTasks([data], 3, 2), 1), lambda data: jointly_trained(data, 1)])
def test_a_dataset_with_a_generator_of_its_own_is_said(caplog, train):
    train(Augmenting(random.random))
    assert not caplog.records
    train(Stateful())
    assert "neither repeat nor resume to the same bits" in caplog.text


def test_check_says_it_too():
    report = gm.check(smooth_pair(), SquaresObjective(), gm.Task(Stateful(), Augmenting(random.random)))
    assert "support samples" in str(report)
    assert "query samples" not in str(report)
    assert report.ok
