"""The registry of models: names to builders of GANPair, from this package, from a decorator, or from other installed packages.

Built-in models and those of other packages are imported when they are first asked for, so that importing this costs nothing but torch.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_type_hints

from gan_meta.naming import unknown_name
from gan_meta.pair import GANPair

Builder = Callable[..., GANPair]
BuilderFunction = TypeVar("BuilderFunction", bound=Builder)

ENTRY_POINTS = "gan_meta.models"
"""The entry point group in which an installed package names its builders; one is imported when its model is first asked for."""

_BUILT_IN = {
    "dcgan": "gan_meta.models.dcgan",
    "pix2pix": "gan_meta.models.pix2pix",
    "pix2pixhd": "gan_meta.models.pix2pixhd.builder",
    "posewarp": "gan_meta.models.posewarp.builder",
}
"""Names of the models that come with the library, and the modules that register them."""

_BUILDERS: dict[str, Builder] = {}


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
    """The names of all models, those of installed packages included, sorted."""
    return tuple(sorted({*_BUILT_IN, *_BUILDERS, *_installed()}))


def describe(name: str) -> str:
    """What a model is: how it is called, and its builder's documentation (parameters, inputs and outputs with their shapes).

    Raises:
        ValueError: for an unknown model, with the nearest known name.
    """
    builder = _builder(name)
    arguments = [str(parameter.replace(annotation=parameter.empty)) for parameter in inspect.signature(builder).parameters.values()]
    call = f"gan_meta.models.create({', '.join([repr(name), *arguments])})"
    return f"{call}\n\n{inspect.getdoc(builder) or 'Its builder has no documentation.'}"


def argument_problems(name: str, arguments: Mapping[str, object]) -> list[str]:
    """Which arguments are of another type than the builder's annotations say: whole numbers, numbers, words, or true and false.

    Raises:
        ValueError: for an unknown model, with the nearest known name.
    """
    hints = get_type_hints(_builder(name))
    plain = {key: hints[key] for key in arguments.keys() & hints.keys() if hints[key] in _WORDS}
    return [f"{key} must be {_WORDS[hint]}, got {arguments[key]!r:.60}" for key, hint in plain.items() if not _fits(arguments[key], hint)]


_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


def _fits(value: object, hint: type) -> bool:
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def create(name: str, **arguments: Any) -> GANPair:
    """Build a pair by name; the arguments are its builder's.

    Returns:
        The pair, with ``model_name`` and ``model_arguments`` (defaults included) set: ``create(pair.model_name,
        **pair.model_arguments)`` builds its twin.

    Raises:
        ValueError: for an unknown model, with the nearest known name.
        TypeError: for an unknown argument, with the nearest known one, or a missing one.
    """
    builder = _builder(name)
    complete = _complete_arguments(name, builder, arguments)
    pair = builder(**complete)
    pair.model_name = name
    pair.model_arguments = complete
    return pair


def _builder(name: str) -> Builder:
    """The builder of this name, imported if need be."""
    if name not in _BUILDERS and name in _BUILT_IN:
        importlib.import_module(_BUILT_IN[name])
    if name not in _BUILDERS:
        installed = _installed()
        if name not in installed:
            raise ValueError(unknown_name("model", name, available()))
        _BUILDERS[name] = installed[name].load()
    return _BUILDERS[name]


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


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
