"""Dataclasses of plain values from what a stranger's TOML or JSON says: each key known, each value of its type and in its range.

A field says its range in its annotation, once for what is read from files, for ``--set`` and for Python::

    size: Annotated[int, Within(8, 4096)]
    schedule: Annotated[str, OneOf(SCHEDULES)]

and its class calls :func:`check_fields` when an instance is made.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from gan_meta.naming import unknown_name
from metapix.errors import InputError

T = TypeVar("T")

_WORDS: dict[Any, str] = {
    int: "a whole number", float: "a finite number", str: "words in quotes", bool: "true or false", types.NoneType: "nothing",
    tuple[float, float]: "a list of two numbers", tuple[int, int]: "a list of two whole numbers",
    Mapping[str, str]: "a table of words",
}  # fmt: skip
"""The types that are plain."""


@dataclass(frozen=True)
class Within:
    """A number, or each of a list, is in this range, its ends included.

    Attributes:
        above: whether the lower end is left out.
    """

    least: float
    most: float
    above: bool = False

    def problem(self, name: str, value: Any) -> str | None:
        """What is wrong with a value, in words; NaN lies in no range."""
        values = value if isinstance(value, list | tuple) else (value,)
        if all((self.least < one if self.above else self.least <= one) and one <= self.most for one in values):
            return None
        low, high = (f"{end:,}" if abs(end) < 1e9 else f"{end:.0e}" for end in (self.least, self.most))
        return f"{name} must be {'above' if self.above else 'at least'} {low} and at most {high}, got {_shown(value)}"


@dataclass(frozen=True)
class OneOf:
    """A word is one of these; a function is asked when it is needed."""

    names: Iterable[str] | Callable[[], Iterable[str]]

    def problem(self, name: str, value: Any) -> str | None:
        """What is wrong with a value, in words, with the nearest name."""
        names = tuple(self.names() if callable(self.names) else self.names)
        return None if value in names else unknown_name(name, str(value)[:60], names)


def check_fields(made: object) -> None:
    """See that each field that says its range or names is within it; for ``__post_init__``.

    Raises:
        ValueError: naming the field, its range and the value.
    """
    hints = typing.get_type_hints(type(made), include_extras=True)
    for one in fields(made):  # type: ignore[arg-type]  # a dataclass, whatever its type is here
        value = getattr(made, one.name)
        for rule in getattr(hints[one.name], "__metadata__", ()):
            problem = rule.problem(one.name, value) if value is not None else None
            if problem is not None:
                raise ValueError(problem)


def build(kind: type[T], values: object, where: str, **more: object) -> T:
    """A dataclass whose fields are plain: int, float, str, bool, one of these or None, two numbers, or a table of words.

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
            raise InputError(unknown_name(f"key of {where}", str(key)[:60], hints))
        allowed = _allowed(hints[key])
        if not any(_fits(value, one) for one in allowed):
            raise InputError(f"{key!r} of {where} must be {' or '.join(_WORDS[one] for one in allowed)}, got {_shown(value)}")
    missing = [one.name for one in fields(kind) if one.name in hints and one.name not in values and not _has_default(one)]  # type: ignore[arg-type]
    if missing:
        raise InputError(f"{where} lacks {', '.join(map(repr, missing))}")
    try:
        return kind(**values, **more)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error


def _has_default(one: Any) -> bool:
    return one.default is not one.default_factory  # both are dataclasses' word for nothing


def _allowed(hint: Any) -> tuple[Any, ...]:
    return (hint,) if hint in _WORDS else typing.get_args(hint)


def _is_plain(hint: Any) -> bool:
    allowed = _allowed(hint)
    return bool(allowed) and all(one in _WORDS for one in allowed)


def _fits(value: object, kind: Any) -> bool:
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        return isinstance(value, list | tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if kind == Mapping[str, str]:
        return isinstance(value, Mapping) and all(isinstance(word, str) for item in value.items() for word in item)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _shown(value: object) -> str:
    try:
        return f"{value!r:.60}"
    except ValueError:  # a whole number of thousands of digits
        return "a number of thousands of digits"
