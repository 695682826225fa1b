"""Whether a change made a ratio worse; and the GPU's plan, tried on a CPU at sizes that say nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import all as plans
import compare
import pytest
from compare import worse
from measure import Result, in_turns, publish, seconds

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def named(*results: Result) -> dict[str, Result]:
    return {result.name: result for result in results}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (Result("a", 2.0, "b"), Result("a", 1.7, "b"), "by 15%"),
        (Result("a", 2.0, "b"), Result("a", 1.85, "b"), None),
        (Result("a", 2.0, "b"), Result("a", 4.0, "b"), None),
        (Result("a", 2.0, "b", "lower"), Result("a", 2.5, "b", "lower"), "by 20%"),
        (Result("a", 2.0, "b", "lower"), Result("a", 1.0, "b", "lower"), None),
        (Result("a", 2.25, "b", goal=2.2), Result("a", 2.15, "b", goal=2.2), "its goal of 2.2 is missed"),
        (Result("a", 2.1, "b", goal=2.2), Result("a", 2.0, "b", goal=2.2), None),  # it was missed before
        (Result("a", 2.0, "b"), Result("other", 2.0, "b"), "is gone"),
    ],
)
def test_what_counts_as_worse(old, new, complaint):
    assert worse(named(old), named(new), 0.1) == ({} if complaint is None else {"a": complaint})


def test_the_command_reads_what_the_scripts_write(tmp_path, monkeypatch, capsys):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    publish([Result("a", 2.0, "b", details={"seconds": 1.0})], before)
    publish([Result("a", 1.0, "b"), Result("new", 1.0, "b")], after)
    for second, code in ((before, 0), (after, 1)):
        monkeypatch.setattr(sys, "argv", ["compare.py", str(before), str(second)])
        with pytest.raises(SystemExit) as end:
            compare.main()
        assert end.value.code == code
    printed = capsys.readouterr().out
    assert "a: 2 -> 1   WORSE: by 50%" in printed
    assert "new: - -> 1" in printed


def test_minima_of_runs_that_take_turns():
    order: list[str] = []
    found = in_turns({"idle": lambda: order.append("idle"), "busy": lambda: (order.append("busy"), sum(range(200_000)))}, rounds=3)
    assert order == ["idle", "busy"] * 4  # a round to warm up
    assert 0 <= found["idle"] < found["busy"]
    assert seconds(lambda: None) < found["busy"]


def test_every_plan_names_scripts_that_are_there():
    for plan in plans.PLANS.values():
        assert all((BENCHMARKS / script).is_file() for script in plan)
    assert set(plans.TINY) == set(plans.PLANS["gpu"])


def test_a_script_of_the_gpus_plan_runs_on_a_cpu(tmp_path):
    """The smallest of them, through the runner; all of them: `benchmarks/all.py --plan gpu --device cpu --tiny`."""
    found = plans.run("between_tasks.py", [*plans.TINY["between_tasks.py"], "--device", "cpu"], seconds=60)
    assert found is not None
    (result,) = found["results"]
    assert result["name"] == "between tasks"
    assert result["ratio"] > 0
    assert plans.run("between_tasks.py", ["--no-such-option"], seconds=60) is None
    assert plans.run("between_tasks.py", [], seconds=0) is None
