"""What a training checkpoint says beside its tensors, and how every rank gets it: settings, versions, resuming."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_meta.checkpoint import PAIR as PAIR
from gan_meta.checkpoint import load_tensors, refuse_other_settings
from gan_meta.distributed import World
from gan_meta.game.inner import InnerLoop
from gan_meta.game.player_loss import NonFiniteLossError
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.training.outer_step import optimizer_label
from gan_meta.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

UNREPEATABLE = (
    "the first samples differ when they are read again: the dataset has a generator or a state of its own, which the seed does not reach, "
    "so this training will neither repeat nor resume to the same bits; let it draw from a global generator (torch, numpy.random, random)"
)
"""What is said of samples that are no function of the seed."""


def check_resume(resume: bool | str) -> bool | str:
    """The value, if it is possible.

    Raises:
        ValueError: when it is not.
    """
    if resume not in (True, False, "auto"):
        raise ValueError(f'resume must be "auto", True or False, got {resume!r}')
    return resume


def find_checkpoint(
    folder: RunFolder | None, resume: bool | str, settings: Mapping[str, Any], world: World
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the document to go on from; rank 0 reads them, so that the others need not see its disk.

    Raises:
        FileNotFoundError: with ``resume=True`` and no checkpoint.
        CheckpointError: when the checkpoint is damaged or of other settings.
        OtherRankError: on the other ranks, when rank 0 raised one of these.
    """
    tensors: dict[str, Tensor] | None = None

    def look() -> dict[str, Any] | None:
        nonlocal tensors
        path = None if folder is None else folder.newest
        if path is None or not path.is_file():
            if resume is True:
                raise FileNotFoundError(f"resume=True, but there is no checkpoint at {path}")
            return None
        if not resume:
            return None
        tensors, document = load_tensors(path)
        saved = document.get("settings")
        refuse_other_settings(path, saved if isinstance(saved, dict) else {}, settings)
        _mention_changes(document, world)
        return document

    document = world.on_first(look)
    return None if document is None else (world.share(tensors), document)


def provenance(world: World) -> dict[str, Any]:
    """What the last bits depend on besides the settings."""
    versions = {"gan-meta": importlib.metadata.version("gan-meta"), "torch": torch.__version__}
    return {"versions": versions, "ranks": world.size}


def describe_inner(inner: InnerLoop) -> dict[str, Any]:
    """The options of a game as JSON-able values; transforms by their names."""
    values = {option.name: getattr(inner, option.name) for option in dataclasses.fields(inner)}
    values["augment"] = [_transform_name(transform) for transform in inner.augment]
    values["random_augment"] = None if inner.random_augment is None else _transform_name(inner.random_augment)
    values["roles"] = dict(inner.roles)
    values["optimizer"] = optimizer_label(inner.optimizer)
    return values


def _transform_name(transform: object) -> str:
    if dataclasses.is_dataclass(transform):
        return repr(transform)  # its settings are settings of the training
    return str(getattr(transform, "__qualname__", type(transform).__qualname__))


def describe_objective(objective: Objective) -> dict[str, Any]:
    """An objective's class and those of its attributes that are plain values, such as the weights of its terms."""
    plain = {name: value for name, value in vars(objective).items() if isinstance(value, bool | int | float | str)}
    return {"class": type(objective).__name__, **plain}


def pair_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The pair's part of a checkpoint's tensors."""
    return under(PAIR, tensors)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def start_together(pair: GANPair, world: World) -> None:
    """Give every rank the weights and buffers of rank 0."""
    if world.size > 1:
        pair.load_state_dict(world.share(pair.state_dict()))


def check_weights(pair: GANPair, world: World, when: str) -> None:
    """See that the weights are numbers, and the same on every rank.

    Raises:
        NonFiniteLossError: when some are infinite or not a number.
        RuntimeError: when the ranks have come apart.
    """
    named = list(pair.named_parameters())
    sums = torch.stack([parameter.detach().double().sum() for _, parameter in named]).tolist()
    bad = [name for (name, parameter), total in zip(named, sums, strict=True) if not _is_finite(parameter, total)]
    if bad:
        raise NonFiniteLossError(
            f"{bad[0]!r} holds weights that are not finite {when} ({len(bad)} parameters do); a lower learning rate usually helps"
        )
    if any(others != sums for others in world.gather(sums)):
        raise RuntimeError(
            f"the ranks no longer hold the same weights {when}: do they all see the same tasks and samples, on the same kind of device?"
        )


def _is_finite(parameter: Tensor, total: float) -> bool:
    return abs(total) < float("inf") or bool(torch.isfinite(parameter.detach()).all())


def _mention_changes(document: Mapping[str, Any], world: World) -> None:
    """Other software or another number of ranks gives the same result to rounding, but not the same bits."""
    for name, now in provenance(world).items():
        then = document.get(name)
        if then is not None and then != now:
            logger.warning("the checkpoint was written with %s %s, this is %s: the result may differ in its last bits", name, then, now)
