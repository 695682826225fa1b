"""Task and TaskSource: what a game is played on, and where games come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from gan_meta.objective import Batch
from gan_meta.seeds import derive_seed, seeded


@runtime_checkable
class BatchSource(Protocol):
    """Samples too many, or too costly, to hold as tensors: batches are made when they are asked for."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """The samples at these indices, in this order, stacked; an index may occur more than once."""


Samples = Batch | BatchSource | Sequence[Batch]
"""Samples in any of three forms: a dict of tensors, a :class:`BatchSource`, or a map-style dataset of single-sample dicts."""


@dataclass(frozen=True)
class Task:
    """One few-shot problem.

    Attributes:
        support: what the game may learn from.
        query: held-out samples that algorithms with a query gradient look at; ``None`` where there are none.
        name: for logs and messages.
    """

    support: Samples
    query: Samples | None = None
    name: str = ""


@runtime_checkable
class TaskSource(Protocol):
    """Where tasks come from."""

    def sample(self, seed: int) -> Task:
        """The task of this seed: the same seed must give the same task.

        The trainer seeds Python's, numpy's and torch's global generators for it; a generator of its own must be made from the seed.
        """


class FewShotTasks:
    """Draws a subject, then K of its samples without replacement: the paper's tasks (section 3, algorithm 1).

    Samples that are made when they are read, such as a dataset's that augments, are made with the global generators seeded.

    Args:
        subjects: one entry a subject (a video, a font, a class): its samples in any form of :data:`Samples`.
        shots: K, the number of support samples.
        queries: how many further samples of the same subject make the query; 0 for none.
        names: the subjects' names; their numbers by default.

    Raises:
        ValueError: when there is no subject, ``shots`` is below 1, or a subject has fewer than ``shots + queries`` samples.
    """

    def __init__(self, subjects: Sequence[Samples], shots: int, queries: int = 0, names: Sequence[str] | None = None) -> None:
        self.names = tuple(names) if names is not None else tuple(str(number) for number in range(len(subjects)))
        if not subjects:
            raise ValueError("no subjects: tasks need at least one subject to draw from")
        if len(self.names) != len(subjects):
            raise ValueError(f"{len(subjects)} subjects but {len(self.names)} names")
        if shots < 1 or queries < 0:
            raise ValueError(f"shots must be at least 1 and queries at least 0, got shots={shots} and queries={queries}")
        for name, subject in zip(self.names, subjects, strict=True):
            if count_samples(subject) < shots + queries:
                raise ValueError(
                    f"subject {name!r} has {count_samples(subject)} samples, fewer than shots + queries = {shots + queries}; "
                    "ask for fewer shots or leave the subject out"
                )
        self.subjects = list(subjects)
        self.shots = shots
        self.queries = queries

    def sample(self, seed: int) -> Task:
        """A subject and its K samples, uniformly at random; the query shares no sample with the support."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "few-shot"))
        subject = int(torch.randint(len(self.subjects), (), generator=generator))
        samples = self.subjects[subject]
        picked = torch.randperm(count_samples(samples), generator=generator)[: self.shots + self.queries].tolist()
        with seeded(derive_seed(seed, "few-shot-samples")):
            support = take(samples, picked[: self.shots])
            query = take(samples, picked[self.shots :]) if self.queries else None
        return Task(support, query, self.names[subject])


class FixedTasks:
    """A list of tasks, drawn uniformly at random.

    Raises:
        ValueError: when the list is empty.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        if not tasks:
            raise ValueError("no tasks: the list is empty")
        self.tasks = list(tasks)

    def sample(self, seed: int) -> Task:
        """One of the tasks."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "fixed"))
        return self.tasks[int(torch.randint(len(self.tasks), (), generator=generator))]


def draw_task(source: TaskSource, seed: int) -> Task:
    """The source's task of this seed, whatever global generator the source draws from."""
    with seeded(derive_seed(seed, "sample")):
        return source.sample(seed)


def reads_again(source: TaskSource, seed: int) -> bool:
    """Whether a source's dataset gives the same samples when it is read twice; a source of another kind is taken at its word."""
    if isinstance(source, FewShotTasks):
        first = source.subjects[0]
    elif isinstance(source, FixedTasks):
        first = source.tasks[0].support
    else:
        return True
    return isinstance(first, Mapping) or same_samples(first, first, seed)


def same_samples(one: Samples, other: Samples, seed: int) -> bool:
    """Whether the first samples of two, or of one read twice, are the same to the bit."""
    first, second = _first_samples(one, seed), _first_samples(other, seed)
    return first.keys() == second.keys() and all(_is_same(tensor, second[name]) for name, tensor in first.items())


def _first_samples(samples: Samples, seed: int) -> Batch:
    count = min(2, count_samples(samples))
    with seeded(derive_seed(seed, "sample")):
        return take(samples, range(count)) if count else {}


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Equal to the bit; what is no number equals itself."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def count_samples(samples: Samples) -> int:
    """How many samples there are.

    Raises:
        ValueError: for an empty dict, a tensor without a sample dimension, or keys that disagree on the number of samples.
        TypeError: for something that is none of the forms of :data:`Samples`.
    """
    if isinstance(samples, Mapping):
        if not samples:
            raise ValueError("the batch is an empty dict; it needs at least one named tensor")
        sizes = {name: _first_dimension(name, tensor) for name, tensor in samples.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"the batch's keys disagree on the number of samples: {sizes}")
        return next(iter(sizes.values()))
    if isinstance(samples, DataLoader):
        raise TypeError("samples are a DataLoader, but a game draws batches of its own: give the loader's dataset (loader.dataset)")
    is_readable = isinstance(samples, BatchSource) or (hasattr(samples, "__getitem__") and not isinstance(samples, IterableDataset))
    if not hasattr(samples, "__len__") or not is_readable:
        raise TypeError(
            "samples must be a dict of tensors, a BatchSource, or a map-style dataset, which has len(dataset) and dataset[index]; "
            f"got {type(samples).__name__}"
        )
    return len(samples)


def take(samples: Samples, indices: Sequence[int]) -> Batch:
    """The samples at these indices, in this order, as one batch.

    Raises:
        TypeError: when a dataset's items are not dicts of tensors.
    """
    if isinstance(samples, Mapping):
        first = next(iter(samples.values()))
        index = torch.as_tensor(indices, dtype=torch.long, device=first.device)
        return {name: tensor.index_select(0, index.to(tensor.device)) for name, tensor in samples.items()}
    if isinstance(samples, BatchSource):
        return samples.batch(indices)
    items: list[Any] = [samples[index] for index in indices]
    if not isinstance(items[0], Mapping):
        raise TypeError(f"a dataset's items must be dicts of tensors (one sample each), got {type(items[0]).__name__}")
    return stacked(items, indices)


def stacked(items: Sequence[Mapping[str, Any]], indices: Sequence[int], names: Sequence[str] | None = None) -> Batch:
    """Samples of a dataset as one batch.

    Args:
        indices: the samples' numbers, for messages.
        names: the keys to take; by default those of the first sample.

    Raises:
        TypeError: for what is no tensor and no number.
        ValueError: when a sample lacks a key, or has another shape there than the first.
    """
    batch: Batch = {}
    for name in items[0] if names is None else names:
        tensors = []
        for index, item in zip(indices, items, strict=True):
            if name not in item:
                raise ValueError(f"sample {index} of the dataset has no {name!r}, which sample {indices[0]} has")
            tensors.append(_as_tensor(item[name], name))
            if tensors[-1].shape != tensors[0].shape:
                raise ValueError(
                    f"the dataset's {name!r} is {tuple(tensors[0].shape)} in sample {indices[0]} and {tuple(tensors[-1].shape)} in sample "
                    f"{index}; samples of one batch must have one size: give the dataset a transform that brings them to it"
                )
        batch[name] = torch.stack(tensors)
    return batch


def _as_tensor(value: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"the dataset's {name!r} is a {type(value).__name__} that makes no tensor ({error}); give the dataset a transform that "
            "makes tensors"
        ) from error


def _first_dimension(name: str, tensor: Tensor) -> int:
    if not isinstance(tensor, Tensor) or tensor.ndim == 0:
        raise ValueError(f"batch key {name!r} must be a tensor whose first dimension counts the samples")
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
        remedy = "dequantize()" if tensor.is_quantized else "to_padded_tensor(0)" if tensor.is_nested else "to_dense()"
        raise ValueError(
            f"batch key {name!r} is a sparse, nested or quantised tensor, of which no samples can be taken; give {name}.{remedy}"
        )
    return tensor.shape[0]
