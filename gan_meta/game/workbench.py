"""Workbench: where an algorithm plays its games one after the other, in memory that is allocated once."""

from __future__ import annotations

import threading
import types
import weakref
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gan_meta.contents import CONTAINERS, hooks_of, is_plain, kept_by_class, parts_of
from gan_meta.game.copies import copy_both, copy_objective
from gan_meta.game.engine import Game
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.inner import InnerLoop
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.tasks import Samples

_UNCOPIED = {"_compiled_call_impl"}
_OF_MODULES = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_load_state_dict_pre_hooks", *_UNCOPIED}
"""Attributes that are looked at otherwise, or that no game changes."""


class Workbench:
    """A copy of theta with its optimisers, which every game begins anew.

    A game begins with theta's tensors, plain values (a module's mode, a number or a word among its attributes), a copy of the objective
    and fresh optimiser state. The copy is made again when theta is another pair, has other modules, or tensors of other shapes, types,
    places or layouts, when its modules have hooks or keep anything else that a game might change, or when the game's options change.
    Each thread has a copy of its own.
    """

    def __init__(self) -> None:
        self._kept = _Kept()

    def __reduce__(self) -> tuple[type[Workbench], tuple[()]]:
        """A copy, or one sent to another process, begins empty."""
        return Workbench, ()

    def begin(
        self, theta: GANPair, objective: Objective, support: Samples, inner: InnerLoop, seed: int = 0, share: FrameShare | None = None
    ) -> Game:
        """A game from theta, which stays untouched; it may be used until the next one begins.

        Raises:
            ValueError: as for :func:`gan_meta.adapt`.
        """
        kept = self._kept
        game = kept.game
        before = None if game is None else game.table
        if game is not None and kept.theta is not None and kept.theta() is theta and game.inner == inner and _copied(theta, game.pair):
            copies = copy_objective(objective, theta, game.pair)
            game.restart(copies.objective, support, seed, share)
        else:
            copies = copy_both(theta, objective)
            kept.game = game = Game(copies.pair, copies.objective, support, inner, seed, share)
            kept.theta = weakref.ref(theta)
        kept.check = copies.check
        if before is not None:
            game.table.learn_from(before)
        return game

    def check(self) -> None:
        """Refuse the last game if it wrote to what the objective shares with other games.

        Raises:
            ValueError: naming what was written to.
        """
        if self._kept.check is not None:
            self._kept.check()

    @property
    def objective(self) -> Objective | None:
        """The last game's own copy of its objective, as the game left it."""
        return None if self._kept.game is None else self._kept.game.table.objective


class _Kept(threading.local):
    """What a thread keeps from game to game."""

    game: Game | None = None
    theta: weakref.ref[GANPair] | None = None
    check: Callable[[], None] | None = None


@torch.no_grad()
def _copied(theta: GANPair, pair: GANPair) -> bool:
    """Make the pair equal to theta, which it was copied from; ``False``, and nothing done, where theta is built otherwise now."""
    ours, theirs = _tensors(pair), _tensors(theta)
    if _outline(pair, ours) != _outline(theta, theirs):
        return False
    modules = list(zip(theta.modules(), pair.modules(), strict=True))
    if not all(_is_settled(original, copy) for original, copy in modules):
        return False
    torch._foreach_copy_(list(ours.values()), list(theirs.values()))
    for original, copy in modules:
        vars(copy).update({name: value for name, value in vars(original).items() if is_plain(value)})
    return True


def _is_settled(original: nn.Module, copy: nn.Module) -> bool:
    """Whether plain values are all that a game may have changed of a module's copy, besides tensors."""
    own, others = {**kept_by_class(original), **vars(original)}, vars(copy)
    if own.keys() - _UNCOPIED != others.keys() - _UNCOPIED:
        return False
    return all(
        name in _OF_MODULES or is_plain(value) or (_is_all_plain(value) and type(others[name]) is type(value) and others[name] == value)
        for name, value in own.items()
    )


def _is_all_plain(value: object) -> bool:
    if isinstance(value, CONTAINERS):
        return all(is_plain(part) or _is_all_plain(part) for part in parts_of(value))
    return isinstance(value, types.FunctionType) and not parts_of(value)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _tags(tensor: Tensor) -> object:
    """Nothing, or an object of its own, for a tensor that more is tied to than its values."""
    return object() if vars(tensor) or hooks_of(tensor) or not tensor.is_leaf else None


def _outline(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[tuple[object, ...]]:
    """What must agree for tensors to be copied from one module to another."""
    kinds = [
        (name, tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad, _tags(tensor))
        for name, tensor in tensors.items()
    ]
    return [*kinds, *((name, type(part)) for name, part in module.named_modules())]
