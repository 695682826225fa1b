"""What a training checkpoint says beside its tensors, and how every rank gets it: settings, versions, resuming."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_meta.checkpoint import PAIR as PAIR
from gan_meta.checkpoint import CheckpointError, check_tensors, check_types, load_tensors
from gan_meta.distributed import World
from gan_meta.game.player_loss import NonFiniteLossError
from gan_meta.pair import GANPair
from gan_meta.training.run_folder import RunFolder
from gan_meta.training.settings import Settings
from gan_meta.training.settings import describe_inner as describe_inner

logger = logging.getLogger(__name__)

UNREPEATABLE = (
    "the first samples differ when they are read again: the dataset has a generator or a state of its own, which the seed does not reach, "
    "so this training will neither repeat nor resume to the same bits; let it draw from a global generator (torch, numpy.random, random)"
)
"""What is said of samples that are no function of the seed."""
BUFFER = "buffers."
"""Prefix of the pair's buffers that are not persistent."""


def check_resume(resume: bool | str) -> bool | str:
    """The value, if it is possible.

    Raises:
        ValueError: when it is not.
    """
    if resume not in (True, False, "auto"):
        raise ValueError(f'resume must be "auto", True or False, got {resume!r}')
    return resume


def find_checkpoint(
    folder: RunFolder | None, resume: bool | str, settings: Settings, world: World
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
        settings.check(path, document)
        _mention_changes(document, world)
        return document

    document = world.on_first(look)
    return None if document is None else (world.share(tensors), document)


def versions() -> dict[str, str]:
    """The software's."""
    return {"gan-meta": importlib.metadata.version("gan-meta"), "torch": torch.__version__}


def provenance(world: World) -> dict[str, Any]:
    """What the last bits depend on besides the settings."""
    return {"versions": versions(), "ranks": world.size, "threads": torch.get_num_threads()}


def take_pair(pair: GANPair) -> dict[str, Tensor]:
    """A pair's weights and buffers, those that are not persistent included, as a checkpoint names them."""
    kept = {f"{PAIR}{name}": tensor for name, tensor in pair.state_dict().items()}
    return kept | {f"{BUFFER}{name}": buffer for name, buffer in _passing_buffers(pair).items()}


def check_pair(path: Path, pair: GANPair, tensors: Mapping[str, Tensor], *, is_whole: bool) -> None:
    """See that a checkpoint holds this pair.

    Args:
        is_whole: whether it holds the buffers that are not persistent; earlier versions left them out.

    Raises:
        CheckpointError: naming what does not fit.
    """
    check_tensors(path, pair.state_dict(), under(PAIR, tensors))
    check_types(path, pair, under(PAIR, tensors))
    passing, kept = _passing_buffers(pair), under(BUFFER, tensors)
    if is_whole or kept:
        check_tensors(path, passing, kept)
    elif passing:
        logger.warning("the checkpoint does not hold the buffers that are not persistent, which stay as they are: %s", ", ".join(passing))


def put_pair_back(pair: GANPair, tensors: Mapping[str, Tensor]) -> None:
    """Set a pair to what :func:`take_pair` took."""
    pair.load_state_dict(under(PAIR, tensors))
    passing, kept = _passing_buffers(pair), under(BUFFER, tensors)
    with torch.no_grad():
        for name in passing.keys() & kept.keys():
            passing[name].copy_(kept[name])


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def refuse_foreign(path: Path, tensors: Mapping[str, Tensor], prefixes: Sequence[str]) -> None:
    """Refuse tensors that nothing here would read.

    Raises:
        CheckpointError: naming the first of them.
    """
    foreign = sorted(name for name in tensors if not name.startswith(tuple(prefixes)))
    if foreign:
        raise CheckpointError(f"{path} is no checkpoint of this training: nothing here reads its tensor {foreign[0]!r}")


def outline(pair: GANPair) -> dict[str, Any]:
    """What must be the same of every rank, besides its settings: the software, and the names, types and shapes of its pair's tensors."""
    tensors = take_pair(pair)
    return {
        "versions": versions(),
        "pair": {name: f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for name, t in tensors.items()},
    }


def start_together(pair: GANPair, world: World) -> None:
    """Give every rank the weights and buffers of rank 0."""
    if world.size > 1:
        put_pair_back(pair, world.share(take_pair(pair)))


def check_weights(pair: GANPair, world: World, when: str) -> None:
    """See that the weights are numbers, and that they and the buffers are the same on every rank.

    Raises:
        NonFiniteLossError: when some are infinite or not a number.
        RuntimeError: when the ranks have come apart.
    """
    named = list(pair.named_parameters())
    sums = torch.stack([_sum(parameter) for _, parameter in named]).tolist()
    bad = [name for (name, parameter), total in zip(named, sums, strict=True) if not _is_finite(parameter, total)]
    if bad:
        raise NonFiniteLossError(
            f"{bad[0]!r} holds weights that are not finite {when} ({len(bad)} parameters do); a lower learning rate usually helps"
        )
    if world.size == 1:
        return
    sums += [float(_sum(buffer)) for buffer in pair.buffers()]
    if any(repr(others) != repr(sums) for others in world.gather(sums)):
        raise RuntimeError(
            f"the ranks no longer hold the same weights {when}: do they all see the same tasks and samples, on the same kind of device?"
        )


def _sum(tensor: Tensor) -> Tensor:
    values = tensor.detach()
    return torch.view_as_real(values.resolve_conj()).double().sum() if values.is_complex() else values.double().sum()


def _passing_buffers(pair: GANPair) -> dict[str, Tensor]:
    """Buffers that are no part of the pair's state dict."""
    kept = pair.state_dict()
    return {name: buffer for name, buffer in pair.named_buffers() if name not in kept}


def _is_finite(parameter: Tensor, total: float) -> bool:
    return abs(total) < float("inf") or bool(torch.isfinite(parameter.detach()).all())


def _mention_changes(document: Mapping[str, Any], world: World) -> None:
    """Other software or another number of ranks gives the same result to rounding, but not the same bits."""
    for name, now in provenance(world).items():
        then = document.get(name)
        if then is not None and then != now:
            logger.warning("the checkpoint was written with %s %s, this is %s: the result may differ in its last bits", name, then, now)
