"""The paper's claims against our numbers: holds, does not hold, or undecided, with the intervals that say so."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metapix.evaluation.frame_scores import HIGHER_IS_BETTER
from metapix.evaluation.reproduce.gathering import Line
from metapix.evaluation.statistics import Comparison, compare

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
PAPERS_SCORES = ("ssim", "psnr", "mse")
STEADINESS = ("flicker", "change_error")

FEWEST_VIDEOS = 5
"""With fewer test videos nothing is decided: their bootstrap intervals are far too narrow."""
SAME_SSIM = 0.02
"""Two SSIM count as about the same within this: half of the .04 that the paper's text calls an improvement (eps, .47 to .51)."""

Lines = Sequence[Line]


@dataclass(frozen=True)
class Evidence:
    """One comparison.

    Attributes:
        what: what was subtracted from what.
        score: in which score.
        found: the difference, positive where the claim would have it so; None where there are no common videos.
    """

    what: str
    score: str
    found: Comparison | None

    def describe(self) -> dict[str, Any]:
        """JSON-able form, with the sign of the score itself."""
        if self.found is None:
            return {"what": self.what, "score": self.score}
        difference, sign = self.found.difference, 1 if HIGHER_IS_BETTER[self.score] else -1
        low, high = sorted((sign * difference.low, sign * difference.high))
        return {
            "what": self.what, "score": self.score, "difference": sign * difference.mean, "low": low, "high": high,
            "p": self.found.p, "better": self.found.better, "videos": self.found.videos,
        }  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A claim and what became of it."""

    part: str
    text: str
    source: str
    verdict: str
    evidence: tuple[Evidence, ...]

    def describe(self) -> dict[str, Any]:
        """JSON-able form."""
        evidence = [one.describe() for one in self.evidence]
        return {"part": self.part, "text": self.text, "source": self.source, "verdict": self.verdict, "evidence": evidence}


def better(what: str, first: Line | None, second: Line | None, scores: Sequence[str] = PAPERS_SCORES) -> list[Evidence]:
    """Evidence that the first line is better than the second."""
    found = []
    for score in scores:
        found.append(Evidence(what, score, compare(_oriented(first, score), _oriented(second, score))))
    return found


def judge(evidence: Sequence[Evidence]) -> str:
    """All intervals on the claimed side of 0: it holds. Some on the other side and none there: it does not. Else: undecided."""
    sides = [_side(one.found) for one in evidence]
    if sides and all(side > 0 for side in sides):
        return HOLDS
    return FAILS if any(side < 0 for side in sides) and not any(side > 0 for side in sides) else UNDECIDED


def judge_same(evidence: Evidence, margin: float = SAME_SSIM) -> str:
    """The interval within the margin around 0: about the same. Outside of it: not. Else: undecided."""
    found = evidence.found
    if found is None or found.videos < FEWEST_VIDEOS:
        return UNDECIDED
    low, high = found.difference.low, found.difference.high
    if -margin <= low and high <= margin:
        return HOLDS
    return FAILS if low > margin or high < -margin else UNDECIDED


def all_of(verdicts: Sequence[str]) -> str:
    """A claim of several: it holds where all do, and does not where one does not."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else UNDECIDED


def pick(lines: Lines, **wanted: object) -> Line | None:
    """The line whose entry has these attributes."""
    return next((line for line in lines if all(getattr(line.entry, name) == value for name, value in wanted.items())), None)


def averaged(lines: Sequence[Line | None], score: str) -> Mapping[str, float]:
    """{video: the mean over lines of a score, oriented so that more is better}; only videos that all lines have."""
    tables = [_oriented(line, score) for line in lines]
    shared = set.intersection(*(set(table) for table in tables)) if tables else set()
    return {video: statistics.fmean(table[video] for table in tables) for video in sorted(shared)}


def minus(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """The difference by video."""
    return {video: first[video] - second[video] for video in first if video in second}


def _oriented(line: Line | None, score: str) -> dict[str, float]:
    sign = 1 if HIGHER_IS_BETTER[score] else -1
    return {} if line is None else {video: sign * value for video, value in line.scores.get(score, {}).items()}


def _side(found: Comparison | None) -> int:
    if found is None or found.videos < FEWEST_VIDEOS:
        return 0
    return 1 if found.difference.low > 0 else -1 if found.difference.high < 0 else 0


ClaimsOf = Callable[[Lines, str], list[Claim]]
"""From all lines and a model's name to the claims that can be judged by them."""
