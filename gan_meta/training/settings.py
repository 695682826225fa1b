"""What a training is: its settings and data as JSON, which a checkpoint must agree on to be resumed, and all ranks to begin."""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.checkpoint import CheckpointError
from gan_meta.distributed import RanksDifferError, World
from gan_meta.game.copies import rewind
from gan_meta.game.inner import InnerLoop
from gan_meta.objective import Objective
from gan_meta.seeds import derive_seed, seeded
from gan_meta.tasks import FewShotTasks, FixedTasks, Samples, Task, TaskSource, count_samples, take
from gan_meta.training.comparison import Comparison, name_list
from gan_meta.training.description import UNKNOWN, describe, tensor_digest, text_digest

logger = logging.getLogger(__name__)

FORMAT = 2
"""Of a checkpoint's settings: since 2 they hold all that could be described. It grows with every new setting, of the game's too, so that
a checkpoint without it goes on, and says so."""

_LOOKED_AT = 4
"""So many samples are read of a dataset that makes them when they are asked for."""
_HASHED = 256
"""So many subjects, or tasks of a list, are looked at."""
_NOT_OPTIONS = frozenset({"objective", "inner", "carried", "share"})
"""What the base class of algorithms holds, described elsewhere or no setting."""


def describe_inner(inner: InnerLoop) -> dict[str, Any]:
    """The options of a game; functions by their names."""
    values = {option.name: getattr(inner, option.name) for option in dataclasses.fields(inner)}
    values["augment"] = [_name_of(transform) for transform in inner.augment]
    values["random_augment"] = None if inner.random_augment is None else _name_of(inner.random_augment)
    values["optimizer"] = function_label(inner.optimizer)
    return {name: describe(value) for name, value in values.items()}


def describe_functions(inner: InnerLoop, meta_optimizer: Any = None) -> dict[str, Any]:
    """What a game is told to call, in full, and the order of its roles, of which the last that fits has the last word."""
    given = {
        "inner.optimizer": inner.optimizer,
        "inner.augment": inner.augment,
        "inner.random_augment": inner.random_augment,
        "meta_optimizer": meta_optimizer,
        "inner.roles": list(inner.roles),
    }
    return {name: describe(value) for name, value in given.items() if not isinstance(value, str | None) and value}


def describe_objective(objective: Objective) -> dict[str, Any]:
    """An objective's class and attributes, such as the weights of its terms."""
    rewind(objective)  # what a game left in it is no setting
    described = describe(objective)
    return {**(described if isinstance(described, dict) else {}), "class": type(objective).__name__}


def describe_algorithm(algorithm: MetaAlgorithm) -> dict[str, Any]:
    """The options of an algorithm beside its objective and its game."""
    own_tools = {name for name, value in vars(algorithm).items() if name.startswith("_") and _is_tool(value)}
    described = describe(algorithm, _NOT_OPTIONS | own_tools)
    return {name: value for name, value in described.items() if name != "class"} if isinstance(described, dict) else {}


def function_label(function: Any) -> str:
    """A name for what is given by name or as a function."""
    if isinstance(function, str):
        return function
    if isinstance(function, functools.partial):
        return function_label(function.func)
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def describe_tasks(source: TaskSource, first: Task) -> dict[str, Any]:
    """A source's class, what is known of all its tasks, and a digest of one of them.

    Args:
        first: the task of a seed that is the run's own.
    """
    described: dict[str, Any] = {"source": type(source).__qualname__}
    if isinstance(source, FewShotTasks):
        described |= {"subjects": len(source.subjects), "shots": source.shots, "queries": source.queries, "names": describe(source.names)}
        described["content"] = _digest_of_tables(source.subjects)
    elif isinstance(source, FixedTasks):
        parts = [part for task in source.tasks for part in (task.support, task.query)]
        described |= {"tasks": len(source.tasks), "content": _digest_of_tables(parts)}
    task = {"name": first.name, "support": describe_samples(first.support), "query": describe_samples(first.query)}
    return {**described, "first": task}


def describe_samples(samples: Samples | None) -> Any:
    """The number of samples, their types and shapes, and a digest: of all where they are tensors, of a few otherwise."""
    if samples is None:
        return None
    try:
        count = count_samples(samples) if not isinstance(samples, Mapping) or samples else 0
        if isinstance(samples, Mapping):
            return {"samples": count, "entries": {name: tensor_digest(tensor) for name, tensor in sorted(samples.items())}}
        places = sorted({number * (count - 1) // max(1, _LOOKED_AT - 1) for number in range(_LOOKED_AT)}) if count else []
        with seeded(derive_seed(0, "digest")):
            read = take(samples, places) if places else {}
    except (TypeError, ValueError, AttributeError):  # an algorithm of one's own may take samples of another form
        return {UNKNOWN: type(samples).__qualname__}
    return {"samples": count, "read": {name: tensor_digest(tensor) for name, tensor in sorted(read.items())}}


def _digest_of_tables(parts: list[Any]) -> str:
    """Of all samples that are held as tensors."""
    tables = [part for part in parts[:_HASHED] if isinstance(part, Mapping)]
    digests = [[name, tensor_digest(value)] for table in tables for name, value in sorted(table.items()) if isinstance(value, Tensor)]
    return text_digest(repr(digests))


def _name_of(transform: object) -> str:
    if dataclasses.is_dataclass(transform):
        return re.sub(r" at 0x[0-9a-f]+", "", repr(transform))  # its settings are settings of the training
    return function_label(transform)


def _is_tool(value: object) -> bool:
    return type(value).__module__.split(".")[0] in ("gan_meta", "_thread", "threading", "weakref")


class Settings:
    """A training's settings and data, described once, before it begins.

    Args:
        plain: the settings, described.
        name: what the data are called among them.
        look: reads some data and describes them.
    """

    def __init__(self, plain: Mapping[str, Any], name: str, look: Callable[[], Any]) -> None:
        self._name = name
        self._look = look
        self.described = {**plain, name: look()}

    def entries(self) -> dict[str, Any]:
        """For a checkpoint's document."""
        return {"settings": self.described, "settings_format": FORMAT}

    def check(self, path: Path, document: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings or data than a checkpoint's; say what could not be compared.

        Raises:
            CheckpointError: with each difference.
        """
        saved = document.get("settings")
        if not isinstance(saved, dict):
            raise CheckpointError(f"{path} is damaged, or no checkpoint of a training: it has no settings")
        found = Comparison(saved, self.described, is_whole=document.get("settings_format") == FORMAT)
        if self._name in found.differences and self._is_unsteady():
            del found.differences[self._name]
            found.not_compared.append(f"{self._name} (they differ each time that they are read)")
        if found.differences:
            raise CheckpointError(
                f"{path} is a checkpoint of other settings ({'; '.join(found.sentences())}); "
                "use another run folder, or resume=False to start anew"
            )
        if found.not_compared:
            logger.warning(
                "going on from %s, though these could not be compared with it: %s; see to it yourself that they are the same",
                path,
                name_list(found.not_compared),
            )

    def agree(self, world: World, more: Mapping[str, Any]) -> None:
        """See that all ranks begin the same training.

        Args:
            more: what else must be the same on all of them.

        Raises:
            RanksDifferError: on every rank, naming the ranks and what differs.
        """
        if world.size == 1:
            return
        told = world.gather({**self.described, **more})
        found = {rank: Comparison(told[0], other) for rank, other in enumerate(told) if rank}
        if any(self._name in comparison.differences for comparison in found.values()) and any(world.gather(self._is_unsteady())):
            for comparison in found.values():
                comparison.differences.pop(self._name, None)
        sentences = [line for rank, comparison in found.items() for line in comparison.sentences("on rank 0", f"on rank {rank}")]
        if sentences:
            raise RanksDifferError(
                f"the ranks do not agree, so nothing was trained: {'; '.join(sentences)}; "
                "start them all with the same settings, software and data"
            )

    def _is_unsteady(self) -> bool:
        """Whether the data are others when they are read again."""
        return bool(Comparison({"data": self.described[self._name]}, {"data": self._look()}).differences)
