"""Metrics that need a trained network: LPIPS, DISTS, FID and KID by piq, wherever their weights lie; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_meta.metrics.checks import check_images, check_pair, unit
from gan_meta.naming import unknown_name

_VGG16 = "vgg16-397923af.pth"
_INCEPTION = "pt_inception-2015-12-05-6726825d.pth"
WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "lpips": (_VGG16, "lpips_weights.pt"),
    "dists": (_VGG16, "dists_weights.pt"),
    "fid": (_INCEPTION,),
    "kid": (_INCEPTION,),
}
"""The files of each metric, where ``torch.hub`` keeps files (``<hub>/checkpoints``)."""

_PICTURES_AT_ONCE = 16


class WeightsMissingError(FileNotFoundError):
    """A metric cannot be computed because its network's weights are not on this machine."""


def missing_weights(metric: str) -> list[str]:
    """The files that a metric of :data:`WEIGHTS` lacks here; empty when it can be computed.

    Raises:
        ValueError: for another metric.
    """
    if metric not in WEIGHTS:
        raise ValueError(unknown_name("metric", metric, WEIGHTS))
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return [name for name in WEIGHTS[metric] if not (folder / name).is_file()]


def lpips(generated: Tensor, real: Tensor) -> Tensor:
    """LPIPS with VGG16 (Zhang et al. 2018), computed by piq: (N,) float32, 0 for equal pictures, lower is nearer.

    Args:
        generated, real: (N, 3, H, W) in [-1, 1].

    Raises:
        WeightsMissingError: when its weights are not here.
        TypeError, ValueError: as :func:`image_metrics`.
    """
    return _pairwise("lpips", "LPIPS", generated, real)


def dists(generated: Tensor, real: Tensor) -> Tensor:
    """DISTS (Ding et al. 2020), computed by piq; as :func:`lpips`."""
    return _pairwise("dists", "DISTS", generated, real)


def fid(generated: Tensor, real: Tensor) -> float:
    """Frechet Inception distance between two sets of pictures (Heusel et al. 2017), computed by piq; lower is nearer.

    With fewer pictures than the 2048 features it is biased upwards: compare only sets of one size.

    Args:
        generated, real: (N, 3, H, W) and (M, 3, H, W) in [-1, 1].

    Raises:
        WeightsMissingError: when Inception's weights are not here.
        TypeError, ValueError: as :func:`image_metrics`, but for the numbers of pictures.
    """
    return _between_sets("fid", "FID", generated, real)


def kid(generated: Tensor, real: Tensor) -> float:
    """Kernel Inception distance (Binkowski et al. 2018), computed by piq; as :func:`fid`, without its bias."""
    return _between_sets("kid", "KID", generated, real)


def _require(metric: str) -> None:
    missing = missing_weights(metric)
    if missing:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise WeightsMissingError(f"{metric} was not computed: weights missing ({', '.join(missing)}); put them into {folder}")


def _pairwise(metric: str, network: str, generated: Tensor, real: Tensor) -> Tensor:
    check_pair(generated, real)
    _require(metric)
    import piq

    measure = getattr(piq, network)(reduction="none").to(generated.device)
    groups = zip(_groups(generated), _groups(real), strict=True)
    with torch.no_grad():
        return torch.cat([measure(first, second).reshape(-1) for first, second in groups])


def _between_sets(metric: str, network: str, generated: Tensor, real: Tensor) -> float:
    check_images("generated", generated)
    check_images("real", real)
    _require(metric)
    import piq
    from piq import feature_extractors

    measure: Any = getattr(piq, network)()
    extractor, device = feature_extractors.InceptionV3(), str(generated.device)  # piq's own default is a GPU
    features = [measure.compute_feats([{"images": group} for group in _groups(images)], extractor, device) for images in (generated, real)]
    return float(measure(*features))


def _groups(images: Tensor) -> Sequence[Tensor]:
    return torch.split(unit(images).float(), _PICTURES_AT_ONCE)
