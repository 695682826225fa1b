"""Claims on lines made by hand: each verdict, and that the sign of a score never turns a claim round."""

from __future__ import annotations

import dataclasses

import pytest
from metapix.evaluation.reproduce.claims import FAILS, HOLDS, SAME_SSIM, UNDECIDED, better, judge, judge_same
from metapix.evaluation.reproduce.gathering import Line
from metapix.evaluation.reproduce.paper_claims import CLAIMS
from metapix.evaluation.reproduce.plans import PARTS
from metapix.evaluation.reproduce.suite import SUITES

from metapix.evaluation.reproduce.plans import Entry  # isort: skip

NAMES = [f"video-{number}" for number in range(6)]
SUITE = SUITES["demo"]


def line(entry: Entry, quality: float, spread: float = 0.01) -> Line:
    """A line whose videos lie around a quality in [0, 1]: more is better in every score."""
    values = {name: quality + spread * (number - 2.5) for number, name in enumerate(NAMES)}
    scores = {
        "ssim": values,
        "psnr": {name: 20 * value for name, value in values.items()},
        "mse": {name: 1000 * (1 - value) for name, value in values.items()},
        "flicker": {name: 10 * (1 - value) for name, value in values.items()},
        "change_error": {name: 1 - value for name, value in values.items()},
    }
    return Line(entry, scores, dict.fromkeys(NAMES, 9), 6, 6, 1.0, {})


def lines(part: str, quality: dict[str, float], at: dict[int, float] | None = None) -> list[Line]:
    """A line for every entry of a part, by its variant; ``at`` adds to MetaPix at a K or T."""
    found = []
    for entry in PARTS[part](SUITE, "pix2pixhd"):
        variant = next((value for name, value in quality.items() if entry.variant.startswith(name)), 0.5)
        extra = (at or {}).get(entry.shots if part == "fig5" else entry.steps, 0.0) if entry.init == "metapix" else 0.0  # type: ignore[arg-type]
        found.append(line(entry, variant + extra))
    return found


def verdicts(part: str, found: list[Line]) -> list[str]:
    return [claim.verdict for claim in CLAIMS[part](found, "pix2pixhd")]


def test_table_1_when_all_holds_and_when_it_is_the_other_way_round() -> None:
    entries = PARTS["table1"](SUITE, "pix2pixhd")
    order = {"random": 0.1, "pretrain": 0.3, "pretrain-equal-steps": 0.4, "metapix": 0.6, "nearest-frame": 0.5, "puppet": 0.9}

    def all_lines(sign: float) -> list[Line]:
        return [line(entry, 0.5 + sign * (0.8 if entry.steps == "all" else order[entry.init])) for entry in entries]

    assert verdicts("table1", all_lines(0.1)) == [HOLDS] * 4
    assert verdicts("table1", all_lines(-0.1)) == [FAILS] * 4


def test_scores_that_contradict_each_other_decide_nothing() -> None:
    entry = Entry("x", "m", "v", "metapix", 5, 20)
    first, second = line(entry, 0.6), line(entry, 0.5)
    mixed = dataclasses.replace(first, scores={**first.scores, "mse": dict.fromkeys(NAMES, 900.0)})
    assert judge(better("", first, second)) == HOLDS
    assert judge(better("", mixed, second)) == UNDECIDED
    unsure = dataclasses.replace(first, scores={**first.scores, "mse": second.scores["mse"]})
    assert judge(better("", unsure, second)) == UNDECIDED


def test_few_videos_and_missing_lines_decide_nothing() -> None:
    entry = Entry("x", "m", "v", "metapix", 5, 20)
    first, second = line(entry, 0.9), line(entry, 0.1)
    few = {name: dict(list(values.items())[:4]) for name, values in first.scores.items()}
    assert judge(better("", dataclasses.replace(first, scores=few), second)) == UNDECIDED
    assert judge(better("", None, second)) == UNDECIDED
    assert judge([]) == UNDECIDED
    assert verdicts("freeze-d", []) == [UNDECIDED, UNDECIDED]


def test_figure_5_gains_most_at_the_smallest_k() -> None:
    quality = {"random": 0.1, "pretrain": 0.3, "metapix": 0.4}
    grow = {shots: 0.001 * shots for shots in SUITE.shot_sweep}
    shrinking_gain = {shots: 0.1 / shots for shots in SUITE.shot_sweep}
    assert verdicts("fig5", lines("fig5", quality, shrinking_gain))[-1] == HOLDS
    assert verdicts("fig5", lines("fig5", quality, grow))[-1] == FAILS


@pytest.mark.parametrize("part", ["fig5", "fig6"])
def test_a_sweep_compares_with_the_pretrained_and_the_random_start_at_every_point(part: str) -> None:
    quality = {"random": 0.1, "pretrain": 0.3, "metapix": 0.4}
    points = SUITE.shot_sweep if part == "fig5" else SUITE.step_sweep
    grow = {point: 0.001 * point for point in points}
    assert verdicts(part, lines(part, quality, grow))[:3] == [HOLDS, HOLDS, HOLDS]
    assert verdicts(part, lines(part, {**quality, "metapix": 0.2}))[:3] == [FAILS, HOLDS, FAILS]
    assert verdicts(part, lines(part, {**quality, "metapix": 0.05}))[:3] == [FAILS, FAILS, FAILS]
    at_the_last = {points[-1]: -0.2}
    assert verdicts(part, lines(part, quality, at_the_last))[:2] == [FAILS, HOLDS], "one point where it is worse is enough"


def test_figure_7_is_about_steadiness_before_and_after() -> None:
    assert verdicts("fig7", lines("fig7", {"metapix": 0.6, "pretrain": 0.3})) == [HOLDS, HOLDS]
    assert verdicts("fig7", lines("fig7", {"metapix": 0.3, "pretrain": 0.6})) == [FAILS, FAILS]


@pytest.mark.parametrize(("apart", "verdict"), [(0.0, HOLDS), (SAME_SSIM, UNDECIDED), (0.1, FAILS), (-0.1, FAILS)])
def test_about_the_same(apart: float, verdict: str) -> None:
    entry = Entry("x", "m", "v", "metapix", 5, 20)
    first, second = line(entry, 0.5 + apart), line(entry, 0.5)
    noise = {name: value + 0.01 * (-1) ** number for number, (name, value) in enumerate(first.scores["ssim"].items())}
    first = dataclasses.replace(first, scores={**first.scores, "ssim": noise})
    assert judge_same(better("", first, second, ("ssim",))[0]) == verdict


def test_a_difference_is_told_with_the_sign_of_its_score() -> None:
    entry = Entry("x", "m", "v", "metapix", 5, 20)
    told = {one.score: one.describe() for one in better("a - b", line(entry, 0.6), line(entry, 0.5))}
    assert told["mse"]["difference"] == pytest.approx(-100.0)
    assert told["mse"]["low"] <= told["mse"]["difference"] <= told["mse"]["high"]
    assert told["psnr"]["difference"] == pytest.approx(2.0)
    assert {one["better"] for one in told.values()} == {6}
