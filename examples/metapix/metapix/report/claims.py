"""The claims section of a reproduction's report: each claim with its verdict and the differences that say so."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from metapix.report.numbers import HEADINGS, difference
from metapix.report.reproduction_results import Claim, Evidence

_CSS = {"holds": "holds", "does not hold": "fails", "undecided": "undecided"}

HOW_JUDGED = (
    "A claim holds here when the 95% bootstrap interval of the difference, paired by video, lies on the claimed side of zero in every "
    "score that the claim is about; it does not hold when it lies on the other side; anything else is undecided, and so is everything "
    "with fewer than five videos. “About as good” means an interval within ±0.02 SSIM. Each difference stands with its interval, the p "
    "of the sign-flip test, and on how many videos it is for the better. The data are ours, not the paper's: this tells whether the "
    "claim carries over, not whether the paper's numbers were right."
)


def claims(found: Sequence[Claim]) -> str:
    """All claims; "" without any."""
    items = "".join(_claim(claim) for claim in found)
    return f'<p class="soft">{HOW_JUDGED}</p><ul class="claims">{items}</ul>' if items else ""


def told(evidence: Sequence[Evidence]) -> list[tuple[str, str]]:
    """What was compared, and the differences in all its scores in words, one after the other."""
    return [(what, _scores(list(group))) for what, group in groupby(evidence, lambda one: one.what)]


def _claim(claim: Claim) -> str:
    source = f" <small>({escape(claim.source)})</small>" if claim.source else ""
    told_numbers = [(what, numbers.replace("p = ", "p\u00a0=\u00a0")) for what, numbers in told(claim.evidence)]
    evidence = "".join(f"<li><b>{escape(what)}:</b> {escape(numbers)}</li>" for what, numbers in told_numbers)
    verdict = escape(claim.verdict.capitalize())
    return f'<li class="{_CSS[claim.verdict]}"><p><strong>{verdict}:</strong> {escape(claim.text)}{source}</p><ul>{evidence}</ul></li>'


def _scores(evidence: Sequence[Evidence]) -> str:
    if all(one.numbers is None for one in evidence):
        return "not there"
    return ", ".join(
        f"{HEADINGS.get(one.score, one.score)} is not there" if one.numbers is None else difference(one.numbers, one.score)
        for one in evidence
    )
