"""The registry of models: names to builders of GANPair.

Built-in models are imported when they are first asked for, so that importing this package costs nothing but torch.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from gan_meta.naming import unknown_name
from gan_meta.pair import GANPair

Builder = Callable[..., GANPair]
BuilderFunction = TypeVar("BuilderFunction", bound=Builder)

_BUILT_IN = {"pix2pixhd": "gan_meta.models.pix2pixhd", "posewarp": "gan_meta.models.posewarp"}
"""Names of the models that come with the library, and the modules that register them."""

_BUILDERS: dict[str, Builder] = {}

__all__ = ["available", "create", "register"]


def register(name: str) -> Callable[[BuilderFunction], BuilderFunction]:
    """A decorator that makes a function returning a GANPair known by a name.

    Saved pairs remember the name and the arguments, so give the builder arguments that JSON can hold.

    Example:
        >>> @register("two-layer")
        ... def build_two_layer(width: int = 8) -> GANPair:
        ...     return GANPair(nn.Linear(2, width), nn.Linear(width, 1))

    Raises:
        ValueError: when another builder has that name already.
    """

    def add(builder: BuilderFunction) -> BuilderFunction:
        known = _BUILDERS.get(name)
        owner = known.__module__ if known is not None else _BUILT_IN.get(name, builder.__module__)
        if owner != builder.__module__ or (known is not None and known.__qualname__ != builder.__qualname__):
            raise ValueError(f"a model named {name!r} is registered already (in {owner}); choose another name")
        _BUILDERS[name] = builder
        return builder

    return add


def available() -> tuple[str, ...]:
    """The names of all models, sorted."""
    return tuple(sorted({*_BUILT_IN, *_BUILDERS}))


def create(name: str, **arguments: Any) -> GANPair:
    """Build a pair by name; the arguments are its builder's.

    Returns:
        The pair, with ``model_name`` and ``model_arguments`` (defaults included) set: ``create(pair.model_name,
        **pair.model_arguments)`` builds its twin.

    Raises:
        ValueError: for an unknown model, with the nearest known name.
        TypeError: for an unknown argument, with the nearest known one, or a missing one.
    """
    if name not in _BUILDERS and name in _BUILT_IN:
        importlib.import_module(_BUILT_IN[name])
    if name not in _BUILDERS:
        raise ValueError(unknown_name("model", name, available()))
    builder = _BUILDERS[name]
    complete = _complete_arguments(name, builder, arguments)
    pair = builder(**complete)
    pair.model_name = name
    pair.model_arguments = complete
    return pair


def _complete_arguments(name: str, builder: Builder, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the builder's defaults filled in, checked against its signature."""
    parameters = inspect.signature(builder).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {key: parameter for key, parameter in parameters.items() if parameter.kind is not inspect.Parameter.VAR_KEYWORD}
    for argument in arguments:
        if argument not in known and not open_ended:
            raise TypeError(unknown_name(f"argument of model {name!r}", argument, known))
    defaults = {key: parameter.default for key, parameter in known.items() if parameter.default is not inspect.Parameter.empty}
    missing = [key for key in known if key not in defaults and key not in arguments]
    if missing:
        raise TypeError(f"model {name!r} needs {', '.join(map(repr, missing))}: give {' and '.join(missing)} by keyword")
    return {**defaults, **arguments}
