"""Scores against scikit-image and by hand."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.evaluate import evaluate_nearest, evaluate_start, make_row, score_clip
from metapix.poses.pose_input import joint_heatmaps, person_discs, to_unit
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

import gan_meta as gm
from gan_meta.models.pix2pixhd import Pix2PixHDObjective
from tests.metapix.clips import noise_clip

OBJECTIVE = Pix2PixHDObjective(perceptual=None, pixel=10.0)
INNER = gm.InnerLoop(steps=3, lr=1e-3)


def tiny_pair(seed: int = 0) -> gm.GANPair:
    torch.manual_seed(seed)
    return gm.models.create("pix2pixhd", pose_channels=18, base_channels=4, n_downsample=1, n_blocks=1, discriminator_channels=4)


def test_scores_are_scikit_images_on_pictures_rounded_to_8_bits() -> None:
    truth = draw_clip(3, 4, 32)
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    generated = to_unit(truth.frames) + 0.1 * noise  # beyond [-1, 1] here and there
    scores = score_clip(generated, truth)
    stored = np.clip(np.rint((generated.double().numpy() + 1) * 127.5), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    real = truth.frames.numpy().transpose(0, 2, 3, 1)
    pairs = list(zip(real, stored, strict=True))
    assert (scores["name"], scores["frames"]) == (truth.name, 4)
    assert scores["mse"] == pytest.approx(np.mean([mean_squared_error(a, b) for a, b in pairs]), rel=1e-5)
    assert scores["psnr"] == pytest.approx(np.mean([peak_signal_noise_ratio(a, b) for a, b in pairs]), rel=1e-6)
    assert scores["ssim"] == pytest.approx(np.mean([structural_similarity(a, b, channel_axis=2) for a, b in pairs]), abs=1e-5)
    assert scores["temporal_std"] == pytest.approx(stored.mean(axis=(1, 2, 3), dtype=np.float64).std(), rel=1e-4)
    person = person_discs(truth.joints, 32)[:, 0].numpy().astype(bool)
    inside = [peak_signal_noise_ratio(a[on], b[on]) for (a, b), on in zip(pairs, person, strict=True)]
    assert scores["person_psnr"] == pytest.approx(np.mean(inside), rel=1e-6)


def test_a_perfect_generator_scores_the_best_there_is() -> None:
    truth = draw_clip(3, 2, 32)
    scores = score_clip(to_unit(truth.frames), truth)
    assert (scores["mse"], scores["psnr"], scores["person_psnr"]) == (0.0, math.inf, math.inf)
    assert scores["ssim"] == pytest.approx(1.0, abs=1e-12)


def test_the_person_is_scored_in_the_frames_that_know_one() -> None:
    truth = noise_clip(3, 16)
    generated = torch.zeros(3, 3, 16, 16)
    truth.joints[1, :, 2] = 0
    some = score_clip(generated, truth)["person_psnr"]
    kept = truth.select([0, 2])
    assert some == score_clip(generated[:2], kept)["person_psnr"]
    truth.joints[..., 2] = 0
    assert "person_psnr" not in score_clip(generated, truth)


def test_a_row_is_the_mean_over_videos_with_its_sample_deviation() -> None:
    videos = [
        {"name": name, "frames": frames, "ssim": ssim, "psnr": psnr, "mse": 10.0, "temporal_std": 0.5, **person}
        for name, frames, ssim, psnr, person in [
            ("a", 3, 0.5, 20.0, {"person_psnr": 12.0}),
            ("b", 90, 0.7, 23.0, {}),
            ("c", 6, 0.9, 31.0, {"person_psnr": 15.0}),
        ]
    ]
    row = make_row("Net", "metapix", 5, 20, videos, "real", "plate")
    assert [row[key] for key in ("model", "init", "K", "T", "data", "reference")] == ["Net", "metapix", 5, 20, "real", "plate"]
    assert row["videos"] == videos
    for score, values in {"ssim": [0.5, 0.7, 0.9], "psnr": [20.0, 23.0, 31.0], "person_psnr": [12.0, 15.0], "mse": [10.0] * 3}.items():
        assert row[score] == pytest.approx(statistics.mean(values))
        assert row[f"{score}_sd"] == pytest.approx(statistics.stdev(values))


def test_a_row_leaves_out_what_there_is_nothing_to_say_of() -> None:
    one = make_row("Net", "random", 5, 0, [{"ssim": 1.0, "psnr": math.inf, "mse": 0.0, "temporal_std": 0.0}], "drawn")
    assert one["psnr"] == math.inf
    assert not [key for key in one if key.endswith("_sd")]
    assert "person_psnr" not in one
    two = make_row("Net", "random", 5, 0, [{"psnr": math.inf}, {"psnr": 20.0}], "drawn")
    assert two["psnr"] == math.inf
    assert "psnr_sd" not in two
    assert one["reference"] == "none"


def test_evaluating_a_start_is_what_one_would_do_by_hand() -> None:
    clips = [draw_clip(1, 20, 32), draw_clip(2, 14, 32)]
    start, seen = tiny_pair(), []
    videos = evaluate_start(
        start, clips, OBJECTIVE, INNER, 3, seed=7, on_clip=lambda clip, pair, generated: seen.append((clip.name, pair, generated))
    )
    for clip, border, chosen, video, (name, pair, generated) in zip(clips, (17, 11), ([0, 8, 16], [0, 5, 10]), videos, seen, strict=True):
        shots = {"pose": joint_heatmaps(clip.joints[chosen], 32), "image": to_unit(clip.frames[chosen])}
        adapted = gm.adapt(tiny_pair(), OBJECTIVE, shots, INNER, 7)
        with torch.no_grad():
            expected = adapted.generator(joint_heatmaps(clip.joints[border:], 32))
        assert torch.allclose(generated, expected, atol=1e-6)
        assert name == clip.name
        assert all(torch.equal(a, b) for a, b in zip(pair.parameters(), adapted.parameters(), strict=True))
        real = to_unit(clip.frames[border:])
        psnr = gm.metrics.image_metrics(((expected + 1) * 127.5).round() / 127.5 - 1, real)["psnr"].mean()
        assert video["psnr"] == pytest.approx(float(psnr), rel=1e-4)
        assert video["frames"] == len(clip) - border


def test_the_nearest_frame_is_scored_as_a_copy_of_it() -> None:
    frames = torch.arange(20, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    joints = noise_clip(20, 16, seed=3).joints
    joints[17:] = joints[[10, 0, 5]] + torch.tensor([3.0, -2.0, 0.0])  # the last frames repeat three of the five shots' poses
    [video] = evaluate_nearest([Clip("steps", frames, joints)], 17)
    assert video["mse"] == pytest.approx(((17 - 10) ** 2 + (18 - 0) ** 2 + (19 - 5) ** 2) / 3, rel=1e-5)
    assert video["frames"] == 3
