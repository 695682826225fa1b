"""MetaTrainer: the outer loop, which moves theta after each game, and keeps checkpoints that resume bit for bit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.checkpoint import describe_pair
from gan_meta.distributed import current
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.roles import is_learned, resolve_roles
from gan_meta.naming import unknown_name
from gan_meta.pair import GANPair
from gan_meta.tasks import FixedTasks, Task, TaskSource, reads_again
from gan_meta.training.bad_tasks import BadTasks
from gan_meta.training.best import BestBy, BestSoFar
from gan_meta.training.buffers import move_buffers
from gan_meta.training.description import describe
from gan_meta.training.interruption import Interruption, WorkAbandoned
from gan_meta.training.meta_batch import MetaBatch, Played
from gan_meta.training.meta_state import MetaState
from gan_meta.training.optimizer_state import refuse_unkept
from gan_meta.training.outer_step import OptimizerFactory, OuterStep
from gan_meta.training.parallel import choose_parallel
from gan_meta.training.run_folder import RunFolder
from gan_meta.training.run_log import check_logs
from gan_meta.training.run_monitor import RunMonitor
from gan_meta.training.settings import (
    Settings,
    describe_algorithm,
    describe_functions,
    describe_inner,
    describe_objective,
    describe_tasks,
    function_label,
)
from gan_meta.training.training_state import (
    UNREPEATABLE,
    check_resume,
    check_weights,
    find_checkpoint,
    outline,
    provenance,
    start_together,
)

logger = logging.getLogger(__name__)

META_SCHEDULES = ("linear", "constant")
NAME = "meta-training"
"""What the files of a run folder are called."""

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
            ``factory(parameters, lr=...)``, for one with options: ``functools.partial(torch.optim.SGD, momentum=0.9)``; groups with
            rates of their own keep their ratios to ``meta_lr``.
        run_dir: where checkpoints go; ``None`` keeps nothing.
        checkpoint_every: iterations between checkpoints.
        seed: with the same seed, settings and start, the result is the same.
        clip_norm: the largest norm of an iteration's mean direction; longer ones are shortened to it. ``None``: no clipping.
        max_bad_tasks: how many tasks in a row may end without a finite direction before training stops; such a task is
            skipped, counted in ``skipped_tasks`` and logged.
        on_iteration: called after each iteration with (iterations done, logs), on every rank.
        parallel: how several ranks (:func:`gan_meta.distributed.connect`) split the work: ``"tasks"``: each plays whole games, and
            the directions are averaged; ``"frames"``: all play one game together, each with its share of every batch;
            ``"auto"``: tasks where there are enough for all. The result is that of one process, to rounding.
        keep: how many of the last checkpoints stay in ``run_dir``.
        best_by: by what the best checkpoint is chosen, which stays too; lower is better: the name of a log, whose mean since
            the checkpoint before is taken, or a function of the pair, whose random draws are the same every time. ``None`` keeps none.
            The score is in the checkpoint's document (``counters.best``), the log (``best_score``) and the run's status.
        logs: what is written of each iteration: any of ``"jsonl"``, ``"csv"``, ``"tensorboard"`` (all in ``run_dir``) and
            ``"console"`` (by :mod:`logging`, at level INFO).
        profile: how many iterations to profile, into ``run_dir``.

    Attributes:
        pair: theta as it stands.
        iteration: how many iterations are done.

    Raises:
        ValueError: for an unknown name, a value out of range, or ranks that would idle.

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
        parallel: str = "auto",
        keep: int = 2,
        best_by: BestBy = "generator",
        logs: Sequence[str] = ("jsonl",),
        profile: int = 0,
    ) -> None:
        if meta_schedule not in META_SCHEDULES:
            raise ValueError(unknown_name("meta_schedule", meta_schedule, META_SCHEDULES))
        for name, value, least in (
            ("iterations", iterations, 0),
            ("meta_batch_size", meta_batch_size, 1),
            ("checkpoint_every", checkpoint_every, 1),
            ("max_bad_tasks", max_bad_tasks, 1),
            ("profile", profile, 0),
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
        self.logs = check_logs(logs)
        self.profile = profile
        self.checkpoint_every = checkpoint_every
        self.seed = seed
        self.on_iteration = on_iteration
        self.iteration = 0
        self._bad = BadTasks(max_bad_tasks)
        self._folder = None if run_dir is None else RunFolder(run_dir, NAME, keep)
        self._best = BestSoFar(best_by)
        self._world = current()
        mode = choose_parallel(parallel, self._world, algorithm, meta_batch_size)
        self._share = FrameShare(self._world) if mode == "frames" else None
        self._batch = MetaBatch(algorithm, self.tasks, meta_batch_size, seed, self._world, has_own_tasks=mode == "tasks")
        roles = resolve_roles(pair, algorithm.inner.all_roles)
        learned = {name: parameter for name, parameter in pair.named_parameters() if is_learned(roles[name])}
        if not learned:
            raise ValueError("no weight's start is learned: every weight is 'local' or 'frozen', so there is nothing to meta-train")
        self._outer = OuterStep(learned, meta_optimizer, meta_lr, clip_norm)
        if self._folder is not None:
            refuse_unkept(self._outer.optimizer)
        self._settings: Settings | None = None
        self._state = MetaState(pair, algorithm, self._outer.optimizer, self._bad, self._best)

    def fit(self, resume: bool | str = "auto") -> GANPair:
        """Take the remaining iterations and return theta.

        With a run folder, Ctrl-C and SIGTERM save the state and end training with :class:`TrainingInterrupted`.

        Args:
            resume: ``"auto"`` goes on from the checkpoint in ``run_dir`` if there is one; ``True`` insists on one; ``False`` ignores it.

        Raises:
            FileNotFoundError: with ``resume=True`` and no checkpoint.
            CheckpointError: when the checkpoint is damaged or of other settings (the message lists the differences), or another
                run is at work in ``run_dir``.
            NonFiniteLossError: after ``max_bad_tasks`` tasks in a row without a finite direction, or when theta is not finite.
            TrainingInterrupted: when it was asked to stop; a KeyboardInterrupt with a message and an exit code.
            OSError: when ``run_dir`` cannot be written; the checkpoint before is untouched then.
        """
        check_resume(resume)
        with contextlib.ExitStack() as stack:
            folder, device = self._folder, next(self.pair.parameters()).device
            interruption = None
            self._settings = self._agreed(resume)
            if folder is not None:
                self._world.on_first(lambda: stack.enter_context(folder.locked()))
                interruption = stack.enter_context(Interruption())
            self._begin(resume)
            if self._world.is_first and self.iteration < self.iterations and not reads_again(self.tasks, self.seed):
                logger.warning(UNREPEATABLE)
            monitor = RunMonitor(self.run_dir, NAME, self.iterations, self.iteration, self._world, device, self.logs, self.profile)
            stack.enter_context(monitor)
            while self.iteration < self.iterations:
                self._advance(monitor, interruption)
            if folder is None:  # otherwise it was looked at before it was saved
                check_weights(self.pair, self._world, f"after iteration {self.iteration}")
        return self.pair

    def step(self) -> dict[str, float]:
        """One iteration: a meta-batch of games, and one step of theta. Returns the logs, averaged over the tasks."""
        return self._move(self._play(None))

    def meta_lr_at(self, iteration: int) -> float:
        """eps at a 0-based iteration."""
        return self.meta_lr * (1 - iteration / self.iterations) if self.meta_schedule == "linear" else self.meta_lr

    @property
    def skipped_tasks(self) -> int:
        """How many tasks gave no finite direction so far."""
        return self._bad.skipped

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint lies, if there is a run folder."""
        return None if self._folder is None else self._folder.newest

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be resumed, besides the tasks."""
        inner = self.algorithm.inner
        plain = {
            "algorithm": type(self.algorithm).__name__,
            "iterations": self.iterations,
            "meta_lr": self.meta_lr,
            "meta_schedule": self.meta_schedule,
            "meta_batch_size": self.meta_batch_size,
            "meta_optimizer": function_label(self.meta_optimizer),
            "clip_norm": self._outer.clip_norm,
            "carry_optimizer": True if self.algorithm.carried is not None else None,
            "seed": self.seed,
        }
        return {
            **{name: describe(value) for name, value in plain.items()},
            "algorithm_options": describe_algorithm(self.algorithm),
            "inner": describe_inner(inner),
            "functions": describe_functions(inner, self.meta_optimizer),
            "objective": describe_objective(self.algorithm.objective),
        }

    def _agreed(self, resume: bool | str) -> Settings | None:
        """The settings and tasks of all ranks; ``None`` where there is nothing to compare them with."""
        if self._folder is None and self._world.size == 1:
            return None
        settings = Settings(self.settings, "tasks", lambda: describe_tasks(self.tasks, self._batch.first_task()))
        saving = {"resume": resume, "checkpoint_every": self.checkpoint_every, "run_dir given": self._folder is not None}
        settings.agree(self._world, {"training": NAME, "parallel": self._batch.has_own_tasks, **saving, **outline(self.pair)})
        return settings

    def _begin(self, resume: bool | str) -> None:
        """Go on from the checkpoint, or start with rank 0's weights."""
        self._settings = self._settings or self._agreed(resume)
        found = None if self._settings is None else find_checkpoint(self._folder, resume, self._settings, self._world)
        if found is None:
            if resume is True and self._folder is None:
                raise FileNotFoundError("resume=True, but there is no run_dir to find a checkpoint in")
            start_together(self.pair, self._world)
            return
        assert self._folder is not None
        self.iteration = self._state.put_back(self._folder.newest, *found, self.iterations, self.meta_batch_size)
        if self._is_due and self._world.is_first:
            self._folder.settle(self.iteration)
        logger.info("resumed %s at iteration %d of %d", self._folder.newest, self.iteration, self.iterations)

    def _advance(self, monitor: RunMonitor, interruption: Interruption | None) -> None:
        try:
            played = self._play(interruption)
        except WorkAbandoned:
            self._stop(interruption, 0)
        logs = self._move(played)
        self._best.note(logs, played.logs)
        if self._is_due:
            self._save(is_due=True)
        monitor.after(self.iteration, logs, self._best if self._folder is not None and self._best.by is not None else None)
        if self.on_iteration is not None:
            self.on_iteration(self.iteration, logs)
        if played.stop:
            self._stop(interruption, played.stop)

    def _play(self, interruption: Interruption | None) -> Played:
        self.algorithm.share = self._share
        if interruption is None:
            return self._batch.play(self.pair, self.iteration)
        # A game leaves theta alone until it is over, so it may be left; not by one rank of several, and not by an algorithm
        # that remembers something from game to game.
        may_abandon = self._world.size == 1 and not self.algorithm.state_tensors()
        with interruption.abandonable(may_abandon):
            return self._batch.play(self.pair, self.iteration, interruption.number)

    def _move(self, played: Played) -> dict[str, float]:
        self._bad.note(self.iteration, self.meta_batch_size, played.failures, speaks=self._world.is_first)
        rate = self.meta_lr_at(self.iteration)
        norm = self._outer.move(played.directions, rate) if played.directions else 0.0
        if played.directions:
            move_buffers(self.pair, played.buffers)
        self.iteration += 1
        return {**played.logs, "direction_norm": norm, "meta_lr": rate, "skipped_tasks": float(self.skipped_tasks)}

    @property
    def _is_due(self) -> bool:
        return self._folder is not None and (self.iteration % self.checkpoint_every == 0 or self.iteration == self.iterations)

    def _stop(self, interruption: Interruption | None, number: int) -> NoReturn:
        assert interruption is not None
        assert self._folder is not None
        if not self._is_due:
            self._save(is_due=False)
        raise interruption.ended(number, f"at iteration {self.iteration} of {self.iterations}; the state is in {self._folder.newest}")

    def _save(self, *, is_due: bool) -> None:
        """Write a checkpoint; one that is not due, for a stop, leaves no trace in what is kept and what is best."""
        check_weights(self.pair, self._world, f"after iteration {self.iteration}")
        self._world.on_first(lambda: self._write(is_due=is_due))

    def _write(self, *, is_due: bool) -> None:
        assert self._folder is not None
        assert self._settings is not None
        is_best = is_due and self._best.decide(self.pair, self.iteration)
        tensors, state = self._state.take(self.iteration)
        document = {**describe_pair(self.pair), **self._settings.entries(), **state, **provenance(self._world)}
        self._folder.save(tensors, document, self.iteration if is_due else None, is_best=is_best)
