"""The registry of algorithms: names to classes, from this package, from a decorator, or from other installed packages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from gan_meta.algorithms.base import MetaAlgorithm
from gan_meta.naming import unknown_name

Algorithm = TypeVar("Algorithm", bound=type[MetaAlgorithm])

ENTRY_POINTS = "gan_meta.algorithms"
"""The entry point group in which an installed package names its algorithms; one is imported when it is first created."""

_ALGORITHMS: dict[str, type[MetaAlgorithm]] = {}


def register(name: str) -> Callable[[Algorithm], Algorithm]:
    """A class decorator that makes an algorithm known by a name.

    Raises:
        TypeError: when the class is not a :class:`MetaAlgorithm`.
        ValueError: when another class has that name already.

    Example:
        >>> @register("standstill")
        ... class Standstill(MetaAlgorithm):
        ...     def meta_gradient(self, pair, task, seed=0):
        ...         return MetaGradient({name: torch.zeros_like(p) for name, p in pair.named_parameters()})
    """

    def add(algorithm: Algorithm) -> Algorithm:
        if not (isinstance(algorithm, type) and issubclass(algorithm, MetaAlgorithm)):
            raise TypeError(f"only subclasses of MetaAlgorithm can be registered, got {algorithm!r}")
        known = _ALGORITHMS.get(name)
        # The same class again, from a module that was loaded anew or a cell that was run again, takes the place of the old one.
        if known is not None and (known.__module__, known.__qualname__) != (algorithm.__module__, algorithm.__qualname__):
            raise ValueError(
                f"an algorithm named {name!r} is registered already: {known.__module__}.{known.__qualname__}; choose another name"
            )
        _ALGORITHMS[name] = algorithm
        return algorithm

    return add


def available() -> tuple[str, ...]:
    """The names of all algorithms, those of installed packages included, sorted."""
    return tuple(sorted({*_ALGORITHMS, *_installed()}))


def find(name: str) -> type[MetaAlgorithm]:
    """An algorithm's class by its name.

    Raises:
        ValueError: for an unknown name, with the nearest known one.
    """
    if name not in _ALGORITHMS:
        installed = _installed()
        if name not in installed:
            raise ValueError(unknown_name("algorithm", name, available()))
        register(name)(installed[name].load())
    return _ALGORITHMS[name]


def create(name: str, **options: Any) -> MetaAlgorithm:
    """Make an algorithm by name; the options are its constructor's (``objective`` and ``inner`` at least).

    Raises:
        ValueError: for an unknown name, with the nearest known one.
        TypeError: for an unknown option, with the nearest known one, or a missing one.
    """
    algorithm = find(name)
    known = _options(algorithm)
    for option in options:
        if known and option not in known:
            raise TypeError(unknown_name(f"option of algorithm {name!r}", option, known))
    return algorithm(**options)


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _options(algorithm: type[MetaAlgorithm]) -> set[str]:
    """The keywords that a constructor takes, those that it hands on to its parents included; empty if it takes any."""
    names: set[str] = set()
    for owner in inspect.getmro(algorithm):
        if "__init__" not in vars(owner):
            continue
        parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
        names |= {parameter.name for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD}
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return names
    return set()
