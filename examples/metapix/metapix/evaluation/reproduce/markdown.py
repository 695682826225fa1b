"""The results as Markdown: tables with intervals beside the paper's numbers, the claims, the holes, the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metapix.report.reproduction import DIGITS, HEADINGS


def markdown(results: Mapping[str, Any]) -> str:
    """The page."""
    parts = dict.fromkeys(line["part"] for line in results["lines"])
    sections = [_part(part, [line for line in results["lines"] if line["part"] == part]) for part in parts]
    return "\n".join(["# Reproduction", "", results["verdict"], "", *sections, _claims(results["claims"]), _rest(results)])


def interval(line: Mapping[str, Any], score: str) -> str:
    """ "0.61 (0.58 to 0.64)", the mean and its interval; "" where there is none."""
    digits = DIGITS.get(score, 3)
    if score not in line:
        return ""
    bounds = f" ({line[f'{score}_low']:.{digits}f} to {line[f'{score}_high']:.{digits}f})" if f"{score}_low" in line else ""
    return f"{line[score]:.{digits}f}{bounds}"


def evidence_sentence(evidence: Mapping[str, Any]) -> str:
    """One comparison in words: the difference, its interval, p, and on how many videos."""
    name = HEADINGS.get(evidence["score"], evidence["score"])
    if "difference" not in evidence:
        return f"{evidence['what']}: {name} not there"
    digits = DIGITS.get(evidence["score"], 3)
    difference, low, high = (f"{evidence[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return (
        f"{evidence['what']}: {name} {difference} ({low} to {high}; p = {evidence['p']:.3f}; "
        f"better on {evidence['better']} of {evidence['videos']} videos)"
    )


def _part(part: str, lines: Sequence[Mapping[str, Any]]) -> str:
    scores = [score for score in HEADINGS if any(score in line for line in lines)]
    with_paper = any(line["paper"] for line in lines)
    heads = ["model", "start", "K", "T"]
    for score in scores:
        heads += [HEADINGS[score], *(["paper"] if with_paper and score in ("ssim", "psnr", "mse") else [])]
    rows = []
    for line in lines:
        cells = [line["model"], line["variant"], str(line["K"]), str(line["T"])]
        for score in scores:
            cells.append(interval(line, score) or "not there")
            if with_paper and score in ("ssim", "psnr", "mse"):
                cells.append(f"{line['paper'][score]:g}" if line["paper"] else "")
        rows.append(cells)
    table = "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))
    return f"## {part}\n\n{table}\n"


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    if not claims:
        return ""
    told = [
        f"- **{claim['verdict']}**: {claim['text']} ({claim['source']}). " + "; ".join(evidence_sentence(one) for one in claim["evidence"])
        for claim in claims
    ]
    return "## Claims\n\n" + "\n".join(told) + "\n"


def _rest(results: Mapping[str, Any]) -> str:
    holes = [f"- {hole['what']}: {hole['why']}" for hole in results["holes"]] or ["- none"]
    missing = [f"- {name}: not computed: {why}" for name, why in results["not_computed"].items()]
    spent = results["spent"]
    time = f"CPU seconds: {spent['training_cpu_seconds']:.0f} of training, {spent['scoring_cpu_seconds']:.0f} of personalising and scoring."
    sections = (("Holes", holes), ("Metrics that were not computed", missing or ["- none"]), ("Time", [time]))
    return "\n".join(f"## {heading}\n\n" + "\n".join(lines) + "\n" for heading, lines in sections)
