"""One schema for settings from files and from --set: type, range, known name; in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from metapix.errors import InputError
from metapix.people import start_with_recipe
from metapix.recipe import Recipe, recipe_of
from metapix.training.preset import load_preset
from metapix.training.stages import plan_pair

import gan_meta as gm

SMALL = {"pose_channels": 18, "base_channels": 2, "n_downsample": 2, "n_blocks": 1, "discriminator_channels": 2, "n_layers": 1}
BAD: list[tuple[str, Any, str]] = [
    ("batch_size", 10**9, "batch_size must be at least 1 and at most 4,096, got 1000000000"),
    ("batch_size", 0, "batch_size must be at least 1"),
    ("batch_size", 2.5, "'batch_size' of .* must be a whole number, got 2.5"),
    ("batch_size", True, "'batch_size' of .* must be a whole number, got True"),
    ("lr", -1e-3, "lr must be at least 0 and at most 10.0, got -0.001"),
    ("lr", 1e30, "lr must be at least 0"),
    ("lr", float("nan"), "'lr' of .* must be a finite number, got nan"),
    ("lr", float("inf"), "'lr' of .* must be a finite number, got inf"),
    ("lr", "fast", "'lr' of .* must be a finite number, got 'fast'"),
    ("discriminator_lr", -1, "discriminator_lr must be at least 0"),
    ("schedule", "cosine", "unknown schedule 'cosine'"),
    ("schedule", "", "unknown schedule ''"),
    ("perceptual", "/etc/passwd", "unknown perceptual '/etc/passwd'"),
    ("perceptual", "vgg16", "unknown perceptual 'vgg16': did you mean 'vgg19'"),
    ("perceptual_weight", -1.0, "perceptual_weight must be at least 0"),
    ("pixel", 1e30, "pixel must be at least 0"),
    ("feature_matching", -0.5, "feature_matching must be at least 0"),
    ("person_weight", 1e30, "person_weight must be at least 0"),
    ("adversarial_weight", -1, "adversarial_weight must be at least 0"),
    ("size", 10**6, "size must be at least 8 and at most 4,096, got 1000000"),
    ("size", 0, "size must be at least 8"),
    ("size", -64, "size must be at least 8"),
    ("model", "dcgan", "unknown model 'dcgan'"),
    ("mirror", 1, "'mirror' of .* must be true or false, got 1"),
]


@pytest.mark.parametrize(("key", "value", "words"), BAD)
def test_a_recipe_is_refused_in_the_same_words_from_a_file_and_from_set(tmp_path: Path, key: str, value: Any, words: str) -> None:
    file = tmp_path / "start.safetensors"
    gm.save_pair(gm.models.create("pix2pixhd", **SMALL), file, {"recipe": {**Recipe(size=32, lr=1e-3).as_dict(), key: value}})
    with pytest.raises(InputError, match=words):
        recipe_of(file)
    if value != "":  # no value at all: the default
        shown = f'"{value}"' if isinstance(value, str) else {True: "true"}.get(value, value) if isinstance(value, bool) else value
        with pytest.raises(InputError, match=words):
            load_preset("demo", [f"recipe.{key}={shown}"])
    if not isinstance(value, bool | str) and "of .*" not in words:
        with pytest.raises(ValueError, match=words):
            Recipe(**{"size": 32, "lr": 1e-3, key: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pretrain.checkpoint_every=0", "checkpoint_every must be at least 1 and at most 1e\\+09, got 0"),
        ("pretrain.checkpoint_every=1e30", "must be a whole number"),
        ("pretrain.steps=0", "steps must be at least 1"),
        ("pretrain.epochs=-1", "epochs must be above 0"),
        ("pretrain.epochs=nan", "must be a finite number"),
        ("meta_train.checkpoint_every=-5", "checkpoint_every must be at least 1"),
        ("meta_train.shots=0", "shots must be at least 1"),
        ("meta_train.iterations=0", "iterations must be at least 1"),
        ("meta_train.iterations=1000000000000000000000000", "iterations must be at least 1 and at most 1e\\+09"),
        ("meta_train.meta_lr=-1", "meta_lr must be at least 0"),
        ("meta_train.meta_lr=inf", "must be a finite number"),
        ("meta_train.meta_schedule=cosine", "unknown meta_schedule 'cosine'"),
        ("meta_train.algorithm=reptil", "did you mean 'reptile'"),
        ("meta_train.clip_norm=0", "clip_norm must be above 0"),
        ("meta_train.meta_batch_size=0", "meta_batch_size must be at least 1"),
        ("data.people=0", "people must be at least 1"),
        ("data.frames=1", "frames must be at least 2"),
        ("data.fps=0", "fps must be above 0 and at most 1,000, got 0"),
        ("data.pose=label", "unknown pose 'label': did you mean 'labels'"),
        ("inner.steps=-1", "steps must be at least 0"),
        ("inner.steps=two", "'steps' of .inner. must be a whole number or nothing, got 'two'"),
        ("inner.betas=[0.5, 1.5]", "betas must be at least 0 and at most 1"),
        ("inner.betas=[0.5]", "'betas' of .inner. must be a list of two numbers"),
        ("inner.eps=-1", "eps must be at least 0"),
        ("inner.optimizer=rmsprop", "unknown optimizer 'rmsprop'"),
        ("inner.update_ratio=[0, 1]", "update_ratio must be at least 1"),
        ("inner.roles={a=1}", "'roles' of .inner. must be a table of words"),
        ("inner.augment=[1]", "'augment' is said once, in .recipe."),
        ("inner.unique_samples=1", "must be true or false"),
        ("inner.freeze_d=sometimes", "unknown freeze_d 'sometimes'"),
        ("meta_train.meta_optimizer=sdg", "unknown meta_optimizer 'sdg': did you mean 'sgd'"),
        (f"recipe.batch_size=1{'0' * 5000}", "'batch_size' of .recipe. must be a whole number, got '1000"),
        (f"recipe.model={'x' * 5000}", "unknown model 'xxxx.{0,60}: known"),
        ("recipe.batch_size=5\nlr=3", "'batch_size' of .recipe. must be a whole number, got '5"),
    ],
)
def test_settings_at_and_beyond_their_borders_are_refused(change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_preset("demo", [change])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("base_channels=0", "would have a layer of no channels"),
        ("discriminator_channels=0", "would have a layer of no channels"),
        ("pose_channels=0", "would have a layer of no channels"),
        ("n_scales=0", "n_scales must be at least 1, got 0"),
        ("n_downsample=true", "n_downsample must be a whole number, got True"),
        ("n_blocks=1.5", "n_blocks must be a whole number, got 1.5"),
        ("n_blocks=-1", "its argument 'n_blocks' is -1, below 0"),
        ("base_channels=100000", "beyond 65536"),
        ("generator=7", "generator must be a word, got 7"),
        ("generator=1979-05-27", "generator must be a word, got datetime.date"),
        ("base_chanels=4", "did you mean 'base_channels'"),
        (f"name={'x' * 5000}", "unknown model 'xxxx.{0,80}: known"),
    ],
)
def test_models_that_cannot_be_are_refused_before_data_are_looked_for(change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan_pair(load_preset("demo", [f"model.{change}"]))


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="got a number of thousands of digits"):
        Recipe(size=32, lr=1e-3, batch_size=10**5000)


def test_settings_at_their_borders_are_taken() -> None:
    preset = load_preset(
        "demo", ["recipe.size=8", "recipe.batch_size=4096", "pretrain.checkpoint_every=1", "inner.betas=[0, 0.5]", "inner.steps=0"]
    )
    assert (preset.recipe.size, preset.recipe.batch_size, preset.pretrain.checkpoint_every) == (8, 4096, 1)
    assert preset.game().betas == (0, 0.5)
    assert preset.game().steps == 0


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([torch.full((2, 4), torch.nan)], "response statistics of map 0 must be .* finite numbers"),
        ([torch.zeros(3, 4)], "map 0 must be .*got \\(3, 4\\)"),
        ([torch.zeros(2, 4, dtype=torch.uint8)], "torch.uint8"),
        ([torch.zeros(2, 4), -torch.ones(2, 4)], "map 1"),
    ],
)
def test_statistics_that_are_none_are_refused(tmp_path: Path, tables: list[torch.Tensor], words: str) -> None:
    file = tmp_path / "start.safetensors"
    extra = {f"statistics.{number}": table for number, table in enumerate(tables)}
    gm.save_pair(gm.models.create("pix2pixhd", **SMALL), file, {"recipe": Recipe(size=32, lr=1e-3).as_dict()}, extra)
    with pytest.raises(InputError, match=words):
        recipe_of(file)


@pytest.mark.parametrize("size", [33, 34, 8, 127])
def test_a_size_that_the_network_cannot_halve_is_refused(tmp_path: Path, size: int) -> None:
    file = tmp_path / "start.safetensors"
    gm.save_pair(gm.models.create("pix2pixhd", **{**SMALL, "n_downsample": 3}), file, {"recipe": Recipe(size=size, lr=1e-3).as_dict()})
    with pytest.raises(InputError, match=f"its network cannot draw at {size} x {size} pixels .* must be a multiple of 8"):
        start_with_recipe(file, None)


def test_a_recipe_of_another_model_than_the_pair_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "start.safetensors"
    gm.save_pair(gm.models.create("pix2pixhd", **SMALL), file, {"recipe": Recipe(size=64, lr=1e-3, model="posewarp").as_dict()})
    with pytest.raises(InputError, match="built as 'pix2pixhd', and its recipe says model = 'posewarp'"):
        start_with_recipe(file, None)
