"""From real videos to a real person's new moves, through the commands, with a look at what the pictures show."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.folder import read_clip
from metapix.data.video import VideoWriter, probe, read_video
from metapix.poses.pose_input import person_discs
from metapix.poses.skeleton import INDEX
from metapix.recipe import Recipe
from PIL import Image

import gan_meta as gm
from gan_meta.checkpoint import pair_facts
from tests.metapix.test_people import metapix

TARGET, DRIVER = "single-cam03", "single-cam02"
SIZE = 64


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared clips, and a start that has learnt nothing yet."""
    root = tmp_path_factory.mktemp("own")
    videos = [root / f"{name}.mp4" for name in (TARGET, DRIVER)]
    for video in videos:  # short and small, to be quick
        with VideoWriter(video, 10, comment="") as writer:
            for frame in read_video(bundled_videos()[video.stem], every=6, max_frames=16):
                writer.write(cv2.resize(frame.image, (540, 960), interpolation=cv2.INTER_AREA))
    done = metapix("prepare", *videos, "--out", root / "clips", "--size", SIZE)
    assert done.returncode == 0, done.stderr
    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", base_channels=8, n_downsample=2, n_blocks=1, discriminator_channels=8)
    recipe = Recipe(size=SIZE, lr=2e-3, schedule="constant")
    gm.save_pair(pair, root / "start.safetensors", {"start": "random", "recipe": recipe.as_dict()})
    return root


@pytest.fixture(scope="module")
def target(root: Path) -> Clip:
    return read_clip(root / "clips" / TARGET)


def test_prepared_clips_are_whole_plain_folders(root: Path, target: Clip) -> None:
    assert sorted(path.name for path in (root / "clips").iterdir()) == [DRIVER, TARGET], "no journal, nothing half-made"
    folder = root / "clips" / TARGET
    assert {path.name for path in folder.iterdir()} == {"frames", "masks", "keypoints.json", "manifest.json", "contact-sheet.jpg"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["source"]["file"], manifest["frames"], manifest["fps"]) == (f"{TARGET}.mp4", 16, pytest.approx(10))
    assert "contact-sheet.jpg" in manifest["checksums"]
    sheet = np.asarray(Image.open(folder / "contact-sheet.jpg")).astype(int)
    orange = (sheet[..., 0] > 200) & (sheet[..., 1] < 180) & (sheet[..., 2] < 110)
    assert orange.mean() > 0.002, "the right side of the body is drawn"
    assert target.masks is not None
    inside = [
        int(mask[0, round(y), round(x)]) > 127
        for joints, mask in zip(target.joints, target.masks, strict=True)
        for x, y, _ in joints[[INDEX["left_hip"], INDEX["right_hip"], INDEX["left_knee"], INDEX["right_knee"]]].tolist()
    ]
    assert np.mean(inside) > 0.9


def test_learning_brings_the_held_out_frames_closer_and_the_best_step_is_kept(root: Path, tmp_path: Path) -> None:
    model = tmp_path / "me.safetensors"
    done = metapix(
        "personalize", root / "clips" / TARGET, "--init", root / "start.safetensors", "--frames", 5, "--steps", 40,
        "--size", SIZE, "--keep-best", "--out", model,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = pair_facts(model)["facts"]
    scores = {int(step): psnr for step, psnr in facts["held_out_psnr"].items()}
    assert list(scores) == list(range(0, 41, 5))
    assert f"after 40 steps: {scores[40]:.2f} dB" in done.stdout
    assert max(scores.values()) > scores[0] + 2, "it has learnt something of the person and the room"
    assert facts["steps"] == max(scores, key=scores.__getitem__)
    assert facts["pose"]["input"] == "heatmaps"


def test_the_puppet_of_a_video_moves_as_another_video_does(root: Path, target: Clip, tmp_path: Path) -> None:
    out, cache = tmp_path / "dance.mp4", tmp_path / "cache"
    done = metapix("puppet", root / "clips" / TARGET, root / f"{DRIVER}.mp4", "--out", out, "--size", SIZE, "--limbs", "--cache", cache)
    assert done.returncode == 0, done.stderr
    source, made = probe(root / f"{DRIVER}.mp4"), probe(out)
    assert (made.frames, made.fps, made.width, made.height) == (source.frames, source.fps, SIZE, SIZE)
    frames = torch.stack([torch.from_numpy(frame.image) for frame in read_video(out)]).permute(0, 3, 1, 2)
    moving = frames.float().std(0).mean(0)
    region = person_discs(target.joints, SIZE).amax(0)[0] > 0
    assert moving[region].mean() > 3 * moving[~region].mean(), "the person moves, the room does not"


def test_more_frames_than_there_are_and_other_bad_input(root: Path, tmp_path: Path) -> None:
    done = metapix("personalize", root / "clips" / TARGET, "--init", root / "start.safetensors", "--frames", 40, "--out", tmp_path / "m")
    assert done.returncode == 2
    assert done.stderr.startswith(f"metapix: 40 frames were asked for, but clip '{TARGET}' has 16")
    assert list(tmp_path.iterdir()) == []
