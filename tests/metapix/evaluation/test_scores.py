"""Frame scores, crops and pose fidelity: against the whole at once, closed forms, and an estimator that is told what to see."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.data.pose import Detection
from metapix.errors import InputError
from metapix.evaluate import score_clip
from metapix.evaluation import frame_scores
from metapix.evaluation.crops import SMALLEST, crop_scores, face_box, person_box
from metapix.evaluation.frame_scores import FrameScores, missing_metrics, read_rows, summarise, write_rows
from metapix.evaluation.grid import Protocol
from metapix.evaluation.pose_fidelity import pose_scores, torso_length
from metapix.poses.pose_input import to_bytes, to_unit
from metapix.poses.skeleton import INDEX
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import gan_meta as gm


@pytest.fixture(scope="module")
def clip() -> Clip:
    return draw_clip(1, 7, 48, fps=6)


def noisy(clip: Clip) -> torch.Tensor:
    noise = torch.randn(clip.frames.shape, generator=torch.Generator().manual_seed(0))
    return (to_unit(clip.frames) + 0.2 * noise).clamp(-1, 1)


def test_a_batch_at_a_time_is_the_whole_at_once_and_agrees_with_the_usual_scores(clip: Clip) -> None:
    generated = noisy(clip)
    whole, parts = FrameScores(clip), FrameScores(clip)
    whole.add(generated)
    for first in range(0, 7, 3):
        parts.add(generated[first : first + 3])
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    usual, summary = score_clip(generated, clip), summarise(whole.rows)
    for name in ("ssim", "psnr", "mse", "person_psnr", "temporal_std"):
        assert summary[name] == pytest.approx(usual[name], rel=1e-6), name
    stored = to_unit(((generated + 1) * 127.5).round().to(torch.uint8))
    assert summary["flicker"] == pytest.approx(gm.metrics.flicker(stored, to_unit(clip.frames)), rel=1e-9)
    assert "flicker" not in whole.rows[0]


def test_a_picture_with_nan_is_named(clip: Clip) -> None:
    scores, generated = FrameScores(clip), noisy(clip)
    scores.add(generated[:3])
    generated[4, 1, 2, 3] = math.nan
    with pytest.raises(InputError, match=f"frame 4 of {clip.name} holds NaN"):
        scores.add(generated[3:])


def test_what_is_not_computed_has_a_reason() -> None:
    assert "needs 161" in missing_metrics(48)["ms_ssim"]
    assert "ms_ssim" not in missing_metrics(256)
    assert "weights missing" in missing_metrics(256)["fid"]


def test_with_its_weights_here_a_metric_of_sets_sees_all_stored_frames_and_cells_have_other_names(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = frame_scores.weights_here()
    missing, seen = gm.metrics.missing_weights, []

    def measure(images: torch.Tensor, real: torch.Tensor) -> float:
        seen.append((images, real))
        return 12.5

    monkeypatch.setattr(gm.metrics, "missing_weights", lambda name: [] if name == "kid" else missing(name))
    monkeypatch.setattr(gm.metrics, "kid", measure)
    scores, generated = FrameScores(clip), noisy(clip)
    for part in generated.split(3):
        scores.add(part)
    assert scores.summary() == {**summarise(scores.rows), "kid": 12.5}
    assert torch.equal(seen[0][0], to_unit(to_bytes(generated)))
    assert torch.equal(seen[0][1], to_unit(clip.frames))
    assert "kid" not in scores.not_computed
    assert "kid" not in before
    assert frame_scores.weights_here() == (*before, "kid")
    assert Protocol(48, weights=("kid",)).describe() == {**Protocol(48).describe(), "weights": ("kid",)}


def test_rows_survive_the_file_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    rows = [{"frame": 0.0, "ssim": 0.25, "brightness": 100.5}, {"frame": 1.0, "ssim": 0.5, "flicker": 3.0, "brightness": 99.5}]
    write_rows(tmp_path / "a.csv", rows)
    assert read_rows(tmp_path / "a.csv") == rows
    (tmp_path / "a.csv").write_text("frame,ssim\n0,high\n")
    with pytest.raises(InputError, match=r"a\.csv is damaged"):
        read_rows(tmp_path / "a.csv")


def test_crops_hold_their_joints_and_stay_inside(clip: Clip) -> None:
    for joints in clip.joints:
        person, face = person_box(joints, 48), face_box(joints, 48)
        assert person is not None
        left, top, right, bottom = person
        seen = joints[joints[:, 2] > 0, :2].clamp(0, 47)
        assert (seen[:, 0] >= left - 0.5).all()
        assert (seen[:, 0] <= right).all()
        assert (seen[:, 1] >= top - 0.5).all()
        assert (seen[:, 1] <= bottom).all()
        for box in (person, face):
            if box is not None:
                assert min(box) >= 0
                assert max(box) <= 48
                assert min(box[2] - box[0], box[3] - box[1]) >= SMALLEST


def test_no_face_without_two_of_its_joints_and_no_person_outside_the_picture() -> None:
    joints = torch.zeros(18, 3)
    joints[INDEX["nose"]] = torch.tensor([20.0, 20.0, 1.0])
    assert face_box(joints, 48) is None
    joints[:, :2], joints[:, 2] = -30.0, 1.0
    assert person_box(joints, 48) is None


def test_a_face_in_the_corner_has_a_whole_crop() -> None:
    joints = torch.zeros(18, 3)
    for name, x in (("left_eye", 47.0), ("right_eye", 46.0)):
        joints[INDEX[name]] = torch.tensor([x, 0.0, 1.0])
    assert face_box(joints, 48) == (37, 0, 48, 11)


def test_crop_scores_are_scikit_images_of_the_cut_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(3, 30, 30, generator=generator) * 2 - 1 for _ in range(2))
    a, b = (((picture[:, 4:20, 3:25] + 1) / 2).permute(1, 2, 0).double().numpy() for picture in (first, second))
    scores = crop_scores(first, second, (3, 4, 25, 20))
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1.0), rel=1e-6)
    assert scores["ssim"] == pytest.approx(structural_similarity(a, b, win_size=7, data_range=1.0, channel_axis=2), abs=1e-6)


class Told:
    """Sees what it is told to, in a picture of 256 pixels."""

    def __init__(self, joints: torch.Tensor | None) -> None:
        self.joints = joints

    def estimate(self, frame: NDArray[np.uint8]) -> Detection | None:
        assert frame.shape == (256, 256, 3)
        return None if self.joints is None else Detection(self.joints.numpy(), None)

    def reset(self) -> None:
        return


def upright() -> torch.Tensor:
    """A torso 20 pixels along both diagonals of a 64-pixel picture: 12 across, 16 high."""
    joints = torch.zeros(18, 3)
    places = {"right_shoulder": (20, 20), "left_shoulder": (32, 20), "right_hip": (20, 36), "left_hip": (32, 36), "nose": (26, 10)}
    for name, (x, y) in places.items():
        joints[INDEX[name]] = torch.tensor([x, y, 1.0])
    return joints


def in_large(joints: torch.Tensor) -> torch.Tensor:
    large = joints.clone()
    large[:, :2] = (joints[:, :2] + 0.5) * 4 - 0.5
    return large


def test_pose_scores_in_torsos() -> None:
    joints, picture = upright(), torch.zeros(3, 64, 64, dtype=torch.uint8)
    assert torso_length(joints) == pytest.approx(20.0)
    assert pose_scores(picture, joints, Told(in_large(joints))) == pytest.approx({"pck": 1.0, "joint_error": 0.0}, abs=1e-6)
    moved = joints.clone()
    moved[INDEX["nose"], 0] += 6  # 0.3 torsos: wrong
    moved[INDEX["left_hip"], 1] += 3  # 0.15: right
    moved[INDEX["right_hip"], 2] = 0  # not found: wrong, and without an error
    found = pose_scores(picture, joints, Told(in_large(moved)))
    assert found == pytest.approx({"pck": 3 / 5, "joint_error": (0.3 + 0.15) / 4}, abs=1e-5)


def test_nobody_found_is_all_wrong_and_a_driver_without_torso_is_left_out() -> None:
    joints, picture = upright(), torch.zeros(3, 64, 64, dtype=torch.uint8)
    assert pose_scores(picture, joints, Told(None)) == {"pck": 0.0}
    joints[INDEX["left_shoulder"], 2] = joints[INDEX["right_shoulder"], 2] = 0
    assert pose_scores(picture, joints, Told(in_large(joints))) == {}
