"""Task sources from tensors, torch Datasets and learn2learn task sets: the same tasks as by hand, and reproducible ones."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

import gan_meta as gm
from tests.conftest import SquaresObjective, smooth_pair


def test_tensors_are_few_shot_tasks():
    tensors = [torch.arange(6) + 100 * number for number in range(3)]
    source = gm.sources.from_tensors(tensors, shots=2, queries=3, names=["a", "b", "c"])
    expected = gm.FewShotTasks([{"image": tensor} for tensor in tensors], 2, 3, ["a", "b", "c"])
    for seed in range(20):
        task, other = source.sample(seed), expected.sample(seed)
        assert task.name == other.name
        assert torch.equal(task.support["image"], other.support["image"])
        assert torch.equal(task.query["image"], other.query["image"])
    with pytest.raises(TypeError, match="subject 1 is a list"):
        gm.sources.from_tensors([torch.zeros(2), [1, 2]], shots=1)


class Counting(Dataset):
    """Dict items of two subjects with names, which counts how often it is read."""

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.reads += 1
        return {"value": float(index), "who": "odd" if index % 2 else "even"}


def test_a_dataset_is_grouped_by_its_labels():
    dataset = TensorDataset(torch.arange(12.0), torch.tensor([0, 1, 2] * 4))
    source = gm.sources.from_dataset(dataset, shots=2, queries=2)
    assert source.names == ("0", "1", "2")
    for seed in range(20):
        task = source.sample(seed)
        drawn = torch.cat([task.support["image"], task.query["image"]])
        assert len(drawn.unique()) == 4
        assert set((drawn % 3).tolist()) == {float(task.name)}
        assert set(task.support["label"].tolist()) == {int(task.name)}


def test_known_labels_spare_the_reading_and_words_stay_out_of_the_batch():
    dataset = Counting()
    labels = ["odd" if index % 2 else "even" for index in range(12)]
    source = gm.sources.from_dataset(dataset, shots=3, by="who", labels=labels)
    assert dataset.reads == 0
    task = source.sample(0)
    assert dataset.reads == 3
    assert set(task.support) == {"value"}
    assert {labels[int(value)] for value in task.support["value"]} == {task.name}
    assert gm.sources.from_dataset(dataset, shots=3, by="who").names == ("even", "odd")
    with pytest.raises(ValueError, match=r"no 'label' .* they have: value, who"):
        gm.sources.from_dataset(dataset, shots=3)
    pictures = [(Image.new("L", (4, 4)), 0) for _ in range(3)]
    with pytest.raises(TypeError, match="'image' is a Image; give the dataset a transform that makes tensors"):
        gm.sources.from_dataset(pictures, shots=2).sample(0)
    with pytest.raises(ValueError, match="2 labels for a dataset of 12 samples"):
        gm.sources.from_dataset(dataset, shots=3, labels=[0, 1])


class TaskSet:
    """What matters of learn2learn's task set: ``num_tasks``, ``len``, and draws from Python's and numpy's global generators."""

    def __init__(self, num_tasks):
        self.num_tasks = num_tasks
        self.descriptions = {}

    def __len__(self):
        return 1 if self.num_tasks == -1 else self.num_tasks

    def __getitem__(self, index):
        description = self.descriptions.get(index) if self.num_tasks != -1 else None
        if description is None:
            description = (random.randrange(1000), np.random.randint(1000))  # noqa: NPY002
            self.descriptions[index] = description
        start = 1000 * description[0] + description[1]
        return torch.arange(start, start + 8), torch.zeros(8)

    def sample(self):
        return self[random.randrange(len(self))]


@pytest.mark.parametrize("num_tasks", [-1, 5])
def test_a_task_set_gives_the_same_task_for_the_same_seed(num_tasks):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    one, other = (gm.sources.TaskDatasetTasks(TaskSet(num_tasks), shots=3, queries=2) for _ in range(2))
    tasks = [one.sample(seed) for seed in range(30)]
    for seed in reversed(range(30)):
        assert torch.equal(other.sample(seed).support["image"], tasks[seed].support["image"])
    assert len({task.support["image"].min().item() // 1000 for task in tasks}) > 3
    for task in tasks:
        drawn = torch.cat([task.support["image"], task.query["image"]])
        assert len(drawn.unique()) == 5
        assert int(drawn.max() - drawn.min()) < 8
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_task_set_says_when_a_task_is_too_small():
    with pytest.raises(ValueError, match="has 8 samples, which does not allow shots=6 and queries=3"):
        gm.sources.TaskDatasetTasks(TaskSet(2), shots=6, queries=3).sample(0)
    assert gm.sources.TaskDatasetTasks(TaskSet(2)).sample(0).query is None


def test_the_trainer_takes_them_as_they_are():
    pair = smooth_pair()
    generator = torch.Generator().manual_seed(0)
    poses, images = (torch.rand(12, n, 8, 8, generator=generator, dtype=torch.float64) for n in (2, 3))
    dataset = TensorDataset(poses, images, torch.tensor([0, 1] * 6))
    source = gm.sources.from_dataset(dataset, shots=3, queries=2, keys=("pose", "image", "label"))
    algorithm = gm.algorithms.create("fomaml", objective=SquaresObjective(), inner=gm.InnerLoop(steps=1, lr=1e-2))
    start = pair.clone()
    gm.MetaTrainer(pair, algorithm, source, iterations=1, meta_lr=0.1).fit()
    assert not all(torch.equal(a, b) for a, b in zip(start.parameters(), pair.parameters(), strict=True))
