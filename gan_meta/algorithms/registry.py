"""The registry of algorithms: names to classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.naming import unknown_name

Algorithm = TypeVar("Algorithm", bound=type[MetaAlgorithm])

_ALGORITHMS: dict[str, type[MetaAlgorithm]] = {}


def register(name: str) -> Callable[[Algorithm], Algorithm]:
    """A class decorator that makes an algorithm known by a name.

    Raises:
        TypeError: when the class is not a :class:`MetaAlgorithm`.
        ValueError: when another class has that name already.
    """

    def add(algorithm: Algorithm) -> Algorithm:
        if not (isinstance(algorithm, type) and issubclass(algorithm, MetaAlgorithm)):
            raise TypeError(f"only subclasses of MetaAlgorithm can be registered, got {algorithm!r}")
        known = _ALGORITHMS.get(name)
        if known is not None and known.__qualname__ != algorithm.__qualname__:
            raise ValueError(f"an algorithm named {name!r} is registered already: {known.__qualname__}")
        _ALGORITHMS[name] = algorithm
        return algorithm

    return add


def available() -> tuple[str, ...]:
    """The names of all registered algorithms, sorted."""
    return tuple(sorted(_ALGORITHMS))


def create(name: str, **options: Any) -> MetaAlgorithm:
    """Make an algorithm by name; the options are its constructor's (``objective`` and ``inner`` at least).

    Raises:
        ValueError: for an unknown name, with the nearest known one.
        TypeError: for an unknown option.
    """
    if name not in _ALGORITHMS:
        raise ValueError(unknown_name("algorithm", name, _ALGORITHMS))
    return _ALGORITHMS[name](**options)
