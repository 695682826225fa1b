"""The report's page: sections in reading order, the video first. Everything from results.json is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metapix.report import plots, words
from metapix.report.claims import claims
from metapix.report.media import Media
from metapix.report.reproduction import at_a_glance, holes, tables
from metapix.report.results import Clip, Curve, Person, Results, Strip
from metapix.report.scores import by_person, grouped, mark_of, metrics_of, score_group
from metapix.report.style import STYLE

POLICY = "default-src 'none'; img-src data:; media-src 'self' file: data:; style-src 'unsafe-inline'"
"""What the page may load: what is inside it, and videos beside it ("file:" for a page opened from disk). No network, no script."""

_REPRODUCTIONS = ("claims", "curves", "tables", "pictures", "holes", "scores", "people", "time", "settings", "consent")
"""The order of a reproduction's sections."""


def page(name: str, results: Results, media: Media) -> str:
    """The whole page of a run called ``name``."""
    sections = {
        "claims": ("The paper's claims", claims(results.claims)),
        "tables": ("Our numbers beside the paper's", tables(results.lines)),
        "holes": ("What is missing", holes(results.holes, results.not_computed)),
        "pictures": ("Pictures", "".join(_strip(strip, media) for strip in results.strips)),
        "scores": ("Table 1, person by person", by_person(results.rows)) if results.lines else ("Scores", _scores(results)),
        "curves": ("Curves", _curves(results.curves)),
        "people": ("People", _people(results.people)),
        "time": ("Time", _stages(results.stages) + _spent(results.spent)),
        "settings": ("Settings", at_a_glance(results.settings) + _settings(results.settings)),
        "consent": ("About these pictures", f'<p class="aside">{escape(words.CONSENT)}</p>'),
    }
    order = _REPRODUCTIONS if results.lines else tuple(sections)
    shown = {key: sections[key] for key in order if sections[key][1]}
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, (heading, _) in shown.items())
    bodies = "".join(f'<section id="{key}"><h2>{heading}</h2>{body}</section>' for key, (heading, body) in shown.items())
    headline = "The paper's evaluation, run again" if results.lines else "A few frames of a person, and new moves"
    verdict = f'<p class="verdict">{escape(results.verdict)}</p>' if results.verdict else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(name)} · MetaPix report</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body><main>'
        f'<header><p class="eyebrow">MetaPix report · {escape(name)}</p><h1>{headline}</h1></header>'
        f'{_clips(results.videos, media)}{verdict}<nav aria-label="Sections"><ul>{links}</ul></nav>{bodies}'
        f"<footer><p>Made by <code>metapix report</code>. Method: {words.CREDIT}.</p></footer></main></body></html>\n"
    )


def _clips(clips: Sequence[Clip], media: Media) -> str:
    if not clips:
        return ""
    first, rest = clips[0], clips[1:]
    others = f'<div class="clips">{"".join(_clip(clip, media) for clip in rest)}</div>' if rest else ""
    note = '<p class="note">What you see is synthetic: <a href="#consent">about these pictures</a>.</p>'
    return f'<section aria-label="Videos"><div class="bleed">{_clip(first, media, autoplay=True)}</div>{others}{note}</section>'


def _clip(clip: Clip, media: Media, *, autoplay: bool = False) -> str:
    return (
        f'<figure><video controls loop muted playsinline{" autoplay" if autoplay else ""} preload="auto" '
        f'aria-label="{escape(clip.title)}" src="{escape(media.videos[clip.file])}"></video>'
        f"<figcaption><strong>{escape(clip.title)}</strong> {escape(clip.caption)}</figcaption></figure>"
    )


def _strip(strip: Strip, media: Media) -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in strip.columns)
    body = ""
    for number, row in enumerate(strip.rows, start=1):
        cells = ""
        for column, name in zip(strip.columns, row, strict=True):
            picture = media.pictures[name]
            alt = escape(f"{strip.title}: {column}, row {number}")
            cells += f'<td><img src="{picture.address}" width="{picture.width}" height="{picture.height}" alt="{alt}"></td>'
        body += f"<tr>{cells}</tr>"
    caption = f"<figcaption>{escape(strip.caption)}</figcaption>" if strip.caption else ""
    return (
        f'<h3>{escape(strip.title)}</h3><figure><div class="scroll" tabindex="0" role="region" aria-label="{escape(strip.title)}">'
        f'<table class="strip" style="--columns: {len(strip.columns)}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{caption}</figure>"
    )


def _scores(results: Results) -> str:
    explained = "".join(f"<div><dt>{metric.heading}</dt><dd>{metric.explanation}</dd></div>" for metric in metrics_of(results.rows))
    groups = "".join(score_group(rows) for rows in grouped(results.rows)) or "<p>This run measured nothing.</p>"
    return f'<p>{escape(words.PROTOCOL)}</p><dl class="metrics">{explained}</dl>{groups}{_paper_table()}'


def _paper_table() -> str:
    model, start, *numbers = words.PAPER_COLUMNS
    heads = f'<th scope="col">{model}</th><th scope="col" class="words">{start}</th>'
    heads += "".join(f'<th scope="col">{column}</th>' for column in numbers)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th><td class="words">{row[1]}</td>{"".join(f"<td>{cell}</td>" for cell in row[2:])}</tr>'
        for row in words.PAPER_TABLE_1
    )
    return (
        f"<details><summary>For context: Table 1 of the paper, on the paper's own data</summary><p>{words.PAPER_NOTE}</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Table 1 of the paper"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _curves(curves: Sequence[Curve]) -> str:
    figures = ""
    for curve in curves:
        series = []
        kinds: list[str] = []
        for index, one in enumerate(curve.series):
            kinds.append(one.label.partition(",")[0])  # "metapix, trained alike" has MetaPix's colour
            hollow = index >= plots.PALETTE or kinds.count(kinds[-1]) > 1
            series.append(plots.Line(words.variant_words(one.label), mark_of(kinds[-1], index, hollow=hollow), one.points, one.band))
        chart = plots.line_chart(curve.title, curve.x_label, curve.y_label, series, curve.x_scale)
        figures += f"<figure><h3>{escape(curve.title)}</h3>{chart or '<p>No finite points.</p>'}{plots.legend(series)}</figure>"
    return f'<div class="plots">{figures}</div>' if figures else ""


def _people(people: Sequence[Person]) -> str:
    roles = dict.fromkeys(person.role for person in people)
    body = ""
    for role in roles:
        for person in (person for person in people if person.role == role):
            mark = ' class="unseen"' if role == "unseen" else ""
            body += f'<tr><th scope="row">{escape(person.name)}</th><td>{escape(person.kind)}</td><td{mark}>{escape(role)}</td></tr>'
    if not body:
        return ""
    return (
        "<p>Who the networks were trained on, and who they had never seen. The scores are of unseen people only.</p>"
        '<div class="scroll"><table class="people"><thead><tr><th scope="col">Person</th><th scope="col">Kind</th>'
        f'<th scope="col">Role</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _stages(stages: Sequence[tuple[str, float]]) -> str:
    if not stages:
        return ""
    total = sum(seconds for _, seconds in stages)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{duration(seconds)}</td>'
        f'<td class="bar"><span style="width:{100 * max(seconds, 0) / total if total > 0 else 0:.1f}%"></span></td></tr>'
        for name, seconds in stages
    )
    return (
        f"<p>The whole run took {duration(total)}.</p>"
        '<div class="scroll"><table class="cost"><thead><tr><th scope="col">Stage</th><th scope="col">Time</th>'
        f'<th scope="col" class="words">Share</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _spent(times: Sequence[tuple[str, float]]) -> str:
    """CPU time in words, what it went into by the names of results.json."""
    told = "; ".join(f"{escape(name.removesuffix('_cpu_seconds').replace('_', ' '))} {duration(seconds)}" for name, seconds in times)
    whole = duration(sum(seconds for _, seconds in times))
    return f"<p>CPU time, whatever else the machine did: {told}; together {whole}.</p>" if told else ""


def duration(seconds: float) -> str:
    """A time for people: "8.2 s", "4 min 12 s", "1 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _settings(settings: Mapping[str, Any]) -> str:
    body = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in _flat(settings, ""))
    if not body:
        return ""
    table = f'<div class="scroll"><table class="settings"><tbody>{body}</tbody></table></div>'
    return f"<details><summary>All settings of this run</summary>{table}</details>"


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) pairs."""
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{name}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [(name, ", ".join(_plain(item) for item in value))]
    return [(name, _plain(value))]


def _plain(value: Any) -> str:
    return {True: "yes", False: "no", None: "–"}[value] if value is None or isinstance(value, bool) else str(value)
