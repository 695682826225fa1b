"""The same result on 1, 2, 3 and 4 ranks, with real processes over gloo; and what ranks cannot share is refused."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch

from gan_meta.checkpoint import load_tensors
from gan_meta.distributed import RanksDifferError, World, current
from tests.distributed.launch import difference, finish, message, start, torchrun, weights

TASKS = {"iterations": 2, "meta_batch_size": 4, "parallel": "tasks"}
FRAMES = {"iterations": 2, "parallel": "frames", "meta_batch_size": 2}
ADAM = {"optimizer": "adam", "eps": 1e-3}

CASES = {
    "reptile, whole tasks": {"trainer": TASKS},
    "outer Adam, clipped": {"trainer": {**TASKS, "meta_optimizer": "adam", "meta_lr": 0.01, "clip_norm": 0.1}},
    "maml": {"trainer": TASKS, "algorithm": "maml"},
    "batch statistics": {"trainer": TASKS, "buffers": True},
    "some tasks fail": {"trainer": {**TASKS, "max_bad_tasks": 99}, "poisoned": True},
    "reptile, frames": {"trainer": FRAMES},
    "frames, alternating Adam": {"trainer": FRAMES, "inner": {**ADAM, "update": "alternating", "update_ratio": [2, 1]}},
    "frames, one forward pass": {"trainer": FRAMES, "objective": "shared", "inner": ADAM},
    "frames, fomaml": {"trainer": FRAMES, "algorithm": "fomaml"},
    "fewer frames than ranks": {"trainer": FRAMES, "shots": 1},
    "carried Adam": {"trainer": {**FRAMES, "parallel": "auto"}, "inner": ADAM, "more": {"carry_optimizer": True}},
    "different starts": {"trainer": TASKS, "other_starts": True},
    "pretraining": {"pretrain": True, "steps": 7, "trainer": {}, "inner": ADAM},
    "pretraining, augmented": {"pretrain": True, "steps": 3, "trainer": {}, "inner": {"batch_size": 8}, "augmented": 20},
    "pretraining, many augmented": {"pretrain": True, "steps": 10, "trainer": {}, "inner": {"batch_size": 8}, "augmented": 70},
    "frames, augmented": {"trainer": FRAMES, "augmented": 5},
}

REFUSED = {
    "idle": ({"trainer": {"iterations": 1, "meta_batch_size": 1, "parallel": "tasks"}}, "so that 1 idle"),
    "maml": ({"trainer": {"iterations": 1, "parallel": "frames"}, "algorithm": "maml"}, "raise meta_batch_size from 1 to a multiple of 2"),
    "carried": ({"trainer": TASKS, "inner": ADAM, "more": {"carry_optimizer": True}}, "one after another"),
    "noise": ({"trainer": FRAMES, "objective": "noisy"}, "draw random numbers"),
    "scalar": ({"trainer": FRAMES, "objective": "scalar"}, "couples the samples"),
    "statistics": ({"trainer": FRAMES, "buffers": True}, "batch normalisation"),
    "small batch": ({"trainer": FRAMES, "inner": {"batch_size": 1}}, "cannot share batches of 1"),
    "pretraining": ({"pretrain": True, "steps": 1, "trainer": {}, "inner": {"batch_size": 1}}, "cannot share batches of 1"),
}


def placed(folder, cases):
    return [{**options, "out": str(folder / str(number))} for number, options in enumerate(cases)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    cases = placed(tmp_path_factory.mktemp("alone"), CASES.values())
    assert finish(start(1, cases)) == [0]
    return [weights(case) for case in cases]


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_result_is_that_of_one_process(tmp_path, alone, ranks):
    cases = placed(tmp_path, CASES.values())
    assert finish(start(ranks, cases)) == [0] * ranks
    for name, case, expected in zip(CASES, cases, alone, strict=True):
        for rank in range(ranks):
            assert difference(weights(case, rank), expected) < 1e-13, (name, rank)
        assert all(difference(weights(case, rank), weights(case)) == 0 for rank in range(ranks)), name


def test_training_moved_the_weights(alone):
    """Otherwise equality would say nothing."""
    from tests.distributed.train import build

    for options, after in zip(CASES.values(), alone, strict=True):
        assert difference(build(options)[0].state_dict(), after) > 1e-4


def test_what_ranks_cannot_share_is_refused(tmp_path):
    cases = placed(tmp_path, [{**options, "may_fail": True} for options, _ in REFUSED.values()])
    assert finish(start(2, cases)) == [0, 0]
    for case, (name, (_, words)) in zip(cases, REFUSED.items(), strict=True):
        for rank in range(2):
            assert message(case, rank).startswith("ValueError"), name
            assert words in message(case, rank), name


DIFFERENT = {
    "another rate": ({"trainer": TASKS, "rank1": {"trainer": {**TASKS, "meta_lr": 0.5}}}, "meta_lr: 1.0 on rank 0, 0.5 on rank 1"),
    "another inner rate": ({"trainer": TASKS, "rank1": {"inner": {"lr": 0.1}}}, "inner: {'lr': 0.01} on rank 0, {'lr': 0.1} on rank 1"),
    "another number of tasks": ({"trainer": TASKS, "rank1": {"trainer": {**TASKS, "meta_batch_size": 6}}}, "meta_batch_size: 4 on rank 0"),
    "another objective": ({"trainer": TASKS, "rank1": {"objective": "shared"}}, "{'class': 'SharedForwardObjective'} on rank 1"),
    "another network": ({"trainer": TASKS, "rank1": {"buffers": True}}, "generator.4.running_mean"),
    "other data": ({"trainer": TASKS, "rank1": {"data": 50}}, "tasks: {'content': "),
    "fewer shots": ({"trainer": FRAMES, "rank1": {"shots": 4}}, "'shots': 5"),
    "tasks and frames": (
        {"trainer": {**TASKS, "parallel": "frames"}, "rank1": {"trainer": TASKS}},
        "parallel: False on rank 0, True on rank 1",
    ),
    "no folder": ({"trainer": {**TASKS, "run_dir": "RUN"}, "rank1": {"trainer": TASKS}}, "run_dir given: True on rank 0, False on rank 1"),
    "joint, other data": ({"pretrain": True, "steps": 3, "trainer": {}, "rank1": {"data": 50}}, "data: {'entries': {'image': {'digest': "),
    "joint, other steps": (
        {"pretrain": True, "steps": 3, "trainer": {}, "rank1": {"steps": 4}},
        "{'steps': 3} on rank 0, {'steps': 4} on rank 1",
    ),
    "another training": ({"trainer": TASKS, "steps": 3, "rank1": {"pretrain": True, "trainer": {}}}, "training: 'meta-training' on rank 0"),
}


def test_ranks_that_do_not_agree_say_so_at_once_and_everywhere(tmp_path):
    options = [{**options, "may_fail": True} for options, _ in DIFFERENT.values()]
    for number, case in enumerate(options):
        if case["trainer"].get("run_dir"):
            options[number] = {**case, "trainer": {**case["trainer"], "run_dir": str(tmp_path / "run")}}
    cases = placed(tmp_path, options)
    assert finish(start(2, cases)) == [0, 0]
    for case, (name, (_, words)) in zip(cases, DIFFERENT.items(), strict=True):
        assert message(case, 0) == message(case, 1), name
        assert message(case).startswith("RanksDifferError: the ranks do not agree, so nothing was trained: "), name
        assert words in message(case), name
    assert not (tmp_path / "run" / "meta-training.safetensors").exists()


def test_ranks_of_other_software_say_so(monkeypatch, tmp_path):
    """The other rank told what it is already."""
    from gan_meta.training.settings import Settings

    told = {"versions": {"torch": "1.0", "gan-meta": "0"}}
    monkeypatch.setattr(World, "gather", lambda _self, document: [document, {**document, **told}, document])
    with pytest.raises(RanksDifferError, match=r"versions: \{'torch': '2.0'\} on rank 0, \{'torch': '1.0'\} on rank 1"):
        Settings({}, "data", lambda: None).agree(World(0, 3), {"versions": {"torch": "2.0", "gan-meta": "0"}})


QUICK = {"BEAT": 0.2, "SILENCE": 1.0, "LOST": 3.0, "_FAREWELL": 3}
"""Seconds, for silent processes in tests."""


@pytest.mark.parametrize("silent", [0, 1])
def test_a_rank_that_hangs_is_named_and_the_other_ends_in_order(tmp_path, silent):
    trainer = {**TASKS, "iterations": 4, "checkpoint_every": 1, "run_dir": str(tmp_path / "run")}
    knock = {"knock_at": 2, "knock_rank": silent, "signal": "SIGSTOP"}
    (case,) = placed(tmp_path, [{"trainer": trainer, **knock, "heartbeat": QUICK}])
    processes = start(2, [case])
    processes[1 - silent].join(60)
    processes[silent].kill()
    assert finish(processes)[1 - silent] == 2
    name = f"rank {silent}" + (" (or torchrun on its machine), where the processes meet," if silent == 0 else "")
    assert message(case, 1 - silent).startswith(f"LostRankError: {name} has given no sign of life for ")
    assert "goes on from its last checkpoint" in message(case, 1 - silent)
    log = (tmp_path / f"0-{1 - silent}.log").read_text()
    assert log.count(f"{name} has given no sign of life for 1 seconds: its process is stopped") == 1
    assert load_tensors(tmp_path / "run" / "meta-training.safetensors")[1]["counters"]["iteration"] in (1, 2)


def test_a_rank_that_is_busy_or_stops_for_a_while_is_waited_for(tmp_path, alone):
    trainer = {**CASES["reptile, whole tasks"]["trainer"], "run_dir": str(tmp_path / "run")}
    stop = {"knock_at": 1, "knock_rank": 1, "signal": "SIGSTOP"}
    (busy,) = placed(tmp_path / "busy", [{"trainer": TASKS, "busy": 3.0, "heartbeat": {**QUICK, "SILENCE": 2.4}}])
    (paused,) = placed(tmp_path / "paused", [{"trainer": trainer, **stop, "heartbeat": {**QUICK, "LOST": 60}}])
    for case in (busy, paused):
        (tmp_path / case["out"]).parent.mkdir()
        processes = start(2, [case])
        if case is paused:
            _wait_for_words(tmp_path / "paused" / "0-0.log", "rank 1 has given no sign of life")
            os.kill(processes[1].pid, signal.SIGCONT)
        assert finish(processes) == [0, 0]
        assert difference(weights(case), alone[0]) < 1e-13
    assert "sign of life" not in (tmp_path / "busy" / "0-0.log").read_text()


def _wait_for_words(path, words):
    deadline = time.monotonic() + 60
    while not path.exists() or words not in path.read_text():
        assert time.monotonic() < deadline, f"{path} never said {words!r}"
        time.sleep(0.05)


def test_ranks_that_come_apart_are_caught_before_anything_is_saved(tmp_path):
    options = {"trainer": {**TASKS, "run_dir": str(tmp_path / "run"), "checkpoint_every": 2}, "come_apart": True, "may_fail": True}
    cases = placed(tmp_path, [options])
    assert finish(start(2, cases)) == [0, 0]
    assert "no longer hold the same weights after iteration 2" in message(cases[0])
    assert not (tmp_path / "run" / "meta-training.safetensors").exists()


def test_processes_that_torchrun_started_and_nobody_connected_are_told_so(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="torchrun started 2 processes, but they are not connected"):
        current()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert current() == World()


def test_under_torchrun_a_killed_rank_comes_back_and_nothing_changes(tmp_path):
    options = {"trainer": {**TASKS, "iterations": 6, "checkpoint_every": 2}}
    undisturbed = {**options, "out": str(tmp_path / "undisturbed")}
    killed = {
        "trainer": {**options["trainer"], "run_dir": str(tmp_path / "run")},
        "knock_at": 3,
        "knock_rank": 1,
        "signal": "SIGKILL",
        "out": str(tmp_path / "killed"),
    }
    assert finish(start(2, [undisturbed])) == [0, 0]
    torchrun(tmp_path, 2, [killed], restarts=1)
    assert (tmp_path / "killed.knocked").exists()
    assert all(torch.equal(weights(killed, 1)[name], tensor) for name, tensor in weights(undisturbed).items())
