"""Metrics of consecutive frames: how steady a video is, and whether it changes from frame to frame as the real one does."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gan_meta.metrics.checks import check_images, check_pair, check_peak, exact
from gan_meta.metrics.images import ssim_uniform

Distance = Callable[[Tensor, Tensor], Tensor]
"""From two batches of pictures (N, 3, H, W) in [-1, 1] to a distance a pair, (N,)."""


def temporal_std(frames: Tensor, *, peak: float = 255.0) -> float:
    """How much a video's brightness wavers: the standard deviation over frames of each frame's mean pixel value.

    The definition of MetaPix's released code (population standard deviation), on the scale ``(x + 1) * peak / 2``.
    Lower is steadier, but a frozen picture scores 0: read it beside the real video's own value.

    Args:
        frames: (N, 3, H, W) in [-1, 1], consecutive frames of one video.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`.
    """
    check_images("frames", frames)
    check_peak(peak)
    return float(exact(frames).flatten(1).mean(1).std(correction=0)) * peak / 2


def flicker(generated: Tensor, real: Tensor) -> float:
    """Mean absolute difference between the generated and the real change from frame to frame, on the 0-255 scale.

    0 when the generated video moves exactly as the real one does, whatever its colours; a still video scores the
    real motion itself.

    Args:
        generated, real: (N, 3, H, W) in [-1, 1], consecutive frames of one video, N at least 2.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`; also for a single frame.
    """
    return float(frame_flicker(generated, real).mean())


def frame_flicker(generated: Tensor, real: Tensor) -> Tensor:
    """:func:`flicker` step by step: (N - 1,) float64, the one between frames n and n + 1 at place n.

    Args, raises: as :func:`flicker`, whose value is the mean of these.
    """
    _check_consecutive("flicker", generated, real)
    return (exact(generated) - exact(real)).diff(dim=0).abs().flatten(1).mean(1) * 127.5


def change_error(generated: Tensor, real: Tensor, distance: Distance | None = None) -> Tensor:
    """How far the amount of change from frame to frame is from the real video's: (N - 1,) float64.

    ``|d(g[n + 1], g[n]) - d(r[n + 1], r[n])|`` with a distance d, the form of tLPIPS (Chu et al. 2020, "Learning temporal
    coherence via self-supervision"), which needs no optical flow. A video that flickers changes too much, a frozen one too
    little; both are punished.

    Args:
        generated, real: (N, 3, H, W) in [-1, 1], consecutive frames of one video, N at least 2.
        distance: default: 1 - :func:`ssim_uniform`, for which no weights are needed; LPIPS makes it tLPIPS.

    Raises:
        TypeError, ValueError: as :func:`image_metrics`; also for a single frame.
    """
    _check_consecutive("the error of change", generated, real)
    measure = distance or _structural_distance
    return (exact(measure(generated[1:], generated[:-1])) - exact(measure(real[1:], real[:-1]))).abs()


def _structural_distance(first: Tensor, second: Tensor) -> Tensor:
    return 1 - ssim_uniform(first, second)


def _check_consecutive(what: str, generated: Tensor, real: Tensor) -> None:
    check_pair(generated, real)
    if generated.shape[0] < 2:
        raise ValueError(f"{what} compares consecutive frames and needs at least 2; got 1")
