"""BadTasks: counts the tasks that gave no finite direction, and ends a training in which they do not stop."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gan_meta.game.player_loss import NonFiniteLossError

logger = logging.getLogger(__name__)


class BadTasks:
    """The policy: a bad task is skipped, and ``limit`` of them in a row are too many.

    Attributes:
        skipped: how many there were in all.
        in_a_row: how many there were since the last good one.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.skipped = 0
        self.in_a_row = 0

    def note(self, iteration: int, n_tasks: int, failures: Mapping[int, str], *, speaks: bool) -> None:
        """Take in an iteration's tasks.

        Args:
            failures: by the task's number, why it gave no direction.
            speaks: whether this process is the one to warn.

        Raises:
            NonFiniteLossError: when they were too many in a row.
        """
        for number in range(n_tasks):
            why = failures.get(number)
            self.in_a_row = 0 if why is None else self.in_a_row + 1
            if why is None:
                continue
            self.skipped += 1
            if speaks:
                logger.warning("iteration %d: skipped %s", iteration, why)
            if self.in_a_row >= self.limit:
                raise NonFiniteLossError(
                    f"{self.in_a_row} tasks in a row gave no finite direction; the last one, in iteration {iteration}: {why}"
                )
