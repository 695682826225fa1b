"""Which of the K source frames each part of the body is taken from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_meta.models.limbs import direction
from metapix.puppet.body import HEAD, Body

_SOURCES = 4  # blended at most; averaging all K blurs
_SHARPNESS = 0.15  # a source that costs this much more than another counts e times less

# What one unit of disagreement costs; measured on four people (benchmarks/puppet.py), and flat around these values.
_ANGLE, _LENGTH, _POSE, _FACING, _HIDDEN = 2.0, 2.0, 1.5, 1.0, 0.7
_HEAD_TURN = 4.0
_UNKNOWN = 100.0


@dataclass(frozen=True, eq=False)
class Choice:
    """For each target and part the sources (N, M, 10), best first, and their weights (N, M, 10), which sum to 1."""

    sources: Tensor
    weights: Tensor


def choose_sources(target: Body, source: Body, visible: Tensor) -> Choice:
    """The source frames that show each part as the target pose needs it.

    Weights are a continuous function of the pose, so that a part does not jump from one source to another: the weight of the
    best source left out is taken off those kept.

    Args:
        target: N poses.
        source: K poses.
        visible: (K, 10) in [0, 1]: how much of each part its frame shows.
    """
    weights = torch.softmax(-_costs(target, source, visible) / _SHARPNESS, 1)
    kept = min(_SOURCES, weights.shape[1])
    best, sources = weights.topk(min(kept + 1, weights.shape[1]), 1)
    if best.shape[1] > kept:
        best, sources = best[:, :kept] - best[:, kept:], sources[:, :kept]
    total = best.sum(1, keepdim=True)
    first = torch.zeros_like(best)
    first[:, 0] = 1  # all sources are equally good: any one will do
    return Choice(sources, torch.where(total > 1e-6, best / total.clamp_min(1e-6), first))


def _costs(target: Body, source: Body, visible: Tensor) -> Tensor:
    """(N, K, 10)."""
    cost = (
        _ANGLE * _angles(target, source) + _LENGTH * _foreshortening(target, source) + _POSE * _pose_distance(target, source).unsqueeze(-1)
    )
    turn = (target.turn[:, None] - source.turn).abs().unsqueeze(-1)
    weight = torch.ones_like(visible[0])
    weight[HEAD] = _HEAD_TURN
    cost = cost + _FACING * ((target.facing[:, None] - source.facing).abs().unsqueeze(-1) + turn * weight)
    return cost + _HIDDEN * (1 - visible) + _UNKNOWN * (~source.seen)


def _angles(target: Body, source: Body) -> Tensor:
    """(N, K, 10): the angle between the parts, 1 for opposite directions."""
    a, b = direction(target.segments)[0], direction(source.segments)[0]
    inner = (a[:, None] * b).sum(-1)
    outer = a[:, None, :, 0] * b[..., 1] - a[:, None, :, 1] * b[..., 0]
    return torch.atan2(outer, inner).abs() / torch.pi


def _foreshortening(target: Body, source: Body) -> Tensor:
    """(N, K, 10): the log ratio of the parts' lengths, each in the body's own size; 0.12 keeps short ones from counting too much."""
    a, b = (torch.log(direction(body.segments)[1] / body.size[:, None] + 0.12) for body in (target, source))
    return (a[:, None] - b).abs()


def _pose_distance(target: Body, source: Body) -> Tensor:
    """(N, K): mean distance of body joints after centring, in torso lengths."""
    known = (target.known[:, None, :14] & source.known[:, :14]).to(target.joints).unsqueeze(-1)
    count = known.sum(2, keepdim=True).clamp_min(1)
    a, b = (body.joints[:, :14] / body.size[:, None, None] for body in (target, source))
    difference = (a[:, None] - b) * known
    centred = (difference - difference.sum(2, keepdim=True) / count) * known
    distance: Tensor = centred.norm(dim=-1).sum(2) / count[:, :, 0, 0]
    return distance
