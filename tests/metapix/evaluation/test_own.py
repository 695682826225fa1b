"""The grid of `metapix evaluate`: its scores, what it keeps, what it compares, and how it goes on."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from metapix.data.bundled import bundled_videos
from metapix.data.drawn import draw_clip
from metapix.data.folder import read_clip, write_clip
from metapix.data.video import VideoWriter, read_video
from metapix.errors import InputError
from metapix.evaluate import evaluate_nearest, evaluate_puppet, evaluate_start
from metapix.evaluation.own import Grid, OwnStart, cells_of, result_file, score_own_cell
from metapix.evaluation.own_results import evaluation
from metapix.evaluation.own_videos import find_videos
from metapix.evaluation.statistics import sign_flip_test
from metapix.evaluation.videos import TestVideo
from metapix.recipe import Recipe

import gan_meta as gm
from gan_meta.distributed import ALONE

RECIPE = Recipe(size=32, lr=1e-3, perceptual=None, pixel=10.0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[TestVideo]:
    folder, made = tmp_path_factory.mktemp("people"), []
    for seed in (1, 2):
        write_clip(dataclasses.replace(draw_clip(seed, 20, 32, fps=6), name=f"person {seed}"), folder / f"{seed}")
        made.append(TestVideo.open(folder / f"{seed}"))
    return made


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[OwnStart]:
    folder, made = tmp_path_factory.mktemp("starts"), []
    for seed, init in enumerate(("pretrain", "metapix")):
        torch.manual_seed(seed)
        pair = gm.models.create("pix2pixhd", pose_channels=18, base_channels=4, n_downsample=1, n_blocks=1, discriminator_channels=4)
        gm.save_pair(pair, folder / f"{init}.safetensors", {"start": init, "recipe": RECIPE.as_dict()})
        made.append(OwnStart.open(folder / f"{init}.safetensors"))
    return made


def scored(starts: list[OwnStart], videos: list[TestVideo], grid: Grid, folder: Path) -> dict[str, Any]:
    """The results of cells that were worked on in this process, which is quicker than to start others."""
    for cell in cells_of(starts, videos, grid):
        if not result_file(cell, folder).is_file():
            score_own_cell(cell, folder)
    return evaluation(starts, videos, grid, folder, ALONE)


def silent(_words: str) -> Any:
    return lambda _done, _total: None


def test_scores_are_those_of_the_demos_evaluation(videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path) -> None:
    results = scored(starts[:1], videos, Grid((3,), (2,)), tmp_path)
    rows = {(row["init"], row["T"]): row for row in results["rows"]}
    assert list(rows) == [("nearest-frame", 0), ("puppet", 0), ("pretrain", 0), ("pretrain", 2)]
    clips, pair = [read_clip(video.folder) for video in videos], gm.load_pair(starts[0].file)
    expected = {
        ("nearest-frame", 0): evaluate_nearest(clips, 3),
        ("puppet", 0): evaluate_puppet(clips, 3),
        **{("pretrain", steps): evaluate_start(pair, clips, RECIPE.objective(), RECIPE.inner(steps), 3) for steps in (0, 2)},
    }
    for key, videos in expected.items():
        for found, video in zip(rows[key]["videos"], videos, strict=True):
            assert (found["name"], found["frames"]) == (video["name"], video["frames"])
            for score in ("ssim", "psnr", "mse", "person_psnr", "temporal_std"):
                assert found[score] == pytest.approx(video[score], rel=1e-6), (key, score)
        assert rows[key]["interval"]["psnr"] == pytest.approx(sorted(video["psnr"] for video in videos))  # of two: from one to the other


def test_every_start_k_t_and_seed_is_scored_and_compared_at_the_same_k_and_t(
    videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path
) -> None:
    grid = Grid((2, 3), (1, 2), (0, 1))
    results = scored(starts, videos, grid, tmp_path)
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


def test_two_seeds_are_averaged_clip_by_clip(videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path) -> None:
    found = [scored(starts[:1], videos, Grid((3,), (2,), seeds, "random"), tmp_path)["rows"][-1] for seeds in ((0,), (1,), (0, 1))]
    first, second, both = ([video["psnr"] for video in row["videos"]] for row in found)
    assert first != second
    assert both == pytest.approx(np.add(first, second) / 2)


def test_what_is_kept_is_not_done_again_and_a_new_start_is(videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path) -> None:
    grid = Grid((2,), (1,))
    before = scored(starts[:1], videos, grid, tmp_path)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert len(times) == 2 * 2 * 4, "a result and its frames, on two videos, of two copies and a start at T = 0 and 1"
    assert evaluation(starts[:1], videos, grid, tmp_path, ALONE) == before
    after = scored(starts, videos, grid, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert len(list(tmp_path.iterdir())) == 2 * 2 * 6
    next(tmp_path.glob("*.json")).write_text("{")
    assert evaluation(starts, videos, grid, tmp_path, ALONE) == after, "a damaged result is scored anew"


def test_random_frames_follow_the_seed(videos: list[TestVideo], starts: list[OwnStart]) -> None:
    chosen = [cells_of(starts, videos, Grid((4,), (1,), (seed,), "random"))[0].chosen()[0].frames for seed in (0, 1, 0)]
    assert torch.equal(chosen[0], chosen[2])
    assert not torch.equal(chosen[0], chosen[1])


def test_what_cannot_be_scored_is_named_and_the_rest_is_scored(videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path) -> None:
    clips, cells = tmp_path / "clips", tmp_path / "cells"
    clips.mkdir()
    cells.mkdir()
    for number, frames in enumerate((1, 8, 20)):
        write_clip(dataclasses.replace(draw_clip(number, frames, 32, fps=6), name=f"of {frames}"), clips / f"{number}")
    (clips / "2" / "frames" / "000018.png").write_bytes(b"not a picture")
    found, holes = find_videos([clips, videos[0].folder], 32, tmp_path / "cache", silent)
    assert [video.name for video in found] == ["of 8", "of 20", "person 1"]
    broken = gm.load_pair(starts[0].file)
    with torch.no_grad():
        next(broken.generator.parameters()).fill_(torch.nan)
    gm.save_pair(broken, tmp_path / "nan.safetensors", {"start": "metapix", "recipe": RECIPE.as_dict()})
    with pytest.raises(gm.CheckpointError, match=r"nan\.safetensors holds what are no weights"):
        OwnStart.open(tmp_path / "nan.safetensors")
    results = evaluation(starts[:1], found, Grid((8,), (0,)), cells, ALONE, holes=holes)
    missing = {hole["what"]: hole["why"] for hole in results["holes"]}
    assert "it takes at least 2 to learn from one part and score the other" in missing.pop("0")
    assert "of 8 has 6 frames in its first 85%, and K = 8 were asked for" in missing.pop("of 8, K = 8")
    assert len(missing) == 3
    assert all("of 20" in what and "000018.png" in why for what, why in missing.items())
    assert [(row["init"], [video["name"] for video in row["videos"]]) for row in results["rows"]] == [
        ("nearest-frame", ["person 1"]), ("puppet", ["person 1"]), ("pretrain", ["person 1"])
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"person 1 has 17 frames in its first 85%, and K = 18 were asked for"):
        evaluation(starts, videos[:1], Grid((18,), (1,)), cells, ALONE)


def test_a_start_that_was_changed_in_the_meantime_is_refused(videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path) -> None:
    copy = dataclasses.replace(starts[0], file=tmp_path / "start.safetensors")
    copy.file.write_bytes(starts[1].file.read_bytes())
    cell = cells_of([copy], videos, Grid((2,), (0,)))[-1]
    with pytest.raises(InputError, match="is gone or was changed since the evaluation began"):
        score_own_cell(cell, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_the_pose_is_estimated_on_results_where_that_is_asked_for(starts: list[OwnStart], tmp_path: Path) -> None:
    """A video, too, becomes a test video; a second one of its name is kept apart."""
    files = [tmp_path / kind / "cam.mp4" for kind in "ab"]
    for file, camera in zip(files, ("single-cam03", "single-cam02"), strict=True):
        file.parent.mkdir()
        with VideoWriter(file, 10, comment="") as writer:
            for frame in read_video(bundled_videos()[camera], every=6, max_frames=8):
                writer.write(cv2.resize(frame.image, (540, 960), interpolation=cv2.INTER_AREA))
    found, holes = find_videos(files, 128, tmp_path / "cache", silent)
    assert ([video.folder.name for video in found], holes) == (["cam-128", "cam-128-2"], [])
    assert not torch.equal(read_clip(found[0].folder).frames, read_clip(found[1].folder).frames)
    large = dataclasses.replace(starts[0], recipe=dataclasses.replace(RECIPE, size=128))
    results = scored([large], found[:1], Grid((2,), (0,), pose_frames=1), tmp_path)
    nearest = results["rows"][0]
    assert nearest["pck"] > 0.2, "real pixels of a person, in about the right pose"
    assert "pck" not in results["not_computed"]
    assert "weights missing" in results["not_computed"]["lpips"]


def test_at_most_so_many_frames_are_scored(videos: list[TestVideo], starts: list[OwnStart], tmp_path: Path) -> None:
    results = scored(starts[:1], videos, Grid((2,), (0,), most_frames=2), tmp_path)
    assert {video["frames"] for row in results["rows"] for video in row["videos"]} == {2}
    assert json.loads(json.dumps(results)) == results


def test_starts_of_different_sizes_are_refused(starts: list[OwnStart], tmp_path: Path) -> None:
    other = tmp_path / "large.safetensors"
    gm.save_pair(gm.load_pair(starts[0].file), other, {"start": "metapix"} | {"recipe": dataclasses.replace(RECIPE, size=64).as_dict()})
    done = subprocess.run(
        [sys.executable, "-m", "metapix", "evaluate", tmp_path, "--init", starts[0].file, "--init", other, "--out", tmp_path / "out"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 2
    assert "draws 32 pixels" in done.stderr
    assert "scores of different sizes do not compare" in " ".join(done.stderr.split())
