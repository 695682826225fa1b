"""Stages in real processes: side by side, errors that come through, and workers that die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.demo.crew import Crew, Stage
from metapix.errors import InputError
from metapix.workers import interrupts_not_inherited

Tick = Callable[[int], None]
PATIENCE = 30.0


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(2) as crew:
        yield crew


def _wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} did not come")
        time.sleep(0.01)


def meet(mine: Path, other: Path, tick: Tick) -> None:
    """Ends only when another stage runs at the same time."""
    mine.write_text(f"{os.getpid()} {torch.get_num_threads()}")
    tick(1)
    _wait_for(other)
    tick(2)


def sleep(seconds: float, tick: Tick) -> None:
    time.sleep(seconds)


def refuse(words: str, tick: Tick) -> None:
    raise InputError(words)


def refuse_once(beside: Path, tick: Tick) -> None:
    _wait_for(beside)
    raise LookupError("no such person")


def die(how: str, beside: Path, tick: Tick) -> None:
    _wait_for(beside)
    if how == "exit":
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)


def write_slowly(partial: Path, tick: Tick) -> None:
    """As an atomic writer does: a file that goes again when the work is not finished."""
    try:
        partial.write_text("half")
        time.sleep(PATIENCE)
        partial.rename(partial.with_suffix(".whole"))
    finally:
        partial.unlink(missing_ok=True)


def stage(name: str, run: Callable[..., Any], *arguments: Any) -> Stage:
    return Stage(name, run, arguments, 2)


def test_stages_run_side_by_side_in_processes_of_one_thread(crew: Crew, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    seconds = crew.run([stage("first", meet, a, b), stage("second", meet, b, a)])
    (pid_a, threads_a), (pid_b, threads_b) = (path.read_text().split() for path in (a, b))
    assert len({pid_a, pid_b, str(os.getpid())}) == 3
    assert (threads_a, threads_b) == ("1", "1")
    assert list(seconds) == ["first", "second"]
    shown = capsys.readouterr().out
    assert "first" in shown
    assert shown.count("2/2") == 2


def test_seconds_are_each_stages_own_and_more_stages_than_workers_queue(crew: Crew) -> None:
    seconds = crew.run([stage(f"{number}", sleep, 0.3 * number) for number in range(4)])
    assert [seconds[f"{number}"] for number in range(4)] == pytest.approx([0.0, 0.3, 0.6, 0.9], abs=0.25)


def test_an_error_of_a_stage_comes_through_as_it_is(crew: Crew) -> None:
    with pytest.raises(InputError, match=r"^nobody in it$"):
        crew.run([stage("quick", refuse, "nobody in it")])
    assert crew.run([stage("goes on", sleep, 0)]) == {"goes on": 0.0}


def test_too_many_stages_are_refused(crew: Crew) -> None:
    with pytest.raises(ValueError, match="at most 16 stages can run side by side, got 17"):
        crew.run([stage(f"{number}", sleep, 0) for number in range(17)])


def test_after_an_error_the_other_stages_end_and_leave_nothing_half_written(tmp_path: Path) -> None:
    partial, start = tmp_path / "video.partial", time.monotonic()
    with pytest.raises(LookupError, match="no such person"), Crew(2) as crew:
        crew.run(
            [stage("slow", write_slowly, partial), stage("quick", refuse_once, partial), stage("next", write_slowly, tmp_path / "next")]
        )
    assert time.monotonic() - start < PATIENCE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_worker_that_dies_is_an_input_error_in_words(tmp_path: Path, how: str) -> None:
    partial, start = tmp_path / "video.partial", time.monotonic()
    with pytest.raises(InputError, match="a worker process ended unexpectedly; usually memory ran out"), Crew(2) as crew:
        crew.run([stage("slow", write_slowly, partial), stage("dies", die, how, partial)])
    assert time.monotonic() - start < PATIENCE
    assert list(tmp_path.iterdir()) == []


def _interrupted_while_starting() -> None:
    with interrupts_not_inherited():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)


def test_an_interrupt_while_workers_are_started_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted_while_starting()
