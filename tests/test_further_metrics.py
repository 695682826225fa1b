"""The metrics beyond the paper's: MS-SSIM, piq's SSIM, the temporal ones, and those whose weights may be missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import piq.feature_extractors
import pytest
import torch
from skimage.metrics import structural_similarity

from gan_meta import metrics
from tests.test_metrics import as_numpy, images, related


def test_piqs_default_ssim_is_the_gaussian_one_until_it_shrinks_the_pictures() -> None:
    small, large = related(0, n=1), related(0, n=1, height=400, width=390)
    torch.testing.assert_close(metrics.ssim_piq(*small), metrics.ssim_gaussian(*small), rtol=0, atol=0)
    halved = [torch.nn.functional.avg_pool2d(picture, 2) for picture in large]
    torch.testing.assert_close(metrics.ssim_piq(*large), metrics.ssim_gaussian(*halved), rtol=1e-9, atol=1e-9)


def test_ms_ssim_is_the_product_over_five_scales_computed_with_scikit_image() -> None:
    generated, real = related(1, n=1, height=176, width=176)
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    product = np.ones(3)
    for scale, weight in enumerate(weights):
        a, b = (as_numpy(picture, 1.0)[0] for picture in (generated, real))
        _, whole = structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2, full=True
        )
        inside = whole[5:-5, 5:-5]
        if scale < 4:  # all but the coarsest leave the luminance out: divide it off
            mean_a, mean_b = (_gaussian_mean(picture) for picture in (a, b))
            inside = inside / ((2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2))
        product *= np.maximum(inside.mean(axis=(0, 1)), 0) ** weight
        generated, real = (torch.nn.functional.avg_pool2d(picture, 2) for picture in (generated, real))
    assert metrics.ms_ssim(*related(1, n=1, height=176, width=176)).item() == pytest.approx(product.mean(), abs=2e-6)


def _gaussian_mean(picture: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return np.stack([gaussian_filter(picture[..., channel], 1.5, truncate=3.5)[5:-5, 5:-5] for channel in range(3)], axis=-1)


def test_ms_ssim_refuses_small_pictures_in_words() -> None:
    with pytest.raises(ValueError, match="at least 161x161 pixels, got 160x200"):
        metrics.ms_ssim(torch.zeros(1, 3, 160, 200), torch.zeros(1, 3, 160, 200))


def test_flicker_is_the_mean_of_its_steps() -> None:
    generated, real = related(2, n=5)
    steps = metrics.frame_flicker(generated, real)
    assert steps.shape == (4,)
    assert metrics.flicker(generated, real) == pytest.approx(float(steps.mean()), rel=1e-12)
    assert float(steps[2]) == pytest.approx(metrics.flicker(generated[2:4], real[2:4]), rel=1e-12)


def test_the_error_of_change_punishes_flicker_and_freezing_but_not_a_still_fault() -> None:
    real = images(3, n=1, spread=0.5).repeat(5, 1, 1, 1) + 0.02 * images(4, n=5)
    blinking = real + 0.3 * torch.tensor([-1.0, 1.0, -1.0, 1.0, -1.0], dtype=torch.float64)[:, None, None, None]
    assert metrics.change_error(real, real).tolist() == [0.0] * 4
    assert (metrics.change_error(blinking, real) > 0.1).all()
    moving = images(5, n=5)
    frozen = moving[:1].repeat(5, 1, 1, 1)
    expected = [1 - structural_similarity(*as_numpy(moving[n : n + 2], 2.0), win_size=7, data_range=2.0, channel_axis=2) for n in range(4)]
    assert metrics.change_error(frozen, moving).tolist() == pytest.approx(expected, abs=1e-9)


def test_the_error_of_change_takes_any_distance() -> None:
    generated, real = related(6, n=4)
    found = metrics.change_error(generated, real, lambda a, b: (a - b).abs().flatten(1).mean(1))
    change = [(video[1:] - video[:-1]).abs().flatten(1).mean(1) for video in (generated, real)]
    torch.testing.assert_close(found, (change[0] - change[1]).abs(), rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="needs at least 2; got 1"):
        metrics.change_error(generated[:1], real[:1])


@pytest.mark.parametrize("metric", sorted(metrics.WEIGHTS))
def test_a_metric_without_its_weights_says_which_are_missing_and_fetches_nothing(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert metrics.missing_weights(metric) == list(metrics.WEIGHTS[metric])
    with pytest.raises(metrics.WeightsMissingError, match=f"{metric} was not computed: weights missing"):
        getattr(metrics, metric)(torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64))
    assert not list(tmp_path.rglob("*.pt*"))


class MeanColour(torch.nn.Module):
    """A feature extractor in Inception's form: a list of one feature map."""

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        return [pictures.mean((2, 3), keepdim=True)]


def test_fid_of_the_same_pictures_is_zero_and_equals_the_closed_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for Inception, whose weights are not here: the features are the mean colour, the rest is the real path."""
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / metrics.WEIGHTS["fid"][0]).touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(piq.feature_extractors, "InceptionV3", MeanColour)
    first, second = images(7, n=40), images(8, n=40, spread=0.5)
    features = [((picture + 1) / 2).float().mean((2, 3)).double().numpy() for picture in (first, second)]
    means, covariances = [f.mean(0) for f in features], [np.cov(f, rowvar=False) for f in features]
    values = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1]) - 2 * np.sqrt(values).sum()
    assert metrics.fid(first, first) == pytest.approx(0.0, abs=1e-5)
    assert metrics.fid(first, second) == pytest.approx(expected, abs=1e-4)


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="lpips"):
        metrics.missing_weights("lpip")
