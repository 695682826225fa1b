"""describe(): any value as JSON that is the same in every process, so that a resumed training, or another rank, can be compared with it."""

from __future__ import annotations

import datetime
import decimal
import dis
import enum
import fractions
import functools
import hashlib
import json
import math
import operator
import random
import re
import sys
import types
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Set
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

UNKNOWN = "not comparable"
"""The only key of what stands for a value that cannot be described, such as an open file or a random generator."""
CODE = "code"
"""The key of a function's code; it begins with Python's version, since other versions compile to other code."""

_DEEPEST = 12
_MOST = 5000  # values within one description
_LONGEST = 256  # entries of a list or a table that are written out
_WHOLE = 64 * 2**20
"""Of tensors larger than this many bytes only every so many-th element counts."""
_GETTERS = (operator.itemgetter, operator.attrgetter, operator.methodcaller)
_TIMES = (datetime.date, datetime.time, datetime.timedelta)
_BY_TEXT = (complex, range, slice, *_TIMES, decimal.Decimal, fractions.Fraction, uuid.UUID, *_GETTERS, np.ufunc)
_BY_NAME = (torch.dtype, torch.layout, torch.memory_format)
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:\d+)?")
"""Where a training computes is no setting: ranks have devices of their own, and a training may go on on another."""
_STATEFUL = (random.Random, torch.Generator, np.random.Generator, np.random.RandomState, Iterator)
_TOOLS = (sys.stdlib_module_names - {"argparse", "collections", "configparser", "functools", "types"}) | {
    *("PIL", "aim", "comet_ml", "h5py", "lmdb", "mlflow", "neptune", "rich", "tensorboard", "tensorboardX", "tqdm", "wandb"),
    "torch.utils.tensorboard",
}
"""Where the classes of loggers, progress bars, threads and files come from, whose state is the process's and no setting."""
_VERSIONED = ("torch", "numpy", "gan_meta", "builtins")
"""The code of these packages is compared by their versions."""


def describe(value: object, leave_out: Set[str] = frozenset()) -> Any:
    """The value as JSON: numbers, words, and containers of them as they are; tensors, arrays and modules by a digest; functions by name,
    code, defaults and what they enclose; any other object by its class and attributes.

    Args:
        leave_out: attributes of the value itself that do not count.
    """
    return _Describer().of(value, (), leave_out)


def tensor_digest(tensor: Tensor) -> dict[str, str]:
    """A tensor's type, shape and content."""
    content = tensor.detach().cpu()
    if content.layout != torch.strided or content.is_quantized:
        return {UNKNOWN: f"Tensor of layout {content.layout}"}
    flat = content.resolve_conj().resolve_neg().reshape(-1)
    flat = flat[:: max(1, flat.numel() * flat.element_size() // _WHOLE)].contiguous()
    hashed = hashlib.sha256(flat.view(torch.uint8).numpy().data if flat.numel() else b"").hexdigest()[:16]
    return {"tensor": f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}", "digest": hashed}


def text_digest(text: str) -> str:
    """Sixteen characters for any text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


class _Describer:
    """One description: it counts its values, so that an object that reaches everything comes to an end."""

    def __init__(self) -> None:
        self._count = 0

    def of(self, value: object, inside: tuple[int, ...], leave_out: Set[str] = frozenset()) -> Any:
        """The description of a value that lies inside others."""
        self._count += 1
        if value is None or type(value) in (bool, int):
            return value
        plain = _plain(value)
        if plain is not None:
            return plain
        if id(value) in inside:
            return "(itself)"
        if len(inside) > _DEEPEST or self._count > _MOST or isinstance(value, _STATEFUL):
            return {UNKNOWN: type(value).__qualname__}
        try:
            return self._structured(value, (*inside, id(value)), leave_out)
        except (RuntimeError, TypeError, ValueError, AttributeError, LookupError, NotImplementedError):  # its own code fails
            return {UNKNOWN: type(value).__qualname__}

    def _structured(self, value: Any, inside: tuple[int, ...], leave_out: Set[str]) -> Any:
        if isinstance(value, np.ndarray):
            return {"array": self.of(value.tolist(), inside)} if value.dtype.hasobject else _array(value)
        if isinstance(value, Mapping):
            entries = {key if isinstance(key, str) else self._key(key, inside): self.of(entry, inside) for key, entry in value.items()}
            return _at_length(dict(sorted(entries.items())))
        if isinstance(value, list | tuple | deque):
            return _at_length([self.of(entry, inside) for entry in value])
        if isinstance(value, Set):
            return {"set": sorted((self.of(entry, inside) for entry in value), key=_text)}
        if isinstance(value, functools.partial):
            return _without_empty(
                {
                    "partial": self.of(value.func, inside),
                    "arguments": self.of(value.args, inside),
                    "options": self.of(value.keywords, inside),
                }
            )
        if isinstance(value, types.FunctionType):
            return self._function(value, inside)
        if isinstance(value, types.MethodType):
            return {"method": value.__func__.__qualname__, "of": self.of(value.__self__, inside)}
        if isinstance(value, nn.Module):
            return self._module(value, inside)
        return self._object(value, inside, leave_out)

    def _key(self, key: object, inside: tuple[int, ...]) -> str:
        return f"{type(key).__name__} {_text(self.of(key, inside))}"

    def _function(self, function: types.FunctionType, inside: tuple[int, ...]) -> Any:
        if function.__module__ and function.__module__.split(".")[0] in _VERSIONED:
            return function.__qualname__
        code = function.__code__
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        used = {name: function.__globals__[name] for name in _globals(code) if name in function.__globals__}
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return _without_empty(
            {
                "function": function.__qualname__,
                CODE: f"{version}:{text_digest(_code_text(code))}",
                "defaults": self.of([*(function.__defaults__ or ()), function.__kwdefaults__ or {}], inside),
                "encloses": {name: self.of(_content(cell), inside) for name, cell in cells},
                "globals": {name: value for name, value in used.items() if type(value) in (bool, int, float, str)},
            }
        )

    def _module(self, module: nn.Module, inside: tuple[int, ...]) -> Any:
        """A network by its classes, their plain options, and a digest of weights and buffers."""
        parts = []
        for name, part in module.named_modules():
            own = {key: entry for key, entry in vars(part).items() if not key.startswith("_")}
            parts.append([name, type(part).__qualname__, self.of(own, inside)])
        tensors = {name: tensor_digest(tensor) for name, tensor in (*module.named_parameters(), *module.named_buffers())}
        return {"class": type(module).__qualname__, "structure": text_digest(_text(parts)), "weights": text_digest(_text(tensors))}

    def _object(self, value: object, inside: tuple[int, ...], leave_out: Set[str]) -> Any:
        module = type(value).__module__
        if module.split(".")[0] in _TOOLS or ".".join(module.split(".")[:3]) in _TOOLS:
            return {UNKNOWN: type(value).__qualname__}
        own = dict(vars(value)) if hasattr(value, "__dict__") else {}
        slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
        own |= {name: getattr(value, name) for name in slots if hasattr(value, name)}
        if not own and not hasattr(value, "__dict__") and not slots:
            return {UNKNOWN: type(value).__qualname__}  # what it holds is out of Python's sight
        caches = {
            name for kind in type(value).__mro__ for name, entry in vars(kind).items() if isinstance(entry, functools.cached_property)
        }
        kept = {name: self.of(entry, inside) for name, entry in own.items() if name not in caches and name not in leave_out}
        return {"class": type(value).__qualname__, **dict(sorted(kept.items()))}


def _plain(value: Any) -> Any:
    """The value in one piece, or ``None`` where it is none."""
    if isinstance(value, torch.device) or (isinstance(value, str) and _DEVICE.fullmatch(value)):
        return "device"
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, np.generic):
        return _plain(value.item()) if not isinstance(value.item(), bool | int | str) else value.item()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, int | str):
        return int(value) if isinstance(value, int) else str(value)
    if isinstance(value, (PurePath, *_BY_NAME)):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes {hashlib.sha256(value).hexdigest()[:16]}"
    if isinstance(value, Tensor):
        return {"value": _plain(value.item()), **tensor_digest(value)} if _is_number(value) else tensor_digest(value)
    if isinstance(value, _BY_TEXT):
        return repr(value)
    if isinstance(value, re.Pattern):
        return repr(value)
    if isinstance(value, type | types.ModuleType):
        return getattr(value, "__qualname__", value.__name__)
    if isinstance(value, types.BuiltinFunctionType):
        return value.__qualname__ if isinstance(value.__self__, types.ModuleType | type(None)) else {UNKNOWN: value.__qualname__}
    return None


def _is_number(tensor: Tensor) -> bool:
    return tensor.ndim == 0 and not tensor.is_complex() and not tensor.is_meta and tensor.dtype != torch.bool


def _array(array: np.ndarray[Any, Any]) -> dict[str, str]:
    content = np.ascontiguousarray(array)
    return {"array": f"{array.dtype} {array.shape}", "digest": hashlib.sha256(content.tobytes()).hexdigest()[:16]}


def _code_text(code: types.CodeType) -> str:
    """What a function does, without where it stands, its comments and its docstring."""
    steps = [[step.opname, _argument(step)] for step in dis.get_instructions(code)]
    return _text([steps, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]])


def _argument(step: dis.Instruction) -> Any:
    if isinstance(step.argval, types.CodeType):
        return _code_text(step.argval)
    if step.opcode in dis.hasconst:
        return _constant(step.argval)
    return step.argval if step.opcode in dis.hasname else step.arg


def _constant(entry: object) -> str:
    return str(sorted(map(repr, entry))) if isinstance(entry, frozenset) else repr(entry)


def _globals(code: types.CodeType) -> set[str]:
    """The global names that a function reads."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return own.union(*(_globals(entry) for entry in code.co_consts if isinstance(entry, types.CodeType)))


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    return [name for name in ([slots] if isinstance(slots, str) else slots) if name not in ("__dict__", "__weakref__")]


def _at_length(entries: Any) -> Any:
    """Long lists and tables by a digest."""
    return entries if len(entries) <= _LONGEST else {"entries": len(entries), "digest": text_digest(_text(entries))}


def _without_empty(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if entry not in ([], {}, [{}])}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
