"""MetaBatch: an iteration's games, all of them or this rank's share, and what they tell theta together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient, learned_names
from gan_meta.distributed import ALONE, World
from gan_meta.game.player_loss import NonFiniteLossError
from gan_meta.pair import GANPair
from gan_meta.seeds import derive_seed
from gan_meta.tasks import Task, TaskSource, draw_task
from gan_meta.training.buffers import join, tell, went_bad
from gan_meta.training.directions import check_direction


@dataclass
class Played:
    """What the games of an iteration gave, the same on every rank.

    Attributes:
        directions: one a task, or, over several ranks, their mean as one; none if no task gave a finite one.
        buffers: theta's new values of the buffers that some game changed.
        failures: by the task's number in the iteration, why it gave none.
        logs: the games' losses by name, averaged over the tasks.
        stop: the signal by which some rank was asked to stop; 0 for none.
    """

    directions: list[MetaGradient] = field(default_factory=list)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    logs: dict[str, float] = field(default_factory=dict)
    stop: int = 0


class MetaBatch:
    """Plays the tasks of an iteration.

    Args:
        algorithm, tasks, seed: the trainer's.
        size: how many tasks an iteration has.
        world: the ranks.
        has_own_tasks: whether each rank plays tasks of its own; otherwise every rank takes part in all of them.
    """

    def __init__(self, algorithm: MetaAlgorithm, tasks: TaskSource, size: int, seed: int, world: World, has_own_tasks: bool) -> None:
        self.algorithm = algorithm
        self.tasks = tasks
        self.size = size
        self.seed = seed
        self.world = world
        self.has_own_tasks = has_own_tasks
        self._kept: tuple[int, Task] | None = None

    def first_task(self) -> Task:
        """The first iteration's first task; it is kept for that iteration."""
        seed = derive_seed(self.seed, "task", 0, 0)
        self._kept = seed, draw_task(self.tasks, seed)
        return self._kept[1]

    def play(self, pair: GANPair, iteration: int, stop: Callable[[], int] = lambda: 0) -> Played:
        """Play the iteration's tasks from theta = ``pair``, which stays untouched.

        Args:
            stop: asked after the games: the signal by which this rank was asked to stop, or 0.
        """
        numbers = range(self.world.rank, self.size, self.world.size) if self.has_own_tasks else range(self.size)
        directions: dict[int, MetaGradient] = {}
        failures: dict[int, str] = {}
        for number in numbers:
            try:
                directions[number] = self._direction(pair, iteration, number)
            except _TaskFailedError as failed:
                failures[number] = str(failed)
        if not self.has_own_tasks:
            stops = self.world.gather(stop())
            buffers = join(pair, directions, [tell(pair, directions)], ALONE)
            return Played(list(directions.values()), buffers, failures, _mean_logs([d.logs for d in directions.values()]), max(stops))
        return self._together(pair, directions, failures, stop())

    def _together(self, pair: GANPair, directions: Mapping[int, MetaGradient], failures: Mapping[int, str], stop: int) -> Played:
        told = {
            "logs": {number: dict(direction.logs) for number, direction in directions.items()},
            "failures": dict(failures),
            "buffers": tell(pair, directions),
            "stop": stop,
        }
        reports = self.world.gather(told)
        played = Played(stop=max(report["stop"] for report in reports))
        played.failures = dict(sorted((int(number), why) for report in reports for number, why in report["failures"].items()))
        logs = {int(number): values for report in reports for number, values in report["logs"].items()}
        played.logs = _mean_logs([logs[number] for number in sorted(logs)])
        if logs:
            played.directions = [self._mean_direction(pair, directions, len(logs))]
            played.buffers = join(pair, directions, [report["buffers"] for report in reports], self.world)
        return played

    def _mean_direction(self, pair: GANPair, directions: Mapping[int, MetaGradient], n_tasks: int) -> MetaGradient:
        """The mean over all ranks' tasks, by one all_reduce for each dtype."""
        parameters = dict(pair.named_parameters())
        names = learned_names(pair, self.algorithm.inner)
        own = [directions[number] for number in sorted(directions)]
        sums = [_sum([direction.grads[name] for direction in own], parameters[name]) for name in names]
        return MetaGradient({name: total / n_tasks for name, total in zip(names, self.world.sum_flat(sums), strict=True)})

    def _direction(self, pair: GANPair, iteration: int, number: int) -> MetaGradient:
        seed = derive_seed(self.seed, "task", iteration, number)
        kept, self._kept = self._kept, None
        task = kept[1] if kept is not None and kept[0] == seed else draw_task(self.tasks, seed)
        try:
            given = self.algorithm.meta_gradient(pair, task, seed=derive_seed(seed, "game"))
        except NonFiniteLossError as error:
            raise _TaskFailedError(f"task {task.name!r}: {error}") from error
        direction = check_direction(given, pair, learned_names(pair, self.algorithm.inner), type(self.algorithm).__name__)
        bad = [name for name, gradient in direction.grads.items() if not bool(torch.isfinite(gradient).all())]
        if bad:
            raise _TaskFailedError(
                f"task {task.name!r}: the direction of {bad[0]!r} holds values that are not finite ({len(bad)} parameters do)"
            )
        worse = [name for name, buffer in pair.named_buffers() if name in direction.buffers and went_bad(buffer, direction.buffers[name])]
        if worse:
            raise _TaskFailedError(f"task {task.name!r}: the game left values that are not finite in the buffer {worse[0]!r}")
        return direction


class _TaskFailedError(ArithmeticError):
    """A task gave no finite direction."""


def _sum(values: list[Tensor], like: Tensor) -> Tensor:
    total = torch.zeros_like(like, requires_grad=False)
    for value in values:
        total += value
    return total


def _mean_logs(logs: list[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each name over the tasks that have it: a term may be absent."""
    found: dict[str, list[float]] = {}
    for values in logs:
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}
