"""Work for which there is no memory is refused before it begins, in a sentence that says how much it takes."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from metapix.data import limits
from metapix.errors import InputError
from metapix.recipe import Recipe
from metapix.room import check_drawing, check_game

import gan_meta as gm
from gan_meta import memory
from gan_meta.memory import free, in_words, memory_problem

RECIPE = Recipe(size=64, lr=1e-3)


@pytest.mark.parametrize("model", ["pix2pixhd", "posewarp"])
def test_a_game_larger_than_memory_is_refused_without_making_any_of_it(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(limits, "free", lambda: 1.2 * 2**30)
    pair, recipe = gm.models.create(model, base_channels=8), dataclasses.replace(RECIPE, model=model)
    check_game(pair, recipe, 8, "a")  # the first one imports what torch needs for shapes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"a start: (a game|drawing) at 512 x 512 pixels .*takes about [\d.]+ GiB of memory, and 1.2 GiB"):
        check_game(pair, dataclasses.replace(recipe, size=512), 8, "a start")
    with pytest.raises(InputError, match=r"drawing at 4096 x 4096 pixels takes about [\d.]+ GiB of memory"):
        check_drawing(pair, 4096, "a start")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_the_larger_the_batch_the_more_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free", lambda: 0.0)
    pair, asked = gm.models.create("pix2pixhd", base_channels=8, n_downsample=2), []
    for batch in (1, 2, 4):
        check = dataclasses.replace(RECIPE, batch_size=batch)
        monkeypatch.setattr("metapix.room.check_room", lambda needed, *_, **__: asked.append(needed))
        check_game(pair, check, 100, "a")
    drawing, games = asked[::2], asked[1::2]
    assert len(set(drawing)) == 1
    assert games[2] - games[1] == 2 * (games[1] - games[0]) > 0


def test_half_precision_takes_half_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, asked = gm.models.create("pix2pixhd", base_channels=8, n_downsample=2), []
    monkeypatch.setattr("metapix.room.check_room", lambda needed, *_, **__: asked.append(needed))
    for precision in ("float32", "bfloat16"):
        check_game(pair, dataclasses.replace(RECIPE, size=256), 8, "a", precision)
    assert 0.4 < asked[3] / asked[1] < 0.7


def test_what_torch_keeps_of_a_device_for_the_next_time_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("mem_get_info", (3 * 2**30, 2**36)), ("memory_reserved", 20 * 2**30), ("memory_allocated", 2**30)):
        monkeypatch.setattr(torch.cuda, name, lambda _device, value=value: value)
    limits.check_room(21 * 2**30, "a game", device=torch.device("cuda"))
    with pytest.raises(InputError, match=r"23\.0 GiB of memory, and 22\.0 GiB are free"):
        limits.check_room(23 * 2**30, "a game", device=torch.device("cuda"))


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 bytes. Error code 12"),
            "4.0 GiB",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79 GiB"), "20.0 GiB"),
        (MemoryError("Unable to allocate 1.50 GiB for an array with shape (1, 2) and data type float64"), "1.5 GiB"),
        (
            RuntimeError("OpenCV alloc.cpp:73: (-4:Insufficient memory) Failed to allocate 3145728000 bytes in function"),
            "2.9 GiB",
        ),
        (MemoryError(), "no room for the next piece"),
        (MemoryError("std::bad_alloc"), "no room for the next piece"),
        (OSError(12, "Cannot allocate memory"), "no room for the next piece"),
        (RuntimeError("can't start new thread"), "no room for the next piece"),
    ],
)
def test_what_an_error_says_of_memory_is_said_in_one_sentence(error: BaseException, asked: str) -> None:
    problem = memory_problem(error)
    assert problem is not None
    assert asked in problem
    assert "lower the size of the pictures" in problem


@pytest.mark.parametrize(
    "error", [ValueError("size must be 8"), RuntimeError("shapes do not match"), OSError(28, "No space left on device")]
)
def test_other_errors_are_not_of_memory(error: BaseException) -> None:
    assert memory_problem(error) is None


def test_what_is_free_is_measured() -> None:
    assert 0 < free() <= memory.limit() < float("inf")
    assert (in_words(3 * 2**30), in_words(2.5 * 2**20)) == ("3.0 GiB", "2 MiB")


def test_a_limit_on_the_address_space_ends_in_a_sentence(tmp_path: Path) -> None:
    """As under `ulimit -v`: a command that asks for more than it may have."""
    code = (
        "import resource, sys, torch\n"
        "from metapix import cli\n"
        "def ask(*_, **__):\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "    torch.zeros(2**34)\n"
        "cli.app = ask\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("metapix: memory ran out: 64.0 GiB were asked for at once, and this process holds ")
    assert "of 8.0 GiB" in done.stderr
    assert done.stderr.count("\n") == 1
