"""Task sources from what one already has: a list of tensors, a torch Dataset, a learn2learn TaskDataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gan_meta.objective import Batch
from gan_meta.seeds import derive_seed, seeded
from gan_meta.tasks import FewShotTasks, Task, count_samples, stacked, take


class MapDataset(Protocol):
    """A torch map-style dataset: ``len(dataset)`` and ``dataset[index]``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def from_tensors(
    tensors: Sequence[Tensor], shots: int, queries: int = 0, key: str = "image", names: Sequence[str] | None = None
) -> FewShotTasks:
    """Few-shot tasks from one tensor a subject.

    Args:
        tensors: each (N, ...), the samples of one subject; N may differ.
        key: the batch's key.
        shots, queries, names: as for :class:`gan_meta.FewShotTasks`.

    Raises:
        TypeError: when an entry is no tensor.
        ValueError: as for :class:`gan_meta.FewShotTasks`.
    """
    for number, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"subject {number} is a {type(tensor).__name__}; each subject must be one tensor, first dimension its samples")
    return FewShotTasks([{key: tensor} for tensor in tensors], shots, queries, names)


def from_dataset(
    dataset: MapDataset,
    shots: int,
    queries: int = 0,
    keys: Sequence[str] = ("image", "label"),
    by: str = "label",
    labels: Sequence[Any] | None = None,
) -> FewShotTasks:
    """Few-shot tasks from a torch Dataset whose samples carry the subject's label; samples are read when they are drawn.

    Args:
        dataset: map-style; its items are dicts, or tuples whose entries ``keys`` names in order.
        shots, queries: as for :class:`gan_meta.FewShotTasks`.
        keys: names for a tuple's entries.
        by: the key that says which subject a sample belongs to; it stays in the batch when it is a number.
        labels: the subject of each sample, where they are known already (torchvision's ``dataset.targets``); otherwise every item is
            read once to find out.

    Raises:
        TypeError: when items are neither dicts nor tuples.
        ValueError: when items lack ``by``, ``labels`` has another length, or as for :class:`gan_meta.FewShotTasks`.
    """
    if labels is None:
        with seeded(derive_seed(0, "labels")):
            labels = [_named(dataset[index], keys, by)[by] for index in range(len(dataset))]
    if len(labels) != len(dataset):
        raise ValueError(f"{len(labels)} labels for a dataset of {len(dataset)} samples; there must be one a sample")
    places: dict[Any, list[int]] = {}
    for index, label in enumerate(labels):
        places.setdefault(label.item() if isinstance(label, Tensor | np.generic) else label, []).append(index)
    subjects = [_Subject(dataset, indices, tuple(keys), by) for indices in places.values()]
    return FewShotTasks(subjects, shots, queries, [str(label) for label in places])


class _Subject:
    """One subject's samples of a dataset: a :class:`gan_meta.BatchSource`."""

    def __init__(self, dataset: MapDataset, indices: Sequence[int], keys: tuple[str, ...], by: str) -> None:
        self.dataset, self.indices, self.keys, self.by = dataset, indices, keys, by

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Sequence[int]) -> Batch:
        items = [_named(self.dataset[self.indices[index]], self.keys, self.by) for index in indices]
        names = [name for name, value in items[0].items() if name != self.by or _is_number(value)]
        for name in names:
            if not _is_number(items[0][name]):
                raise TypeError(
                    f"the dataset's {name!r} is a {type(items[0][name]).__name__}; give the dataset a transform that makes tensors"
                )
        return stacked(items, [self.indices[index] for index in indices], names)


class TaskDatasetTasks:
    """Tasks from a learn2learn ``TaskDataset`` (``Taskset``): each of its tasks is split into support and query.

    Its task transforms draw from Python's and numpy's global generators; these are seeded for the draw and put back afterwards, so the
    same seed gives the same task. A task set with a number of tasks keeps each task's classes and samples as they were first drawn.

    Args:
        task_dataset: anything with ``len`` and ``[index]`` that gives a collated task: a dict of tensors, or a tuple of tensors.
        shots: K, the samples of the support; ``None`` takes all of them and leaves no query.
        queries: how many of the others make the query; ``None`` takes all of them.
        keys: names for a tuple's tensors.

    Raises:
        ValueError: from ``sample``, when a task has fewer samples than were asked for.
    """

    def __init__(
        self,
        task_dataset: MapDataset,
        shots: int | None = None,
        queries: int | None = None,
        keys: Sequence[str] = ("image", "label"),
    ) -> None:
        self.task_dataset = task_dataset
        self.shots = shots
        self.queries = queries
        self.keys = tuple(keys)
        self._described: set[int] = set()

    def sample(self, seed: int) -> Task:
        """The task of this seed, its samples shuffled before they are split."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "task-dataset"))
        index = int(torch.randint(len(self.task_dataset), (), generator=generator))
        samples = _named(self._draw(index, seed), self.keys)
        n_samples = count_samples(samples)
        shots = n_samples if self.shots is None else self.shots
        queries = n_samples - shots if self.queries is None else self.queries
        if shots + queries > n_samples or shots < 1 or queries < 0:
            raise ValueError(f"task {index} has {n_samples} samples, which does not allow shots={shots} and queries={queries}")
        order = torch.randperm(n_samples, generator=generator)[: shots + queries].tolist()
        return Task(take(samples, order[:shots]), take(samples, order[shots:]) if queries else None, str(index))

    def _draw(self, index: int, seed: int) -> Any:
        """A task, its random numbers a function of the seed."""
        number = getattr(self.task_dataset, "num_tasks", None)
        if number not in (None, -1) and index not in self._described:
            # Drawn now and kept by the task set; without these draws, later readings would begin at other random numbers than the first.
            with seeded(derive_seed(index, "task-dataset-draw")):
                self.task_dataset[index]
            self._described.add(index)
        with seeded(derive_seed(seed, "task-dataset-draw")):
            return self.task_dataset[index]


def _named(item: Any, keys: Sequence[str], by: str | None = None) -> dict[str, Any]:
    """An item's entries by name."""
    if isinstance(item, Mapping):
        named = dict(item)
    elif isinstance(item, tuple | list):
        named = dict(zip(keys, item, strict=False))
    else:
        raise TypeError(f"an item must be a dict, or a tuple whose entries keys=... names, got {type(item).__name__}")
    if by is not None and by not in named:
        raise ValueError(f"the dataset's items have no {by!r} to tell subjects apart by; they have: {', '.join(map(str, named))}")
    return named


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.generic | np.ndarray | Tensor)
