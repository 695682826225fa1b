"""The reproduction's part of the report: bands, claims, holes; and what is refused in results.json."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from metapix.errors import InputError
from metapix.report import build_report
from metapix.report.plots import Line, Mark, line_chart

LINE = {"part": "table1", "model": "Pix2PixHD", "variant": "metapix <b>", "K": 5, "T": 20, "done": 7, "cells": 8, "ssim": 0.7, "psnr": 21.0,
        "mse": 500.0, "ssim_low": 0.6, "ssim_high": 0.8, "paper": {"ssim": 0.39, "psnr": 13.73, "mse": 4696.0}}  # fmt: skip
EVIDENCE = {"what": "a - b", "score": "mse", "difference": -100.0, "low": -120.0, "high": -80.0, "p": 0.0078, "better": 8, "videos": 8}
CLAIM = {"part": "table1", "text": "MetaPix is better", "source": "section 4.2", "verdict": "holds", "evidence": [EVIDENCE]}
SERIES = {"label": "metapix", "x": [1, 5], "y": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.9]}


def results(**changes: Any) -> dict[str, Any]:
    curve = {"title": "SSIM over K", "x_label": "K", "y_label": "SSIM", "series": [SERIES]}
    holes = {"holes": [{"what": "model x", "why": "not run"}], "not_computed": {"lpips": "weights missing"}}
    base = {"settings": {}, "rows": [], "lines": [LINE], "claims": [CLAIM], "curves": [curve], "spent": {"training": 12.0}}
    return {**base, **holes, **changes}


def write(folder: Path, content: dict[str, Any]) -> str:
    (folder / "results.json").write_text(json.dumps(content))
    return build_report(folder).read_text(encoding="utf-8")


def test_numbers_stand_beside_the_papers_with_their_intervals(tmp_path: Path) -> None:
    page = write(tmp_path, results())
    row = re.search(r'data-part="table1".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert row
    cells = [re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row[1], re.DOTALL)]
    start = "metapix &lt;b&gt; K\u00a0=\u00a05, T\u00a0=\u00a020 7 of 8 cells"
    assert cells == [start, "0.700 (0.600 to 0.800)", "0.39", "21.00", "13.73", "500", "4696.00"]
    assert "<strong>Holds:</strong> MetaPix is better" in page
    assert "<b>a - b:</b> MSE −100 (−120 to −80; p\u00a0=\u00a00.008; better on 8 of 8)" in page
    assert "<strong>model x</strong>: not run" in page
    assert "<strong>LPIPS</strong> was not computed: weights missing" in page


def test_scores_that_are_not_in_the_tables_and_those_of_each_video_are_folded_under_them(tmp_path: Path) -> None:
    videos = [{"name": "one", "frames": 6, "ssim": 0.625}, {"name": "two", "frames": 7, "psnr": 20.25}]
    page = write(tmp_path, results(lines=[{**LINE, "face_psnr": 12.75, "videos": videos}]))
    further = re.search(r"<summary>Table 1: further scores</summary>(.*?)</details>", page, re.DOTALL)
    each = re.search(r"<summary>Table 1: video by video</summary>(.*?)</details>", page, re.DOTALL)
    assert further
    assert each
    assert "<td>12.75</td>" in further[1]
    assert re.findall(r"<td[^>]*>(.*?)</td>", each[1]) == ["one", "6", "0.625", "–", "two", "7", "–", "20.25"]
    assert "Inside a square around nose, eyes and ears" in page, "how it is computed stands beside it"


def test_what_is_missing_for_one_reason_is_told_once(tmp_path: Path) -> None:
    holes = [{"what": f"cell {number}", "why": "a damaged picture"} for number in range(4)]
    page = write(tmp_path, results(holes=[*holes, {"what": "a", "why": "too short"}]))
    assert page.count("a damaged picture") == 1
    assert "4 of the same reason" in page
    assert all(f"cell {number}" in page for number in range(4))
    assert "<strong>a</strong>: too short" in page


def test_comparisons_without_videos_in_common_are_told_in_two_words(tmp_path: Path) -> None:
    lacking = [{"what": "a - b", "score": score} for score in ("ssim", "psnr")]
    assert "<b>a - b:</b> not there</li>" in write(tmp_path, results(claims=[{**CLAIM, "evidence": lacking}]))


def test_metapix_trained_otherwise_has_metapixs_colour_and_no_one_elses(tmp_path: Path) -> None:
    labels = ("random", "pretrain", "metapix, trained alike", "metapix, trained at K = 5, T = 20")
    curve = {"title": "t", "series": [{**SERIES, "label": label} for label in labels]}
    lines = re.findall(r'<polyline class="line (.*?)"', write(tmp_path, results(curves=[curve])))
    assert len(set(lines)) == 4
    assert [line.split()[0] for line in lines][2:] == ["c0", "c0"]


def test_points_chosen_by_factors_are_equally_far_apart_on_a_logarithmic_axis() -> None:
    chart = line_chart("t", "T", "SSIM", [Line("a", Mark(0), [(5, 0.5), (10, 0.6), (20, 0.6)])], "log")
    xs = [float(p.split(",")[0]) for p in re.findall(r'<polyline[^>]*points="(.*?)"', chart)[0].split()]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)
    assert re.findall(r'text-anchor="middle"[^>]*>(.*?)<', chart) == ["5", "10", "20"]
    assert line_chart("t", "T", "SSIM", [Line("a", Mark(0), [(0, 0.5), (10, 0.6)])], "log"), "0 has no logarithm: a plain axis"


def test_a_band_is_drawn_around_its_line_and_inside_the_axes() -> None:
    chart = line_chart("t", "K", "SSIM", [Line("a", Mark(0), [(5, 0.6), (1, 0.5)], [(0.5, 0.9), (0.4, 0.6)])])
    corners = re.search(r'<polygon class="band c0" points="(.*?)"', chart)
    assert corners
    points = [tuple(map(float, point.split(","))) for point in corners[1].split()]
    line = [tuple(map(float, p.split(","))) for p in re.findall(r'<polyline[^>]*points="(.*?)"', chart)[0].split()]
    assert [x for x, _ in points] == [line[0][0], line[1][0], line[1][0], line[0][0]]
    upper, lower = points[:2], points[:1:-1]
    assert all(high < y < low for (_, high), (_, y), (_, low) in zip(upper, line, lower, strict=True)), "y grows downwards"
    assert min(y for _, y in points) >= 12


def test_no_band_where_there_is_none_or_it_is_not_finite() -> None:
    for band in ((), [(math.nan, 1.0), (0.0, 1.0)]):
        assert "polygon" not in line_chart("t", "K", "SSIM", [Line("a", Mark(0), [(1, 0.5), (5, 0.6)], band)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claims": [{**CLAIM, "verdict": "true"}]}, r"claims\[0\]: a verdict is one of holds, does not hold, undecided, not 'true'"),
        ({"claims": [{**CLAIM, "evidence": [{**EVIDENCE, "p": "small"}]}]}, r"claims\[0\]\.evidence\[0\]\.p: expected a number"),
        ({"lines": [{**LINE, "done": None}]}, r'lines\[0\]: "done" is missing'),
        ({"not_computed": ["lpips"]}, "not_computed: expected an object"),
        ({"curves": [{"title": "t", "series": [{**SERIES, "low": [1]}]}]}, "low has 1 values, high has 2 and x has 2"),
    ],
)
def test_bad_results_are_refused_with_their_place(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        write(tmp_path, results(**changes))
