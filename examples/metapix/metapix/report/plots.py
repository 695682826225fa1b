"""Small charts as inline SVG: dots per person, lines over K or T. Colours and dark mode come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

DOTS_WIDTH, LINES_WIDTH = 320, 380  # units of the drawing: about the pixels of its column, so that text keeps its size
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 12, 40
PALETTE = 6
"""How many colours the style defines: classes c0 to c5."""


@dataclass(frozen=True)
class Mark:
    """How a series looks: one of six colours, each with a shape of its own, filled or hollow."""

    colour: int
    hollow: bool = False

    @property
    def css(self) -> str:
        return f"c{self.colour % PALETTE}{' hollow' if self.hollow else ''}"


@dataclass(frozen=True)
class Dots:
    """One series of a dot plot: a value a person, or None where there is none."""

    label: str
    mark: Mark
    values: Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """One series of a line chart, with (low, high) at each point where it has a band."""

    label: str
    mark: Mark
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()

    def sorted(self) -> Line:
        """In order of x, without the points that are not finite; without the band where it is not finite either."""
        bands = self.band if len(self.band) == len(self.points) else [(y, y) for _, y in self.points]
        kept = sorted((point, band) for point, band in zip(self.points, bands, strict=True) if all(map(math.isfinite, point)))
        finite = bool(self.band) and all(math.isfinite(value) for _, band in kept for value in band)
        return Line(self.label, self.mark, [point for point, _ in kept], [band for _, band in kept] if finite else ())


def ticks(low: float, high: float, wanted: int = 4, *, whole: bool = False) -> list[float]:
    """Round (or whole) numbers that reach from at most ``low`` to at least ``high``, about ``wanted`` intervals."""
    if low == high:
        low, high = low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1)
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    step = next((step for step in steps if not whole or step == int(step)), 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def dot_plot(title: str, x_label: str, people: Sequence[str], series: Sequence[Dots]) -> str:
    """One line of dots a person, each series a little below the last so that none hides another; "" without a finite value."""
    known = [value for dots in series for value in dots.values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    axis = ticks(min(known), max(known))
    band, gap = 28 + 9 * len(series), 9
    height = TOP + band * len(people) + BOTTOM
    x_of = _scale(axis[0], axis[-1], RIGHT, DOTS_WIDTH - RIGHT)
    parts = [_vertical_grid(axis, x_of, TOP, height - BOTTOM), _x_title(x_label, DOTS_WIDTH, height)]
    for row, person in enumerate(people):
        top = TOP + band * row
        parts.append(f'<text class="name" x="{RIGHT}" y="{top + 12}">{escape(_shorten(person))}</text>')
        for index, dots in enumerate(series):
            value = dots.values[row]
            if value is not None and math.isfinite(value):
                parts.append(_marker(dots.mark, x_of(value), top + 25 + gap * index, f"{person}, {dots.label}: {value:.4g}"))
    return _svg(title, DOTS_WIDTH, height, parts)


def line_chart(title: str, x_label: str, y_label: str, series: Sequence[Line], x_scale: str = "linear") -> str:
    """Lines with a marker at each point, and their bands behind them; "" without a finite point.

    Args:
        x_scale: ``"log"`` for points that were chosen by factors, as 5, 10, 20, 50: each is marked on the axis.
    """
    lines = [line.sorted() for line in series]
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    xs, ys = zip(*points, strict=True)
    bounds = [value for line in lines for band in line.band for value in band]
    y_axis = ticks(min(*ys, *bounds, max(ys)), max(*ys, *bounds, min(ys)))
    height = 250
    x_axis, x_of = _across(xs, x_scale)
    y_of = _scale(y_axis[0], y_axis[-1], height - BOTTOM, TOP + 14)
    parts = [_vertical_grid(x_axis, x_of, TOP + 14, height - BOTTOM), _x_title(x_label, LINES_WIDTH, height)]
    parts.append(f'<text class="axis" x="2" y="{TOP}">{escape(y_label)}</text>')
    for value in y_axis:
        y = y_of(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LINES_WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    parts += [_band(line, x_of, y_of) for line in lines if line.band]
    for line in lines:
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline class="line {line.mark.css}" points="{path}"/>')
        parts += [_marker(line.mark, x_of(x), y_of(y), f"{line.label}: {y:.4g} at {x:g}") for x, y in line.points]
    return _svg(title, LINES_WIDTH, height, parts)


def _across(xs: Sequence[float], x_scale: str) -> tuple[list[float], Callable[[float], float]]:
    """The marks on the axis, and from a value to its place; a logarithm needs two points above 0."""
    own = sorted(set(xs))
    if x_scale == "log" and own[0] > 0 and len(own) > 1:
        place = _scale(math.log(own[0]), math.log(own[-1]), LEFT, LINES_WIDTH - RIGHT)
        return own, lambda x: place(math.log(x))
    axis = ticks(own[0], own[-1], whole=all(x == int(x) for x in xs))  # half a frame or step means nothing
    return axis, _scale(axis[0], axis[-1], LEFT, LINES_WIDTH - RIGHT)


def _band(line: Line, x_of: Callable[[float], float], y_of: _Scale) -> str:
    xs = [x for x, _ in line.points]
    upper = [(x, high) for x, (_, high) in zip(xs, line.band, strict=True)]
    lower = [(x, low) for x, (low, _) in zip(xs, line.band, strict=True)]
    corners = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in [*upper, *reversed(lower)])
    return f'<polygon class="band {line.mark.css}" points="{corners}"/>'


def legend(series: Sequence[Dots] | Sequence[Line]) -> str:
    """The key of a chart, as a list that wraps."""
    items = "".join(
        f'<li><svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{_marker(one.mark, 7, 7)}</svg>{escape(one.label)}</li>'
        for one in series
    )
    return f'<ul class="legend">{items}</ul>'


def _marker(mark: Mark, x: float, y: float, tip: str = "") -> str:
    shape = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2"',
        f'<rect x="{x - 3.7:.1f}" y="{y - 3.7:.1f}" width="7.4" height="7.4"',
        f'<path d="M{x:.1f} {y - 5.2:.1f}l5.2 5.2l-5.2 5.2l-5.2 -5.2z"',
        f'<path d="M{x:.1f} {y - 4.8:.1f}l5 8.8h-10z"',
        f'<path class="stroke" d="M{x - 3.6:.1f} {y - 3.6:.1f}l7.2 7.2m0 -7.2l-7.2 7.2"',
        f'<path class="stroke" d="M{x - 4.6:.1f} {y:.1f}h9.2m-4.6 -4.6v9.2"',
    )[mark.colour % PALETTE]
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<g class="mark {mark.css}">{title}{shape}/></g>'


def _scale(low: float, high: float, start: float, end: float) -> _Scale:
    return _Scale(low, (end - start) / (high - low), start)


@dataclass(frozen=True)
class _Scale:
    low: float
    factor: float
    start: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) * self.factor


def _vertical_grid(axis: Sequence[float], x_of: Callable[[float], float], top: float, bottom: float) -> str:
    return "".join(
        f'<line class="grid" x1="{x_of(value):.1f}" x2="{x_of(value):.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" text-anchor="middle" x="{x_of(value):.1f}" y="{bottom + 15}">{value:g}</text>'
        for value in axis
    )


def _x_title(label: str, width: float, height: float) -> str:
    return f'<text class="axis" text-anchor="end" x="{width - RIGHT}" y="{height - 6}">{escape(label)}</text>'


def _shorten(name: str, limit: int = 44) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
