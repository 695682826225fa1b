"""results.json as checked dataclasses: whatever is wrong in it is named by its place in the file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from metapix.errors import InputError
from metapix.files import read_limited

T = TypeVar("T")
ROW_SCORES = ("ssim", "psnr", "mse", "temporal_std", "person_psnr")
VIDEO_SCORES = ("ssim", "psnr", "mse", "person_psnr")


@dataclass(frozen=True)
class VideoScores:
    """One person's video in one row; scores that are null or absent are left out."""

    name: str
    frames: int | None
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table: a start, K frames, T steps, and the mean scores over people with their spread."""

    model: str
    init: str
    shots: str  # K and T: a number, "all", or "" where nothing is learned
    steps: str
    data: str
    reference: str
    scores: Mapping[str, float]
    spreads: Mapping[str, float]
    videos: tuple[VideoScores, ...]


@dataclass(frozen=True)
class Curve:
    """A chart of lines."""

    title: str
    x_label: str
    y_label: str
    series: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]  # (label, (x, y) points)


@dataclass(frozen=True)
class Strip:
    """Rows of pictures (paths) under the same column headings."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Clip:
    """A video to show (a path)."""

    title: str
    file: str
    caption: str


@dataclass(frozen=True)
class Person:
    """Who was trained on, and who was unseen."""

    name: str
    kind: str
    role: str


@dataclass(frozen=True)
class Results:
    """Everything in results.json; only settings and rows are always there."""

    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    stages: tuple[tuple[str, float], ...]  # (name, seconds)
    people: tuple[Person, ...]
    curves: tuple[Curve, ...]
    strips: tuple[Strip, ...]
    videos: tuple[Clip, ...]
    verdict: str


def read_results(run_dir: Path) -> Results:
    """Read and check ``run_dir/results.json``; raise InputError where it is missing or not what it should be."""
    path = run_dir / "results.json"
    try:
        content = json.loads(read_limited(path).decode())
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist; run `metapix evaluate` or `metapix demo` first, or name the folder of a finished run"
        ) from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the folder and its permissions") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); run the evaluation again to write a fresh one") from None
    root = _Node(content, str(path), "")
    settings = root.child("settings")
    settings.expect(dict, "an object")
    return Results(
        settings=settings.value,
        rows=root.child("rows").each(_row),
        stages=root.optional_each("stages", lambda node: (node.text("name"), node.child("seconds").finite())),
        people=root.optional_each("people", lambda node: Person(node.text("name"), node.text("kind", ""), node.text("role", ""))),
        curves=root.optional_each("curves", _curve),
        strips=root.optional_each("strips", _strip),
        videos=root.optional_each("videos", lambda node: Clip(node.text("title"), node.text("file"), node.text("caption", ""))),
        verdict=root.text("verdict", ""),
    )


def _row(node: _Node) -> Row:
    return Row(
        model=node.text("model"),
        init=node.text("init"),
        shots=node.count("K"),
        steps=node.count("T"),
        data=node.text("data", "drawn"),
        reference=node.text("reference", "none"),
        scores=node.numbers(ROW_SCORES, required=("ssim", "psnr", "mse")),
        spreads={name.removesuffix("_sd"): value for name, value in node.numbers([f"{s}_sd" for s in ROW_SCORES]).items()},
        videos=node.optional_each("videos", _video_scores),
    )


def _video_scores(node: _Node) -> VideoScores:
    frames = node.optional("frames")
    return VideoScores(node.text("name"), int(frames.finite()) if frames else None, node.numbers(VIDEO_SCORES))


def _curve(node: _Node) -> Curve:
    return Curve(node.text("title"), node.text("x_label", ""), node.text("y_label", ""), node.child("series").each(_series))


def _series(node: _Node) -> tuple[str, tuple[tuple[float, float], ...]]:
    x, y = (node.child(axis).each(_Node.number) for axis in ("x", "y"))
    if len(x) != len(y):
        node.fail(f"x has {len(x)} values and y has {len(y)}; they must be as many")
    return node.text("label"), tuple(zip(x, y, strict=True))


def _strip(node: _Node) -> Strip:
    columns = node.child("columns").each(lambda cell: cell.as_text())
    rows = node.child("rows").each(lambda row: row.each(lambda cell: cell.as_text()))
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            node.fail(f"row {index} has {len(row)} pictures for {len(columns)} columns; they must be as many")
    return Strip(node.text("title"), node.text("caption", ""), columns, rows)


@dataclass(frozen=True)
class _Node:
    """A value of the file with its place in it, so that each complaint can say where."""

    value: Any
    file: str
    place: str

    def fail(self, problem: str) -> NoReturn:
        where = f", {self.place}" if self.place else ""
        raise InputError(f"{self.file}{where}: {problem}. Correct it, or run the evaluation again to write a fresh one")

    def expect(self, kind: type | tuple[type, ...], words: str) -> None:
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            shown = json.dumps(self.value)[:60]
            self.fail(f"expected {words}, found {shown}")

    def optional(self, key: str) -> _Node | None:
        self.expect(dict, "an object")
        value = self.value.get(key)
        return None if value is None else _Node(value, self.file, f"{self.place}.{key}".lstrip("."))

    def child(self, key: str) -> _Node:
        node = self.optional(key)
        if node is None:
            self.fail(f'"{key}" is missing')
        return node

    def each(self, read: Callable[[_Node], T]) -> tuple[T, ...]:
        self.expect(list, "a list")
        return tuple(read(_Node(value, self.file, f"{self.place}[{index}]")) for index, value in enumerate(self.value))

    def optional_each(self, key: str, read: Callable[[_Node], T]) -> tuple[T, ...]:
        node = self.optional(key)
        return node.each(read) if node else ()

    def as_text(self) -> str:
        self.expect(str, "a text")
        return str(self.value)

    def text(self, key: str, default: str | None = None) -> str:
        node = self.optional(key) if default is not None else self.child(key)
        return node.as_text() if node else str(default)

    def count(self, key: str) -> str:
        """K or T: a whole number, a word such as "all", or nothing."""
        node = self.optional(key)
        if node is None:
            return ""
        node.expect((int, str), "a whole number or a word")
        return str(node.value)

    def number(self) -> float:
        self.expect((int, float), "a number")
        if abs(self.value) > 1e300 and self.value not in (float("inf"), float("-inf")):
            self.fail("the number is out of range")
        return float(self.value)

    def finite(self) -> float:
        if not math.isfinite(self.number()):
            self.fail("expected a finite number")
        return self.number()

    def numbers(self, names: tuple[str, ...] | list[str], required: tuple[str, ...] = ()) -> dict[str, float]:
        """The named numbers that are there and not NaN; a required one may be null or NaN but not absent."""
        self.expect(dict, "an object")
        for name in required:
            if name not in self.value:
                self.fail(f'"{name}" is missing')
        nodes = {name: self.optional(name) for name in names}
        found = {name: node.number() for name, node in nodes.items() if node is not None}
        return {name: value for name, value in found.items() if not math.isnan(value)}
