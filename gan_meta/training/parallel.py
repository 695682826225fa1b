"""How several ranks split meta-training: whole games each, or one game together."""

from __future__ import annotations

import logging

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.distributed import World
from gan_meta.naming import unknown_name

logger = logging.getLogger(__name__)

PARALLEL = ("auto", "tasks", "frames")


def choose_parallel(parallel: str, world: World, algorithm: MetaAlgorithm, meta_batch_size: int) -> str:
    """``"tasks"``, ``"frames"``, or ``"none"`` for a process alone.

    ``"auto"`` takes tasks where there is at least one for each rank, and frames otherwise.

    Raises:
        ValueError: for an unknown word, or a split that leaves a rank without work or changes the result.
    """
    if parallel not in PARALLEL:
        raise ValueError(unknown_name("parallel", parallel, PARALLEL))
    if world.size == 1:
        return "none"
    if parallel == "auto":
        parallel = "tasks" if meta_batch_size >= world.size and algorithm.carried is None else "frames"
    if parallel == "tasks":
        _check_tasks(world, algorithm, meta_batch_size)
    else:
        _check_frames(world, algorithm, meta_batch_size)
    return parallel


def _check_tasks(world: World, algorithm: MetaAlgorithm, meta_batch_size: int) -> None:
    if meta_batch_size < world.size:
        raise ValueError(
            f"{world.size} ranks would share {meta_batch_size} tasks an iteration, so that {world.size - meta_batch_size} idle; "
            f'raise meta_batch_size to a multiple of {world.size}, start fewer ranks, or use parallel="frames"'
        )
    if algorithm.carried is not None:
        raise ValueError('carry_optimizer=True plays tasks one after another, so ranks cannot share them; use parallel="frames"')
    if meta_batch_size % world.size and world.is_first:
        idle = world.size - meta_batch_size % world.size
        logger.warning("%d tasks over %d ranks: %d idle while the last are played", meta_batch_size, world.size, idle)


def _check_frames(world: World, algorithm: MetaAlgorithm, meta_batch_size: int) -> None:
    name = type(algorithm).__name__
    if not algorithm.can_share_frames:
        raise ValueError(
            f"{name} plays its games on one rank each, so {world.size} ranks need as many tasks an iteration: raise "
            f"meta_batch_size from {meta_batch_size} to a multiple of {world.size}, or start fewer ranks"
        )
    if algorithm.inner.batch_size < world.size:
        raise ValueError(
            f"{world.size} ranks cannot share batches of {algorithm.inner.batch_size} samples; start fewer ranks or raise batch_size"
        )
