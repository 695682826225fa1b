"""The sections of a reproduction's report: claims first, then our numbers beside the paper's, then what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from metapix.report.reproduction_results import SCORES, Claim, Evidence, Line

PARTS = {
    "table1": "Table 1",
    "fig5": "Figure 5: K frames",
    "fig6": "Figure 6: T steps",
    "fig7": "Figure 7: while a start adapts",
    "epsilon": "The outer rate eps",
    "freeze-d": "Freezing the discriminator",
    "ratio": "Updates of D and G an iteration",
    "objective": "Simpler objectives",
}
HEADINGS = {
    "ssim": "SSIM", "psnr": "PSNR (dB)", "mse": "MSE", "person_psnr": "Person PSNR (dB)", "flicker": "Flicker",
    "change_error": "Error of change", "pck": "PCK@0.2",
}  # fmt: skip
DIGITS = {"ssim": 3, "psnr": 2, "mse": 0, "person_psnr": 2, "flicker": 2, "change_error": 4, "pck": 2}
_CSS = {"holds": "holds", "does not hold": "fails", "undecided": "undecided"}

HOW_JUDGED = (
    "A claim holds here when the 95% bootstrap interval of the difference, paired by video, lies on the claimed side of zero in every "
    "score that the claim is about; it does not hold when it lies on the other side; anything else is undecided, and so is everything "
    "with fewer than five videos. p is of the sign-flip test. The data are ours, not the paper's: this tells whether the claim carries "
    "over, not whether the paper's numbers were right."
)
HOW_AVERAGED = (
    "Scores are averaged over a video's frames, then over seeds, then over videos; in brackets the 95% bootstrap interval over videos. "
    "The paper's numbers are of its own eight videos at 512 × 512 and are not comparable in size with ours, only in order; its MSE and "
    "PSNR are on the released code's 0–256 scale. Flicker is the mean difference between the generated and the real change from frame to "
    "frame (0–255); the error of change is how far the amount of change, 1 − SSIM of neighbouring frames, is from the real one; PCK@0.2 is "
    "the share of the driver's joints that a pose estimator finds again within a fifth of the torso."
)


def claims(found: Sequence[Claim]) -> str:
    """Each claim with its verdict, and the differences that say so; "" without any."""
    if not found:
        return ""
    items = ""
    for claim in found:
        source = f" <small>({escape(claim.source)})</small>" if claim.source else ""
        told = "".join(f"<li>{_told(one)}</li>" for one in claim.evidence)
        items += (
            f'<li class="{_CSS[claim.verdict]}"><p><strong>{escape(claim.verdict.capitalize())}:</strong> {escape(claim.text)}{source}</p>'
            f"<ul>{told}</ul></li>"
        )
    return f'<p class="soft">{escape(HOW_JUDGED)}</p><ul class="claims">{items}</ul>'


def tables(lines: Sequence[Line]) -> str:
    """A table for each part; "" without any."""
    parts = dict.fromkeys(line.part for line in lines)
    told = "".join(_table(part, [line for line in lines if line.part == part]) for part in parts)
    return f'<p class="soft">{escape(HOW_AVERAGED)}</p>{told}' if told else ""


def holes(missing: Sequence[tuple[str, str]], not_computed: Sequence[tuple[str, str]]) -> str:
    """What was not run and what was not computed, each with the reason; "" where nothing is missing."""
    items = "".join(f"<li><strong>{escape(what)}</strong>: {escape(why)}</li>" for what, why in missing)
    items += "".join(f"<li><strong>{escape(name)}</strong> was not computed: {escape(why)}</li>" for name, why in not_computed)
    return f"<ul>{items}</ul>" if items else ""


def spent(times: Sequence[tuple[str, float]]) -> str:
    """CPU seconds in words."""
    told = ", ".join(f"{escape(name.replace('_', ' '))}: {seconds:,.0f}" for name, seconds in times)
    return f"<p>Computing time, whatever else the machine did: {told}.</p>" if told else ""


def _table(part: str, lines: Sequence[Line]) -> str:
    scores = [score for score in SCORES if any(score in line.scores for line in lines)]
    of_paper = [score for score in scores if any(score in line.paper for line in lines)]
    heads = "".join(
        f'<th scope="col">{HEADINGS[score]}</th>' + ('<th scope="col">paper</th>' if score in of_paper else "") for score in scores
    )
    body = "".join(_row(line, scores, of_paper) for line in lines)
    title = PARTS.get(part, part)
    return (
        f'<h3>{escape(title)}</h3><div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="scores" data-part="{escape(part)}"><thead><tr><th scope="col">Start</th><th scope="col">Model</th>'
        f'<th scope="col">K</th><th scope="col">T</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(line: Line, scores: Sequence[str], of_paper: Sequence[str]) -> str:
    cells = "".join(f"<td>{escape(text)}</td>" for text in (line.model, line.shots, line.steps))
    for score in scores:
        cells += f"<td>{_score(line, score)}</td>"
        if score in of_paper:
            cells += f'<td class="paper">{line.paper[score]:g}</td>' if score in line.paper else '<td class="paper">–</td>'
    unfinished = f" <small>{line.done} of {line.cells} cells</small>" if line.done < line.cells else ""
    return f'<tr><th scope="row">{escape(line.variant)}{unfinished}</th>{cells}</tr>'


def _score(line: Line, score: str) -> str:
    if score not in line.scores:
        return "–"
    shown = f"{line.scores[score]:.{DIGITS[score]}f}"
    if score in line.low and score in line.high:
        shown += f" <small>({line.low[score]:.{DIGITS[score]}f} to {line.high[score]:.{DIGITS[score]}f})</small>"
    return shown


def _told(evidence: Evidence) -> str:
    name = HEADINGS.get(evidence.score, evidence.score)
    if evidence.numbers is None:
        return f"{escape(evidence.what)}: {escape(name)} is not there"
    numbers, digits = evidence.numbers, DIGITS.get(evidence.score, 3)
    difference, low, high = (f"{numbers[key]:+.{digits}f}".replace("-", "−") for key in ("difference", "low", "high"))
    return (
        f"{escape(evidence.what)}: {escape(name)} {difference} ({low} to {high}), p = {numbers['p']:.3f}, "
        f"better on {numbers['better']:.0f} of {numbers['videos']:.0f} videos"
    )
