"""The score tables of the report: rows in groups, the best value of each column marked, people one by one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from html import escape

from metapix.report import plots
from metapix.report.results import Row
from metapix.report.words import DATA, METRICS, MODELS, REFERENCES, STARTS, Metric, Start

FAIR, META = "pretrain-equal-steps", "metapix"


def score_group(rows: Sequence[Row]) -> str:
    """One group of rows (the same data and reference): heading, table, the paired comparison, dots per person."""
    data, reference = rows[0].data, rows[0].reference
    title, note = REFERENCES.get(reference, (reference, ""))
    note = " ".join([note, *(MODELS[model] for model in dict.fromkeys(row.model for row in rows) if model in MODELS)])
    people = _people(rows)
    heading = f"<h3>{escape(DATA.get(data, data))} <small>{escape(title)}</small></h3>"
    return f'{heading}<p class="soft">{escape(note)}</p>{_table(rows, len(people))}{_paired(rows)}{_dots(rows, people)}'


def by_person(rows: Sequence[Row]) -> str:
    """Dots per person and the numbers of each, of rows whose means stand elsewhere; "" without any."""
    return "".join(_dots(group, _people(group)) for group in grouped(rows))


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by data and reference: real people first, then the strongest help first; others after these, as they come."""
    orders = [list(DATA), list(REFERENCES)]
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.reference), []).append(row)

    def rank(key: tuple[str, str]) -> list[int]:
        return [order.index(name) if name in order else len(order) for order, name in zip(orders, key, strict=True)]

    return [groups[key] for key in sorted(groups, key=rank)]


def formatted(metric: Metric, value: float) -> str:
    """A score as shown: fixed digits, thousands apart, an infinity sign."""
    return f"{value:,.{metric.digits}f}" if math.isfinite(value) else "∞" if value > 0 else "−∞"


def metrics_of(rows: Sequence[Row]) -> list[Metric]:
    """The metrics that at least one row has."""
    return [metric for metric in METRICS if any(metric.key in row.scores for row in rows)]


def _start(row: Row) -> Start:
    return STARTS.get(row.init, Start(row.init, "", row.init))


def _people(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(video.name for row in rows for video in row.videos))


def _best(metric: Metric, rows: Sequence[Row]) -> str | None:
    """The best value of a column as shown, so that equal figures are marked alike; None where all are equal."""
    values = [row.scores[metric.key] for row in rows if metric.key in row.scores]
    if len({formatted(metric, value) for value in values}) < 2:
        return None
    return formatted(metric, max(values) if metric.higher_is_better else min(values))


def _table(rows: Sequence[Row], n_people: int) -> str:
    metrics = metrics_of(rows)
    best = {metric.key: _best(metric, rows) for metric in metrics}
    heads = "".join(
        f'<th scope="col">{metric.heading}{f"&nbsp;({metric.unit})" if metric.unit else ""}&nbsp;'
        f'<span aria-hidden="true">{"↑" if metric.higher_is_better else "↓"}</span>'
        f'<span class="hidden">{"higher" if metric.higher_is_better else "lower"} is better</span></th>'
        for metric in metrics
    )
    models = list(dict.fromkeys(row.model for row in rows))
    one_model = len(models) == 1
    model_head = "" if one_model else '<th scope="col">Model</th>'
    body = "".join(_table_row(row, metrics, best, one_model) for row in rows)
    over = f"Mean over {n_people} {'people' if n_people > 1 else 'person'}" if n_people else "Means"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Scores"><table class="scores">'
        f"<caption><span>{escape(models[0]) + '. ' if one_model else ''}{over}{', ± spread' if any(row.spreads for row in rows) else ''}. "
        f"{'The best of each column is marked.' if len(rows) > 1 else ''}</span></caption>"
        f'<thead><tr><th scope="col">Start</th>{model_head}<th scope="col">K</th><th scope="col">T</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _table_row(row: Row, metrics: Sequence[Metric], best: dict[str, str | None], one_model: bool) -> str:
    start = _start(row)
    note = f"<small>{escape(start.note)}</small>" if start.note else ""
    cells = "".join(f"<td>{escape(text) or '–'}</td>" for text in (*([] if one_model else [row.model]), row.shots, row.steps))
    for metric in metrics:
        value = row.scores.get(metric.key)
        if value is None:
            cells += "<td>–</td>"
            continue
        shown = formatted(metric, value)
        spread = row.spreads.get(metric.key)
        tail = f" <small>± {formatted(metric, spread)}</small>" if spread is not None else ""
        mark = (' class="best"', '<span class="hidden"> (best)</span>') if shown == best[metric.key] else ("", "")
        cells += f"<td{mark[0]}>{shown}{tail}{mark[1]}</td>"
    return f'<tr><th scope="row">{escape(start.name)}{note}</th>{cells}</tr>'


def _paired(rows: Sequence[Row]) -> str:
    """MetaPix against the fair baseline on the same people, where a group has both at the same K and T."""
    lines = []
    for row in rows:
        twin = [r for r in rows if r.init == FAIR and (r.model, r.shots, r.steps) == (row.model, row.shots, row.steps)]
        if row.init != META or len(twin) != 1:
            continue
        told = [text for key in ("psnr", "ssim", "person_psnr") if (text := _difference(key, row, twin[0]))]
        if told:
            lines.append(
                f"<p><strong>MetaPix against the fair baseline</strong>, {_setting(row)}, person by person: {'; '.join(told)}.</p>"
            )
    return "".join(lines)


def _difference(key: str, row: Row, other: Row) -> str:
    metric = next(metric for metric in METRICS if metric.key == key)
    others = {video.name: video.scores[key] for video in other.videos if key in video.scores}
    pairs = [video.scores[key] - others[video.name] for video in row.videos if key in video.scores and video.name in others]
    if not pairs or not all(map(math.isfinite, pairs)):
        return ""
    spread = f" ± {formatted(metric, statistics.stdev(pairs))}" if len(pairs) > 1 else ""
    mean = f"{statistics.fmean(pairs):+.{metric.digits}f}".replace("-", "−")
    better = sum(pair > 0 for pair in pairs)
    return f"{metric.heading} {mean}{spread}{' ' + metric.unit if metric.unit else ''} (better for {better} of {len(pairs)})"


def _setting(row: Row) -> str:
    return f"{escape(row.model)}, K = {escape(row.shots) or '–'}, T = {escape(row.steps) or '–'}"


def _dots(rows: Sequence[Row], people: Sequence[str]) -> str:
    """Dot plots of SSIM and PSNR, a line of dots a person, and the same numbers as a table."""
    if not people:
        return ""
    charts = []
    series: list[plots.Dots] = []
    for metric in (metric for metric in metrics_of(rows) if metric.higher_is_better):
        values = [{video.name: video.scores.get(metric.key) for video in row.videos} for row in rows]
        series = [
            plots.Dots(label, mark, [known.get(person) for person in people])
            for label, mark, known in zip(_labels(rows), _marks(rows), values, strict=True)
        ]
        axis = f"{metric.heading}{f' ({metric.unit})' if metric.unit else ''}, better →"
        chart = plots.dot_plot(f"{metric.heading} of each person; the numbers are in the table below", axis, people, series)
        if chart:
            charts.append(f'<figure class="dots"><h4>{metric.heading}, person by person</h4>{chart}</figure>')
    if not charts:
        return ""
    return f'{plots.legend(series)}<div class="plots">{"".join(charts)}</div>{_per_person(rows, people)}'


def _labels(rows: Sequence[Row]) -> list[str]:
    """A short label for each row: the start, and whatever of model, K and T tells its rows apart."""
    settings = [(row.model, row.shots, row.steps) for row in rows]
    varies = [len(set(column)) > 1 for column in zip(*settings, strict=True)]
    labels = []
    for row in rows:
        parts = ("", "", "") if row.model == "none" else (row.model, *_counts(row))
        labels.append(", ".join([_start(row).short, *(part for part, shown in zip(parts, varies, strict=True) if shown and part)]))
    return labels


def _counts(row: Row) -> tuple[str, str]:
    return f"K = {row.shots}" if row.shots else "", f"T = {row.steps}" if row.steps else ""


def _marks(rows: Sequence[Row]) -> list[plots.Mark]:
    """A colour and shape for each start, the same in every chart; a start's second row is hollow."""
    seen: dict[str, int] = {}
    marks = []
    for row in rows:
        seen[row.init] = seen.get(row.init, -1) + 1
        marks.append(mark_of(row.init, len(seen) - 1, hollow=seen[row.init] % 2 == 1))
    return marks


def mark_of(name: str, otherwise: int, *, hollow: bool = False) -> plots.Mark:
    """The colour and shape of a start by its name; those of the given number for anything else."""
    known = list(STARTS)
    return plots.Mark(known.index(name) if name in known else otherwise, hollow)


def _per_person(rows: Sequence[Row], people: Sequence[str]) -> str:
    metrics = [metric for metric in metrics_of(rows) if any(metric.key in video.scores for row in rows for video in row.videos)]
    heads = "".join(f'<th scope="col">{metric.heading}</th>' for metric in metrics)
    lines = []
    for person in people:
        for label, row in zip(_labels(rows), rows, strict=True):
            for video in row.videos:
                if video.name != person:
                    continue
                cells = "".join(f"<td>{formatted(m, video.scores[m.key]) if m.key in video.scores else '–'}</td>" for m in metrics)
                frames = "–" if video.frames is None else f"{video.frames:,}"
                lines.append(
                    f'<tr><th scope="row">{escape(person)}</th><td class="words">{escape(label)}</td><td>{frames}</td>{cells}</tr>'
                )
    return (
        "<details><summary>The numbers, person by person</summary>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Scores of each person"><table class="scores"><thead><tr>'
        f'<th scope="col">Person</th><th scope="col" class="words">Start</th><th scope="col">Frames</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></details>"
    )
