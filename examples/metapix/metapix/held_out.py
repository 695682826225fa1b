"""Held-out frames: frames of the person that a personalisation does not learn from, to see while it adapts whether it helps."""

from __future__ import annotations

from collections.abc import Callable

import gan_meta as gm
from metapix.conditioning import Conditioning
from metapix.data.clip import Clip
from metapix.evaluate import score_clip
from metapix.personalize import draw, pose_inputs

MOST_FRAMES = 12
EVERY = 5
"""Steps between two scores."""

Report = Callable[[int, float], None]
"""Told a number of steps and the mean PSNR after them."""


def choose_rows(count: int, shots: int) -> tuple[list[int], list[int]]:
    """Which of a clip's frames to learn from (evenly spaced, as :func:`metapix.tasks.evenly_spaced`), and which to hold out.

    Returns:
        K row numbers, or all where there are fewer; and up to 12 of the others, evenly spaced, none where there are none.
    """
    if shots >= count:
        return list(range(count)), []
    learnt = [count // 2] if shots == 1 else [number * (count - 1) // (shots - 1) for number in range(shots)]
    others = sorted(set(range(count)) - set(learnt))
    shown = min(MOST_FRAMES, len(others))
    return learnt, [others[(2 * number + 1) * len(others) // (2 * shown)] for number in range(shown)]


class HeldOut:
    """Scores a pair on frames it does not learn from, every five steps, and remembers the best.

    Args:
        start: the pair before it adapts.
        shots: the K frames.
        frames: others of the same clip, at the same size.
        report: called with each score.
        conditioning: how frames are drawn; default: the start's own.
    """

    def __init__(
        self, start: gm.GANPair, shots: Clip, frames: Clip, report: Report | None = None, conditioning: Conditioning | None = None
    ) -> None:
        self._frames, self._report = frames, report
        self._poses = pose_inputs(start, shots, frames, conditioning)
        self.scores: dict[int, float] = {}
        self.best_steps, self.best_pair = 0, start
        self.look(0, start, 0)

    def look(self, step: int, pair: gm.GANPair, last: int) -> None:
        """The pair after a step of a game of ``last`` steps."""
        if step % EVERY and step != last:
            return
        score = float(score_clip(draw(pair, self._poses), self._frames)["psnr"])
        if self.scores and score > max(self.scores.values()):
            self.best_steps, self.best_pair = step, pair.clone()
        self.scores[step] = score
        if self._report is not None:
            self._report(step, score)
