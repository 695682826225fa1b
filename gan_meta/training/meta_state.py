"""The tensors and counters of a meta-training between two iterations: taken for a checkpoint, and put back from one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.checkpoint import CheckpointError
from gan_meta.pair import GANPair
from gan_meta.training.bad_tasks import BadTasks
from gan_meta.training.best import BestSoFar
from gan_meta.training.entries import Entries
from gan_meta.training.optimizer_state import pack_optimizer, put_optimizer_back, read_optimizer
from gan_meta.training.settings import FORMAT
from gan_meta.training.training_state import BUFFER, PAIR, check_pair, put_pair_back, refuse_foreign, take_pair, under
from gan_meta.weight_values import largest

_OPTIMIZER, _ALGORITHM = "optimizer.", "algorithm."


class MetaState:
    """What moves in a meta-training, apart from the iteration's number."""

    def __init__(self, pair: GANPair, algorithm: MetaAlgorithm, optimizer: Optimizer, bad: BadTasks, best: BestSoFar) -> None:
        self._pair = pair
        self._algorithm = algorithm
        self._optimizer = optimizer
        self._bad = bad
        self._best = best

    def take(self, iteration: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors, and a JSON-able document of the rest."""
        tensors, optimizer = pack_optimizer(self._optimizer, _OPTIMIZER)
        tensors.update(take_pair(self._pair))
        tensors.update({f"{_ALGORITHM}{name}": tensor for name, tensor in self._algorithm.state_tensors().items()})
        counters = {
            "iteration": iteration,
            "skipped_tasks": self._bad.skipped,
            "bad_in_a_row": self._bad.in_a_row,
            "best": self._best.state(),
        }
        return tensors, {"counters": counters, "optimizer": optimizer}

    def put_back(self, path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any], iterations: int, n_tasks: int) -> int:
        """Set everything to what a checkpoint holds, once all of it is known to fit, and return its iteration.

        Args:
            iterations: how many there are in all.
            n_tasks: how many tasks each of them has.

        Raises:
            CheckpointError: naming the first entry that does not fit or is damaged.
        """
        entries = Entries(path, document)
        counters = entries.section("counters")
        iteration = counters.whole("iteration", 0, iterations)
        skipped = counters.whole("skipped_tasks", 0, iteration * n_tasks)
        in_a_row = counters.whole("bad_in_a_row", 0, skipped)
        best = _checked_best(counters.section("best"), iteration)
        refuse_foreign(path, tensors, (PAIR, BUFFER, _OPTIMIZER, _ALGORITHM))
        check_pair(path, self._pair, tensors, is_whole=document.get("settings_format") == FORMAT)
        optimizer = read_optimizer(self._optimizer, _OPTIMIZER, tensors, entries.section("optimizer"), iteration)
        remembered = under(_ALGORITHM, tensors)
        if self._algorithm.carried is None and type(self._algorithm).load_state_tensors is MetaAlgorithm.load_state_tensors:
            refuse_foreign(path, tensors, (PAIR, BUFFER, _OPTIMIZER))
        elif self._algorithm.carried is not None:
            _check_carried(path, remembered, dict(self._pair.named_parameters()))
        try:
            self._algorithm.load_state_tensors(remembered)
            self._best.load(best)
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise CheckpointError(f"{path} is damaged, or no checkpoint of this training: {error}") from error
        put_pair_back(self._pair, tensors)
        put_optimizer_back(self._optimizer, optimizer)
        self._bad.skipped, self._bad.in_a_row = skipped, in_a_row
        return iteration


def _checked_best(best: Entries, iteration: int) -> Mapping[str, Any]:
    """The record of the best checkpoint, of which what is not known may be null."""
    for name in ("score", "sum"):
        if best.document.get(name, 0) is not None:
            best.number(name)
    if best.document.get("iteration") is not None:
        best.whole("iteration", 0, iteration)
    best.whole("count", 0, iteration)
    return best.document


def _check_carried(path: Path, tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """See that these are Adam's running averages of the pair's parameters, all three of each."""
    place = f"{path} is damaged, or no checkpoint of this training: the carried optimiser's"
    names = {key.partition("/")[2] for key in tensors}
    for key in sorted({f"{group}/{name}" for group in ("mean", "square", "count") for name in names} | tensors.keys()):
        group, _, name = key.partition("/")
        if key not in tensors or group not in ("mean", "square", "count") or name not in parameters:
            raise CheckpointError(f"{place} {key!r} is {'missing' if key not in tensors else 'of no parameter here'}")
        value, like = tensors[key], parameters[name]
        if group == "count":
            if value.ndim or value.is_floating_point() or value.is_complex() or not 0 <= int(value) < 2**53:
                raise CheckpointError(f"{place} {key!r} is no whole number of 0 or more")
        elif value.shape != like.shape or value.dtype != like.dtype:
            raise CheckpointError(f"{place} {key!r} is {value.dtype} {tuple(value.shape)}, should be {like.dtype} {tuple(like.shape)}")
        elif not math.isfinite(largest(value)) or (group == "square" and not value.is_complex() and bool((value < 0).any())):
            raise CheckpointError(f"{place} {key!r} holds values that are not finite, or squares below 0")
