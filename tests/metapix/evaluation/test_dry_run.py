"""The dry run: counts by hand, and a measurement that is one of this machine."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from metapix.cli import main
from metapix.evaluation.reproduce.dry_run import Measured, forecast, measure, peak
from metapix.evaluation.reproduce.plans import PARTS, entries_of
from metapix.evaluation.reproduce.story import Order
from metapix.evaluation.reproduce.suite import SUITES, Suite, TestData

from tests.metapix.evaluation.test_reproduce import SMALL

ONE = Measured(step_seconds=1.0, step_operations=10.0, frame_seconds=0.0, memory=0.0, notes=())


def order(suite: Suite, parts: tuple[str, ...]) -> Order:
    return Order(suite, parts, Path("out"))


def test_table_1_counted_by_hand() -> None:
    suite = dataclasses.replace(SMALL, test=TestData(drawn=3, drawn_frames=20), seeds=2)  # 17 frames to learn from, 3 to score
    changes = {"shots": 5, "steps": 20, "epochs": 10.0}
    suite = dataclasses.replace(suite, **changes)  # type: ignore[arg-type]
    part, whole = forecast(order(suite, ("table1",)), entries_of(("table1",), suite, ("pix2pixhd",)), {"pix2pixhd": ONE})
    all_steps = -(-10 * 17 // 8)
    pretraining, meta_training = 2, 2 * 20
    steps = pretraining + 2 * meta_training + 3 * (2 * all_steps + 4 * 20)
    frames = 8 * pretraining + (8 + 5) * meta_training + 3 * (2 * all_steps * 8 + 4 * 20 * 5)
    assert (part.starts, part.cells, part.steps) == (4 * 2, (6 * 2 + 2) * 3, steps * 2)
    assert part.operations == frames * 10 * 2
    assert part.hours == pytest.approx(frames * 2 / 3600)
    assert dataclasses.replace(whole, part="table1") == part


def test_a_posewarp_step_sees_pairs_of_frames() -> None:
    suite = dataclasses.replace(SMALL, test=TestData(drawn=3, drawn_frames=20), shots=2, steps=20, epochs=10.0)
    suite = dataclasses.replace(suite, models=("posewarp",), changes=("recipe.perceptual=", "pretrain.steps=2", "meta_train.iterations=2"))

    def operations(shots: int) -> float:
        few = [entry for entry in entries_of(("table1",), dataclasses.replace(suite, shots=shots), ("posewarp",)) if entry.init == "random"]
        return forecast(order(suite, ("table1",)), few, {"posewarp": ONE})[-1].operations

    all_frames = 3 * -(-10 * 17 // 8) * 8
    assert operations(2) == (all_frames + 3 * 20 * 2) * 10, "two ordered pairs of two frames"
    assert operations(5) == (all_frames + 3 * 20 * 8) * 10, "a whole batch of the twenty pairs"


def test_the_command_says_cells_operations_hours_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two_gib = dataclasses.replace(ONE, memory=2.0 * 2**30, notes=("a note",))
    monkeypatch.setattr("metapix.evaluation.reproduce.dry_run.measure", lambda _preset, _shots, _before: two_gib)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["metapix", "reproduce", "--dry-run", "--only", "table1", "--workers", "4", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    head, table1, whole, model = capsys.readouterr().out.splitlines()
    assert head.split() == ["part", "starts", "cells", "steps", "TFLOP", "CPU", "hours", "hours", "by", "4"]
    assert table1.split()[:3] == ["table1", "8", str((6 * 2 + 2) * 8)]
    cpu_hours, hours = (float(word.replace(",", "")) for word in table1.split()[-2:])
    assert hours == pytest.approx(cpu_hours / 4, abs=0.01)
    assert whole.split()[1:] == table1.split()[1:]
    assert model == "pix2pixhd: 1.0000 CPU s a frame and step, about 2.0 GiB a process; a note"
    assert not out.exists()


def test_parts_share_starts_and_cells() -> None:
    suite = SUITES["paper"]
    *parts, whole = forecast(order(suite, tuple(PARTS)), entries_of(tuple(PARTS), suite, ("pix2pixhd",)), {"pix2pixhd": ONE})
    assert [part.part for part in parts] == list(PARTS)
    assert whole.starts < sum(part.starts for part in parts)
    assert whole.cells < sum(part.cells for part in parts)
    assert whole.hours < sum(part.hours for part in parts)


def test_a_measurement_is_positive_and_larger_pictures_cost_by_their_pixels() -> None:
    held = peak()
    small = measure(SMALL.training_preset("pix2pixhd"), 2, held)
    assert small.step_seconds > 0
    assert small.frame_seconds > 0
    assert small.memory > held > 2**26
    assert small.notes == ()
    large, double = (measure(SMALL.training_preset("pix2pixhd", [f"recipe.size={size}"]), 2, held) for size in (128, 256))
    assert large.step_operations == pytest.approx(16 * small.step_operations, rel=0.15)  # edges cost a small picture more
    assert double.step_operations == pytest.approx(4 * large.step_operations, rel=1e-9)
    assert double.notes == ("timed at 128x128, one frame at a time, and scaled to 256x256",)
