"""The demo with both models: its stages on drawn people, one after the other, and what it makes of their rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from metapix.demo import DemoSettings, scoring, settings_for, stages
from metapix.demo.story import _groups
from metapix.demo.table import print_results
from metapix.demo.verdict import verdict
from metapix.errors import InputError
from metapix.people import start_with_recipe

import gan_meta as gm

TINY = DemoSettings(
    models=("pix2pixhd", "posewarp"),
    size=32,
    training_people=2,
    training_frames=8,
    unseen_people=2,
    unseen_frames=14,
    base_channels=4,
    n_blocks=1,
    discriminator_channels=4,
    posewarp_channels=2,
    perceptual=None,
    pretrain_steps=2,
    meta_iterations=2,
    steps=2,
    scored_clips=(),
)


def quiet(done: int) -> None: ...


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both models were trained and scored."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("demo")
    for name in ("pictures", "scores"):
        (folder / name).mkdir()
    stages.draw_people(TINY, folder, quiet)
    scoring.score_untrained(TINY, folder, quiet)
    for model in TINY.models:
        for stage in (stages.pretrain, stages.pretrain_further, stages.meta_train):
            stage(TINY, folder, model, quiet)
        for init in stages.STARTS:
            scoring.score_start(TINY, folder, model, init, quiet)
    return folder


def test_each_model_has_a_row_for_each_start(run: Path) -> None:
    rows = scoring.all_rows(TINY, run)
    learned = [(model, init) for model in ("Pix2PixHD", "Posewarp") for init in stages.STARTS]
    assert [(row["model"], row["init"]) for row in rows] == [*learned, ("none", "nearest-frame"), ("none", "puppet")]
    assert len({row["psnr"] for row in rows}) == len(rows), "no two starts draw the same"


def test_each_stage_made_the_files_that_the_story_waits_for(run: Path) -> None:
    groups = list(_groups(TINY, run))
    named = [stage.name for group in groups for stage, _ in group]
    assert len(set(named)) == len(named), "seconds are kept by name"
    made = {
        path
        for group in groups[:-1]
        for stage, files in group
        for path in files
        if "real" not in stage.name and "shipped" not in stage.name
    }
    assert made == {path for folder in (run, run / "scores", run / "pictures") for path in folder.iterdir() if path.is_file()}


def test_its_starts_can_be_personalised_by_the_commands(run: Path) -> None:
    start, recipe = start_with_recipe(stages.start_file(run, "posewarp", "metapix"), None, "cpu", "posewarp")
    assert (start.model_name, recipe.model, recipe.size) == ("posewarp", "posewarp", 32)
    before = gm.load_pair(stages.start_file(run, "posewarp", "pretrain")).state_dict()
    assert not all(torch.equal(tensor, before[name]) for name, tensor in start.state_dict().items())


def test_strips_curves_and_verdict_tell_the_models_apart(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = scoring.all_rows(TINY, run)
    strips = scoring.strips(TINY, run)
    assert [strip["title"] for strip in strips] == ["Unseen drawn people, Pix2PixHD", "Unseen drawn people, Posewarp"]
    assert all((run / name).is_file() for strip in strips for row in strip["rows"] for name in row)
    curves = scoring.curves(rows, TINY.curve)
    assert [curve["title"].rsplit(", ", 1)[1] for curve in curves] == ["Pix2PixHD", "Posewarp"]
    assert [len(curve["series"]) for curve in curves] == [4, 4]
    said = verdict(rows)
    assert "MetaPix with Posewarp is" in said
    metapix = {row["model"]: row["psnr"] for row in rows if row["init"] == "metapix"}
    assert f"{max(metapix, key=lambda model: metapix[model])} has the higher PSNR" in said
    print_results({"rows": rows, "verdict": said, "stages": []}, run)
    shown = capsys.readouterr().out
    assert "Posewarp MetaPix" in shown
    assert "nearest*" in shown


def test_the_choice_of_models() -> None:
    assert settings_for("pix2pixhd", 3) == DemoSettings(seed=3)
    assert (settings_for("both", 0).models, settings_for("both", 0).size) == (("pix2pixhd", "posewarp"), 64)
    assert settings_for("posewarp", 0).models == ("posewarp",)
    with pytest.raises(InputError, match="unknown model 'bth': did you mean 'both'"):
        settings_for("bth", 0)
