"""The tables of a reproduction's report: our numbers beside the paper's, every score, video by video; what is missing; the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metapix.report.numbers import EXPLAINED, HEADINGS, number
from metapix.report.reproduction_results import ALL_SCORES, SCORES, Line
from metapix.report.words import variant_words

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

_NAMED = 3
"""So many names are shown at once."""

HOW_AVERAGED = (
    "Scores are averaged over a video's frames, then over seeds, then over videos; below each the 95% bootstrap interval over videos. "
    "The paper's numbers are of its own eight videos at 512 × 512: not comparable in size with ours, only in order."
)


def tables(lines: Sequence[Line]) -> str:
    """A table for each part; "" without any."""
    parts = dict.fromkeys(line.part for line in lines)
    told = "".join(_part(part, [line for line in lines if line.part == part]) for part in parts)
    return f'<p class="soft">{HOW_AVERAGED}</p>{told}{_explained(lines)}' if told else ""


def holes(missing: Sequence[tuple[str, str]], not_computed: Sequence[tuple[str, str]]) -> str:
    """What was not run and what was not computed, each with the reason; "" where nothing is missing."""
    by_reason: dict[str, list[str]] = {}
    for what, why in missing:
        by_reason.setdefault(why, []).append(what)
    items = "".join(_hole(names, why) for why, names in by_reason.items())
    names = [(HEADINGS.get(name, name), why) for name, why in not_computed]
    items += "".join(f"<li><strong>{escape(name)}</strong> was not computed: {escape(why)}</li>" for name, why in names)
    return f"<ul>{items}</ul>" if items else ""


def _hole(names: Sequence[str], why: str) -> str:
    """What is missing for one reason; a long list of names is folded."""
    told = "; ".join(map(escape, names))
    if len(names) <= _NAMED:
        return f"<li><strong>{told}</strong>: {escape(why)}</li>"
    return f"<li><strong>{len(names)} of the same reason</strong>: {escape(why)}{_details('Which', f'<p>{told}</p>')}</li>"


def at_a_glance(settings: Mapping[str, Any]) -> str:
    """Preset, seeds and versions of a reproduction in a sentence each; "" of other runs' settings."""
    if not {"suite", "seeds", "versions"} <= set(settings):
        return ""
    seeds, versions = ", ".join(map(str, settings["seeds"])), settings["versions"]
    told = "; ".join(f"{name} {value}" for name, value in versions.items() if value != "not installed")
    preset = settings["suite"].get("name", "")
    return f"<p>Preset {escape(str(preset))}, seed{'s' if len(settings['seeds']) > 1 else ''} {escape(seeds)}. {escape(told)}.</p>"


def _part(part: str, lines: Sequence[Line]) -> str:
    title = PARTS.get(part, part)
    further = [score for score in ALL_SCORES if score not in SCORES and any(score in line.scores for line in lines)]
    more = _details(f"{title}: further scores", _table(lines, further, "")) if further else ""
    return f"<h3>{escape(title)}</h3>{_table(lines, SCORES, part)}{more}{_by_video(title, lines)}"


def _table(lines: Sequence[Line], wanted: Sequence[str], part: str) -> str:
    scores = [score for score in wanted if any(score in line.scores for line in lines)]
    of_paper = [score for score in scores if any(score in line.paper for line in lines)]
    heads = "".join(
        f'<th scope="col">{HEADINGS[score]}</th>' + ('<th scope="col">paper</th>' if score in of_paper else "") for score in scores
    )
    body = "".join(_row(line, scores, of_paper, _named(line, lines)) for line in lines)
    marked = f' data-part="{escape(part)}"' if part else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Scores"><table class="scores intervals"{marked}>'
        f'<thead><tr><th scope="col">Start</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(line: Line, scores: Sequence[str], of_paper: Sequence[str], name: str) -> str:
    cells = ""
    for score in scores:
        cells += f"<td>{_score(line, score)}</td>"
        if score in of_paper:  # as printed, with two decimals
            cells += f'<td class="paper">{line.paper[score]:.2f}</td>' if score in line.paper else '<td class="paper">–</td>'
    unfinished = f" <small>{line.done} of {line.cells} cells</small>" if line.done < line.cells else ""
    return f'<tr><th scope="row">{name}{unfinished}</th>{cells}</tr>'


def _score(line: Line, score: str) -> str:
    if score not in line.scores:
        return "–"
    shown = number(line.scores[score], score)
    if score in line.low and score in line.high:
        shown += f" <small>({number(line.low[score], score)} to {number(line.high[score], score)})</small>"
    return shown


def _by_video(title: str, lines: Sequence[Line]) -> str:
    scores = [score for score in SCORES if any(score in video.scores for line in lines for video in line.videos)]
    heads = "".join(f'<th scope="col">{HEADINGS[score]}</th>' for score in scores)
    body = ""
    for line in lines:
        start = _named(line, lines)
        for video in line.videos:
            cells = "".join(f"<td>{number(video.scores[score], score) if score in video.scores else '–'}</td>" for score in scores)
            name = f'<th scope="row">{start}</th><td class="words">{escape(video.name)}</td>'
            body += f"<tr>{name}<td>{video.frames}</td>{cells}</tr>"
    if not body:
        return ""
    return _details(
        f"{title}: video by video",
        '<div class="scroll" tabindex="0" role="region" aria-label="Scores of each video"><table class="scores"><thead><tr>'
        f'<th scope="col">Start</th><th scope="col" class="words">Video</th><th scope="col">Frames</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>",
    )


def _named(line: Line, lines: Sequence[Line]) -> str:
    """The start, and below it model and size, where the table has several, K and T; an answer that learns nothing takes no steps."""
    learns = line.model != "none"
    models, sizes = ({getattr(other, name) for other in lines} - {"none", 0} for name in ("model", "size"))
    setting = (
        (line.model, learns and len(models) > 1, ""),
        (f"{line.size} × {line.size}", line.size and len(sizes) > 1, ""),
        (line.shots, True, "K = "),
        (line.steps, learns, "T = "),
    )
    told = ", ".join(f"{name}{value}".replace(" ", "\u00a0") for value, shown, name in setting if shown and value)
    return f"{escape(variant_words(line.variant))} <small>{escape(told)}</small>"


def _explained(lines: Sequence[Line]) -> str:
    shown = [score for score in ALL_SCORES if score in EXPLAINED and any(score in line.scores for line in lines)]
    items = "".join(f"<div><dt>{HEADINGS[score]}</dt><dd>{EXPLAINED[score]}</dd></div>" for score in shown)
    return f'<h3>How each score is computed</h3><dl class="metrics">{items}</dl>' if items else ""


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"
