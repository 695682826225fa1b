"""An optimiser's state as tensors and JSON, and put back from them once every entry is known to be one of this optimiser's."""

from __future__ import annotations

import copy
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gan_meta.checkpoint import CheckpointError
from gan_meta.contents import is_same
from gan_meta.training.entries import Entries
from gan_meta.weight_values import kind_of, largest

_LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "sum")
_NEVER_NEGATIVE = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")
_HOW = ("foreach", "fused", "capturable", "differentiable")
"""Options that say how a step is computed; those of the present optimiser hold."""
_MOVING = ("lr", "initial_lr", "params")

Shape = tuple[int, ...]


def pack_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and a JSON document."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}{index}.{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    groups = [{name: _plain(value) for name, value in group.items()} for group in state["param_groups"]]
    return tensors, {"plain": plain, "groups": groups, "with_state": sorted(state["state"])}


def refuse_unkept(optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimiser of one's own, before its first step, that remembers more than what checkpoints keep.

    Raises:
        ValueError: naming the attributes that a step changes besides the ``state``.
    """
    if type(optimizer).__module__.startswith("torch.optim."):
        return
    try:
        stand_in, small = _tiny(optimizer)
        kept = (stand_in.state, stand_in.param_groups, *stand_in.param_groups, *small)
        before = copy.deepcopy(vars(stand_in), {id(value): value for value in kept})
        stand_in.step()
    except Exception:  # noqa: BLE001 - whatever an optimiser of one's own does when it is copied
        return
    changed = [name for name, value in vars(stand_in).items() if name not in before or not is_same(before[name], value)]
    if changed:
        raise ValueError(
            f"{type(optimizer).__name__} remembers more than its state ({', '.join(changed)}), which no checkpoint keeps, so that a "
            "resumed run would go on otherwise: keep it in self.state[parameter], as tensors and numbers, or train without a run_dir"
        )


def read_optimizer(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor], document: Entries, most_steps: int
) -> dict[str, Any]:
    """The state dict that :func:`pack_optimizer` took, if it is one of this optimiser's; the optimiser is not changed.

    Args:
        most_steps: how many steps it can have made.

    Raises:
        CheckpointError: naming the entry that is missing, foreign, or of another type, shape or range.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = _entries(prefix, tensors, document, len(parameters))
    expected = _outline(optimizer)
    for index, entries in state.items():
        place = f"{document.path} is damaged, or no checkpoint of this training: the optimiser's state of parameter {index}"
        if expected is not None and entries.keys() != expected[index].keys():
            raise CheckpointError(
                f"{place} has the entries {', '.join(sorted(entries)) or 'none'}; "
                f"{', '.join(sorted(expected[index])) or 'none'} belong there"
            )
        for name, value in entries.items():
            wanted = _wanted(name, parameters[index]) if expected is None else expected[index][name]
            problem = _problem(name, value, wanted, most_steps)
            if problem is not None:
                raise CheckpointError(f"{place} has an entry {name!r} that {problem}")
    return {"state": state, "param_groups": _groups(optimizer, document)}


def put_optimizer_back(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Set an optimiser to what :func:`read_optimizer` gave."""
    optimizer.load_state_dict(dict(state))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, entries in state["state"].items():
        for name, value in entries.items():
            loaded = optimizer.state[parameters[index]][name]
            # Torch gives every entry its parameter's type, also a factor that the optimiser itself keeps in another.
            if isinstance(value, Tensor) and loaded.dtype != value.dtype:
                optimizer.state[parameters[index]][name] = value.to(loaded.device, copy=True)


def _entries(prefix: str, tensors: Mapping[str, Tensor], document: Entries, count: int) -> dict[int, dict[str, Any]]:
    """Each parameter's entries, of which all must belong to some parameter."""
    state: dict[int, dict[str, Any]] = {}
    plain = document.section("plain")
    for number in plain.document:
        state[_index(document, number, count)] = dict(plain.section(number).document)
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            number, _, entry = name[len(prefix) :].partition(".")
            state.setdefault(_index(document, number, count), {})[entry] = tensor
    if "with_state" in document.document and document.items("with_state") != sorted(state):
        raise document.wrong("with_state", f"{sorted(state)}, the parameters whose entries are there,")
    return state


def _index(document: Entries, number: str, count: int) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 10 and int(number) < count):
        raise CheckpointError(
            f"{document.path} is damaged, or no checkpoint of this training: it has an optimiser's state of parameter {number!r}, "
            f"but there are {count}, numbered from 0"
        )
    return int(number)


def _outline(optimizer: torch.optim.Optimizer) -> list[dict[str, tuple[Shape, torch.dtype] | None]] | None:
    """Each parameter's entries as one step leaves them, with the shapes and types of tensors; of a copy with tiny parameters.

    ``None`` where the optimiser cannot be copied or stepped so.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    try:
        stand_in, small = _tiny(optimizer)
        stand_in.step()
    except Exception:  # noqa: BLE001 - whatever an optimiser of one's own does when it is copied
        return None
    return [
        {name: _shape(value, tiny, parameter) for name, value in stand_in.state.get(tiny, {}).items()}
        for tiny, parameter in zip(small, parameters, strict=True)
    ]


def _tiny(optimizer: torch.optim.Optimizer) -> tuple[torch.optim.Optimizer, list[nn.Parameter]]:
    """A copy that has not stepped, of tiny parameters with gradients, and these."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    small = [nn.Parameter(parameter.detach().new_zeros([min(size, 2) for size in parameter.shape])) for parameter in parameters]
    memo: dict[int, Any] = {id(parameter): stand_in for parameter, stand_in in zip(parameters, small, strict=True)}
    memo[id(optimizer.state)] = defaultdict(dict)
    stand_in = type(optimizer).__new__(type(optimizer))  # torch's own copy leaves out what a class of one's own adds
    vars(stand_in).update(copy.deepcopy(vars(optimizer), memo))
    for parameter in small:
        parameter.grad = torch.zeros_like(parameter)
    return stand_in, small


def _shape(value: Any, tiny: Tensor, parameter: Tensor) -> tuple[Shape, torch.dtype] | None:
    if not isinstance(value, Tensor):
        return None
    if value.ndim != tiny.ndim:
        return tuple(value.shape), value.dtype
    sizes = zip(value.shape, tiny.shape, parameter.shape, strict=True)
    return tuple(whole if size == small else size for size, small, whole in sizes), value.dtype


def _wanted(name: str, parameter: Tensor) -> tuple[Shape, torch.dtype] | None:
    return (tuple(parameter.shape), parameter.dtype) if name in _LIKE_PARAMETER else None


def _problem(name: str, value: Any, wanted: tuple[Shape, torch.dtype] | None, most_steps: int) -> str | None:
    if isinstance(value, Tensor):
        if wanted is not None and tuple(value.shape) != wanted[0]:
            return f"has the shape {tuple(value.shape)}, should have {wanted[0]}"
        if wanted is not None and value.dtype != wanted[1] and (value.ndim or kind_of(value.dtype) != kind_of(wanted[1])):
            return f"is of type {value.dtype}, should be {wanted[1]}"
        if kind_of(value.dtype) in ("real", "complex") and not math.isfinite(largest(value)):
            return "holds values that are not finite"
        if name in _NEVER_NEGATIVE and kind_of(value.dtype) == "real" and bool((value < 0).any()):
            return "holds values below 0"
    elif wanted is not None or not isinstance(value, bool | int | float | str | None) or value != value:
        return f"is {value!r}, should be a tensor" if wanted is not None else f"is {value!r}, should be a number"
    if name == "step":
        count = float(value) if isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1) else math.nan
        if not (0 <= count <= most_steps and count == int(count)):
            return f"is {count:g}, should be a whole number from 0 to {most_steps}"
    return None


def _groups(optimizer: torch.optim.Optimizer, document: Entries) -> list[dict[str, Any]]:
    """The parameter groups to put back: the file's values in the present optimiser's options."""
    own = optimizer.state_dict()["param_groups"]
    saved = document.items("groups")
    if len(saved) != len(own) or not all(isinstance(group, dict) for group in saved):
        raise document.wrong("groups", f"a list of {len(own)} parameter groups")
    return [
        _group(optimizer, Entries(document.path, there, f"{document.where}.groups[{number}]"), here)
        for number, (there, here) in enumerate(zip(saved, own, strict=True))
    ]


def _group(optimizer: torch.optim.Optimizer, saved: Entries, own: Mapping[str, Any]) -> dict[str, Any]:
    is_torchs = type(optimizer).__module__.startswith("torch.optim.")
    group = dict(own)
    for name, value in saved.document.items():
        if name not in own:
            raise saved.wrong(name, f"nothing of this name, which {type(optimizer).__name__} here does not know,")
        here = json.loads(json.dumps(_plain(own[name])))
        if name == "lr":
            saved.number(name)
        elif name == "params" or (is_torchs and name not in (*_HOW, *_MOVING)):
            if value != here or type(value) is not type(here):
                raise saved.wrong(name, f"{here!r}, as here,")
        elif not _is_like(value, here):
            raise saved.wrong(name, f"a value such as {here!r}")
        if name not in _HOW:
            group[name] = tuple(value) if isinstance(own[name], tuple) else value
    return group


def _is_like(value: Any, here: Any) -> bool:
    number = (int, float)
    if type(value) in number and type(here) in number:
        return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63
    return here is None or value is None or type(value) is type(here)


def _plain(value: Any) -> Any:
    """What JSON can hold of an option."""
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        return value.item()
    return value
