"""The results as Markdown: tables with intervals beside the paper's numbers, the claims, the holes, the time, what it was run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from metapix.report.numbers import HEADINGS, difference, number
from metapix.report.reproduction import PARTS
from metapix.report.words import variant_words

_PAPERS = ("ssim", "psnr", "mse")


def markdown(results: Mapping[str, Any]) -> str:
    """The page."""
    parts = dict.fromkeys(line["part"] for line in results["lines"])
    sections = [_part(part, [line for line in results["lines"] if line["part"] == part]) for part in parts]
    return "\n".join(["# Reproduction", "", results["verdict"], "", _claims(results["claims"]), *sections, _rest(results)])


def interval(line: Mapping[str, Any], score: str) -> str:
    """ "0.610 (0.580 to 0.640)", the mean and its interval; "not there" where there is none."""
    if score not in line:
        return "not there"
    bounds = f" ({number(line[f'{score}_low'], score)} to {number(line[f'{score}_high'], score)})" if f"{score}_low" in line else ""
    return f"{number(line[score], score)}{bounds}"


def _part(part: str, lines: Sequence[Mapping[str, Any]]) -> str:
    scores = [score for score in HEADINGS if any(score in line for line in lines)]
    papers = [score for score in scores if score in _PAPERS and any(line["paper"] for line in lines)]
    heads = ["start", "model", "K", "T"]
    for score in scores:
        heads += [HEADINGS[score], *(["paper"] if score in papers else [])]
    sizes, rows = {line["size"] for line in lines}, []
    for line in lines:
        size = f", {line['size']} × {line['size']}" if len(sizes) > 1 else ""
        cells = [variant_words(line["variant"]), line["model"] + size, str(line["K"]), str(line["T"])]
        for score in scores:
            cells.append(interval(line, score))
            if score in papers:
                cells.append(f"{line['paper'][score]:.2f}" if line["paper"] else "")
        rows.append(cells)
    table = "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))
    return f"## {PARTS.get(part, part)}\n\n{table}\n"


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    told = []
    for claim in claims:
        told.append(f"- **{claim['verdict']}**: {claim['text']} ({claim['source']})")
        for what, group in groupby(claim["evidence"], lambda one: one["what"]):
            told.append(f"    - {what}: " + ", ".join(_score(one) for one in group))
    return "## Claims\n\n" + "\n".join(told) + "\n" if told else ""


def _score(evidence: Mapping[str, Any]) -> str:
    score = evidence["score"]
    return difference(evidence, score) if "difference" in evidence else f"{HEADINGS.get(score, score)} is not there"


def _rest(results: Mapping[str, Any]) -> str:
    holes = [f"- {hole['what']}: {hole['why']}" for hole in results["holes"]] or ["- none"]
    missing = [f"- {HEADINGS.get(name, name)} was not computed: {why}" for name, why in results["not_computed"].items()]
    spent, settings = results["spent"], results["settings"]
    time = f"CPU seconds: {spent['training_cpu_seconds']:.0f} of training, {spent['scoring_cpu_seconds']:.0f} of personalising and scoring."
    run = [f"- preset: {settings['suite']['name']}", f"- seeds: {', '.join(map(str, settings['seeds']))}"]
    run += [f"- {name}: {value}" for name, value in settings["versions"].items()]
    sections = (("Holes", holes), ("Metrics that were not computed", missing or ["- none"]), ("Time", [time]), ("Run with", run))
    return "\n".join(f"## {heading}\n\n" + "\n".join(lines) + "\n" for heading, lines in sections)
