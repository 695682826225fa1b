"""Jobs in real processes: order, shares of ranks, failures that name what they cost, workers that die, and going on after a kill."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from metapix.errors import InputError
from metapix.evaluation.run import Job, run_jobs

import gan_meta as gm
from gan_meta.distributed import ALONE, World


def touch(path: Path, *needed: Path) -> None:
    assert all(file.is_file() for file in needed)
    path.write_text(str(os.getpid()))


def refuse(path: Path) -> None:
    raise InputError(f"{path.name} cannot be\nmade")


def die(_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def touch_slowly(path: Path) -> None:
    time.sleep(0.4)
    path.write_text("done")


def job(folder: Path, name: str, run: Any = touch, needs: tuple[str, ...] = (), level: int = 0) -> Job:
    files = tuple(folder / need for need in needs)
    return Job(name, folder / name, run, (folder / name, *(files if run is touch else ())), files, level)


def silent(_done: int, _total: int, _name: str) -> None:
    return


def test_jobs_wait_for_what_they_need_and_failures_name_what_they_cost(tmp_path: Path) -> None:
    notes: list[tuple[int, int, str]] = []
    jobs = [
        job(tmp_path, "last", needs=("middle", "first")),
        job(tmp_path, "middle", needs=("first",)),
        job(tmp_path, "first"),
        job(tmp_path, "bad", refuse),
        job(tmp_path, "after-bad", needs=("bad",)),
        job(tmp_path, "after-that", needs=("after-bad",)),
    ]
    failures = run_jobs(jobs, 2, ALONE, lambda *note: notes.append(note))
    assert failures == {
        "bad": "bad cannot be made",
        "after-bad": "it needs what could not be made: bad",
        "after-that": "it needs what could not be made: after-bad",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"first", "middle", "last"}
    assert [note[:2] for note in sorted(notes)] == [(number, 6) for number in range(1, 7)]
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert run_jobs(jobs[:3], 2, ALONE, silent) == {}
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def be_told_to_end(_path: Path) -> None:
    raise gm.TrainingInterrupted("a training was told to end, and saved a checkpoint", 0)


@pytest.mark.parametrize("how", [die, be_told_to_end])
def test_a_worker_that_ends_is_an_error_in_words(tmp_path: Path, how: Any) -> None:
    with pytest.raises(InputError, match="a worker process ended unexpectedly"):
        run_jobs([job(tmp_path, "ends", how)], 1, ALONE, silent)


@dataclasses.dataclass(frozen=True)
class Rank(World):
    """One of several ranks, whose others have nothing to tell."""

    def gather(self, document: Any) -> list[Any]:
        return [document]


class Inline:
    """In place of the pool: the jobs one after the other, here."""

    def __init__(self, jobs: Sequence[Job], _workers: int, *_rest: object) -> None:
        self._jobs = jobs

    def run(self) -> dict[str, str]:
        for one in self._jobs:
            one.run(*one.arguments)
        return {}


def test_ranks_share_each_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metapix.evaluation.run._Pool", Inline)
    jobs = [job(tmp_path, f"{level}-{number}", level=level) for number in range(3) for level in (1, 0)]
    for rank in range(2):
        assert run_jobs(jobs, 1, Rank(rank, 2), silent) == {}
        made = {path.name for path in tmp_path.iterdir()}
        assert made == ({"0-0", "0-2", "1-0", "1-2"} if rank == 0 else {f"{level}-{n}" for level in (0, 1) for n in range(3)})


def tell_world(path: Path) -> None:
    path.write_text(str(gm.distributed.current().size))


def test_workers_of_a_rank_are_no_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_jobs([job(tmp_path, "world", tell_world)], 1, Rank(0, 2), silent) == {}
    assert (tmp_path / "world").read_text() == "1"


KILLED = """
import sys
from pathlib import Path
from gan_meta.distributed import ALONE
from tests.metapix.evaluation.test_run import job, run_jobs, silent, touch_slowly
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run_jobs([job(folder, f"{number}", touch_slowly) for number in range(20)], 1, ALONE, silent)
"""


def test_after_a_kill_what_is_done_is_kept_and_no_worker_stays(tmp_path: Path) -> None:
    script, folder = tmp_path / "killed.py", tmp_path / "made"
    script.write_text(KILLED)
    folder.mkdir()
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root), str(root / "examples" / "metapix")])
    process = subprocess.Popen([sys.executable, str(script), str(folder)], env={**os.environ, "PYTHONPATH": path})
    deadline = time.monotonic() + 60
    while not (folder / "1").is_file():
        assert time.monotonic() < deadline, "no job was done"
        time.sleep(0.02)
    process.kill()
    process.wait()
    time.sleep(1.0)
    kept = {path.name for path in folder.iterdir()}
    assert 2 <= len(kept) < 20
    time.sleep(0.6)
    assert {path.name for path in folder.iterdir()} == kept, "an orphan goes on working"
    rest = [job(folder, f"{number}", touch_slowly) for number in range(len(kept) + 1)]
    assert run_jobs(rest, 1, ALONE, silent) == {}
    assert len(list(folder.iterdir())) == len(kept) + 1
