"""MetaTrainer: the outer loop, which moves theta after each game, and keeps checkpoints that resume bit for bit."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient
from gan_meta.checkpoint import load_tensors, pack_optimizer, refuse_other_settings, save_tensors, unpack_optimizer
from gan_meta.inner import InnerLoop
from gan_meta.naming import unknown_name
from gan_meta.outer_step import OptimizerFactory, OuterStep, move_buffers, optimizer_label
from gan_meta.pair import GANPair
from gan_meta.player_loss import NonFiniteLossError
from gan_meta.roles import is_learned, resolve_roles
from gan_meta.seeds import derive_seed
from gan_meta.tasks import FixedTasks, Task, TaskSource

logger = logging.getLogger(__name__)

META_SCHEDULES = ("linear", "constant")

OnIteration = Callable[[int, Mapping[str, float]], None]


class MetaTrainer:
    """Learns theta, the start, across tasks. The defaults are the paper's (section 3): eps = 1, falling linearly to 0.

    Args:
        pair: theta; **moved in place** by :meth:`fit`.
        algorithm: decides the direction that each task gives.
        tasks: a source of tasks, or a list of them.
        iterations: how many steps theta takes.
        meta_lr: eps, the outer learning rate of the first step.
        meta_schedule: ``"linear"``: ``meta_lr * (1 - i / iterations)``; or ``"constant"``.
        meta_batch_size: tasks an iteration; their directions are averaged.
        meta_optimizer: ``"sgd"`` (the paper's), ``"adam"`` or any other of ``torch.optim`` in lower case; or a factory, called as
            ``factory(parameters, lr=...)``, for one with options: ``functools.partial(torch.optim.SGD, momentum=0.9)``.
        run_dir: where checkpoints go; ``None`` keeps nothing.
        checkpoint_every: iterations between checkpoints.
        seed: with the same seed, settings and start, the result is the same.
        clip_norm: the largest norm of an iteration's mean direction; longer ones are shortened to it. ``None``: no clipping.
        max_bad_tasks: how many tasks in a row may end without a finite direction before training stops; such a task is
            skipped, counted in ``skipped_tasks`` and logged.
        on_iteration: called after each iteration with (iterations done, logs).

    Attributes:
        pair: theta as it stands.
        iteration: how many iterations are done.

    Raises:
        ValueError: for an unknown name or a value out of range.

    Example:
        >>> algorithm = create("reptile", objective=objective, inner=InnerLoop(steps=20))
        >>> MetaTrainer(pair, algorithm, tasks, iterations=300, run_dir="runs/dancers").fit()
    """

    def __init__(
        self,
        pair: GANPair,
        algorithm: MetaAlgorithm,
        tasks: TaskSource | Sequence[Task],
        iterations: int = 300,
        meta_lr: float = 1.0,
        meta_schedule: str = "linear",
        meta_batch_size: int = 1,
        meta_optimizer: str | OptimizerFactory = "sgd",
        run_dir: str | Path | None = None,
        checkpoint_every: int = 25,
        seed: int = 0,
        max_bad_tasks: int = 5,
        on_iteration: OnIteration | None = None,
        clip_norm: float | None = None,
    ) -> None:
        if meta_schedule not in META_SCHEDULES:
            raise ValueError(unknown_name("meta_schedule", meta_schedule, META_SCHEDULES))
        for name, value, least in (
            ("iterations", iterations, 0),
            ("meta_batch_size", meta_batch_size, 1),
            ("checkpoint_every", checkpoint_every, 1),
            ("max_bad_tasks", max_bad_tasks, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.pair = pair
        self.algorithm = algorithm
        self.tasks = tasks if isinstance(tasks, TaskSource) else FixedTasks(tasks)
        self.iterations = iterations
        self.meta_lr = meta_lr
        self.meta_schedule = meta_schedule
        self.meta_batch_size = meta_batch_size
        self.meta_optimizer = meta_optimizer
        self.run_dir = None if run_dir is None else Path(run_dir)
        self.checkpoint_every = checkpoint_every
        self.seed = seed
        self.max_bad_tasks = max_bad_tasks
        self.on_iteration = on_iteration
        self.iteration = 0
        self.skipped_tasks = 0
        self._bad_in_a_row = 0
        roles = resolve_roles(pair, algorithm.inner.all_roles)
        learned = {name: parameter for name, parameter in pair.named_parameters() if is_learned(roles[name])}
        if not learned:
            raise ValueError("no weight's start is learned: every weight is 'local' or 'frozen', so there is nothing to meta-train")
        self._outer = OuterStep(learned, meta_optimizer, meta_lr, clip_norm)

    def fit(self, resume: bool | str = "auto") -> GANPair:
        """Take the remaining iterations and return theta.

        Args:
            resume: ``"auto"`` goes on from the checkpoint in ``run_dir`` if there is one; ``True`` insists on one; ``False`` ignores it.

        Raises:
            FileNotFoundError: with ``resume=True`` and no checkpoint.
            CheckpointError: when the checkpoint is damaged or of other settings; the message lists the differences.
            NonFiniteLossError: after ``max_bad_tasks`` tasks in a row without a finite direction.
        """
        if resume not in (True, False, "auto"):
            raise ValueError(f'resume must be "auto", True or False, got {resume!r}')
        path = self.checkpoint_path
        if resume is True and (path is None or not path.is_file()):
            raise FileNotFoundError(f"resume=True, but there is no checkpoint at {path}")
        if resume and path is not None and path.is_file():
            self._load(path)
        while self.iteration < self.iterations:
            logs = self.step()
            if path is not None and (self.iteration % self.checkpoint_every == 0 or self.iteration == self.iterations):
                self._save(path)
            if self.on_iteration is not None:
                self.on_iteration(self.iteration, logs)
        return self.pair

    def step(self) -> dict[str, float]:
        """One iteration: a meta-batch of games, and one step of theta. Returns the logs, averaged over the tasks."""
        directions = [direction for direction in map(self._direction, range(self.meta_batch_size)) if direction is not None]
        rate = self.meta_lr_at(self.iteration)
        norm = self._outer.move(directions, rate) if directions else 0.0
        move_buffers(self.pair, directions, rate)
        self.iteration += 1
        names = directions[0].logs if directions else ()
        logs = {name: sum(direction.logs[name] for direction in directions) / len(directions) for name in names}
        return {**logs, "direction_norm": norm, "meta_lr": rate, "skipped_tasks": float(self.skipped_tasks)}

    def meta_lr_at(self, iteration: int) -> float:
        """eps at a 0-based iteration."""
        return self.meta_lr * (1 - iteration / self.iterations) if self.meta_schedule == "linear" else self.meta_lr

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint lies, if there is a run folder."""
        return None if self.run_dir is None else self.run_dir / "meta-training.safetensors"

    def _direction(self, index: int) -> MetaGradient | None:
        seed = derive_seed(self.seed, "task", self.iteration, index)
        task = self.tasks.sample(seed)
        try:
            direction = self.algorithm.meta_gradient(self.pair, task, seed=derive_seed(seed, "game"))
            bad = [name for name, gradient in direction.grads.items() if not bool(torch.isfinite(gradient).all())]
            if bad:
                raise NonFiniteLossError(f"the direction of {bad[0]!r} holds values that are not finite ({len(bad)} parameters do)")
        except NonFiniteLossError as error:
            self.skipped_tasks += 1
            self._bad_in_a_row += 1
            logger.warning("iteration %d: task %r skipped: %s", self.iteration, task.name, error)
            if self._bad_in_a_row >= self.max_bad_tasks:
                raise NonFiniteLossError(f"{self._bad_in_a_row} tasks in a row gave no finite direction; the last one: {error}") from error
            return None
        self._bad_in_a_row = 0
        return direction

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be resumed."""
        return {
            "algorithm": type(self.algorithm).__name__,
            "iterations": self.iterations,
            "meta_lr": self.meta_lr,
            "meta_schedule": self.meta_schedule,
            "meta_batch_size": self.meta_batch_size,
            "meta_optimizer": optimizer_label(self.meta_optimizer),
            "clip_norm": self._outer.clip_norm,
            "carry_optimizer": True if self.algorithm.carried is not None else None,
            "seed": self.seed,
            "inner": describe_inner(self.algorithm.inner),
        }

    def _save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors, optimizer = pack_optimizer(self._outer.optimizer, "optimizer.")
        tensors.update({f"pair.{name}": tensor for name, tensor in self.pair.state_dict().items()})
        tensors.update({f"algorithm.{name}": tensor for name, tensor in self.algorithm.state_tensors().items()})
        counters = {"iteration": self.iteration, "skipped_tasks": self.skipped_tasks, "bad_in_a_row": self._bad_in_a_row}
        save_tensors(path, tensors, {"settings": self.settings, "counters": counters, "optimizer": optimizer})

    def _load(self, path: Path) -> None:
        tensors, document = load_tensors(path)
        refuse_other_settings(path, document["settings"], self.settings)
        self.pair.load_state_dict(pair_tensors(tensors))
        self.algorithm.load_state_tensors(_under("algorithm.", tensors))
        unpack_optimizer(self._outer.optimizer, "optimizer.", tensors, document["optimizer"])
        counters = document["counters"]
        self.iteration, self.skipped_tasks, self._bad_in_a_row = (
            counters["iteration"],
            counters["skipped_tasks"],
            counters["bad_in_a_row"],
        )
        logger.info("resumed %s at iteration %d of %d", path, self.iteration, self.iterations)


def describe_inner(inner: InnerLoop) -> dict[str, Any]:
    """The options of a game as JSON-able values; transforms by their names."""
    values = {option.name: getattr(inner, option.name) for option in dataclasses.fields(inner)}
    values["augment"] = [getattr(transform, "__qualname__", type(transform).__qualname__) for transform in inner.augment]
    values["roles"] = dict(inner.roles)
    values["optimizer"] = optimizer_label(inner.optimizer)
    return values


def pair_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The pair's part of a checkpoint's tensors."""
    return _under("pair.", tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
