"""Image and video metrics whose input is checked, per frame and aggregated in the paper's order: frames, then videos."""

from gan_meta.metrics.backbones import WEIGHTS, WeightsMissingError, dists, fid, kid, lpips, missing_weights
from gan_meta.metrics.checks import RANGE_TOLERANCE
from gan_meta.metrics.images import MS_SSIM_SMALLEST, image_metrics, masked_psnr, ms_ssim, ssim_gaussian, ssim_piq, ssim_uniform
from gan_meta.metrics.summaries import aggregate, summarise
from gan_meta.metrics.temporal import Distance, change_error, flicker, frame_flicker, temporal_std

__all__ = [
    "MS_SSIM_SMALLEST",
    "RANGE_TOLERANCE",
    "WEIGHTS",
    "Distance",
    "WeightsMissingError",
    "aggregate",
    "change_error",
    "dists",
    "fid",
    "flicker",
    "frame_flicker",
    "image_metrics",
    "kid",
    "lpips",
    "masked_psnr",
    "missing_weights",
    "ms_ssim",
    "ssim_gaussian",
    "ssim_piq",
    "ssim_uniform",
    "summarise",
    "temporal_std",
]
