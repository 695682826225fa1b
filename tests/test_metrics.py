"""Metrics against scikit-image, piq, closed forms and laws."""

from __future__ import annotations

import math

import numpy as np
import piq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gan_meta import metrics
from gan_meta.metrics.images import _FRAMES_AT_ONCE

SEEDS = st.integers(0, 2**31 - 1)


def images(seed: int, n: int = 3, height: int = 16, width: int = 19, spread: float = 1.0) -> torch.Tensor:
    """(n, 3, height, width) float64, uniform in [-spread, spread]."""
    return (2 * torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1) * spread


def related(seed: int, **shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A real batch and a noisy, darkened copy of it."""
    real = images(seed, **shape)
    return (0.6 * real + 0.3 * images(seed + 1, **shape) - 0.1).clamp(-1, 1), real


def as_numpy(batch: torch.Tensor, peak: float) -> NDArray[np.float64]:
    return ((batch + 1) * peak / 2).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("peak", [255.0, 256.0])
def test_image_metrics_agree_with_scikit_image(peak: float) -> None:
    generated, real = related(0, n=4, height=23, width=31)
    result = metrics.image_metrics(generated, real, peak=peak)
    for index, (a, b) in enumerate(zip(as_numpy(generated, peak), as_numpy(real, peak), strict=True)):
        assert result["mse"][index].item() == pytest.approx(np.mean((a - b) ** 2), rel=1e-12)
        assert result["psnr"][index].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=peak), rel=1e-12)
        expected = structural_similarity(a, b, win_size=7, data_range=peak, channel_axis=2)
        assert result["ssim"][index].item() == pytest.approx(expected, abs=1e-10)
    assert {values.dtype for values in result.values()} == {torch.float64}


def test_the_released_scale_changes_the_mse_only() -> None:
    usual, released = (metrics.image_metrics(*related(1), peak=peak) for peak in (255.0, 256.0))
    torch.testing.assert_close(released["mse"], usual["mse"] * (256 / 255) ** 2, rtol=1e-12, atol=0)
    torch.testing.assert_close(released["psnr"], usual["psnr"], rtol=1e-12, atol=0)
    assert torch.equal(released["ssim"], usual["ssim"])


def test_float32_images_are_measured_in_float64() -> None:
    generated, real = related(2)
    single = metrics.image_metrics(generated.float(), real.float())
    double = metrics.image_metrics(generated.float().double(), real.float().double())
    assert all(torch.equal(single[name], double[name]) for name in double)


def test_closed_form_of_a_constant_difference() -> None:
    real = torch.zeros(2, 3, 9, 9)
    result = metrics.image_metrics(real + 0.5, real)
    assert result["mse"].tolist() == [(0.5 * 127.5) ** 2] * 2
    assert result["psnr"].tolist() == pytest.approx([20 * math.log10(4)] * 2, abs=1e-12)
    c1 = (0.01 * 2) ** 2  # no contrast: only the luminance term is left, of intensities 1.5 and 1 on a scale of 2
    assert result["ssim"].tolist() == pytest.approx([(2 * 1.5 + c1) / (1.5**2 + 1 + c1)] * 2, abs=1e-12)


def test_ssim_of_many_frames_equals_frame_by_frame() -> None:
    generated, real = related(3, n=_FRAMES_AT_ONCE + 5, height=8, width=9)
    one_by_one = torch.cat([metrics.ssim_uniform(a[None], b[None]) for a, b in zip(generated, real, strict=True)])
    torch.testing.assert_close(metrics.ssim_uniform(generated, real), one_by_one, rtol=1e-12, atol=1e-12)


def test_a_larger_uniform_window_also_agrees_with_scikit_image() -> None:
    generated, real = related(4, n=1)
    expected = structural_similarity(as_numpy(generated, 2)[0], as_numpy(real, 2)[0], win_size=11, data_range=2, channel_axis=2)
    assert metrics.ssim_uniform(generated, real, window=11).item() == pytest.approx(expected, abs=1e-10)


def test_gaussian_ssim_agrees_with_scikit_image_at_full_resolution() -> None:
    generated, real = related(5, n=1, height=400, width=390)
    expected = structural_similarity(
        as_numpy(generated, 1)[0], as_numpy(real, 1)[0], gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1, channel_axis=2,
    )  # fmt: skip
    assert metrics.ssim_gaussian(generated, real).item() == pytest.approx(expected, abs=1e-6)
    shrunk = piq.ssim((generated + 1) / 2, (real + 1) / 2, data_range=1.0, downsample=True).item()
    assert abs(shrunk - expected) > 1e-3, "piq's downsampling default would have gone unnoticed"


def test_psnr_agrees_with_piq() -> None:
    generated, real = related(6)
    expected = piq.psnr((generated + 1) / 2, (real + 1) / 2, data_range=1.0, reduction="none")
    torch.testing.assert_close(metrics.image_metrics(generated, real)["psnr"], expected, rtol=1e-6, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, peak=st.floats(1.0, 1000.0))
def test_equal_images_are_perfect(seed: int, peak: float) -> None:
    batch = images(seed, n=2, height=11, width=12)
    result = metrics.image_metrics(batch, batch.clone(), peak=peak)
    assert result["mse"].tolist() == [0.0, 0.0]
    assert result["psnr"].tolist() == [math.inf, math.inf]
    assert result["ssim"].tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    assert metrics.ssim_gaussian(batch, batch).tolist() == pytest.approx([1.0, 1.0], abs=1e-6)
    assert metrics.masked_psnr(batch, batch, torch.ones(2, 1, 11, 12)).tolist() == [math.inf, math.inf]


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_metrics_are_symmetric_and_bounded(seed: int) -> None:
    generated, real = related(seed, n=2, height=11, width=12)
    forward, backward = metrics.image_metrics(generated, real), metrics.image_metrics(real, generated)
    for name in forward:
        torch.testing.assert_close(forward[name], backward[name], rtol=1e-12, atol=1e-12)
    assert (forward["ssim"].abs() <= 1).all()
    assert (forward["mse"] > 0).all()
    assert metrics.flicker(generated, real) == pytest.approx(metrics.flicker(real, generated), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_masked_psnr_laws(seed: int) -> None:
    generated, real = related(seed, n=2)
    weights = images(seed + 2, n=2)[:, :1].abs() + 1e-3
    weights = weights / weights.amax()
    whole = metrics.image_metrics(generated, real)["psnr"]
    torch.testing.assert_close(metrics.masked_psnr(generated, real, torch.full_like(weights, 0.25)), whole, rtol=1e-12, atol=0)
    inside = metrics.masked_psnr(generated, real, weights)
    torch.testing.assert_close(metrics.masked_psnr(generated, real, weights / 2), inside, rtol=1e-12, atol=0)
    holes = weights.clone()
    holes[:, :, :8] = 0  # what lies under weight 0 must not matter
    changed = generated.clone()
    changed[:, :, :8] = 1
    assert torch.equal(metrics.masked_psnr(generated, real, holes), metrics.masked_psnr(changed, real, holes))


def test_masked_psnr_by_hand() -> None:
    real = torch.zeros(1, 3, 8, 8)
    generated = real.clone()
    generated[..., 0, 0], generated[..., 0, 1] = 1.0, 0.5
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 0, 0], mask[..., 0, 1] = 1.0, 0.5
    weighted = (1.0 * 1.0 + 0.5 * 0.25) / 1.5  # mean squared error on the scale [-1, 1], whose peak is 2
    assert metrics.masked_psnr(generated, real, mask).item() == pytest.approx(10 * math.log10(4 / weighted), abs=1e-12)


def test_temporal_std_is_numpys_standard_deviation_of_frame_means() -> None:
    frames = images(7, n=6)
    pixels = as_numpy(frames, 256.0)
    assert metrics.temporal_std(frames, peak=256.0) == pytest.approx(np.std([frame.mean() for frame in pixels]), rel=1e-12)
    assert metrics.temporal_std(frames[:1].repeat(4, 1, 1, 1)) == pytest.approx(0.0, abs=1e-9)
    blinking = torch.tensor([-1.0, 1.0, -1.0, 1.0])[:, None, None, None].expand(4, 3, 8, 8)
    assert metrics.temporal_std(blinking) == 127.5


def test_flicker_by_a_written_out_loop() -> None:
    generated, real = related(8, n=4)
    a, b = as_numpy(generated, 255.0), as_numpy(real, 255.0)
    expected = np.mean([np.abs((a[t + 1] - a[t]) - (b[t + 1] - b[t])).mean() for t in range(3)])
    assert metrics.flicker(generated, real) == pytest.approx(expected, rel=1e-12)


def test_flicker_ignores_a_constant_tint() -> None:
    real = images(9, spread=0.5)
    assert metrics.flicker(real + 0.25, real) == pytest.approx(0.0, abs=1e-12)


def test_summarise_averages_psnr_over_frames() -> None:
    real = torch.zeros(2, 3, 8, 8)
    generated = torch.stack([real[0] + 0.1, real[1] + 0.9])
    per_frame = metrics.image_metrics(generated, real)
    video = metrics.summarise(per_frame)
    assert video["psnr"] == pytest.approx((20 * math.log10(20) + 20 * math.log10(2 / 0.9)) / 2, abs=1e-5)
    assert abs(video["psnr"] - 10 * math.log10(255**2 / video["mse"])) > 3


def test_aggregate_counts_each_video_once_with_the_sample_deviation() -> None:
    row = metrics.aggregate([{"ssim": 0.2, "psnr": 10.0}, {"ssim": 0.4, "psnr": 14.0}, {"ssim": 0.9, "psnr": 12.0}])
    assert row == pytest.approx({"ssim": 0.5, "ssim_sd": np.std([0.2, 0.4, 0.9], ddof=1), "psnr": 12.0, "psnr_sd": 2.0})


def test_aggregate_states_no_deviation_where_there_is_none() -> None:
    assert metrics.aggregate([{"psnr": 12.5}]) == {"psnr": 12.5}
    assert metrics.aggregate([{"psnr": math.inf}, {"psnr": 10.0}]) == {"psnr": math.inf}


GOOD = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), TypeError, "uint8 wrap round"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), TypeError, "floating point"),
        (np.zeros((2, 3, 8, 8)), TypeError, "torch.Tensor; got ndarray"),
        (torch.full((2, 3, 8, 8), math.nan), ValueError, "NaN or infinite"),
        (torch.full((2, 3, 8, 8), math.inf), ValueError, "NaN or infinite"),
        (torch.full((2, 3, 8, 8), 255.0), ValueError, r"\[-1, 1\]; got values from 255 to 255"),
        (torch.full((2, 3, 8, 8), -1.002), ValueError, r"\[-1, 1\]"),
        (torch.zeros(3, 8, 8), ValueError, r"\(N, 3, H, W\)"),
        (torch.zeros(2, 1, 8, 8), ValueError, r"\(N, 3, H, W\)"),
        (torch.zeros(2, 8, 8, 3), ValueError, r"\(N, 3, H, W\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, "at least one frame"),
    ],
)
def test_every_metric_refuses_bad_images(bad: torch.Tensor, error: type[Exception], words: str) -> None:
    calls = (
        metrics.image_metrics, metrics.ssim_uniform, metrics.ssim_gaussian, metrics.flicker,
        lambda generated, real: metrics.masked_psnr(generated, real, torch.ones(2, 1, 8, 8)),
    )  # fmt: skip
    for call in calls:
        for pair in ((bad, GOOD), (GOOD, bad)):
            with pytest.raises(error, match=words):
                call(*pair)
    with pytest.raises(error, match=words):
        metrics.temporal_std(bad)


def test_a_rounding_error_outside_the_range_is_accepted() -> None:
    assert metrics.image_metrics(GOOD + 1 + 1e-6, GOOD)["psnr"].tolist() == pytest.approx([20 * math.log10(2)] * 2, abs=1e-4)
    generated = torch.full((1, 3, 11, 11), 1 + 1e-6)
    assert metrics.ssim_gaussian(generated, torch.ones_like(generated)).item() == pytest.approx(1.0, abs=1e-6)


def test_other_misuse_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"same shape; got \(2, 3, 8, 8\) and \(2, 3, 8, 9\)"):
        metrics.image_metrics(GOOD, torch.zeros(2, 3, 8, 9))
    with pytest.raises(ValueError, match="7x7 pixels; images of 6x8"):
        metrics.image_metrics(torch.zeros(1, 3, 6, 8), torch.zeros(1, 3, 6, 8))
    with pytest.raises(ValueError, match="odd"):
        metrics.ssim_uniform(GOOD, GOOD, window=4)
    with pytest.raises(ValueError, match="peak"):
        metrics.image_metrics(GOOD, GOOD, peak=0.0)
    with pytest.raises(ValueError, match="needs at least 2"):
        metrics.flicker(GOOD[:1], GOOD[:1])
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 1, 8, 8\)"):
        metrics.masked_psnr(GOOD, GOOD, torch.ones(2, 3, 8, 8))
    with pytest.raises(ValueError, match=r"empty in frame\(s\) \[1\]"):
        metrics.masked_psnr(GOOD, GOOD, torch.tensor([1.0, 0.0])[:, None, None, None].expand(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"mask must lie in \[0, 1\]"):
        metrics.masked_psnr(GOOD, GOOD, torch.full((2, 1, 8, 8), 255.0))
    with pytest.raises(TypeError, match="mask must be floating point"):
        metrics.masked_psnr(GOOD, GOOD, torch.ones(2, 1, 8, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match="one value a frame"):
        metrics.summarise({"psnr": torch.zeros(3), "ssim": torch.zeros(2)})
    with pytest.raises(ValueError, match="one value a frame"):
        metrics.summarise({"psnr": torch.zeros(0)})
    with pytest.raises(ValueError, match="at least one video"):
        metrics.aggregate([])
    with pytest.raises(ValueError, match="video 1 has the metrics"):
        metrics.aggregate([{"psnr": 1.0}, {"ssim": 1.0}])
