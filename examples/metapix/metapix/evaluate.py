"""Evaluate: personalise each start to each clip and score the frames it has not seen, as the paper's Table 1 does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import gan_meta as gm
from metapix.conditioning import Poses
from metapix.data.clip import Clip
from metapix.personalize import draw, personalize, pose_inputs
from metapix.poses.pose_input import person_discs, to_bytes, to_unit
from metapix.puppet.puppet import Puppet
from metapix.tasks import evenly_spaced, nearest_frames, split

Row = dict[str, Any]
"""One row of ``results.json``: a start, its settings, its scores averaged over clips, and the scores of each clip."""

SCORES = ("ssim", "psnr", "mse", "temporal_std", "person_psnr")


def score_clip(generated: Tensor, truth: Clip) -> dict[str, Any]:
    """Scores of one clip: per frame, then averaged over frames.

    Args:
        generated: (N, 3, S, S) in [-1, 1]; rounded to 8 bits first, as a picture that is stored would be.
        truth: the clip's own frames in the same poses.

    Returns:
        ``ssim``, ``psnr``, ``mse`` (0-255 scale), ``person_psnr`` (inside discs along the skeleton; absent where no pose is
        known), ``temporal_std``, ``name`` and ``frames``.
    """
    images, real = to_unit(to_bytes(generated)), to_unit(truth.frames)
    scores = {name: float(values.mean()) for name, values in gm.metrics.image_metrics(images, real).items()}
    region = person_discs(truth.joints, truth.size)
    seen = region.flatten(1).any(dim=1)
    if bool(seen.any()):
        scores["person_psnr"] = float(gm.metrics.masked_psnr(images[seen], real[seen], region[seen]).mean())
    scores["temporal_std"] = float(gm.metrics.temporal_std(images))
    return {"name": truth.name, "frames": len(truth), **scores}


def make_row(model: str, init: str, shots: int, steps: int, videos: Sequence[Mapping[str, Any]], data: str, reference: str = "none") -> Row:
    """A row from its clips' scores: means over clips, and their sample standard deviation as ``<score>_sd``."""
    row: Row = {"model": model, "init": init, "K": shots, "T": steps, "data": data, "reference": reference}
    for score in SCORES:
        values = torch.tensor([video[score] for video in videos if score in video], dtype=torch.float64)
        if len(values) == 0:
            continue
        row[score] = float(values.mean())
        row[f"{score}_sd"] = float(values.std()) if len(values) > 1 else math.nan
    row = {key: value for key, value in row.items() if not (isinstance(value, float) and math.isnan(value))}
    row["videos"] = [dict(video) for video in videos]
    return row


def evaluate_start(
    start: gm.GANPair,
    clips: Sequence[Clip],
    objective: gm.Objective,
    inner: gm.InnerLoop,
    shots: int,
    *,
    seed: int = 0,
    person_weight: float = 0.0,
    curve: Sequence[int] = (),
    on_clip: Callable[[Clip, gm.GANPair, Tensor], None] | None = None,
) -> list[dict[str, Any]]:
    """Personalise a start to K frames of each clip's first 85% and score it on the rest.

    Args:
        start: a pair that draws pictures from poses; what else it is told comes from the K frames alone.
        person_weight: as for :func:`metapix.personalize.personalize`.
        curve: numbers of steps at which to take the mean PSNR on the scored frames while the start adapts; each clip's scores
            then have ``"psnr_curve"``, in this order.
        on_clip: called with (clip, the adapted pair, the generated frames) after each clip.
    """
    videos = []
    for clip in clips:
        first, rest = split(clip)
        chosen = evenly_spaced(first, shots)
        poses = pose_inputs(start, chosen, rest)
        by_step = {0: _mean_psnr(draw(start, poses), rest)} if 0 in curve else {}

        def take(
            step: int,
            pair: gm.GANPair,
            _losses: Mapping[str, Tensor],
            poses: Poses = poses,
            rest: Clip = rest,
            by_step: dict[int, float] = by_step,
        ) -> None:
            if step in curve:
                by_step[step] = _mean_psnr(draw(pair, poses), rest)

        adapted = personalize(start, chosen, objective, inner, seed, take, person_weight)
        generated = draw(adapted, poses)
        videos.append(score_clip(generated, rest))
        if curve:
            videos[-1]["psnr_curve"] = [by_step[step] for step in curve]
        if on_clip is not None:
            on_clip(clip, adapted, generated)
    return videos


def _mean_psnr(generated: Tensor, truth: Clip) -> float:
    return float(gm.metrics.image_metrics(to_unit(to_bytes(generated)), to_unit(truth.frames))["psnr"].mean())


def evaluate_puppet(clips: Sequence[Clip], shots: int) -> list[dict[str, Any]]:
    """Score the puppet: the person's limbs from the K frames moved to each pose, over the empty room; it learns nothing either."""
    videos = []
    for clip in clips:
        first, rest = split(clip)
        videos.append(score_clip(Puppet(evenly_spaced(first, shots)).render(rest.joints, rest.boxes).image, rest))
    return videos


def evaluate_nearest(clips: Sequence[Clip], shots: int) -> list[dict[str, Any]]:
    """Score the answer that learns nothing: for each pose, the one of the K frames whose pose is nearest."""
    videos = []
    for clip in clips:
        first, rest = split(clip)
        chosen = evenly_spaced(first, shots)
        videos.append(score_clip(to_unit(chosen.frames[nearest_frames(chosen, rest.joints)]), rest))
    return videos
