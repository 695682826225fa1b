"""Meta-SGD: MAML in which each weight's inner learning rate is learned together with its start.

Inside a task ``w <- w - lr_t * scale_w * gradient``, elementwise; theta and every scale then descend the query loss through the game.

Source: Li, Zhou, Chen and Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017 (equation 2 and algorithm 1), whose
alpha is ``lr * scale`` here, and whose game is one step of one player.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gan_meta.algorithms.maml import MAML
from gan_meta.algorithms.registry import register
from gan_meta.game.inner import InnerLoop


@register("meta-sgd")
class MetaSGD(MAML):
    """MAML's direction for theta, and the same query loss's gradient for each player's scales, under their names ``rates.*``.

    The pair must have scales, which live beside its players: ``gan_meta.add_learned_rates(pair)``. Any later game with
    that pair, ``gan_meta.adapt`` included, is played with them.

    Args:
        inner: the game, with plain SGD. The role of ``"rates.*"`` is ``"shared"``; ``"frozen"`` keeps some of them as they are.
        options: those of :class:`MAML`.

    Raises:
        ValueError: for an optimiser other than ``"sgd"``, or a pair without learned rates.
    """

    def __init__(self, *, inner: InnerLoop, **options: Any) -> None:
        if inner.optimizer != "sgd":
            raise ValueError(f'Meta-SGD learns the rates of plain SGD, but the game\'s optimizer is {inner.optimizer!r}; use "sgd"')
        super().__init__(inner=dataclasses.replace(inner, roles={"rates.*": "shared", **inner.roles}), **options)
