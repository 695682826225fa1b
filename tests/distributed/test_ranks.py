"""The same result on 1, 2, 3 and 4 ranks, with real processes over gloo; and what ranks cannot share is refused."""

from __future__ import annotations

import pytest
import torch

from gan_meta.distributed import World, current
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
