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
    assert cells == [
        "metapix &lt;b&gt; 7 of 8 cells", "Pix2PixHD", "5", "20", "0.700 (0.600 to 0.800)", "0.39", "21.00", "13.73", "500", "4696",
    ]  # fmt: skip
    assert "<strong>Holds:</strong> MetaPix is better" in page
    assert "MSE −100 (−120 to −80), p = 0.008, better on 8 of 8 videos" in page
    assert "<strong>model x</strong>: not run" in page
    assert "<strong>lpips</strong> was not computed: weights missing" in page


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
