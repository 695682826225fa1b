"""FOMAML: the direction is each player's query gradient at phi, with d phi / d theta taken as the identity.

Source: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning", 2017 (section 5.2, first-order approximation).
"""

from __future__ import annotations

from typing import Any

from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient, adapted_buffers, learned_by_player
from gan_meta.algorithms.query import check_query_batch_size, query_gradients, require_query
from gan_meta.algorithms.registry import register
from gan_meta.pair import GANPair
from gan_meta.tasks import Task


@register("fomaml")
class FOMAML(MetaAlgorithm):
    """Descent direction: the gradient of each player's loss on the query, at the adapted weights, for that player's own weights.

    Args:
        query_batch_size: how many query samples pass at once, where the whole query is too large for memory.
        options: those of every algorithm (:class:`MetaAlgorithm`).

    Raises:
        ValueError: when a task has no query.
    """

    can_share_frames = True

    def __init__(self, *, query_batch_size: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.query_batch_size = check_query_batch_size(query_batch_size)

    def meta_gradient(self, pair: GANPair, task: Task, seed: int = 0) -> MetaGradient:
        query = require_query(task, "FOMAML")
        phi, logs = self.play(pair, task.support, seed)
        buffers = adapted_buffers(phi)
        own = learned_by_player(pair, self.inner)
        gradients, query_logs = query_gradients(self.played_objective, phi, query, own, seed, self.query_batch_size, self.inner.steps)
        grads = {name: gradient for player in own for name, gradient in gradients[player].items()}
        return MetaGradient(grads, {**logs, **query_logs}, buffers)
