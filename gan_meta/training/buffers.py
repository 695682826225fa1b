"""What becomes of theta's buffers when an iteration's games are over: a rule for each kind of buffer, whatever the outer optimiser.

- Running averages, and any real or complex buffer of unknown kind, follow the games: theta's becomes the mean of the tasks' adapted
  values. A mean of variances is never below 0.
- Unit vectors (a buffer, or its rows or columns, of norm 1 in theta and in every game) are averaged and brought back to norm 1.
- The vectors of spectral normalisation are then fitted to theta's new weights by power iterations, so that the normalised weight's
  largest singular value is 1.
- Whole numbers and truth values (counters, flags) are taken from the last task.
- Any other buffer that no game changed stays as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

from gan_meta.algorithms.base import MetaGradient
from gan_meta.distributed import World

_ROUND, _ROUNDS = 5, 60
_SETTLED = 1e-6
"""Power iterations go on by rounds until the largest singular value changes by less than this part of itself."""
_CANCELLED = 1e-3
"""Unit vectors whose mean is shorter have no common direction."""


def went_bad(start: Tensor, end: Tensor) -> bool:
    """Whether a game put a value that is not finite where another value was."""
    return _is_averaged(start) and bool((~torch.isfinite(end) & _differs(start, end)).any())


def tell(pair: nn.Module, directions: Mapping[int, MetaGradient]) -> dict[str, dict[str, Any]]:
    """What a rank's own games did to each buffer, JSON-able: for :func:`join`.

    Args:
        directions: by the task's number.
    """
    told: dict[str, dict[str, Any]] = {}
    for name, start in pair.named_buffers():
        ends = {number: direction.buffers[name] for number, direction in directions.items() if name in direction.buffers}
        changed = any(bool(_differs(start, end).any()) for end in ends.values())
        unit = set.intersection(*map(_unit_dims, (start, *ends.values()))) if changed else set()
        told[name] = {"changed": changed, "tasks": len(ends), "last": max(ends, default=-1), "unit": sorted(unit)}
    return told


@torch.no_grad()
def join(
    pair: nn.Module, directions: Mapping[int, MetaGradient], reports: Sequence[Mapping[str, Mapping[str, Any]]], world: World
) -> dict[str, Tensor]:
    """The new values of the buffers that some game changed.

    Args:
        directions: this rank's own.
        reports: what every rank told, in order of rank.
        world: the ranks that have games of their own.
    """
    starts = dict(pair.named_buffers())
    changed = [name for name in starts if any(report[name]["changed"] for report in reports)]
    averaged = [name for name in changed if _is_averaged(starts[name])]
    own = [directions[number] for number in sorted(directions)]
    sums = [_sum([direction.buffers[name] for direction in own if name in direction.buffers], starts[name]) for name in averaged]
    joined: dict[str, Tensor] = {}
    for name, total in zip(averaged, world.sum_flat(sums), strict=True):
        mean = total / sum(report[name]["tasks"] for report in reports)
        unit = set.intersection(*(set(report[name]["unit"]) for report in reports if report[name]["changed"]))
        joined[name] = _to_unit(mean, starts[name], unit)
    for name in (name for name in changed if name not in joined):
        source = max(range(len(reports)), key=lambda rank, name=name: reports[rank][name]["last"])  # type: ignore[misc]
        last = reports[source][name]["last"]
        joined |= world.share({name: directions[last].buffers[name]} if last in directions else None, source)
    return joined


@torch.no_grad()
def move_buffers(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Set theta's buffers to what :func:`join` gave; call it when theta's weights have moved."""
    for name, buffer in module.named_buffers():
        if name in values:
            buffer.copy_(values[name])
    fit_spectral_vectors(module)


@torch.no_grad()
def fit_spectral_vectors(module: nn.Module) -> None:
    """Fit the vectors of every spectral normalisation (torch's, in its old and its new form) to the weights as they stand."""
    for matrix, u, v, eps in _normalised(module):
        before = float(torch.vdot(u, matrix @ v).abs())
        for _ in range(_ROUNDS):
            left, right = u, v
            for _ in range(_ROUND):
                left = nn.functional.normalize(matrix @ right, dim=0, eps=eps)
                right = nn.functional.normalize(matrix.mH @ left, dim=0, eps=eps)
            now = float(torch.vdot(left, matrix @ right).abs())
            if not now > 0:  # a weight of zeros has no directions
                break
            u.copy_(left)
            v.copy_(right)
            if abs(now - before) <= _SETTLED * now:
                break
            before = now
    for part in module.modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):  # its old form keeps the normalised weight as it was at the last forward pass
                setattr(part, hook.name, hook.compute_weight(part, do_power_iteration=False).detach())


def _is_averaged(buffer: Tensor) -> bool:
    return buffer.is_floating_point() or buffer.is_complex()


def _differs(start: Tensor, end: Tensor) -> Tensor:
    return (start != end) & ~((start != start) & (end != end))  # two that are not numbers count as equal


def _unit_dims(buffer: Tensor) -> set[int]:
    """The dimensions along which a buffer consists of vectors of norm 1; -1 stands for the whole buffer as one vector."""
    if not _is_averaged(buffer) or buffer.numel() < 2:
        return set()
    tolerance = max(1e-5, 4 * torch.finfo(buffer.dtype).eps)
    wide = buffer.detach().to(torch.complex128 if buffer.is_complex() else torch.float64)
    norms = {-1: torch.linalg.vector_norm(wide)}
    norms |= {dim: torch.linalg.vector_norm(wide, dim=dim) for dim in range(buffer.ndim) if buffer.ndim > 1 and buffer.shape[dim] > 1}
    return {dim for dim, norm in norms.items() if bool(((norm - 1).abs() < tolerance).all())}


def _to_unit(mean: Tensor, start: Tensor, unit: set[int]) -> Tensor:
    for dim in unit:
        norm = torch.linalg.vector_norm(mean) if dim < 0 else torch.linalg.vector_norm(mean, dim=dim, keepdim=True)
        # Vectors that cancel each other have no mean direction; theta keeps its own.
        mean = torch.where(norm > _CANCELLED, mean / norm.clamp_min(_CANCELLED), start)
    return mean


def _sum(values: Sequence[Tensor], like: Tensor) -> Tensor:
    total = torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))
    for value in values:
        total += value
    return total


def _normalised(module: nn.Module) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """Each spectrally normalised weight as a matrix, with its two vectors."""
    for part in module.modules():
        if isinstance(part, ParametrizationList):
            yield from _parametrised(part)
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                weight = getattr(part, f"{hook.name}_orig")
                yield hook.reshape_weight_to_matrix(weight), getattr(part, f"{hook.name}_u"), getattr(part, f"{hook.name}_v"), hook.eps


def _parametrised(steps: ParametrizationList) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """A step's weight is what the steps before it make of the original."""
    weights = [steps.original] if steps.is_tensor else [getattr(steps, f"original{number}") for number in range(steps.ntensors)]
    chain: list[Any] = list(steps)
    places = [number for number, step in enumerate(chain) if isinstance(step, parametrizations._SpectralNorm) and hasattr(step, "_u")]
    for number, step in enumerate(chain[: max(places, default=-1) + 1]):
        if number in places:
            yield step._reshape_weight_to_matrix(weights[0]), step._u, step._v, step.eps
        if number < places[-1]:
            weights = [step(*weights)]
