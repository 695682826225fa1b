"""Workbench: where an algorithm plays its games one after the other, in memory that is allocated once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_meta.game.engine import Game
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.inner import InnerLoop
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.tasks import Samples

_PLAIN = (bool, int, float, str, type(None))


class Workbench:
    """A copy of theta with its optimisers, which every game begins anew.

    A game begins with theta's tensors, plain values (a module's mode, a number or a word among its attributes) and fresh optimiser
    state. The copy is made again when theta is another pair, has other modules, or tensors of other shapes, types, places or
    layouts, or when the game's options change. Each thread has a copy of its own.
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
        if game is not None and kept.theta is not None and kept.theta() is theta and game.inner == inner and _copied(theta, game.pair):
            game.restart(objective, support, seed, share)
            return game
        kept.game = Game(theta.clone(), objective, support, inner, seed, share)
        kept.theta = weakref.ref(theta)
        return kept.game


class _Kept(threading.local):
    """What a thread keeps from game to game."""

    game: Game | None = None
    theta: weakref.ref[GANPair] | None = None


@torch.no_grad()
def _copied(theta: GANPair, pair: GANPair) -> bool:
    """Make the pair equal to theta, which it was copied from; ``False``, and nothing done, where theta is built otherwise now."""
    ours, theirs = _tensors(pair), _tensors(theta)
    if _outline(pair, ours) != _outline(theta, theirs):
        return False
    torch._foreach_copy_(list(ours.values()), list(theirs.values()))
    for original, copy in zip(theta.modules(), pair.modules(), strict=True):
        vars(copy).update({name: value for name, value in vars(original).items() if isinstance(value, _PLAIN)})
    return True


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _outline(module: nn.Module, tensors: Mapping[str, Tensor]) -> list[tuple[object, ...]]:
    """What must agree for tensors to be copied from one module to another."""
    kinds = [(name, tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad) for name, tensor in tensors.items()]
    return [*kinds, *((name, type(part)) for name, part in module.named_modules())]
