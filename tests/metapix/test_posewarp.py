"""Posewarp in MetaPix: its joints, its pairs, both training stages, personalised people, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.choice import choose
from metapix.cli import app
from metapix.conditioning import conditioning_of
from metapix.data.drawn import draw_clip
from metapix.data.folder import write_clip
from metapix.errors import InputError
from metapix.evaluate import evaluate_start
from metapix.performer import Performer, load_performer, save_performer
from metapix.personalize import draw, personalize, pose_inputs
from metapix.poses.pose_input import flip, to_unit
from metapix.poses.posewarp_joints import NAMES, posewarp_joints
from metapix.poses.skeleton import INDEX
from metapix.recipe import Recipe, recipe_of, start_model
from metapix.tasks import nearest_frames
from metapix.training import stages
from metapix.training.preset import load_preset
from metapix.training.run_options import RunOptions
from metapix.training.subjects import find_subjects
from torch import Tensor
from typer.testing import CliRunner

import gan_meta as gm
from gan_meta.checkpoint import load_tensors, pair_facts
from gan_meta.models.posewarp import PosewarpAugmentation, frame_pairs, mirror_pairs
from gan_meta.models.posewarp import pose_inputs as posewarp_inputs
from tests.metapix.test_released import released
from tests.metapix.test_training import Interrupt, quiet

RECIPE = Recipe(size=32, lr=1e-3, batch_size=4, model="posewarp")
TINY = (
    "data.people=2", "data.frames=8", "recipe.size=32", "recipe.perceptual=", "model.base_channels=2", "pretrain.steps=4",
    "pretrain.checkpoint_every=2", "meta_train.shots=3", "meta_train.queries=2", "meta_train.iterations=3",
    "meta_train.checkpoint_every=1", "inner.steps=2",
)  # fmt: skip


def start() -> gm.GANPair:
    torch.manual_seed(0)
    return gm.models.create("posewarp", base_channels=2)


def test_the_fourteen_joints_are_the_clips_own_and_the_head_is_found_from_behind() -> None:
    joints = torch.rand(3, 18, 3) + 0.1
    joints[1, INDEX["left_wrist"], 2] = 0
    joints[1:, INDEX["nose"], 2] = 0
    joints[1:, INDEX["left_eye"], 2] = 0
    joints[2, [INDEX[name] for name in ("right_eye", "right_ear", "left_ear")], 2] = 0
    found = posewarp_joints(joints)
    assert found.shape == (3, 14, 2)
    assert torch.equal(found[0], torch.stack([joints[0, INDEX[name], :2] for name in NAMES]))
    assert bool(found[1, NAMES.index("left_wrist")].isnan().all())
    ears_and_eye = joints[1, [INDEX[name] for name in ("right_eye", "right_ear", "left_ear")], :2].mean(0)
    torch.testing.assert_close(found[1, 0], ears_and_eye)
    assert bool(found[2, 0].isnan().all()), "no head at all"
    assert int(found.isnan().sum()) == 2 + 2


def test_samples_are_all_pairs_and_flips_are_of_pairs() -> None:
    clip, conditioning = draw_clip(1, 4, 32), conditioning_of(start())
    samples = conditioning.samples(clip, person_weight=2.0)
    pairs = frame_pairs({"image": to_unit(clip.frames), "joints": posewarp_joints(clip.joints)})
    assert all(torch.equal(samples[name], pairs[name]) for name in pairs)
    assert samples["weight"].shape == (12, 1, 32, 32)
    assert conditioning.fit(gm.InnerLoop(augment=(flip,))).augment == (mirror_pairs,)
    assert isinstance(RECIPE.inner(3).random_augment, type(None))
    assert Recipe(size=32, lr=1.0, model="posewarp", augment=True).inner(3).random_augment == PosewarpAugmentation()


def test_one_frame_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"turning one frame into another, so it takes at least 2 frames, and 1 was given"):
        personalize(start(), draw_clip(1, 1, 32), RECIPE.objective(), RECIPE.inner(2))


@pytest.mark.parametrize("source", ["nearest", "first"])
def test_a_pose_is_drawn_from_the_source_that_was_asked_for(source: str) -> None:
    clip = draw_clip(3, 9, 32, fps=4)
    shots, rest, pair = clip.select([0, 3, 6]), clip.select([1, 4, 7, 8]), start()
    chosen = nearest_frames(shots, rest.joints) if source == "nearest" else torch.zeros(4, dtype=torch.long)
    told = posewarp_inputs(posewarp_joints(shots.joints[chosen]), posewarp_joints(rest.joints), 32, limb_width=1 / 8)
    with torch.no_grad():
        expected = pair.generator(to_unit(shots.frames[chosen]), **told)
    conditioning = conditioning_of(pair, source)
    torch.testing.assert_close(draw(pair, pose_inputs(pair, shots, rest, conditioning), batch_size=3), expected, rtol=0, atol=1e-5)
    if source == "nearest":
        assert len(chosen.unique()) > 1
        torch.testing.assert_close(draw(pair, pose_inputs(pair, shots, rest)), expected, rtol=0, atol=1e-5)


def test_unknown_sources_and_foreign_skeletons_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown source 'frist': did you mean 'first'"):
        conditioning_of(start(), "frist")
    with pytest.raises(InputError, match="has 16 joints and 10 limbs, but these poses have 14 and 10"):
        conditioning_of(gm.models.create("posewarp", n_joints=16, base_channels=2))
    with pytest.raises(ValueError, match="multiple of 32"):
        Recipe(size=48, lr=1.0, model="posewarp")
    with pytest.raises(ValueError, match="unknown model 'posewrap': did you mean 'posewarp'"):
        Recipe(size=64, lr=1.0, model="posewrap")
    with pytest.raises(ValueError, match="Posewarp's way"):
        Recipe(size=64, lr=1.0, augment=True)


def test_a_start_is_evaluated_chosen_for_and_performed_like_any_other(tmp_path: Path) -> None:
    clip = draw_clip(3, 14, 32, fps=6)
    videos = evaluate_start(start(), [clip], RECIPE.objective(), RECIPE.inner(3), 3, curve=[0, 3])
    assert videos[0]["frames"] == 3
    assert videos[0]["psnr_curve"][1] == pytest.approx(videos[0]["psnr"], abs=1e-4)
    assert videos[0]["psnr_curve"][0] != videos[0]["psnr_curve"][1]
    shots = clip.select([0, 4, 8])
    game = gm.InnerLoop(steps=5, lr=3e-3, batch_size=4, schedule="constant")
    found = choose(start(), shots, RECIPE.objective(), game)
    assert (set(found.gains), found.strength) == ({0, 5}, 1.0)
    assert found.steps in (0, 5)
    large = draw_clip(3, 14, 64, fps=6).select([0, 4, 8])
    save_performer(tmp_path / "m.safetensors", start(), large, {"size": 32, "source": "first"})
    performer = load_performer(tmp_path / "m.safetensors")
    poses = draw_clip(3, 14, 64, fps=6).joints[9:]
    drawn: Tensor = torch.cat(list(performer.perform(poses)))
    assert drawn.shape == (5, 3, 64, 64)
    again = torch.cat(list(Performer(large, start(), 32, source="first").perform(poses)))
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, torch.cat(list(Performer(large, start(), 32).perform(poses))))


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("reptile", ["meta_train.carry_optimizer=true"]),
        ("fomaml", ["recipe.augment=true"]),
        ("maml", ["model.discriminator=true", "model.size=32", "model.discriminator_channels=2"]),
    ],
)
def test_both_stages_train_it_and_reptile_resumes_to_the_same_bits(tmp_path: Path, algorithm: str, changes: list[str]) -> None:
    preset = load_preset("demo", [*TINY, *changes, f"meta_train.algorithm={algorithm}"], "posewarp")
    subjects = find_subjects([], preset.data, 32, Path("unused"), 0)
    for name, cut in (("whole", False), ("cut", True))[: 2 if algorithm == "reptile" else 1]:
        out = tmp_path / name
        out.mkdir()
        if cut:
            with pytest.raises(KeyboardInterrupt):
                stages.pretrain(preset, subjects, out, tick=Interrupt(3), options=RunOptions(2))
        init = stages.pretrain(preset, subjects, out, tick=quiet, options=RunOptions(2))
        if cut:
            with pytest.raises(KeyboardInterrupt):
                stages.meta_train(preset, subjects, init, out, tick=Interrupt(2), options=RunOptions(2))
        theta = stages.meta_train(preset, subjects, init, out, tick=quiet, options=RunOptions(2))
    whole, last = (load_tensors(tmp_path / folder / stages.THETA)[0] for folder in ("whole", name))
    assert all(torch.equal(whole[name], last[name]) for name in whole)
    assert any(name.startswith("discriminator.") for name in whole) == (algorithm == "maml")
    facts = pair_facts(theta)["facts"]
    assert (start_model(theta, None), facts["pose"]["input"], facts["start"]) == ("posewarp", "joints", "metapix")
    assert recipe_of(theta) == preset.recipe


def test_statistics_are_computed_once_and_travel_with_the_start(tmp_path: Path) -> None:
    preset = load_preset("demo", [*TINY, "recipe.perceptual=efficientnet_lite0", "pretrain.steps=1"], "posewarp")
    subjects = find_subjects([], preset.data, 32, Path("unused"), 0)
    init = stages.pretrain(preset, subjects, tmp_path, tick=quiet)
    kept = recipe_of(init)
    assert kept == preset.recipe
    assert len(kept.statistics) == 5
    (other,) = find_subjects([], load_preset("demo", ["data.people=1"], "posewarp").data, 32, Path("unused"), 0)
    batch = frame_pairs(other.samples.batch([0, 9]))
    with_spread, without = (recipe.objective().generator_loss(start(), batch)["G_VGG"] for recipe in (kept, preset.recipe))
    assert not torch.allclose(with_spread, without)
    (tmp_path / "statistics.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="statistics"):
        stages.pretrain(preset, subjects, tmp_path, tick=quiet)


def test_published_weights_take_the_presets_recipe(tmp_path: Path) -> None:
    converted = tmp_path / "converted.safetensors"
    gm.save_pair(start(), converted, {"converted_from": ["vgg_100000.h5"]})
    preset = stages.with_recipe_of(load_preset("demo", TINY, start_model(converted, None)), converted, False)
    assert (preset.recipe.model, preset.data.pose) == ("posewarp", "joints")
    subjects = find_subjects([], preset.data, 32, Path("unused"), 0)
    assert recipe_of(stages.meta_train(preset, subjects, converted, tmp_path, tick=quiet)) == preset.recipe
    one_shot = load_preset("demo", [*TINY, "meta_train.shots=1"], "posewarp")
    (tmp_path / "one").mkdir()
    with pytest.raises(InputError, match="needs at least 2 frames of each"):
        stages.meta_train(one_shot, subjects, converted, tmp_path / "one", tick=quiet)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("recipe.model=pix2pixhd", "built as 'posewarp', and its recipe says model = 'pix2pixhd'"),
        ("data.pose=heatmaps", "takes its poses as joints, and \\[data\\] says pose = 'heatmaps'"),
        ("model.n_joints=16", "but these poses have 14 and 10"),
        ("recipe.perceptual=vgg91", "unknown perceptual 'vgg91': did you mean 'vgg19'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, change: str, words: str) -> None:
    subjects = find_subjects([], load_preset("posewarp-demo", TINY).data, 32, Path("unused"), 0)
    with pytest.raises(InputError, match=words):
        stages.pretrain(load_preset("posewarp-demo", [*TINY, change]), subjects, tmp_path, tick=quiet)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_pose_without_any_joint_is_drawn_all_the_same() -> None:
    shots, pair = draw_clip(3, 3, 32), start()
    unseen = draw_clip(4, 2, 32)
    unseen.joints[0, :, 2] = 0
    drawn = draw(pair, pose_inputs(pair, shots, unseen))
    assert bool(torch.isfinite(drawn).all())


def test_released_label_maps_are_no_joints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds label maps, and joints were asked for; Posewarp cannot learn from them"):
        find_subjects([released(tmp_path / "data")], load_preset("posewarp-demo").data, 32, tmp_path, 0)


def test_the_papers_preset_says_what_the_paper_says() -> None:
    paper = load_preset("paper", [], "posewarp")
    game, meta = paper.game(), paper.meta_train
    assert (game.steps, game.lr, game.batch_size, game.optimizer, paper.recipe.size) == (20, 1e-4, 4, "adam", 256)
    assert (meta.iterations, meta.meta_lr, meta.meta_schedule, meta.shots, meta.carry_optimizer) == (1000, 0.1, "constant", 5, False)
    assert paper.model.get("discriminator") is None
    assert game.random_augment == PosewarpAugmentation()
    with pytest.raises(InputError, match="is of model 'posewarp', and 'pix2pixhd' was asked for"):
        load_preset("posewarp-demo", [], "pix2pixhd")


def test_the_commands_tell_its_model_from_its_file(tmp_path: Path) -> None:
    for number, name in ((1, "person"), (2, "driver")):
        write_clip(draw_clip(number, 12, 64, fps=6), tmp_path / name)
    changes: list[Any] = [word for change in TINY for word in ("--set", change)]
    meta = [word for change in TINY if not change.startswith("recipe.") for word in ("--set", change)]
    theta, model = tmp_path / "run" / "theta.safetensors", tmp_path / "m.safetensors"
    for command in (
        ["pretrain", "--model", "posewarp", "--out", tmp_path / "run", *changes],
        ["meta-train", "--init", tmp_path / "run" / "pretrained.safetensors", "--out", tmp_path / "run", *meta],
        [
            "personalize",
            tmp_path / "person",
            "--init",
            theta,
            "--frames",
            3,
            "--steps",
            2,
            "--source",
            "first",
            "--out",
            model,
        ],
        ["retarget", model, tmp_path / "driver", "--model", "posewarp", "--out", tmp_path / "r.mp4"],
        ["evaluate", tmp_path / "person", "--init", theta, "--frames", 3, "--steps", 2, "--choose", "--out", tmp_path / "scores"],
    ):
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code == 0, done.output
    assert pair_facts(model)["facts"]["source"] == "first"
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert [(row["model"], row["init"], row["T"]) for row in results["rows"]] == [
        ("none", "nearest-frame", 0), ("none", "puppet", 0), ("Posewarp", "metapix", 0), ("Posewarp", "metapix", 2)
    ]  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    for command, words in (
        (["personalize", tmp_path / "person", "--init", theta, "--frames", 1, "--out", tmp_path / "n"], "takes at least 2 frames"),
        (
            ["retarget", model, tmp_path / "driver", "--model", "pix2pixhd", "--out", tmp_path / "n.mp4"],
            "holds a posewarp pair, and 'pix2pixhd' was asked for",
        ),
    ):
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert isinstance(done.exception, InputError), done
        assert words in str(done.exception)
    assert sorted(tmp_path.rglob("*")) == before
