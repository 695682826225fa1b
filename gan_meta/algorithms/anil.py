"""ANIL, almost no inner loop: MAML in which only the head adapts; the body's weights are learned, but fixed within a task.

Source: Raghu, Raghu, Bengio and Vinyals, "Rapid Learning or Feature Reuse?", 2020 (section 4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gan_meta.algorithms.maml import MAML
from gan_meta.algorithms.registry import register
from gan_meta.game.inner import InnerLoop


@register("anil")
class ANIL(MAML):
    """MAML's direction, with the role ``"shared"`` for every weight outside the head.

    Args:
        head: globs over the parameter names of the weights that adapt, in either player.
        inner: the game; roles that it states itself have the last word.
        options: those of :class:`MAML`.

    Raises:
        ValueError: when ``head`` is empty.
    """

    def __init__(self, *, inner: InnerLoop, head: Sequence[str], **options: Any) -> None:
        globs = [head] if isinstance(head, str) else list(head)
        if not globs:
            raise ValueError("head is empty, so no weight would adapt; name the last layers, for example head=['generator.9.*']")
        roles = {"*": "shared", **dict.fromkeys(globs, "meta"), **inner.roles}
        super().__init__(inner=dataclasses.replace(inner, roles=roles), **options)
