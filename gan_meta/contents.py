"""What a value holds, however deeply: for copying it whole, and for seeing whether it has changed."""

from __future__ import annotations

import collections
import enum
import functools
import random
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

CONTAINERS = (list, tuple, set, frozenset, dict, collections.deque)
_NAMED = (type, types.BuiltinFunctionType, types.ModuleType, enum.Enum, torch.dtype, torch.device, torch.layout, torch.memory_format)
_ATOMS = frozenset({bool, int, float, complex, str, bytes, type(None)})
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), *_NAMED)


def is_plain(value: object) -> bool:
    """Whether a value has no state of its own, or is the same wherever its name is used."""
    return isinstance(value, _PLAIN)


def is_flat(value: object) -> bool:
    """Whether a value is a container of numbers and words, or of tuples of such, like a long vocabulary: found at the speed of C."""
    if type(value) not in CONTAINERS:
        return False
    items = list(cast(Iterable[Any], value))
    if isinstance(value, dict):
        items += value.values()
    kinds = set(map(type, items)) - _ATOMS
    return not kinds or (kinds == {tuple} and all(is_flat(item) for item in items if type(item) is tuple))


def parts_of(value: object) -> list[Any]:
    """What a value holds directly: attributes, items, what a function closed over, what a method is bound to, a tensor's hooks."""
    if isinstance(value, _PLAIN):
        return []
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if is_filled(cell)]
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, weakref.ref):
        return [value()]
    if isinstance(value, Tensor):
        return [*vars(value).values(), *hooks_of(value).values(), *hooks_of(value, "_post_accumulate_grad_hooks").values()]
    items: list[Any] = []
    if isinstance(value, dict):
        items = [*value.keys(), *value.values()]
    elif isinstance(value, CONTAINERS):
        items = list(cast(Iterable[Any], value))
    return [*items, *attributes_of(value).values()]


def reach(roots: Iterable[object], *, through_functions: bool = True) -> dict[int, Any]:
    """Everything with a state of its own that the roots hold, however deeply, by identity."""
    found: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        if isinstance(value, _PLAIN) or id(value) in found:
            continue
        if isinstance(value, (types.FunctionType, weakref.ref)) and not through_functions:
            continue
        found[id(value)] = value
        if not is_flat(value):
            waiting += parts_of(value)
    return found


def measures_in(root: object) -> list[Any]:
    """The tensors, arrays and floating-point numbers that a value holds, however deeply, in a fixed order."""
    seen: set[int] = set()
    found: list[Any] = []
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (float, Tensor, np.ndarray)):
            found.append(value)
        elif not isinstance(value, _PLAIN) and id(value) not in seen:
            seen.add(id(value))
            waiting += parts_of(value)
    return found


def is_same(one: Any, other: Any, seen: set[tuple[int, int]] | None = None) -> bool:
    """Whether two values, of which one may be a copy of the other, hold the same, however deeply."""
    seen = set() if seen is None else seen
    if one is other or (id(one), id(other)) in seen:
        return True
    seen.add((id(one), id(other)))
    if type(one) is not type(other):
        return False
    if is_flat(one) and is_flat(other):
        return bool(one == other)
    if isinstance(one, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and bool(torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, (*_PLAIN, set, frozenset)):
        return bool(one == other) or bool(one != one and other != other)
    first, second = _generator_state(one) or parts_of(one), _generator_state(other) or parts_of(other)
    return len(first) == len(second) and all(is_same(a, b, seen) for a, b in zip(first, second, strict=True))


def hooks_of(tensor: Tensor, kind: str = "_backward_hooks") -> Mapping[int, Any]:
    """A tensor's gradient hooks, of this kind."""
    return cast(Mapping[int, Any], getattr(tensor, kind, None) or {})


def is_filled(cell: types.CellType) -> bool:
    """Whether a name that a function closes over has a value."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def attributes_of(value: object) -> dict[str, Any]:
    """An object's own attributes, those in slots included."""
    own = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                own[name] = getattr(value, name)
    return own


def kept_by_class(value: object) -> dict[str, Any]:
    """What an object's class keeps for all its objects and may be changed through any of them, such as a list; not torch's own classes."""
    return {
        name: item
        for kind in reversed(type(value).__mro__)
        if kind.__module__.partition(".")[0] != "torch"
        for name, item in vars(kind).items()
        if not (is_plain(item) or hasattr(item, "__get__") or name.startswith(("__", "_abc_")))
    }


def generator_states(*roots: object) -> list[Any]:
    """The states of the random generators that the roots hold, however deeply, in a fixed order."""
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    return [_generator_state(value) for value in reach(roots).values() if isinstance(value, kinds)]


def _generator_state(value: Any) -> list[Any]:
    """A random generator's or an iterator's state, which are no attributes."""
    if isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools"):
        return list(value.__reduce__()[1:])
    if isinstance(value, torch.Generator):
        return [value.get_state()]
    if isinstance(value, np.random.Generator):
        return [value.bit_generator.state]
    if isinstance(value, np.random.RandomState):
        return [value.get_state(legacy=False)]
    if hasattr(value, "getstate"):  # random.Random's
        return [value.getstate()]
    return []
