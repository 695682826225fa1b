"""results.json as checked dataclasses: whatever is wrong in it is named by its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_meta.files import load_json
from metapix.errors import InputError
from metapix.files import read_limited
from metapix.report.node import Node
from metapix.report.reproduction_results import Claim, Line, claim_of, line_of

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
class Series:
    """A line of a chart."""

    label: str
    points: tuple[tuple[float, float], ...]  # (x, y)
    band: tuple[tuple[float, float], ...] = ()  # (low, high) at each point; empty where there is none


@dataclass(frozen=True)
class Curve:
    """A chart of lines."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_scale: str = "linear"


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
    lines: tuple[Line, ...] = ()
    claims: tuple[Claim, ...] = ()
    holes: tuple[tuple[str, str], ...] = ()  # (what, why)
    not_computed: tuple[tuple[str, str], ...] = ()  # (metric, why)
    spent: tuple[tuple[str, float], ...] = ()  # (what, CPU seconds)


def read_results(run_dir: Path) -> Results:
    """Read and check ``run_dir/results.json``; raise InputError where it is missing or not what it should be."""
    path = run_dir / "results.json"
    try:
        content = load_json(read_limited(path))
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist; run `metapix evaluate` or `metapix demo` first, or name the folder of a finished run"
        ) from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the folder and its permissions") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); run the evaluation again to write a fresh one") from None
    root = Node(content, str(path), "")
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
        lines=root.optional_each("lines", line_of),
        claims=root.optional_each("claims", claim_of),
        holes=root.optional_each("holes", lambda node: (node.text("what"), node.text("why"))),
        not_computed=root.optional_pairs("not_computed", Node.as_text),
        spent=root.optional_pairs("spent", Node.finite),
    )


def _row(node: Node) -> Row:
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


def _video_scores(node: Node) -> VideoScores:
    frames = node.optional("frames")
    return VideoScores(node.text("name"), int(frames.finite()) if frames else None, node.numbers(VIDEO_SCORES))


def _curve(node: Node) -> Curve:
    return Curve(
        node.text("title"),
        node.text("x_label", ""),
        node.text("y_label", ""),
        node.child("series").each(_series),
        node.text("x_scale", "linear"),
    )


def _series(node: Node) -> Series:
    x, y = (node.child(axis).each(Node.number) for axis in ("x", "y"))
    low, high = (node.optional_each(axis, Node.number) for axis in ("low", "high"))
    if len(x) != len(y):
        node.fail(f"x has {len(x)} values and y has {len(y)}; they must be as many")
    if len(low) != len(high) or len(low) not in (0, len(x)):
        node.fail(f"low has {len(low)} values, high has {len(high)} and x has {len(x)}; they must be as many")
    return Series(node.text("label"), tuple(zip(x, y, strict=True)), tuple(zip(low, high, strict=True)))


def _strip(node: Node) -> Strip:
    columns = node.child("columns").each(lambda cell: cell.as_text())
    rows = node.child("rows").each(lambda row: row.each(lambda cell: cell.as_text()))
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            node.fail(f"row {index} has {len(row)} pictures for {len(columns)} columns; they must be as many")
    return Strip(node.text("title"), node.text("caption", ""), columns, rows)
