"""Metrics of single pictures against the real ones: MSE, PSNR, and SSIM in the forms that papers report."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gan_meta.metrics.checks import check_pair, check_peak, check_range, check_size, check_tensor, exact, unit

_FRAMES_AT_ONCE = 16  # SSIM holds some ten float64 copies of the images; a group keeps a long video's memory flat

MS_SSIM_SMALLEST = 161
"""Side of the smallest picture that MS-SSIM takes: an 11-pixel window at the coarsest of five scales."""


def image_metrics(generated: Tensor, real: Tensor, *, peak: float = 255.0) -> dict[str, Tensor]:
    """MSE, PSNR and SSIM of each generated frame against the real one.

    Args:
        generated: (N, 3, H, W) in [-1, 1], floating point, H and W at least 7.
        real: the same shape and range.
        peak: the scale of the MSE: a pixel x becomes ``(x + 1) * peak / 2``. 255 is the usual 8-bit scale;
            256 gives the numbers of MetaPix's released code. PSNR and SSIM do not depend on it.

    Returns:
        ``{"mse", "psnr", "ssim"}``, each (N,) float64. The PSNR of identical frames is ``inf``.

    Raises:
        TypeError: when the images are not floating-point tensors (uint8 arithmetic wraps round).
        ValueError: when shapes differ or are not (N, 3, H, W), or values are not finite or leave [-1, 1].

    Example:
        >>> black, white = -torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
        >>> image_metrics(black, white)["mse"].item(), image_metrics(black, white)["psnr"].item()
        (65025.0, 0.0)
    """
    check_pair(generated, real)
    check_peak(peak)
    mse = (exact(generated) - exact(real)).square().flatten(1).mean(1) * (peak / 2) ** 2
    return {"mse": mse, "psnr": _psnr(mse, peak), "ssim": ssim_uniform(generated, real)}


def ssim_uniform(generated: Tensor, real: Tensor, *, window: int = 7) -> Tensor:
    """SSIM with a square uniform window, as scikit-image computes it and MetaPix reports it: (N,) float64.

    Means, variances and the covariance are taken in each window that lies wholly inside the image (sample
    statistics, divided by n - 1), and the index is averaged over windows and channels. Source: Wang et al.
    2004, equation 13, with K1 = 0.01 and K2 = 0.03.

    Args:
        generated, real: (N, 3, H, W) in [-1, 1], H and W at least ``window``.
        window: side of the window in pixels, odd and at least 3.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`.
    """
    check_pair(generated, real)
    if window < 3 or window % 2 == 0:
        raise ValueError(f"the SSIM window must be an odd number of pixels, at least 3; got {window}")
    check_size(generated, window)
    groups = zip(torch.split(generated, _FRAMES_AT_ONCE), torch.split(real, _FRAMES_AT_ONCE), strict=True)
    return torch.cat([_ssim(exact(a), exact(b), window) for a, b in groups])


def ssim_gaussian(generated: Tensor, real: Tensor) -> Tensor:
    """SSIM with an 11x11 Gaussian window (sigma 1.5) at full resolution, computed by piq: (N,) float64.

    Other papers report this one; it is not comparable with :func:`ssim_uniform`. Inputs and errors as
    :func:`image_metrics`, with H and W at least 11.
    """
    check_pair(generated, real)
    check_size(generated, 11)
    import piq  # brings torchvision with it, which nothing else here needs

    result: Tensor = piq.ssim(unit(generated), unit(real), data_range=1.0, reduction="none", downsample=False)
    return result


def ssim_piq(generated: Tensor, real: Tensor) -> Tensor:
    """SSIM as piq computes it by default: (N,) float64.

    As :func:`ssim_gaussian`, but pictures of 384 pixels and more are first averaged down by ``round(side / 256)``; smaller ones
    give the same number. Inputs and errors as there.
    """
    check_pair(generated, real)
    check_size(generated, 11)
    import piq

    result: Tensor = piq.ssim(unit(generated), unit(real), data_range=1.0, reduction="none")
    return result


def ms_ssim(generated: Tensor, real: Tensor) -> Tensor:
    """Multi-scale SSIM over five scales with an 11x11 Gaussian window, computed by piq: (N,) float64.

    Source: Wang et al. 2003. Inputs and errors as :func:`image_metrics`, with H and W at least 161.
    """
    check_pair(generated, real)
    if min(generated.shape[2:]) < MS_SSIM_SMALLEST:
        height, width = generated.shape[2:]
        raise ValueError(f"MS-SSIM needs pictures of at least {MS_SSIM_SMALLEST}x{MS_SSIM_SMALLEST} pixels, got {height}x{width}")
    import piq

    result: Tensor = piq.multi_scale_ssim(unit(generated), unit(real), data_range=1.0, reduction="none")
    return result


def masked_psnr(generated: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """PSNR inside a mask, for example of the person: (N,) float64, ``inf`` where the frames agree there.

    Args:
        generated, real: (N, 3, H, W) in [-1, 1].
        mask: (N, 1, H, W) in [0, 1], the weight of each pixel's squared error.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`; also when a frame's mask is empty, since a PSNR of
            nothing is undefined.
    """
    check_pair(generated, real)
    check_tensor("mask", mask)
    expected = (generated.shape[0], 1, *generated.shape[2:])
    if tuple(mask.shape) != expected:
        raise ValueError(f"mask must have shape {expected}, one weight a pixel of the images; got {tuple(mask.shape)}")
    check_range("mask", mask, 0.0, 1.0)
    weights = exact(mask).clamp(0, 1)
    total = weights.flatten(1).sum(1)
    if bool((total == 0).any()):
        empty = torch.nonzero(total == 0).flatten().tolist()
        raise ValueError(f"the mask is empty in frame(s) {empty}; leave frames without the masked object out")
    squared = (exact(generated) - exact(real)).square().mean(1, keepdim=True)
    return _psnr((weights * squared).flatten(1).sum(1) / total, 2.0)


def _psnr(mse: Tensor, peak: float) -> Tensor:
    return 10 * torch.log10(peak**2 / mse)


def _ssim(x: Tensor, y: Tensor, window: int) -> Tensor:
    """SSIM of images in [-1, 1] (data range 2), as (N,)."""
    x, y = x + 1, y + 1  # the luminance term compares intensities, which start at 0
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (_window_means(v, window) for v in (x, y, x * x, y * y, x * y))
    unbiased = window**2 / (window**2 - 1)
    var_x, var_y, cov = (unbiased * v for v in (mean_xx - mean_x**2, mean_yy - mean_y**2, mean_xy - mean_x * mean_y))
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    index = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return index.flatten(1).mean(1)


def _window_means(values: Tensor, window: int) -> Tensor:
    """The mean of each window x window square inside the image; rows, then columns, a third of the work of squares."""
    return functional.avg_pool2d(functional.avg_pool2d(values, (window, 1), stride=1), (1, window), stride=1)
