"""What a game is played on: copies of theta and of the objective; and what of their state is neither parameter nor buffer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_meta.contents import attributes_of, is_same, parts_of, reach
from gan_meta.copying import Copier
from gan_meta.game.layout import refuse_overlapping
from gan_meta.objective import Objective
from gan_meta.pair import GANPair

_NOT_LOOSE = frozenset(
    {
        *("_parameters", "_buffers", "_modules", "_compiled_call_impl", "_compile_options", "_non_persistent_buffers_set"),
        *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
    }
)
_HOOKS = frozenset(
    {
        *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
        *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks"),
    }
)
"""What a module registers hooks in. Mostly empty, and then left out: copying all of them would be a twentieth of MAML's time."""


_CONSTANT = frozenset({bool, int, float, str, type(None)})


class Copies(NamedTuple):
    """A game's own pair and objective; ``check()`` refuses a game that has written to what the objective shares with the original."""

    pair: GANPair
    objective: Objective
    check: Callable[[], None]


class _Mark(NamedTuple):
    """Where an objective's games begin, and what the last one left in it to be looked at."""

    begin: dict[str, Any]
    left: dict[str, Any]


_MARKS: dict[int, _Mark] = {}
"""Of the objectives that a game has changed, by identity, as long as they live."""


class Loose(NamedTuple):
    """A copy of the state outside of parameters and buffers: the modules' attributes and hooks, and the objective."""

    attributes: list[tuple[nn.Module, dict[str, Any]]]
    objective: Objective


def copy_both(pair: GANPair, objective: Objective) -> Copies:
    """Copies of both; references between the two, such as a hook that fills a list of the objective, are kept among the copies.

    Raises:
        TypeError: for what cannot be copied and would lead from game to game, such as an iterator.
        ValueError: for weights that share memory, which their copies would not.
    """
    refuse_overlapping((name, weight) for name, weight in pair.named_parameters() if weight.requires_grad)
    rewind(objective)
    copier = Copier([pair, objective])
    return _with_objective(copier, pair.copied_by(copier), objective)


def copy_objective(objective: Objective, theta: GANPair, pair: GANPair) -> Copies:
    """A copy of the objective, for a pair that is a copy of theta or theta itself.

    Raises:
        TypeError: as for :func:`copy_both`.
    """
    rewind(objective)
    return _with_objective(Copier([objective], _counterparts(theta, pair)), pair, objective)


def show(objective: Objective, theta: GANPair, played: Objective, pair: GANPair) -> None:
    """Put what a game left in its copy of an objective into the objective, to be looked at; the next game begins without it."""
    begin, left = vars(objective), _attributes_for(played, pair, theta)
    if is_same(begin, left):
        return
    if id(objective) not in _MARKS:
        weakref.finalize(objective, _MARKS.pop, id(objective), None)
    _MARKS[id(objective)] = _Mark(begin, left)
    objective.__dict__ = _attributes_for(played, pair, theta)  # all at once: another thread may be copying it


def rewind(objective: Objective) -> None:
    """Set an objective to where its games begin, unless its attributes were set since the last one."""
    mark = _MARKS.get(id(objective))
    if mark is not None and is_same(mark.left, vars(objective)):
        objective.__dict__ = mark.begin


def take_loose(pair: GANPair, objective: Objective) -> Loose:
    """A copy of the state outside of parameters and buffers, without graphs: no gradient goes through it."""
    return _copy_loose(pair, see_loose(pair, objective))


def see_loose(pair: GANPair, objective: Objective) -> Loose:
    """The state outside of parameters and buffers itself, to be looked at."""
    return Loose([(module, _loose(module)) for module in pair.modules() if not isinstance(module, torch.jit.ScriptModule)], objective)


def put_loose(pair: GANPair, loose: Loose) -> Objective:
    """Set a pair's state outside of parameters and buffers to a copy of this one; returns a copy of the objective that belongs to it."""
    copied = _copy_loose(pair, loose)
    for module, attributes in copied.attributes:
        own = vars(module)
        for name in set(_loose(module)) - set(attributes):
            own[name].clear() if name in _HOOKS else own.pop(name)
        own.update(attributes)
    return copied.objective


def changed_attributes(pair: GANPair, before: Loose, after: Loose) -> list[str]:
    """The names of the attributes, of the pair's modules and of the objective, that differ between two states of both."""
    names = {id(module): name or "pair" for name, module in pair.named_modules()}
    holders = [(type(before.objective).__name__, attributes_of(before.objective), attributes_of(after.objective))]
    holders += [(names[id(module)], old, new) for (module, old), (_, new) in zip(before.attributes, after.attributes, strict=True)]
    return [
        f"{holder}.{name}"
        for holder, old, new in holders
        for name in dict.fromkeys([*old, *new])
        if not is_same(old.get(name), new.get(name))
    ]


def _with_objective(copier: Copier, pair: GANPair, objective: Objective) -> Copies:
    copier.may_share = True
    copied = copier.copy(objective)
    shared = list(copier.shared)

    def check() -> None:
        for tensor, version in shared:
            if tensor._version != version:
                raise ValueError(
                    f"{_path_to(objective, tensor)} was written to by the game, but an objective is the same for all games: make a new "
                    "tensor instead of changing it in place, or keep it in a buffer of the generator or discriminator"
                )

    return Copies(pair, copied, check)


def _attributes_for(objective: Objective, pair: GANPair, other: GANPair) -> dict[str, Any]:
    """A copy of the objective's attributes, in which parts of a pair are those of another one."""
    copier = Copier([objective], _counterparts(pair, other))
    copier.may_share = True
    return copier.attributes(objective, vars(objective))


def _counterparts(old: GANPair, new: GANPair) -> dict[int, Any]:
    """The parts of a pair in place of those of another, by identity; where both are one, everything that it holds is its own."""
    return reach([old]) if old is new else {id(part): other for part, other in zip(_parts(old), _parts(new), strict=True)}


def _copy_loose(pair: GANPair, loose: Loose) -> Loose:
    copier = Copier([loose.attributes, loose.objective], {id(part): part for part in _parts(pair)})
    copier.may_share = True
    attributes = [(module, {**own, **copier.attributes(module, _mutable(own))}) for module, own in loose.attributes]
    return Loose(attributes, copier.copy(loose.objective))


def _mutable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are no numbers, words or tuples of these, as nearly all of a module's are."""
    return {
        name: value
        for name, value in attributes.items()
        if type(value) not in _CONSTANT and not (type(value) is tuple and all(type(item) in _CONSTANT for item in value))
    }


def _loose(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _NOT_LOOSE and (name not in _HOOKS or value)}


def _parts(pair: GANPair) -> list[nn.Module | Tensor]:
    return [*pair.modules(), *pair.parameters(), *pair.buffers()]


def _path_to(objective: Objective, wanted: object) -> str:
    """Where an objective keeps a value."""
    waiting: list[tuple[str, object]] = [(f"{type(objective).__name__}.{name}", value) for name, value in vars(objective).items()]
    seen: set[int] = set()
    for path, value in waiting:
        if value is wanted:
            return path
        if id(value) not in seen:
            seen.add(id(value))
            waiting += [(path, part) for part in parts_of(value)]
    return f"a tensor of {type(objective).__name__}"
