"""BestSoFar: which checkpoint is the best one, by a log or by a score of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from gan_meta.pair import GANPair

BestBy = str | Callable[[GANPair], float] | None
"""The name of a log, whose mean since the checkpoint before is the score; a function of the pair; or nothing. Lower is better."""


class BestSoFar:
    """Remembers the lowest score of the checkpoints so far.

    A generator's loss is a rough guide to its pictures, since it depends on the opponent; a score on held-out samples is better.
    """

    def __init__(self, by: BestBy) -> None:
        self._by = by
        self._score = math.inf
        self._sum = 0.0
        self._count = 0

    def note(self, logs: Mapping[str, float]) -> None:
        """Take in an iteration's logs."""
        if isinstance(self._by, str) and self._by in logs:
            self._sum += logs[self._by]
            self._count += 1

    def decide(self, pair: GANPair) -> bool:
        """Whether the checkpoint that is due now is the best so far."""
        if callable(self._by):
            score = float(self._by(pair))
        else:
            score = self._sum / self._count if self._count else math.nan
        self._sum, self._count = 0.0, 0
        is_best = score < self._score
        if is_best:
            self._score = score
        return is_best

    def state(self) -> dict[str, Any]:
        """For a checkpoint; JSON has no infinity."""
        return {"score": None if math.isinf(self._score) else self._score, "sum": self._sum, "count": self._count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        self._score = math.inf if state["score"] is None else float(state["score"])
        self._sum, self._count = float(state["sum"]), int(state["count"])
