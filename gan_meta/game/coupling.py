"""Do losses per sample depend on the other samples of a batch? Then repeats are no weights, and a batch cannot be split.

One small experiment: the losses of a few samples in another order, one of them twice, beside those of the samples as they stand. A loss
that looks at the batch's mean, at other samples or at its neighbour is another one there; one of its own sample alone is the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Losses = Mapping[str, Tensor]

FAILURES = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""What losses may raise of samples that they cannot be computed for: they depend on what is in a batch."""
_TF32_EPS = 2.0**-10


def rearranged(count: int) -> list[int]:
    """The places, among ``count`` samples, of those to ask for: in another order, and the first of them twice."""
    return [0, 0] if count == 1 else [count - 1, 0, 0]


def are_coupled(losses: Losses, others: Losses, precision: torch.dtype) -> bool:
    """Whether some loss of a sample changes with the samples beside it.

    Args:
        losses: of some samples, (N,) each, by name.
        others: those of the same samples at the places that :func:`rearranged` gives.
        precision: in which the networks work.
    """
    differ = []
    for name, loss in losses.items():
        if not loss.is_floating_point():  # refused where it is reduced
            return False
        places = torch.tensor(rearranged(len(loss)), device=loss.device)
        if others[name].shape != places.shape:
            return True
        allowed = _tolerance(loss, precision) * loss.detach().abs().max()
        differ.append(~((others[name] - loss.detach()[places]).abs() <= allowed).all())  # what is no number differs from all
    return bool(torch.stack(differ).any())


def _tolerance(loss: Tensor, precision: torch.dtype) -> float:
    """What rounding may change, relative to the largest loss: another number of samples is computed in another order."""
    eps = max(torch.finfo(loss.dtype).eps, torch.finfo(precision).eps)
    if loss.is_cuda and torch.finfo(precision).bits == 32 and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32):
        eps = _TF32_EPS
    return float(eps**0.7)  # 1e-5 in float32
