"""pretrain(): the joint start, the same game played over all training samples."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_meta.checkpoint import load_tensors, pack_optimizer, refuse_other_settings, save_tensors, unpack_optimizer
from gan_meta.game import Game
from gan_meta.inner import InnerLoop
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.player_loss import check_finite
from gan_meta.tasks import Samples, count_samples
from gan_meta.trainer import describe_inner, pair_tensors

logger = logging.getLogger(__name__)

CHECK_EVERY = 50


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
    on_step: Callable[[int, int, Mapping[str, Tensor]], None] | None = None,
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
        on_step: called after each iteration with (iterations done, iterations in all, losses by name as scalar tensors).

    Raises:
        ValueError: for empty samples or options that do not fit the pair.
        CheckpointError: when the checkpoint in ``run_dir`` is damaged or of other settings.
        NonFiniteLossError: when a loss becomes infinite or not a number.
    """
    inner = inner if inner is not None else InnerLoop()
    if steps is None:
        steps = math.ceil(epochs * count_samples(dataset) / inner.batch_size)
    inner = dataclasses.replace(inner, steps=steps)
    game = Game(pair, objective, dataset, inner, seed)
    path = None if run_dir is None else Path(run_dir) / "pretraining.safetensors"
    settings: dict[str, Any] = {"seed": seed, "samples": count_samples(dataset), "inner": describe_inner(inner)}
    if resume is True and (path is None or not path.is_file()):
        raise FileNotFoundError(f"resume=True, but there is no checkpoint at {path}")
    if resume and path is not None and path.is_file():
        _load(game, path, settings)
    unchecked: list[dict[str, Tensor]] = []
    while game.position < steps:
        losses = game.step()
        unchecked.append(losses)
        is_due = path is not None and (game.position % checkpoint_every == 0 or game.position == steps)
        if is_due or len(unchecked) == CHECK_EVERY or game.position == steps:
            check_finite(unchecked, first_step=game.position - len(unchecked))
            unchecked = []
        if path is not None and is_due:
            _save(game, path, settings)
        if on_step is not None:
            on_step(game.position, steps, losses)
    return game.finish()


def _save(game: Game, path: Path, settings: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"pair.{name}": tensor for name, tensor in game.pair.state_dict().items()}
    optimizers: dict[str, Any] = {}
    for player, optimizer in game.optimizers.items():
        packed, optimizers[player] = pack_optimizer(optimizer, f"{player}-optimizer.")
        tensors.update(packed)
    save_tensors(path, tensors, {"settings": settings, "position": game.position, "optimizers": optimizers})


def _load(game: Game, path: Path, settings: dict[str, Any]) -> None:
    tensors, document = load_tensors(path)
    refuse_other_settings(path, document["settings"], settings)
    game.pair.load_state_dict(pair_tensors(tensors))
    for player, optimizer in game.optimizers.items():
        unpack_optimizer(optimizer, f"{player}-optimizer.", tensors, document["optimizers"][player])
    game.position = document["position"]
    logger.info("resumed %s at iteration %d of %d", path, game.position, game.inner.steps)
