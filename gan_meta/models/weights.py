"""Weights of other people's models: reading a file without pickle, and loading it strictly, with errors that name the keys."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gan_meta.naming import named_as
from gan_meta.weight_values import layout_problem, value_problems

StateDict = Mapping[str, Tensor]

_DAMAGED = (
    *(pickle.UnpicklingError, SafetensorError, zipfile.BadZipFile, struct.error, RuntimeError, EOFError, OSError),
    *(ValueError, TypeError, AttributeError, AssertionError, LookupError, ArithmeticError, MemoryError),
)
"""What reading a damaged file may raise: torch's reader checks little of what it takes apart."""
_NAMED = 5  # how many keys of a kind a message lists


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """A plain state dict from a ``.safetensors`` file or a torch file (``.pth``, ``.pt``), on the CPU.

    Torch files are read with ``weights_only=True``: a file that holds anything but tensors is refused, not executed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is damaged or is not a plain state dict of dense tensors with names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    try:
        if path.suffix == ".safetensors":
            loaded = load_file(path)
        else:
            _refuse_compressed(path)
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        why = "" if isinstance(error, pickle.UnpicklingError) or not str(error) else f": {error}"  # torch's says how to load it unsafely
        raise ValueError(
            f"{path} is damaged or holds more than tensors and was not loaded; save the network's state_dict() itself{why}"
        ) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} is not a plain state dict (parameter name to tensor); save the network's state_dict() itself")
    for name, value in loaded.items():
        if not isinstance(name, str):
            raise ValueError(f"{path} names a tensor {name!r}, not by a word: it is not a network's state_dict(); save that itself")
        problem = layout_problem(value)
        if problem is not None:
            raise ValueError(f"{path}: {name} {problem}")
    # A few bytes can describe a view that repeats them without end.
    promised, held = sum(value.nbytes for value in loaded.values()), path.stat().st_size
    if promised > held:
        raise ValueError(f"{path} is damaged: its tensors claim {promised:,} bytes, the file has {held:,}")
    return dict(loaded)


def _refuse_compressed(path: Path) -> None:
    """torch does not compress what it saves; what is compressed may be far larger than the file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"its contents are compressed: {unpacked:,} bytes in {path.stat().st_size:,}")


def load_strictly(module: nn.Module, state_dict: StateDict) -> None:
    """Copy a state dict into a module: every key must be there, none may be left over, all shapes must agree.

    Keys may differ by what DataParallel or torch.compile add to them (``module.``, ``_orig_mod.``).

    Nothing is copied unless everything fits, and all values are weights (:func:`gan_meta.weight_values.value_problems`).

    Raises:
        ValueError: naming the missing, unexpected and mis-shaped keys, and those whose values are no weights.
    """
    own = module.state_dict()
    state_dict = named_as(state_dict, own)
    missing = [key for key in own if key not in state_dict]
    unexpected = [key for key in state_dict if key not in own]
    misshaped = [
        f"{key} is {tuple(state_dict[key].shape)}, should be {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in state_dict and state_dict[key].shape != tensor.shape
    ]
    problems = [
        f"{kind} ({len(keys)}): {', '.join(keys[:_NAMED])}{', ...' if len(keys) > _NAMED else ''}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", misshaped))
        if keys
    ]
    if problems:
        raise ValueError(
            f"the weights do not fit this {type(module).__name__}; build it with the arguments the weights were trained with. "
            + "; ".join(problems)
        )
    wrong = value_problems(own, state_dict)
    if wrong:
        raise ValueError(f"these are no weights: {'; '.join(wrong[:_NAMED])} ({len(wrong)} of {len(own)} tensors)")
    module.load_state_dict(state_dict)
