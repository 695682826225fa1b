"""From per-frame values to a table row, in the paper's order: the mean over frames first, then over videos."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from torch import Tensor

from gan_meta.metrics.checks import exact


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
    return {name: float(exact(values).mean()) for name, values in per_frame.items()}


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
