"""Dataclasses of plain values from what a stranger's TOML or JSON says: each key known, each value of its type."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from gan_meta.naming import unknown_name
from metapix.errors import InputError

T = TypeVar("T")

_WORDS = {int: "a whole number", float: "a finite number", str: "words in quotes", bool: "true or false", types.NoneType: "nothing"}


def build(kind: type[T], values: object, where: str, **more: object) -> T:
    """A dataclass whose fields are plain: int, float, str, bool, or one of these or None.

    Args:
        where: what the values belong to, for messages, for example ``"[recipe]"``.
        more: fields that are not plain, which no file says.

    Raises:
        InputError: for what is no table, an unknown or missing key, a value of another type, or one that the dataclass refuses.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a table of settings, got {_shown(values)}")
    hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if _is_plain(hint)}
    for key, value in values.items():
        if key not in hints:
            raise InputError(unknown_name(f"key of {where}", key, hints))
        allowed = _allowed(hints[key])
        if not any(_fits(value, one) for one in allowed):
            raise InputError(f"{key!r} of {where} must be {' or '.join(_WORDS[one] for one in allowed)}, got {_shown(value)}")
    try:
        return kind(**values, **more)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error


def _allowed(hint: Any) -> tuple[type, ...]:
    return typing.get_args(hint) or (hint,)


def _is_plain(hint: Any) -> bool:
    return all(one in _WORDS for one in _allowed(hint))


def _fits(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _shown(value: object) -> str:
    return f"{value!r:.60}"
