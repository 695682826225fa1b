"""Pairs out of other people's weight files: what a file's shapes say about its network, and the network with the weights in."""

from __future__ import annotations

import os
import re

import torch

from gan_meta.models.keras_weights import DENSEST, FLOAT_BYTES
from gan_meta.models.outline import create_within
from gan_meta.models.pix2pixhd import load_official_weights as load_pix2pixhd
from gan_meta.models.posewarp import PosewarpGenerator
from gan_meta.models.posewarp import load_official_weights as load_posewarp
from gan_meta.models.posewarp.weights import generator_arguments
from gan_meta.models.weights import StateDict, load_strictly, read_state_dict
from gan_meta.naming import without_wrappers
from gan_meta.pair import GANPair
from gan_meta.seeds import seeded

Path = str | os.PathLike[str]

_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.1\.weight")
_ENHANCER = re.compile(r"model(\d+)_1\.1\.weight")
_LOCAL_BLOCK = re.compile(r"model1_2\.(\d+)\.conv_block\.1\.weight")
_STAGE = re.compile(r"scale(\d+)_layer(\d+)\.0\.weight")


def posewarp_pair(path: Path) -> GANPair:
    """The Posewarp generator of a published Keras file, widths read off the file.

    Raises:
        FileNotFoundError, ImportError, ValueError: as for :func:`gan_meta.models.posewarp.load_official_weights`.
    """
    largest = os.path.getsize(path) // FLOAT_BYTES * DENSEST if os.path.isfile(path) else 0
    pair = create_within("posewarp", generator_arguments(path), {"generator": largest})
    assert isinstance(pair.generator, PosewarpGenerator)
    load_posewarp(pair.generator, path)
    return pair


def pix2pixhd_pair(generator: Path, discriminator: Path | None = None, seed: int = 0) -> GANPair:
    """The pix2pixHD pair of published ``.pth`` files, widths read off the files.

    Args:
        generator: ``latest_net_G.pth``, of the global generator or the local enhancer.
        discriminator: ``latest_net_D.pth``; without it the discriminator starts from random weights.
        seed: of those random weights.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a file is damaged or holds another model's weights.
    """
    generator_state = without_wrappers(read_state_dict(generator))
    arguments = _generator_arguments(generator_state, generator)
    discriminator_state: StateDict | None = None
    if discriminator is not None:
        discriminator_state = without_wrappers(read_state_dict(discriminator))
        arguments.update(_discriminator_arguments(discriminator_state, discriminator))
    most = {"generator": _values(generator_state)}
    if discriminator_state is not None:
        most["discriminator"] = _values(discriminator_state)
    with seeded(seed, torch.device("cpu")):
        pair = create_within("pix2pixhd", arguments, most)
    load_pix2pixhd(pair.generator, generator_state)
    if discriminator_state is not None:
        assert pair.discriminator is not None
        load_strictly(pair.discriminator, discriminator_state)
    return pair


def _generator_arguments(state: StateDict, path: Path) -> dict[str, int | str]:
    blocks = _numbers(_BLOCK, state)
    first = state.get("model.1.weight")
    if not blocks or first is None or first.ndim != 4 or (blocks[0] - 4) % 3:
        raise ValueError(f"{path} does not hold the weights of a pix2pixHD generator: it has no model.1.weight followed by residual blocks")
    enhancers = len(_numbers(_ENHANCER, state))
    arguments: dict[str, int | str] = {
        "pose_channels": first.shape[1],
        "base_channels": first.shape[0] // 2**enhancers,
        "n_downsample": (blocks[0] - 4) // 3,
        "n_blocks": len(blocks),
    }
    if enhancers:
        arguments.update(generator="local", n_enhancers=enhancers, n_local_blocks=len(_numbers(_LOCAL_BLOCK, state)))
    return arguments


def _discriminator_arguments(state: StateDict, path: Path) -> dict[str, int]:
    found = [(int(match[1]), int(match[2])) for match in map(_STAGE.fullmatch, state) if match]
    first = state.get("scale0_layer0.0.weight")
    if not found or first is None or max(layer for _, layer in found) < 2:
        raise ValueError(f"{path} does not hold the weights of a pix2pixHD discriminator: it has no scale0_layer0.0.weight and so on")
    scales, layers = (max(numbers) for numbers in zip(*found, strict=True))
    return {"discriminator_channels": first.shape[0], "n_layers": layers - 1, "n_scales": scales + 1}


def _values(state: StateDict) -> int:
    return sum(tensor.numel() for tensor in state.values())


def _numbers(pattern: re.Pattern[str], state: StateDict) -> list[int]:
    """The numbers in the names that match, ascending."""
    return sorted(int(match[1]) for match in map(pattern.fullmatch, state) if match)
