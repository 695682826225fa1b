"""Image and video metrics whose input is checked, per frame and aggregated in the paper's order: frames, then videos."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

RANGE_TOLERANCE = 1e-3
"""How far a pixel may lie outside [-1, 1] before the images count as being on another scale."""

_FRAMES_AT_ONCE = 16  # SSIM holds some ten float64 copies of the images; a group keeps a long video's memory flat


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
    _check_pair(generated, real)
    _check_peak(peak)
    mse = (_exact(generated) - _exact(real)).square().flatten(1).mean(1) * (peak / 2) ** 2
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
    _check_pair(generated, real)
    if window < 3 or window % 2 == 0:
        raise ValueError(f"the SSIM window must be an odd number of pixels, at least 3; got {window}")
    _check_size(generated, window)
    groups = zip(torch.split(generated, _FRAMES_AT_ONCE), torch.split(real, _FRAMES_AT_ONCE), strict=True)
    return torch.cat([_ssim(_exact(a), _exact(b), window) for a, b in groups])


def ssim_gaussian(generated: Tensor, real: Tensor) -> Tensor:
    """SSIM with an 11x11 Gaussian window (sigma 1.5) at full resolution, computed by piq: (N,) float64.

    Other papers report this one; it is not comparable with :func:`ssim_uniform`. Inputs and errors as
    :func:`image_metrics`, with H and W at least 11.
    """
    _check_pair(generated, real)
    _check_size(generated, 11)
    import piq  # brings torchvision with it, which nothing else here needs

    unit = [((_exact(images) + 1) / 2).clamp(0, 1) for images in (generated, real)]  # piq refuses even 1 + 1e-9
    result: Tensor = piq.ssim(*unit, data_range=1.0, reduction="none", downsample=False)
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
    _check_pair(generated, real)
    _check_tensor("mask", mask)
    expected = (generated.shape[0], 1, *generated.shape[2:])
    if tuple(mask.shape) != expected:
        raise ValueError(f"mask must have shape {expected}, one weight a pixel of the images; got {tuple(mask.shape)}")
    _check_range("mask", mask, 0.0, 1.0)
    weights = _exact(mask).clamp(0, 1)
    total = weights.flatten(1).sum(1)
    if bool((total == 0).any()):
        empty = torch.nonzero(total == 0).flatten().tolist()
        raise ValueError(f"the mask is empty in frame(s) {empty}; leave frames without the masked object out")
    squared = (_exact(generated) - _exact(real)).square().mean(1, keepdim=True)
    return _psnr((weights * squared).flatten(1).sum(1) / total, 2.0)


def temporal_std(frames: Tensor, *, peak: float = 255.0) -> float:
    """How much a video's brightness wavers: the standard deviation over frames of each frame's mean pixel value.

    The definition of MetaPix's released code (population standard deviation), on the scale ``(x + 1) * peak / 2``.
    Lower is steadier, but a frozen picture scores 0: read it beside the real video's own value.

    Args:
        frames: (N, 3, H, W) in [-1, 1], consecutive frames of one video.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`.
    """
    _check_images("frames", frames)
    _check_peak(peak)
    return float(_exact(frames).flatten(1).mean(1).std(correction=0)) * peak / 2


def flicker(generated: Tensor, real: Tensor) -> float:
    """Mean absolute difference between the generated and the real change from frame to frame, on the 0-255 scale.

    0 when the generated video moves exactly as the real one does, whatever its colours; a still video scores the
    real motion itself.

    Args:
        generated, real: (N, 3, H, W) in [-1, 1], consecutive frames of one video, N at least 2.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`; also for a single frame.
    """
    _check_pair(generated, real)
    if generated.shape[0] < 2:
        raise ValueError("flicker compares consecutive frames and needs at least 2; got 1")
    return float((_exact(generated) - _exact(real)).diff(dim=0).abs().mean()) * 127.5


def summarise(per_frame: Mapping[str, Tensor]) -> dict[str, float]:
    """One video's figures: the mean over frames of each metric.

    The paper averages per-frame values, so the mean PSNR is not the PSNR of the mean MSE.

    Args:
        per_frame: metric name to (N,) values, as :func:`image_metrics` returns.

    Raises:
        ValueError: when a metric is not (N,) with N at least 1, or the metrics disagree about N.
    """
    shapes = {name: tuple(values.shape) for name, values in per_frame.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 or shape[0] == 0 for shape in shapes.values()):
        raise ValueError(f"each metric must hold one value a frame, for the same frames; got shapes {shapes}")
    return {name: float(_exact(values).mean()) for name, values in per_frame.items()}


def aggregate(videos: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A table row: for each metric its mean over videos and, as ``<name>_sd``, the sample standard deviation.

    Each video counts once, however long it is. The deviation is left out where there is none to state: for a
    single video, or when a value is infinite.

    Args:
        videos: one mapping a video, as :func:`summarise` returns; all with the same names.

    Raises:
        ValueError: when there is no video, or the videos have different metrics.
    """
    if not videos:
        raise ValueError("aggregate needs at least one video; got none")
    names = list(videos[0])
    for index, video in enumerate(videos):
        if set(video) != set(names):
            raise ValueError(f"video {index} has the metrics {sorted(video)}, the first video has {sorted(names)}; they must agree")
    row: dict[str, float] = {}
    for name in names:
        values = [float(video[name]) for video in videos]
        row[name] = sum(values) / len(values)
        if len(values) > 1 and all(map(math.isfinite, values)):
            row[f"{name}_sd"] = statistics.stdev(values)
    return row


def _exact(tensor: Tensor) -> Tensor:
    """The values in float64, where they are (on the CPU where the device has no float64)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).detach().double()


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


def _check_pair(generated: Tensor, real: Tensor) -> None:
    _check_images("generated", generated)
    _check_images("real", real)
    if generated.shape != real.shape:
        raise ValueError(f"generated and real must have the same shape; got {tuple(generated.shape)} and {tuple(real.shape)}")
    if generated.device != real.device:
        raise ValueError(f"generated is on {generated.device} and real on {real.device}; move them to one device")


def _check_images(name: str, images: Tensor) -> None:
    _check_tensor(name, images)
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{name} must have shape (N, 3, H, W) with at least one frame; got {tuple(images.shape)}")
    _check_range(name, images, -1.0, 1.0)


def _check_tensor(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor; got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, since differences of {tensor.dtype} wrap round; convert it to float first")


def _check_range(name: str, tensor: Tensor, low: float, high: float) -> None:
    smallest, largest = (float(v) for v in tensor.detach().aminmax())
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        raise ValueError(f"{name} holds NaN or infinite values; find out where they come from before measuring")
    if smallest < low - RANGE_TOLERANCE or largest > high + RANGE_TOLERANCE:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}]; got values from {smallest:g} to {largest:g}")


def _check_size(images: Tensor, window: int) -> None:
    if min(images.shape[2:]) < window:
        raise ValueError(f"SSIM's window is {window}x{window} pixels; images of {images.shape[2]}x{images.shape[3]} are too small for it")


def _check_peak(peak: float) -> None:
    if not (math.isfinite(peak) and peak > 0):
        raise ValueError(f"peak is the value of a white pixel and must be a positive number; got {peak}")
