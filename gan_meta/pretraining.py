"""pretrain(): the joint start, the same game played over all training samples."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_meta.checkpoint import describe_pair
from gan_meta.distributed import World, current
from gan_meta.game.copies import copy_objective, show, take_loose
from gan_meta.game.engine import Game
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.inner import InnerLoop
from gan_meta.game.player_loss import check_finite
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.tasks import Samples, count_samples, same_samples
from gan_meta.training.description import describe
from gan_meta.training.entries import Entries
from gan_meta.training.interruption import Interruption
from gan_meta.training.kept import kept_elsewhere
from gan_meta.training.optimizer_state import pack_optimizer, put_optimizer_back, read_optimizer, refuse_unkept
from gan_meta.training.run_folder import RunFolder
from gan_meta.training.run_log import check_logs
from gan_meta.training.run_monitor import RunMonitor
from gan_meta.training.settings import FORMAT, Settings, describe_functions, describe_inner, describe_objective, describe_samples
from gan_meta.training.training_state import (
    BUFFER,
    PAIR,
    UNREPEATABLE,
    check_pair,
    check_resume,
    check_weights,
    find_checkpoint,
    outline,
    provenance,
    put_pair_back,
    refuse_foreign,
    start_together,
    take_pair,
)

logger = logging.getLogger(__name__)

NAME = "pretraining"
"""What the files of a run folder are called."""
CHECK_EVERY = 50
"""Iterations between looks at the losses; each look waits for the GPU."""
ASK_EVERY = 10
"""Iterations between the ranks' asking each other whether one of them was told to stop."""

OnStep = Callable[[int, int, Mapping[str, Tensor]], None]


def pretrain(
    pair: GANPair,
    objective: Objective,
    dataset: Samples,
    *,
    epochs: float = 10,
    steps: int | None = None,
    inner: InnerLoop | None = None,
    run_dir: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: bool | str = "auto",
    seed: int = 0,
    on_step: OnStep | None = None,
    keep: int = 2,
    logs: Sequence[str] = ("jsonl",),
    profile: int = 0,
) -> GANPair:
    """Train both players on all samples together, the start that meta-learning begins from (the paper's section 3).

    Args:
        pair: **trained in place**, and returned.
        objective: what each player minimises.
        dataset: all training samples, in any form of :data:`gan_meta.tasks.Samples`.
        epochs: passes over the samples; the paper's 10.
        steps: the number of iterations instead, where given.
        inner: the game's options, as inside a task (optimiser, rates, batch size, order, schedule); its ``steps`` is replaced.
            The default is the paper's: Adam at 2e-4, batch 8, constant for the first half and then falling linearly.
        run_dir: where a checkpoint goes every ``checkpoint_every`` iterations and at the end; ``None`` keeps nothing.
        resume: as for :meth:`gan_meta.MetaTrainer.fit`.
        seed: fixes the order of the samples.
        on_step: called after each iteration with (iterations done, iterations in all, losses by name as scalar tensors), on
            every rank.
        keep, logs, profile: as for :class:`gan_meta.MetaTrainer`; logs have the mean of the last iterations.

    Several ranks (:func:`gan_meta.distributed.connect`) share every batch; the result is that of one process, to rounding.

    Raises:
        ValueError: for empty samples, options that do not fit the pair, or more ranks than a batch has samples.
        CheckpointError: when the checkpoint in ``run_dir`` is damaged or of other settings, or another run is at work there.
        TrainingInterrupted: as for :meth:`gan_meta.MetaTrainer.fit`.
        NonFiniteLossError: when a loss becomes infinite or not a number.
    """
    check_resume(resume)
    inner = inner if inner is not None else InnerLoop()
    if steps is None:
        steps = math.ceil(epochs * count_samples(dataset) / inner.batch_size)
    inner = dataclasses.replace(inner, steps=steps)
    world = current()
    if inner.batch_size < world.size:
        raise ValueError(f"{world.size} ranks cannot share batches of {inner.batch_size} samples; start fewer ranks or raise batch_size")
    copies = copy_objective(objective, pair, pair)
    game = Game(pair, copies.objective, dataset, inner, seed, FrameShare(world) if world.size > 1 else None)
    folder = None if run_dir is None else RunFolder(run_dir, NAME, keep)
    if folder is not None:
        for optimizer in game.optimizers.values():
            refuse_unkept(optimizer)
    plain = {
        "seed": describe(seed),
        "samples": count_samples(dataset),
        "inner": describe_inner(inner),
        "functions": describe_functions(inner),
        "objective": describe_objective(objective),
    }
    settings = None
    if folder is not None or world.size > 1:
        settings = Settings(plain, "data", lambda: describe_samples(dataset))
        saving = {"resume": resume, "checkpoint_every": checkpoint_every, "run_dir given": folder is not None}
        settings.agree(world, {"training": NAME, **saving, **outline(pair)})
    training = _Training(game, folder, settings, world, checkpoint_every)
    with contextlib.ExitStack() as stack:
        interruption = None
        if folder is not None:
            world.on_first(lambda: stack.enter_context(folder.locked()))
            interruption = stack.enter_context(Interruption())
        training.begin(resume)
        if world.is_first and not isinstance(dataset, Mapping) and not same_samples(dataset, dataset, seed):
            logger.warning(UNREPEATABLE)
        where = None if folder is None else folder.path
        monitor = RunMonitor(where, NAME, steps, game.position, world, game.table.device, check_logs(logs), profile)
        stack.enter_context(monitor)
        while game.position < steps:
            training.advance(monitor, interruption, on_step)
    copies.check()
    show(objective, pair, game.table.objective, pair)
    return game.finish()


class _Training:
    """A joint training between its steps: what was not looked at yet, and when to save."""

    def __init__(self, game: Game, folder: RunFolder | None, settings: Settings | None, world: World, checkpoint_every: int) -> None:
        self._game = game
        self._folder = folder
        self._settings = settings
        self._world = world
        self._checkpoint_every = checkpoint_every
        self._unchecked: list[dict[str, Tensor]] = []
        self._start = take_loose(game.pair, game.table.objective) if folder is not None and world.is_first else None

    def begin(self, resume: bool | str) -> None:
        """Go on from the checkpoint, or start with rank 0's weights."""
        found = None if self._settings is None else find_checkpoint(self._folder, resume, self._settings, self._world)
        if found is None:
            if resume is True and self._folder is None:
                raise FileNotFoundError("resume=True, but there is no run_dir to find a checkpoint in")
            start_together(self._game.pair, self._world)
            return
        assert self._folder is not None
        path = self._folder.newest
        self._put_back(path, *found)
        if self._is_due and self._world.is_first:
            self._folder.settle(self._game.position)
        logger.info("resumed %s at iteration %d of %d", path, self._game.position, self._game.inner.steps)

    def _put_back(self, path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        """Set the game to what a checkpoint holds, once all of it is known to fit."""
        game, entries = self._game, Entries(path, document)
        position = entries.whole("position", 0, game.inner.steps)
        refuse_foreign(path, tensors, (PAIR, BUFFER, *(_prefix(player) for player in game.optimizers)))
        check_pair(path, game.pair, tensors, is_whole=document.get("settings_format") == FORMAT)
        saved, most = entries.section("optimizers"), position * max(game.inner.update_ratio)
        states = {
            player: read_optimizer(optimizer, _prefix(player), tensors, saved.section(player), most)
            for player, optimizer in game.optimizers.items()
        }
        put_pair_back(game.pair, tensors)
        for player, state in states.items():
            put_optimizer_back(game.optimizers[player], state)
        game.position = position

    def advance(self, monitor: RunMonitor, interruption: Interruption | None, on_step: OnStep | None) -> None:
        """One step, and what is due after it."""
        game = self._game
        losses = game.step()
        self._unchecked.append(losses)
        is_look = self._is_due or game.position % CHECK_EVERY == 0 or game.position == game.inner.steps
        number = max(self._world.gather(interruption.number())) if interruption is not None and self._is_time_to_ask(is_look) else 0
        if is_look or number:
            monitor.after(game.position, self._looked_at())
        if self._is_due or number:
            self._save()
        if on_step is not None:
            on_step(game.position, game.inner.steps, losses)
        if interruption is not None and self._folder is not None and number:
            where = f"at iteration {game.position} of {game.inner.steps}; the state is in {self._folder.newest}"
            raise interruption.ended(number, where)

    def _is_time_to_ask(self, is_look: bool) -> bool:
        """Ranks ask each other only now and then, since that costs them a wait."""
        return is_look or self._world.size == 1 or self._game.position % ASK_EVERY == 0

    @property
    def _is_due(self) -> bool:
        position = self._game.position
        return self._folder is not None and (position % self._checkpoint_every == 0 or position == self._game.inner.steps)

    def _looked_at(self) -> dict[str, float]:
        """The mean losses since the last look, all of which must be finite."""
        history, self._unchecked = self._unchecked, []
        check_finite(history, first_step=self._game.position - len(history))
        names = dict.fromkeys(name for losses in history for name in losses)
        return {name: float(torch.stack([losses[name] for losses in history if name in losses]).mean()) for name in names}

    def _save(self) -> None:
        check_weights(self._game.pair, self._world, f"after iteration {self._game.position}")
        self._world.on_first(self._write)

    def _write(self) -> None:
        assert self._folder is not None
        assert self._settings is not None
        self._say_what_is_left_out()
        position, tensors = self._game.position, take_pair(self._game.pair)
        optimizers: dict[str, Any] = {}
        for player, optimizer in self._game.optimizers.items():
            packed, optimizers[player] = pack_optimizer(optimizer, _prefix(player))
            tensors.update(packed)
        document = {
            **describe_pair(self._game.pair),
            **self._settings.entries(),
            "position": position,
            "optimizers": optimizers,
            **provenance(self._world),
        }
        self._folder.save(tensors, document, position if self._is_due else None)

    def _say_what_is_left_out(self) -> None:
        """Once, at the first checkpoint that a training may go on from."""
        start, self._start = self._start, None
        if start is None or self._game.position == self._game.inner.steps:
            return
        kept = kept_elsewhere(self._game.table, self._game.position, start)
        if kept:
            logger.warning(
                "%s: kept from iteration to iteration, but in no checkpoint, so a training that goes on from one differs from a whole one; "
                "ask for the keyword `step` in place of a count, and keep an average in a buffer of the generator or discriminator",
                ", ".join(kept),
            )


def _prefix(player: str) -> str:
    """Of the names of its optimiser's tensors in a checkpoint."""
    return f"{player}-optimizer."
