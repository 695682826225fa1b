"""The grid of `metapix evaluate`: its scores, what it keeps, what it compares, and how it goes on."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.errors import InputError
from metapix.evaluate import evaluate_nearest, evaluate_puppet, evaluate_start
from metapix.evaluation import own
from metapix.evaluation.own import Grid, OwnStart, cells_of, score_cells
from metapix.evaluation.own_results import evaluation, own_start
from metapix.evaluation.statistics import sign_flip_test
from metapix.recipe import Recipe

import gan_meta as gm
from gan_meta.distributed import ALONE

RECIPE = Recipe(size=32, lr=1e-3, perceptual=None, pixel=10.0)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [dataclasses.replace(draw_clip(seed, 20, 32, fps=6), name=f"person {seed}") for seed in (1, 2)]


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[OwnStart]:
    folder, made = tmp_path_factory.mktemp("starts"), []
    for seed, init in enumerate(("pretrain", "metapix")):
        torch.manual_seed(seed)
        pair = gm.models.create("pix2pixhd", pose_channels=18, base_channels=4, n_downsample=1, n_blocks=1, discriminator_channels=4)
        gm.save_pair(pair, folder / f"{init}.safetensors", {"start": init, "recipe": RECIPE.as_dict()})
        made.append(own_start(folder / f"{init}.safetensors", pair, RECIPE, "nearest", choosing=False))
    return made


def test_scores_are_those_of_the_demos_evaluation(clips: list[Clip], starts: list[OwnStart], tmp_path: Path) -> None:
    results = evaluation(starts[:1], clips, Grid((3,), (2,)), tmp_path, ALONE)
    rows = {(row["init"], row["T"]): row for row in results["rows"]}
    assert list(rows) == [("nearest-frame", 0), ("puppet", 0), ("pretrain", 0), ("pretrain", 2)]
    expected = {
        ("nearest-frame", 0): evaluate_nearest(clips, 3),
        ("puppet", 0): evaluate_puppet(clips, 3),
        **{("pretrain", steps): evaluate_start(starts[0].pair, clips, RECIPE.objective(), RECIPE.inner(steps), 3) for steps in (0, 2)},
    }
    for key, videos in expected.items():
        for found, video in zip(rows[key]["videos"], videos, strict=True):
            assert (found["name"], found["frames"]) == (video["name"], video["frames"])
            for score in ("ssim", "psnr", "mse", "person_psnr", "temporal_std"):
                assert found[score] == pytest.approx(video[score], rel=1e-6), (key, score)
        assert rows[key]["interval"]["psnr"] == pytest.approx(sorted(video["psnr"] for video in videos))  # of two: from one to the other


def test_every_start_k_t_and_seed_is_scored_and_compared_at_the_same_k_and_t(
    clips: list[Clip], starts: list[OwnStart], tmp_path: Path
) -> None:
    grid = Grid((2, 3), (1, 2), (0, 1))
    results = evaluation(starts, clips, grid, tmp_path, ALONE)
    lines = [(row["init"], row["K"], row["T"]) for row in results["rows"]]
    copies = [(init, shots, 0) for shots in (2, 3) for init in ("nearest-frame", "puppet")]
    assert lines == [*copies, *((init, shots, steps) for init in ("pretrain", "metapix") for shots in (2, 3) for steps in (0, 1, 2))]
    assert len(list(tmp_path.glob("*.json"))) == 2 * (4 + 4 + 2 * 8)  # clips x (copies + starts as they are + games of two seeds)
    frames = list(csv.DictReader(next(iter(tmp_path.glob("*.csv"))).open()))
    assert [row["frame"] for row in frames] == ["0", "1", "2"]
    psnr = {(row["init"], row["K"], row["T"]): [video["psnr"] for video in row["videos"]] for row in results["rows"]}
    told = {(one["first"], one["second"]): one for one in results["comparisons"] if one["score"] == "psnr"}
    one = told["metapix (metapix.safetensors), K=3, T=2", "pretrain (pretrain.safetensors), K=3, T=2"]
    differences = np.subtract(psnr["metapix", 3, 2], psnr["pretrain", 3, 2])
    assert one["difference"] == pytest.approx(differences.mean())
    assert (one["low"], one["high"]) == pytest.approx((differences.min(), differences.max()))
    assert (one["p"], one["clips"]) == (sign_flip_test(differences.tolist()), 2)
    assert {second for first, second in told if first == "pretrain (pretrain.safetensors), K=2, T=1"} == {
        "nearest-frame, K=2", "puppet, K=2", "pretrain (pretrain.safetensors), K=2, T=0",
    }  # fmt: skip


def test_two_seeds_are_averaged_clip_by_clip(clips: list[Clip], starts: list[OwnStart], tmp_path: Path) -> None:
    found = [
        evaluation(starts[:1], clips, Grid((3,), (2,), seeds, "random"), tmp_path, ALONE)["rows"][-1] for seeds in ((0,), (1,), (0, 1))
    ]
    first, second, both = ([video["psnr"] for video in row["videos"]] for row in found)
    assert first != second
    assert both == pytest.approx(np.add(first, second) / 2)


def test_what_is_kept_is_not_done_again_and_a_new_start_is(
    clips: list[Clip], starts: list[OwnStart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid((2,), (1,))
    before = score_cells(cells_of(starts[:1], clips, grid), tmp_path, ALONE)
    played: list[str] = []
    game = own.personalize

    def counted(*arguments: object, **options: object) -> gm.GANPair:
        played.append("a game")
        return game(*arguments, **options)

    monkeypatch.setattr(own, "personalize", counted)
    assert score_cells(cells_of(starts[:1], clips, grid), tmp_path, ALONE) == before
    assert not played
    score_cells(cells_of(starts, clips, grid), tmp_path, ALONE)
    assert len(played) == 4  # the other start, at T = 0 and 1, on two clips
    next(tmp_path.glob("*.json")).write_text("{")
    with pytest.raises(InputError, match="delete it and run again"):
        score_cells(cells_of(starts, clips, grid), tmp_path, ALONE)


def test_random_frames_follow_the_seed_and_too_short_a_clip_is_named(clips: list[Clip], starts: list[OwnStart], tmp_path: Path) -> None:
    chosen = [cells_of(starts, clips, Grid((4,), (1,), (seed,), "random"))[0].chosen()[0].frames for seed in (0, 1, 0)]
    assert torch.equal(chosen[0], chosen[2])
    assert not torch.equal(chosen[0], chosen[1])
    with pytest.raises(InputError, match=r"person 1 has 17 frames in its first 85%, and K = 18 were asked for"):
        evaluation(starts, clips, Grid((18,), (1,)), tmp_path, ALONE)
    assert not list(tmp_path.iterdir())


def test_at_most_so_many_frames_are_scored(clips: list[Clip], starts: list[OwnStart], tmp_path: Path) -> None:
    results = evaluation(starts[:1], clips, Grid((2,), (0,), most_frames=2), tmp_path, ALONE)
    assert {video["frames"] for row in results["rows"] for video in row["videos"]} == {2}
    assert json.loads(json.dumps(results)) == results


def test_starts_of_different_sizes_are_refused(starts: list[OwnStart], tmp_path: Path) -> None:
    other = tmp_path / "large.safetensors"
    gm.save_pair(starts[0].pair, other, {"start": "metapix"} | {"recipe": dataclasses.replace(RECIPE, size=64).as_dict()})
    done = subprocess.run(
        [sys.executable, "-m", "metapix", "evaluate", tmp_path, "--init", starts[0].file, "--init", other, "--out", tmp_path / "out"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 2
    assert "draws 32 pixels" in done.stderr
    assert "scores of different sizes do not compare" in " ".join(done.stderr.split())
