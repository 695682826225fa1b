"""BestSoFar: which checkpoint is the best one, by a log or by a score of one's own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from gan_meta.naming import unknown_name
from gan_meta.pair import GANPair
from gan_meta.seeds import derive_seed, seeded

logger = logging.getLogger(__name__)

BestBy = str | Callable[[GANPair], float] | None
"""The name of a log, whose mean since the checkpoint before is the score; a function of the pair; or nothing. Lower is better."""

DEFAULT_LOG = "generator"
"""An algorithm of one's own need not have it: there is then no best checkpoint."""


class BestSoFar:
    """Remembers the lowest score of the checkpoints so far.

    A generator's loss is a rough guide to its pictures, since it depends on the opponent; a score on held-out samples is better.

    Attributes:
        score: the lowest score so far; not a number before there is one.
        iteration: when it was reached.

    Raises:
        TypeError: when ``by`` is no name, function or nothing.
    """

    def __init__(self, by: BestBy) -> None:
        if not (by is None or isinstance(by, str) or callable(by)):
            raise TypeError(f"best_by must be the name of a log, a function of the pair, or None; got {by!r}")
        self._by = by
        self.score = math.nan
        self.iteration: int | None = None
        self._sum = 0.0
        self._count = 0
        self._is_known = False

    @property
    def by(self) -> str | None:
        """What the score is, in a word."""
        if self._by is None or isinstance(self._by, str):
            return self._by
        return str(getattr(self._by, "__qualname__", type(self._by).__qualname__))

    @property
    def words(self) -> str | None:
        """The lowest score, for people; ``None`` before there is one."""
        return None if self.iteration is None else f"{self.by} {self.score:.4g}, at iteration {self.iteration}"

    def note(self, logs: Mapping[str, float], game_logs: Mapping[str, float]) -> None:
        """Take in an iteration's logs.

        Args:
            game_logs: those of its games; none where no task gave a direction.

        Raises:
            ValueError: when there is no log of the name, with the nearest there is.
        """
        if not isinstance(self._by, str):
            return
        if self._by in logs:
            self._sum += logs[self._by]
            self._count += 1
            self._is_known = True
        elif game_logs and not self._is_known and self._by != DEFAULT_LOG:
            raise ValueError(f"best_by: {unknown_name('log', self._by, logs)}")

    def decide(self, pair: GANPair, iteration: int) -> bool:
        """Whether the checkpoint that is due now is the best so far.

        Raises:
            TypeError: when the function gives no number.
        """
        if callable(self._by):
            with seeded(derive_seed(0, "score")):
                score = self._number(self._by(pair))
        else:
            score = self._sum / self._count if self._count else math.nan
        if not math.isfinite(score) and (callable(self._by) or self._count):
            logger.warning("best_by: %s is %s at iteration %d, so this checkpoint is none to compare by", self.by, score, iteration)
        self._sum, self._count = 0.0, 0
        is_best = math.isfinite(score) and not score >= self.score
        if is_best:
            self.score, self.iteration = score, iteration
        return is_best

    def _number(self, score: object) -> float:
        try:
            return float(score.detach() if isinstance(score, Tensor) else score)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError) as error:
            found = f"a tensor of shape {tuple(score.shape)}" if isinstance(score, Tensor) else repr(score)[:100]
            raise TypeError(f"best_by: {self.by} returned {found}; it must return one real number, the lower the better") from error

    def state(self) -> dict[str, Any]:
        """For a checkpoint; JSON has no number that is none."""
        score = None if math.isnan(self.score) else self.score
        total = self._sum if math.isfinite(self._sum) else None
        return {"by": self.by, "score": score, "iteration": self.iteration, "sum": total, "count": self._count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave; scores of another kind are no scores to compare with."""
        by = state.get("by", self.by)
        if by != self.by:
            logger.warning("best_by was %s there and is %s here: the best checkpoint is chosen anew", by, self.by)
            return
        self.score = math.nan if state["score"] is None else float(state["score"])
        self.iteration = None if state.get("iteration") is None else int(state["iteration"])
        self._sum, self._count = math.nan if state["sum"] is None else float(state["sum"]), int(state["count"])
