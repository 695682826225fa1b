"""Kills, signals, a full disk and a second run on the same folder: training goes on to the same bits, or says why not."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time

import pytest

import gan_meta as gm
from gan_meta.checkpoint import load_tensors
from gan_meta.training.run_folder import RunFolder, is_locked
from tests.distributed.launch import difference, finish, message, start, weights

EVERY, KILLS = (1, 100) if os.environ.get("GAN_META_SOAK") else (7, 6)
"""Every so many file operations, and at so many random moments, a process is killed; `make soak` takes the long form."""

TRAINER = {"iterations": 6, "meta_batch_size": 1, "checkpoint_every": 1, "meta_optimizer": "adam", "meta_lr": 0.01}


def case(folder, name="out", **options):
    folder.mkdir(exist_ok=True)
    trainer = {**TRAINER, "run_dir": str(folder / "run"), **options.pop("trainer", {})}
    return {"trainer": trainer, **options, "out": str(folder / name)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = case(tmp_path_factory.mktemp("undisturbed"))
    assert finish(start(1, [run])) == [0]
    return run


def kept_files(run):
    """What a run folder holds, apart from the figures of speed."""
    files = {}
    for path in sorted(os.listdir(run["trainer"]["run_dir"])):
        if path.endswith(".safetensors"):
            tensors, document = load_tensors(f"{run['trainer']['run_dir']}/{path}")
            files[path] = ({name: tensor.tolist() for name, tensor in tensors.items()}, document)
        elif not path.endswith((".json", ".jsonl", ".lock")):
            files[path] = None
    return files


def test_a_kill_at_any_file_operation_loses_nothing(tmp_path):
    short = {"iterations": 3}
    undisturbed = case(tmp_path / "undisturbed", trainer=short)
    assert finish(start(1, [undisturbed])) == [0]
    expected = kept_files(undisturbed)
    assert set(expected) == {f"meta-training{ending}.safetensors" for ending in ("", "-best", "-00000002", "-00000003")}
    killed = 0
    for number in itertools.count(1, EVERY):
        run = case(tmp_path / str(number), trainer=short)
        if finish(start(1, [{**run, "die_at_call": number}])) == [0]:
            break
        killed += 1
        assert finish(start(1, [run])) == [0]
        assert difference(weights(run), weights(undisturbed)) == 0, number
        assert kept_files(run) == expected, number
    assert killed >= 30 // EVERY


def test_kills_at_random_moments_lose_nothing(tmp_path, undisturbed):
    draws, killed, finished = random.Random(7), 0, 0
    while killed < KILLS or not finished:
        run = case(tmp_path / str(finished), pause=0.01)
        processes = start(1, [run])
        if killed < KILLS:
            processes[0].join(draws.uniform(0.02, 0.4))
            processes[0].kill()
        if finish(processes) == [0]:
            finished += 1
            assert difference(weights(run), weights(undisturbed)) == 0
        else:
            killed += 1


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_a_signal_saves_and_ends_with_a_line_that_says_how_to_go_on(tmp_path, undisturbed, name, code):
    run = case(tmp_path, trainer={"checkpoint_every": 4})
    assert finish(start(1, [{**run, "knock_at": 3, "signal": name}])) == [code]
    line = message(run)
    assert f"stopped by {name} at iteration" in line
    assert "start it again in the same way to go on" in line
    assert load_tensors(tmp_path / "run" / "meta-training.safetensors")[1]["counters"]["iteration"] == 3
    assert finish(start(1, [run])) == [0]
    assert difference(weights(run), weights(undisturbed)) == 0


def test_a_signal_in_a_long_game_does_not_wait_for_its_end(tmp_path, undisturbed):
    run = case(tmp_path, dawdle=True, trainer={"checkpoint_every": 4})
    (process,) = start(1, [run])
    _wait_for(tmp_path / "out.dawdling")
    os.kill(process.pid, signal.SIGTERM)
    began = time.monotonic()
    assert finish([process]) == [0]
    assert time.monotonic() - began < 20
    assert "stopped by SIGTERM at iteration 1 of 6" in message(run)
    assert finish(start(1, [run])) == [0]
    assert difference(weights(run), weights(undisturbed)) == 0


@pytest.mark.parametrize("pretrain", [False, True])
def test_a_signal_to_one_rank_stops_all_at_the_same_iteration(tmp_path, pretrain):
    options = {"pretrain": True, "steps": 40, "trainer": {"checkpoint_every": 15}} if pretrain else {}
    trainer = {**(options.pop("trainer", None) or {**TRAINER, "checkpoint_every": 4})}
    calm = {**options, "trainer": trainer, "out": str(tmp_path / "calm")}
    run = {**options, "trainer": {**trainer, "run_dir": str(tmp_path / "run")}, "out": str(tmp_path / "out")}
    assert finish(start(2, [calm])) == [0, 0]
    assert finish(start(2, [{**run, "knock_at": 3, "knock_rank": 1, "signal": "SIGTERM"}])) == [0, 0]
    assert message(run, 0) == message(run, 1)
    assert "stopped by SIGTERM" in message(run)
    assert finish(start(2, [run])) == [0, 0]
    assert difference(weights(run), weights(calm)) == 0


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_full_disk_ends_with_a_clear_line_and_the_last_checkpoint_whole(tmp_path, ranks):
    run = case(tmp_path, disk_full_at=3, may_fail=True, trainer={"logs": []})
    assert finish(start(ranks, [run])) == [0] * ranks
    assert "could not write" in message(run)
    if ranks == 2:
        assert message(run, 1).startswith("OtherRankError: rank 0 stopped: could not write")
    assert load_tensors(tmp_path / "run" / "meta-training.safetensors")[1]["counters"]["iteration"] == 3
    assert not [name for name in os.listdir(tmp_path / "run") if name.endswith(".partial")]


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock(tmp_path, undisturbed):
    run = case(tmp_path, dawdle=True)
    (first,) = start(1, [run])
    _wait_for(tmp_path / "out.dawdling")
    assert is_locked(tmp_path / "run").startswith(f"process {first.pid} on ")
    assert finish(start(1, [run])) == [2]
    assert f"another run is at work in {tmp_path / 'run'} (process {first.pid} on " in message(run)
    first.kill()
    finish([first])
    assert is_locked(tmp_path / "run") is None
    assert finish(start(1, [run])) == [0]
    assert difference(weights(run), weights(undisturbed)) == 0


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), RunFolder(tmp_path / "file" / "run", "x", 1).locked():
        pass


def test_keep_must_leave_one():
    with pytest.raises(ValueError, match="keep must be at least 1"):
        RunFolder("anywhere", "x", 0)
    assert issubclass(gm.TrainingInterrupted, KeyboardInterrupt)


def _wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)
