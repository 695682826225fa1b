"""The commands for people of one's own, as a user runs them, on drawn people kept as clip folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from metapix.data.drawn import draw_clip
from metapix.data.folder import write_clip
from metapix.data.video import read_video
from metapix.performer import Performer, load_performer, save_performer
from metapix.puppet.puppet import Puppet
from metapix.recipe import Recipe, recipe_of

import gan_meta as gm

SMALL = {"base_channels": 4, "n_downsample": 1, "n_blocks": 1}


def start(reference: str) -> gm.GANPair:
    torch.manual_seed(0)
    if reference == "none":
        return gm.models.create("pix2pixhd", pose_channels=18, discriminator_channels=4, **SMALL)
    return gm.models.create("metapix-reference", reference=reference, **SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    for name, seed in (("person", 1), ("driver", 2)):
        write_clip(draw_clip(seed, 14, 64, fps=6), root / name)
    recipe = Recipe(size=32, lr=1e-3, schedule="constant", mirror=True)
    for reference in ("none", "plate", "puppet"):
        gm.save_pair(start(reference), root / f"{reference}.safetensors", {"start": "metapix", "recipe": recipe.as_dict()})
    return root


def metapix(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "metapix", *map(str, arguments)], capture_output=True, text=True, timeout=300)


def test_puppet_writes_a_video_of_the_drivers_length(folder: Path, tmp_path: Path) -> None:
    done = metapix("puppet", folder / "person", folder / "driver", "--out", tmp_path / "p.mp4", "--size", 64, "--side-by-side")
    assert done.returncode == 0, done.stderr
    frames = list(read_video(tmp_path / "p.mp4"))
    assert len(frames) == 14
    assert frames[0].image.shape == (64, 3 * 64, 3)


@pytest.mark.parametrize("reference", ["none", "plate", "puppet"])
def test_personalize_then_retarget(folder: Path, tmp_path: Path, reference: str) -> None:
    model = tmp_path / "model.safetensors"
    init = folder / f"{reference}.safetensors"
    done = metapix("personalize", folder / "person", "--init", init, "--frames", 3, "--steps", 2, "--size", 64, "--out", model)
    assert done.returncode == 0, done.stderr
    done = metapix("retarget", model, folder / "driver", "--out", tmp_path / "r.mp4")
    assert done.returncode == 0, done.stderr
    frames = list(read_video(tmp_path / "r.mp4"))
    assert len(frames) == 14
    assert frames[0].image.shape == (64, 64, 3)


def test_choosing_the_steps_keeps_the_gains_in_the_model(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    init = folder / "puppet.safetensors"
    done = metapix(
        "personalize", folder / "person", "--init", init, "--frames", 4, "--steps", 5, "--choose", "--size", 64, "--out", model
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = gm.checkpoint.pair_facts(model)["facts"]
    assert set(facts["held_out_gains_db"]) == {"0", "5"}
    assert facts["steps"] in (0, 5)


def test_evaluate_writes_the_four_rows(folder: Path, tmp_path: Path) -> None:
    done = metapix(
        "evaluate", folder / "person", folder / "driver", "--init", folder / "puppet.safetensors", "--frames", 4, "--steps", 2,
        "--reference", "puppet", "--workers", 1, "--out", tmp_path / "scores",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    rows = [(row["init"], row["K"], row["T"]) for row in results["rows"]]
    assert rows == [("nearest-frame", 4, 0), ("puppet", 4, 0), ("metapix", 4, 0), ("metapix", 4, 2)]
    assert all(row["reference"] == "puppet" and row["person_psnr"] > 0 and len(row["videos"]) == 2 for row in results["rows"])
    # An untrained network on the puppet is the puppet, up to rounding to 8 bits.
    assert results["rows"][2]["psnr"] == pytest.approx(results["rows"][1]["psnr"], abs=1e-3)
    assert (tmp_path / "scores" / "report.html").exists()


def test_processes_share_the_clips_of_an_evaluation(folder: Path, tmp_path: Path) -> None:
    clips = [folder / name for name in ("person", "driver", "person")]
    more = ["--init", folder / "puppet.safetensors", "--frames", 4, "--steps", 2, "--workers", 1, "--out"]
    alone = metapix("evaluate", *clips, *more, tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "metapix"]
    command = [str(word) for word in (*launcher, "evaluate", *clips, *more, tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("report: ") == 1
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == json.loads((tmp_path / "alone" / "results.json").read_text())


def test_a_performer_without_training_is_the_puppet_at_any_size(tmp_path: Path) -> None:
    clip = draw_clip(1, 8, 64, fps=6)
    shots, poses = clip.select([0, 2, 4]), clip.joints[5:]
    expected = Puppet(shots).render(poses).image
    for performer in (Performer(shots), Performer(shots, start("puppet"), 32)):
        torch.testing.assert_close(torch.cat(list(performer.perform(poses))), expected, rtol=0, atol=1e-5)
    save_performer(tmp_path / "m.safetensors", start("puppet"), shots, {"size": 32})
    loaded = load_performer(tmp_path / "m.safetensors")
    assert torch.equal(loaded.shots.frames, shots.frames)
    torch.testing.assert_close(torch.cat(list(loaded.perform(poses))), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["personalize", "person", "--init", "absent.safetensors", "--out", "m.safetensors"], "no checkpoint at"),
        (["personalize", "absent", "--init", "none.safetensors", "--out", "m.safetensors"], "there is no clip folder and no video at"),
        (["personalize", "person", "--init", "none.safetensors", "--frames", "30", "--out", "m.safetensors"], "30 frames were asked for"),
        (["personalize", "person", "--init", "none.safetensors", "--reference", "puppet", "--out", "m"], "with the reference 'none', not"),
        (["personalize", "person", "--init", "none.safetensors", "--reference", "pupet", "--out", "m"], "unknown reference 'pupet'"),
        (["personalize", "person", "--init", "none.safetensors", "--device", "warp", "--out", "m"], "cannot work on the device 'warp'"),
        (["personalize", "person", "--init", "none.safetensors", "--out", "no/m.safetensors"], "there is no folder"),
        (["retarget", "none.safetensors", "driver", "--out", "r.mp4"], "is a start, not a personalised model"),
        (["puppet", "person", "driver", "--out", "p.avi"], "ending .mp4"),
        (["puppet", "person", "driver", "--out", "p.mp4", "--gif", "p.png"], "ending .gif"),
        (["puppet", "person", "driver", "--out", "p.mp4", "--crop", "round"], "unknown crop 'round'"),
        (["puppet", ".", "driver", "--out", "p.mp4"], "clip"),
        (["evaluate", "person", "--init", "none.safetensors", "--out", "person/manifest.json/x"], "cannot make the folder"),
        (["evaluate", "person", "--init", "absent.safetensors", "--out", "person/manifest.json"], "cannot make the folder"),
        (["evaluate", "person", "--init", "absent.safetensors", "--out", "new"], "no checkpoint at"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    done = metapix(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_start_without_or_with_another_recipe_is_refused(tmp_path: Path) -> None:
    gm.save_pair(start("none"), tmp_path / "bare.safetensors")
    with pytest.raises(ValueError, match="does not say how to personalise it"):
        recipe_of(tmp_path / "bare.safetensors")
    gm.save_pair(start("none"), tmp_path / "later.safetensors", {"recipe": {"size": 32, "lr": 1.0, "magic": 1}})
    with pytest.raises(ValueError, match="another release of metapix: its recipe has magic"):
        recipe_of(tmp_path / "later.safetensors")
