"""DivergenceMonitor: says when a training goes the way that GANs go wrong; it warns and changes nothing."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping


class DivergenceMonitor:
    """Looks at each iteration's logs for three signs of trouble.

    - a loss **explodes**: its median over the last iterations is far above that of the first ones;
    - **the discriminator wins**: its loss falls to nearly nothing, so that it has little left to teach;
    - the **direction explodes**: theta is asked to move much farther than at first.

    Args:
        window: how many iterations a median is taken over.
        growth: how many times the first median counts as an explosion.
        win: what part of its first median the discriminator's loss must fall below to have won.

    Each sign is reported once, and again only after it has gone away.
    """

    def __init__(self, window: int = 20, growth: float = 10.0, win: float = 0.02) -> None:
        self.window = window
        self.growth = growth
        self.win = win
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, deque[float]] = {}
        self._reported: set[str] = set()

    def watch(self, logs: Mapping[str, float]) -> list[str]:
        """Take in an iteration's logs; returns what is newly wrong, in words."""
        for name in ("generator", "discriminator", "direction_norm"):
            if name in logs:
                first = self._first.setdefault(name, [])
                if len(first) < self.window:
                    first.append(logs[name])
                self._last.setdefault(name, deque(maxlen=self.window)).append(logs[name])
        signs = self._signs()
        new = [sentence for sign, sentence in signs.items() if sign not in self._reported]
        self._reported = set(signs)
        return new

    def _signs(self) -> dict[str, str]:
        signs = {}
        for name, first in self._first.items():
            if len(first) < self.window:
                continue
            before, now = statistics.median(first), statistics.median(self._last[name])
            what = "the direction's norm" if name == "direction_norm" else f"the {name}'s loss"
            change = f"{what} was {before:.3g} at first and is {now:.3g} over the last {self.window} iterations"
            if before > 0 and now > self.growth * before:
                signs[name] = f"training may be diverging: {change}; a lower learning rate usually helps"
            if name == "discriminator" and before > 0 and 0 <= now < self.win * before:
                signs["win"] = f"the discriminator wins: {change}; give it a lower rate (discriminator_lr) or freeze it (freeze_d)"
        return signs
