"""Starts of one's own: presets with keys that are checked, and two stages that go on to the same bits after an interruption."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.data.drawn import draw_clip
from metapix.data.folder import write_clip
from metapix.errors import InputError
from metapix.poses.pose_labels import pose_of
from metapix.recipe import recipe_of
from metapix.training import stages
from metapix.training.preset import MetaTrain, Preset, Pretrain, load_preset
from metapix.training.run_options import RunOptions
from metapix.training.subjects import FolderSamples, Subject, find_subjects
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gan_meta as gm
from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.checkpoint import load_tensors, pair_facts
from tests.metapix.test_people import metapix
from tests.metapix.test_released import released

TINY = (
    "data.people=2", "data.frames=7", "recipe.size=32", "recipe.perceptual=", "model.base_channels=4", "model.n_downsample=1",
    "model.n_blocks=1", "model.discriminator_channels=4", "pretrain.steps=6", "pretrain.checkpoint_every=2", "meta_train.shots=3",
    "meta_train.iterations=4", "meta_train.checkpoint_every=1", "inner.steps=2",
)  # fmt: skip


class Interrupt:
    """Presses Ctrl-C after so many steps."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, done: int, total: int | None) -> None:
        if done == self.at:
            raise KeyboardInterrupt


def quiet(done: int, total: int | None) -> None: ...


def tiny(*changes: str) -> tuple[Preset, list[Subject]]:
    preset = load_preset("demo", [*TINY, *changes])
    return preset, find_subjects([], preset.data, preset.recipe.size, Path("unused"), 0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("pose", ["heatmaps", "labels"])
def test_both_stages_resume_to_the_same_bits_and_keep_their_logs(tmp_path: Path, pose: str) -> None:
    preset, subjects = tiny(f"data.pose={pose}")
    for name, at in (("whole", 0), ("cut", 5)):
        (tmp_path / name).mkdir()
        if at:
            with pytest.raises(KeyboardInterrupt):
                stages.pretrain(preset, subjects, tmp_path / name, tick=Interrupt(at), options=RunOptions(3))
        start = stages.pretrain(preset, subjects, tmp_path / name, tick=quiet, options=RunOptions(3))
        if at:
            with pytest.raises(KeyboardInterrupt):
                stages.meta_train(preset, subjects, start, tmp_path / name, tick=Interrupt(3), options=RunOptions(2))
        stages.meta_train(preset, subjects, start, tmp_path / name, tick=quiet, options=RunOptions(2))
    for file in (stages.PRETRAINED, stages.THETA):
        whole, cut = (load_tensors(tmp_path / name / file)[0] for name in ("whole", "cut"))
        assert whole.keys() == cut.keys()
        assert all(torch.equal(whole[name], cut[name]) for name in whole)
    cut = tmp_path / "cut"
    assert [row["iteration"] for row in rows(cut / "pretrain.csv")] == list("123456")
    assert rows(cut / "pretrain.csv") == rows(tmp_path / "whole" / "pretrain.csv")
    assert [row["iteration"] for row in rows(cut / "meta-train.csv")] == list("1234")
    assert [float(row["meta_lr"]) for row in rows(cut / "meta-train.csv")] == [1, 0.75, 0.5, 0.25]
    samples = {path.name for path in (cut / "samples").iterdir()}
    assert samples == {"pretrain-000003.png", "pretrain-000006.png", "meta-train-000002.png", "meta-train-000004.png"}
    assert Image.open(cut / "samples" / "pretrain-000006.png").size == (6 * 32, 64)
    events = EventAccumulator(str(tmp_path / "whole" / "tensorboard" / "pretrain"))
    events.Reload()
    assert [event.step for event in events.Scalars("G_L1")] == [1, 2, 3, 4, 5, 6]
    facts = pair_facts(cut / stages.THETA)["facts"]
    assert (facts["start"], facts["pose"]["input"], facts["frames"]) == ("metapix", pose, 14)
    assert recipe_of(cut / stages.THETA) == preset.recipe
    assert pose_of(gm.load_pair(cut / stages.THETA)) == pose


def test_the_keys_of_a_preset_are_the_arguments_of_what_they_make() -> None:
    for kind, made in ((Pretrain, [gm.pretrain]), (MetaTrain, [gm.MetaTrainer, gm.FewShotTasks, MetaAlgorithm])):
        names = {name for thing in made for name in inspect.signature(thing).parameters}
        assert set(inspect.signature(kind).parameters) - {"algorithm"} <= names


def test_the_papers_preset_says_what_the_paper_says() -> None:
    paper = load_preset("paper")
    game = paper.game()
    assert (game.steps, game.lr, game.batch_size, game.optimizer, game.schedule) == (20, 2e-4, 8, "adam", "constant_then_linear")
    assert (paper.pretrain.epochs, paper.pretrain.steps, paper.recipe.size, paper.recipe.perceptual) == (10, None, 512, "vgg19")
    meta = paper.meta_train
    assert (meta.iterations, meta.meta_lr, meta.meta_schedule, meta.shots, meta.algorithm) == (300, 1.0, "linear", 5, "reptile")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("recipe.sise=3", r"unknown key of \[recipe\] 'sise': did you mean 'size'"),
        ("meta_train.iteratins=3", "did you mean 'iterations'"),
        ("inner.freezed=1", "did you mean 'freeze_d'"),
        ("inner.lr=1", r"said once, in \[recipe\]"),
        ("inner.freeze_d=maybe", "unknown freeze_d"),
        ("metatrain.shots=3", "did you mean 'meta_train'"),
        ("data.pose=lables", "did you mean 'labels'"),
        ("recipe.size", "write section.key=value"),
        ("recipe.batch_size=0", "batch_size must be at least 1"),
    ],
)
def test_a_setting_that_is_not_there_is_refused_with_the_nearest(change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_preset("demo", [change])


def test_presets_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[recipe]\nsize = 32\nlr = 1e-3\n[inner]\nfreeze_d = 'reset'\n")
    assert load_preset(str(tmp_path / "mine.toml")).game().freeze_d == "reset"
    (tmp_path / "bad.toml").write_text("[recipe\n")
    for name, words in (("bad.toml", "is not TOML"), ("absent.toml", "no preset file"), ("papper", "did you mean 'paper'")):
        with pytest.raises(InputError, match=words):
            load_preset(str(tmp_path / name) if name.endswith("toml") else name)


def test_data_come_from_folders_of_clips_and_from_released_lists(tmp_path: Path) -> None:
    preset = load_preset("demo", TINY)
    for number in (1, 2):
        write_clip(draw_clip(number, 5, 48, fps=6), tmp_path / f"person-{number}")
    subjects = find_subjects([tmp_path], preset.data, 32, tmp_path / "cache", 0)
    assert [(subject.name, len(subject.samples)) for subject in subjects] == [(draw_clip(n, 1, 48, fps=6).name, 5) for n in (1, 2)]
    lazy = FolderSamples(tmp_path / "person-2", 32, "heatmaps")
    for name, tensor in subjects[1].samples.batch([4, 1]).items():
        assert torch.equal(tensor, lazy.batch([4, 1])[name]), "frames read when needed are the frames held in memory"
    data = released(tmp_path / "data")
    with pytest.raises(InputError, match=r"add --set data\.pose=labels"):
        find_subjects([data], preset.data, 16, tmp_path, 0)
    labels = load_preset("demo", [*TINY, "data.pose=labels"]).data
    assert [subject.name for subject in find_subjects([data], labels, 16, tmp_path, 0)] == ["train_1", "train_2"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no clip folder, no pictures and no lists"):
        find_subjects([tmp_path / "empty"], preset.data, 16, tmp_path, 0)


def test_the_commands_train_and_refuse_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    changes: list[Any] = [word for change in TINY for word in ("--set", change)]
    done = metapix("pretrain", "--out", out, *changes)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"start: {out / 'pretrained.safetensors'}")
    meta = [change for change in changes if change != "--set" and not change.startswith("recipe.")]
    done = metapix("meta-train", "--init", out / "pretrained.safetensors", "--out", out, *(w for c in meta for w in ("--set", c)))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"start: {out / 'theta.safetensors'}")
    done = metapix("pretrain", "--out", out, *changes, "--seed", 1)
    assert done.returncode == 2, done
    assert "holds a run of other settings" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_settings_that_are_refused_leave_nothing_and_may_be_mended(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = metapix("pretrain", tmp_path, "--out", out, "--set", "model.base_channels=0")  # before there is a look at the data
    assert (done.returncode, "a layer of no channels" in done.stderr, out.exists()) == (2, True, False)
    preset, subjects = tiny("recipe.size=33")
    out.mkdir()
    with pytest.raises(InputError, match="cannot draw at 33 x 33 pixels"):
        stages.pretrain(preset, subjects, out, tick=quiet)
    stages.pretrain(*tiny(), out, tick=quiet)
    with pytest.raises(InputError, match="holds a run of other settings"):
        stages.pretrain(preset, subjects, out, tick=quiet)


def test_what_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    preset, subjects = tiny("meta_train.shots=8")
    start = tmp_path / "start.safetensors"
    gm.save_pair(gm.models.create("pix2pixhd", **{name: value for name, value in preset.model.items() if name != "name"}), start)
    with pytest.raises(InputError, match="fewer than shots"):
        stages.meta_train(preset, subjects, start, tmp_path, tick=quiet)
    with pytest.raises(InputError, match="no clip folder and no video"):
        find_subjects([tmp_path / "absent"], preset.data, 32, tmp_path, 0)
    with pytest.raises(InputError, match="did you mean 'base_channels'"):
        stages.pretrain(load_preset("demo", [*TINY, "model.base_chanels=3"]), subjects, tmp_path, tick=quiet)
