"""The real commands under the real torchrun: the same theta on one, two and three processes, and after a SIGTERM and a killed process."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from metapix.training import stages
from metapix.training.preset import load_preset
from metapix.training.subjects import find_subjects

import gan_meta as gm
from gan_meta.checkpoint import load_tensors
from tests.distributed import launch
from tests.metapix.test_people import metapix
from tests.metapix.test_training import TINY, quiet, rows

ITERATIONS = 8
# Small steps: with the paper's, 16 iterations make 4e-3 of one rounding in the start, on a single process as well.
SETTINGS = (
    "meta_train.meta_lr=0.1",
    "meta_train.meta_batch_size=3",
    f"meta_train.iterations={ITERATIONS}",
    "meta_train.checkpoint_every=2",
)
WHOLE = tuple(range(1, ITERATIONS + 1))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    preset = load_preset("demo", TINY)
    subjects = find_subjects([], preset.data, preset.recipe.size, folder, 0)
    return stages.pretrain(preset, subjects, folder, tick=quiet)


@pytest.fixture(scope="module")
def calm(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run of two processes, each with a share of every batch."""
    out = tmp_path_factory.mktemp("calm") / "run"
    done = finish(torchrun(2, start, out, "--parallel", "frames", "--run-logs", "csv,jsonl,console"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"start: {out / 'theta.safetensors'}"
    assert done.stdout.count("start: ") == 1
    assert "Traceback" not in done.stderr
    return out


def options(start: Path, out: Path) -> list[str]:
    changes = [change for change in (*TINY, *SETTINGS) if not change.startswith("recipe.")]
    return ["meta-train", "--init", str(start), "--out", str(out), *(word for change in changes for word in ("--set", change))]


def torchrun(ranks: int, start: Path, out: Path, *more: str, restarts: int = 0) -> subprocess.Popen[str]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "--max-restarts", str(restarts)]
    command = [sys.executable, "-m", *launcher, "-m", "metapix", *options(start, out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=launch.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, error = process.communicate(timeout=200)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def iterations(out: Path) -> list[int]:
    file = out / "meta-training.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line)["iteration"] for line in lines if line.endswith("\n")]


def wait(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def process_of(rank: int, out: Path) -> int:
    """The process that torchrun gave this rank in the training of this folder."""
    for entry in Path("/proc").iterdir():
        try:
            if f"RANK={rank}".encode() in (entry / "environ").read_bytes().split(b"\0") and str(out).encode() in (
                entry / "cmdline"
            ).read_bytes().split(b"\0"):
                return int(entry.name)
        except (OSError, ValueError):
            continue
    raise AssertionError(f"rank {rank} is not at work in {out}")


def before_norms(pair: gm.GANPair) -> set[str]:
    """Biases that an InstanceNorm takes away again: their gradient is rounding noise, which Adam makes whole steps of."""
    names = set()
    for name, module in pair.named_modules():
        inner = list(module.named_children()) if isinstance(module, torch.nn.Sequential) else []
        for (own, _), (_, following) in itertools.pairwise(inner):
            if isinstance(following, torch.nn.InstanceNorm2d):
                names.add(f"{name}.{own}.bias")
    return names


def difference(one: Path, other: Path) -> tuple[float, float]:
    """The largest, over the weights that matter, and over pictures."""
    pairs = [gm.load_pair(file).double() for file in (one, other)]
    left_out = before_norms(pairs[0])
    assert 0 < len(left_out) < len(list(pairs[0].parameters())) / 2
    weights = [{name: weight for name, weight in pair.state_dict().items() if name not in left_out} for pair in pairs]
    poses = torch.rand(2, 18, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pictures = [pair.generator(poses) for pair in pairs]
    return max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]), float(
        (pictures[0] - pictures[1]).abs().max()
    )


def test_one_two_and_three_processes_give_the_same_theta(start: Path, calm: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    preset = load_preset("demo", [*TINY, *SETTINGS])
    stages.meta_train(preset, find_subjects([], preset.data, 32, tmp_path, 0), start, tmp_path / "one", tick=quiet)
    done = finish(torchrun(3, start, tmp_path / "three", "--parallel", "tasks", "--run-logs", "csv"))
    assert done.returncode == 0, done.stderr
    for other in (calm, tmp_path / "three"):
        weights, pictures = difference(tmp_path / "one" / "theta.safetensors", other / "theta.safetensors")
        assert weights < 1e-5
        assert pictures < 1e-5
        assert [int(row["iteration"]) for row in rows(other / "meta-train.csv")] == list(WHOLE), "one process writes"
    moved, _ = difference(calm / "theta.safetensors", start)
    assert moved > 5e-4, "equality would say nothing of weights that did not move"


def test_a_sigterm_and_then_a_killed_process_change_no_bit(start: Path, calm: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = torchrun(2, start, out, "--parallel", "frames")
    wait(process, lambda: len(iterations(out)) >= 2)
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    stopped = [line for line in done.stderr.splitlines() if line.startswith("metapix: ")]
    assert len(stopped) == 1, done.stderr
    assert "stopped by SIGTERM at iteration" in stopped[0]
    assert "start it again in the same way to go on" in stopped[0]
    reached = iterations(out)[-1]
    assert 2 <= reached < ITERATIONS - 1
    assert "stopped" in metapix("status", out).stdout

    process = torchrun(2, start, out, "--parallel", "frames", "--resume", restarts=1)
    wait(process, lambda: iterations(out)[-1] >= reached + 1)
    os.kill(process_of(1, out), signal.SIGKILL)
    done = finish(process)
    assert done.returncode == 0, done.stderr
    assert "metapix: process 0 of 2: another process of this training has ended" in done.stderr
    theta, undisturbed = (load_tensors(folder / "theta.safetensors")[0] for folder in (out, calm))
    assert all(torch.equal(theta[name], undisturbed[name]) for name in undisturbed)
    assert iterations(out) == list(WHOLE)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--set", "meta_train.shots=99"), "has 7 samples, fewer than shots + queries = 99"),
        (("--parallel", "tasks", "--set", "meta_train.meta_batch_size=1"), "so that 1 idle"),
        (("--set", "meta_train.sots=3"), "did you mean 'shots'"),
        (("--resume",), "there is no checkpoint"),
        (("--parallel", "freams"), "did you mean 'frames'"),
    ],
)
def test_what_all_processes_refuse_is_said_once(start: Path, tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    assert launch.finish(launch.start_command(2, [*options(start, tmp_path / "run"), *more], tmp_path)) == [2, 2]
    lines = [line for rank in range(2) for line in (tmp_path / f"{rank}.err").read_text().splitlines()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("metapix: ")
    assert words in lines[0]
