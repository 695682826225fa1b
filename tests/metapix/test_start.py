"""The start that ships: its recipe at a tiny size, its card, and that nothing but the described file is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from metapix.demo import DemoSettings
from metapix.errors import InputError
from metapix.recipe import recipe_of
from metapix.reference import reference_of
from metapix.start import StartSettings, load_shipped_start, shipped_start, train_start
from metapix.start.card import card_path
from metapix.start.shipped import check

import gan_meta as gm
from gan_meta.checkpoint import pair_facts

TINY = StartSettings(
    size=32,
    drawn_people=2,
    drawn_frames=6,
    drawn_rounds=1,
    targets=3,
    real_clips=(),
    scored_clips=(),
    scored_people=1,
    base_channels=4,
    n_downsample=1,
    n_blocks=1,
    steps=3,
)


def quiet(*_: object) -> None: ...


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # as in the tests; another number of threads sums in another order
    folder = tmp_path_factory.mktemp("start")
    train_start(TINY, folder / "run", folder / "tiny.safetensors", quiet)
    return folder / "tiny.safetensors"


def test_a_start_has_its_recipe_and_its_card(trained: Path) -> None:
    pair, card = gm.load_pair(trained), json.loads(card_path(trained).read_text())
    assert reference_of(pair) == "puppet"
    assert recipe_of(trained) == TINY.recipe
    assert card["sha256"] == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert [row["init"] for row in card["rows"]] == ["puppet", "pretrain"]
    text = trained.with_suffix(".md").read_text()
    assert card["sha256"] in text
    assert "2 drawn people" in text
    assert "No real people." in text
    assert f"{card['rows'][1]['person_psnr']:.2f}" in text


def test_training_is_the_same_again_and_goes_on_from_its_checkpoint(trained: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, _total: int) -> None:
        if (what, done) == ("train", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_start(TINY, tmp_path / "run", tmp_path / "again.safetensors", stop)
    assert not (tmp_path / "again.safetensors").exists()
    train_start(TINY, tmp_path / "run", tmp_path / "again.safetensors", quiet)
    first, second = gm.load_pair(trained), gm.load_pair(tmp_path / "again.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    torch.manual_seed(TINY.seed)
    moved = [not torch.equal(a, b) for a, b in zip(first.parameters(), TINY.build_pair().parameters(), strict=True)]
    assert any(moved)


def test_a_clip_is_not_both_learned_from_and_scored(tmp_path: Path) -> None:
    both = dataclasses.replace(TINY, real_clips=("single-cam01",), scored_clips=("single-cam01",))
    with pytest.raises(InputError, match="single-cam01: a clip that is learned from cannot be scored"):
        train_start(both, tmp_path / "run", tmp_path / "s.safetensors", quiet)
    with pytest.raises(InputError, match="there is no packaged clip 'holiday'"):
        train_start(dataclasses.replace(TINY, real_clips=("holiday",)), tmp_path / "run", tmp_path / "s.safetensors", quiet)


def test_a_start_that_is_not_the_described_one_is_refused(trained: Path, tmp_path: Path) -> None:
    for file in trained.parent.glob("tiny.*"):
        shutil.copy(file, tmp_path)
    copy = tmp_path / trained.name
    check(copy)
    damaged = bytearray(copy.read_bytes())
    damaged[-1] ^= 1
    copy.write_bytes(damaged)
    with pytest.raises(InputError, match="checksum differs"):
        check(copy)


def test_the_shipped_start_is_the_default_recipes_and_knows_nobody_of_the_demo() -> None:
    pair, recipe = load_shipped_start()
    facts = pair_facts(shipped_start())["facts"]
    assert facts["settings"] == json.loads(json.dumps(StartSettings().as_dict()))
    assert recipe == StartSettings().recipe
    assert reference_of(pair) == "puppet"
    demo = DemoSettings()
    assert not set(facts["settings"]["real_clips"]) & {demo.target, demo.driver, *demo.scored_clips}
    weights = list(shipped_start().parent.iterdir())
    assert sum(file.stat().st_size for file in weights) < 20e6
    assert {file.suffix for file in weights} == {".safetensors", ".json", ".md"}


def test_the_command_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    for out in (tmp_path / "start.pt", tmp_path / "nowhere" / "start.safetensors"):
        command = [sys.executable, "-m", "metapix", "train-start", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2
        assert done.stderr.startswith(f"metapix: cannot write {out}: give a file that ends in .safetensors")
        assert not list(tmp_path.iterdir())
