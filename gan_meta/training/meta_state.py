"""The tensors and counters of a meta-training between two iterations: taken for a checkpoint, and put back from one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.checkpoint import CheckpointError, load_state, pack_optimizer, unpack_optimizer
from gan_meta.pair import GANPair
from gan_meta.training.bad_tasks import BadTasks
from gan_meta.training.best import BestSoFar
from gan_meta.training.training_state import PAIR, pair_tensors, under

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
        tensors.update({f"{PAIR}{name}": tensor for name, tensor in self._pair.state_dict().items()})
        tensors.update({f"{_ALGORITHM}{name}": tensor for name, tensor in self._algorithm.state_tensors().items()})
        counters = {
            "iteration": iteration,
            "skipped_tasks": self._bad.skipped,
            "bad_in_a_row": self._bad.in_a_row,
            "best": self._best.state(),
        }
        return tensors, {"counters": counters, "optimizer": optimizer}

    def put_back(self, path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> int:
        """Set everything to what a checkpoint holds, and return its iteration.

        Raises:
            CheckpointError: when it does not fit or is damaged.
        """
        load_state(path, self._pair, pair_tensors(tensors))
        try:
            self._algorithm.load_state_tensors(under(_ALGORITHM, tensors))
            unpack_optimizer(self._optimizer, _OPTIMIZER, tensors, document["optimizer"])
            counters = document["counters"]
            self._best.load(counters["best"])
            self._bad.skipped, self._bad.in_a_row = int(counters["skipped_tasks"]), int(counters["bad_in_a_row"])
            return int(counters["iteration"])
        except CheckpointError:
            raise
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"{path} is damaged, or no checkpoint of this training: {error}") from error
