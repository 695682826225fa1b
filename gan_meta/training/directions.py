"""What an algorithm must hand over, checked before theta moves by it: algorithms come from anywhere."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from torch import Tensor

from gan_meta.algorithms.base import MetaGradient
from gan_meta.pair import GANPair

TRAINING_LOGS = frozenset({"iteration", "direction_norm", "meta_lr", "skipped_tasks", "best_score"})
"""What the trainer says of each iteration itself."""


def check_direction(direction: object, pair: GANPair, learned: Sequence[str], algorithm: str) -> MetaGradient:
    """The direction, if theta can move by it.

    Args:
        learned: the names of the parameters whose start is learned.
        algorithm: whose direction it is, for the message.

    Raises:
        TypeError: when it is no :class:`gan_meta.MetaGradient`, or an entry no tensor or number.
        ValueError: when a learned parameter has none, a name is unknown or taken, or a tensor does not fit its parameter or buffer.
    """
    said = f"{algorithm}.meta_gradient"
    if not isinstance(direction, MetaGradient):
        raise TypeError(f"{said} returned a {type(direction).__name__}; it must return a gan_meta.MetaGradient")
    missing = [name for name in learned if name not in direction.grads]
    if missing:
        raise ValueError(
            f"{said} gave no direction for {missing[0]!r} ({len(missing)} of {len(learned)} learned parameters have none): give zeros for "
            "what a task does not move, or the role 'local' or 'frozen' to what is not learned (InnerLoop(roles=...))"
        )
    _check_entries(f"{said}'s grads", direction.grads, dict(pair.named_parameters()))
    _check_entries(f"{said}'s buffers", direction.buffers, dict(pair.named_buffers()))
    taken = TRAINING_LOGS & set(direction.logs)
    if taken:
        raise ValueError(f"{said}'s logs have {min(taken)!r}, which the trainer says itself; give it another name")
    return direction


def _check_entries(what: str, given: object, own: dict[str, Tensor]) -> None:
    if not isinstance(given, dict):
        raise TypeError(f"{what} are a {type(given).__name__}; they must be a dict of tensors by name")
    for name, tensor in given.items():
        if name not in own:
            nearest = difflib.get_close_matches(str(name), own, n=1, cutoff=0)
            raise ValueError(f"{what} have {name!r}, which the pair has not{f'; did you mean {nearest[0]!r}?' if nearest else ''}")
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what} have a {type(tensor).__name__} for {name!r}; it must be a tensor")
        like = own[name]
        if (tensor.shape, tensor.dtype, tensor.device) != (like.shape, like.dtype, like.device):
            raise ValueError(f"{what} have {_outline(tensor)} for {name!r}; it must be {_outline(like)}")


def _outline(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
