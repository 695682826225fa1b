"""adapt(): play the game on a few samples and return the adapted pair."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from torch import Tensor

from gan_meta.game.carry import CarriedMoments
from gan_meta.game.copies import show
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.inner import InnerLoop
from gan_meta.game.player_loss import check_finite
from gan_meta.game.workbench import Workbench
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.seeds import between_blocks
from gan_meta.tasks import Samples

OnStep = Callable[[int, GANPair, Mapping[str, Tensor]], None]


def adapt(pair: GANPair, objective: Objective, support: Samples, inner: InnerLoop, seed: int = 0, on_step: OnStep | None = None) -> GANPair:
    """Play the game on a few samples from this pair's weights and return the adapted pair, phi.

    Args:
        pair: the start, theta; untouched, bit for bit.
        objective: what each player minimises; a copy of it plays, so that nothing that it keeps leads from game to game. What this
            game leaves in it can be looked at afterwards; the next one begins where this one began.
        support: the samples, in any form of :data:`gan_meta.tasks.Samples`.
        inner: the options of the game.
        seed: fixes the draws, and the global generators for what the objective draws itself.
        on_step: called after each iteration with (iterations played, the pair as it stands, the iteration's losses by name, as
            scalar tensors). It must not change the pair.

    Raises:
        ValueError: when a role pattern matches nothing, a player has nothing to adapt, the support is empty, a loss has a wrong shape, or
            an optimizer factory makes what a game cannot be played with.
        TypeError: when a module or the objective keeps what cannot be copied for the game, such as an iterator.
        NonFiniteLossError: when a loss becomes infinite or not a number; the message names the term and the iteration.

    Example:
        >>> phi = adapt(theta, objective, {"pose": poses, "image": images}, InnerLoop(steps=20))
    """
    return play(pair, objective, support, inner, seed, on_step)[0]


def play(
    pair: GANPair,
    objective: Objective,
    support: Samples,
    inner: InnerLoop,
    seed: int = 0,
    on_step: OnStep | None = None,
    carried: CarriedMoments | None = None,
    share: FrameShare | None = None,
    workbench: Workbench | None = None,
) -> tuple[GANPair, dict[str, float]]:
    """As :func:`adapt`; returns phi and the last iteration's losses by name.

    Args:
        carried: the optimiser state of the game before, which this game takes up and leaves to the next; fresh if ``None``.
        share: how the batches are shared by several ranks that play this game together.
        workbench: where the game is played; phi is then its pair, and good until its next game. By default in memory of its own.
    """
    workbench = workbench or Workbench()
    game = workbench.begin(pair, objective, support, inner, seed, share)
    history: list[dict[str, Tensor]] = []
    # What is called between two iterations may draw from the process's generators; where nothing is, they are put back once a game.
    once = between_blocks(game.table.device) if on_step is None else contextlib.nullcontext()
    with once, contextlib.nullcontext() if carried is None else carried.played_on(game):
        for step in range(inner.steps):
            history.append(game.step())
            if on_step is not None:
                on_step(step + 1, game.pair, history[-1])
        check_finite(history)
        workbench.check()
        show(objective, pair, game.table.objective, game.pair)
    return game.finish(), {name: float(value) for name, value in history[-1].items()} if history else {}
