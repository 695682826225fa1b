"""MAML: the direction is the gradient of each player's query loss at phi(theta), through the whole game.

For each player p with loss L_p on the query and weights theta_p: ``d L_p(phi(theta)) / d theta_p``, where both players' adapted
weights are functions of theta_p: it moves them itself, and the other player answers it.

Source: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning", 2017 (section 2.2), for one player and SGD.
"""

from __future__ import annotations

from typing import Any

from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient, adapted_buffers, learned_by_player
from gan_meta.algorithms.query import check_query_batch_size, query_gradients, require_query
from gan_meta.algorithms.registry import register
from gan_meta.algorithms.second_order import refuse_first_order_only, refuse_own_optimizer
from gan_meta.game.hooks import obeyed, without_hooks
from gan_meta.game.roles import resolve_roles
from gan_meta.game.unrolled import MEMORY, record
from gan_meta.naming import unknown_name
from gan_meta.pair import GANPair
from gan_meta.tasks import Task


@register("maml")
class MAML(MetaAlgorithm):
    """Descent direction: d/d theta_p of each player's query loss at phi(theta), for that player's own weights theta_p.

    Args:
        memory: ``"unrolled"`` keeps the graph of the whole game, ``"sweep"`` rebuilds it iteration by iteration, so that memory
            does not grow with their number; ``"auto"`` unrolls while the graph is small. The direction is the same.
        query_batch_size: how many query samples pass at once, where the whole query is too large for memory.
        options: those of every algorithm (:class:`MetaAlgorithm`).

    Raises:
        ValueError: for an unknown ``memory``, a task without a query, or modules that cannot be differentiated twice.
    """

    goes_through_the_game = True

    def __init__(self, *, memory: str = "auto", query_batch_size: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        refuse_own_optimizer(self.inner, type(self).__name__)
        if memory not in MEMORY:
            raise ValueError(unknown_name("memory", memory, MEMORY))
        self.memory = memory
        self.query_batch_size = check_query_batch_size(query_batch_size)

    def meta_gradient(self, pair: GANPair, task: Task, seed: int = 0) -> MetaGradient:
        query = require_query(task, type(self).__name__)
        refuse_first_order_only(pair, type(self).__name__)
        game = record(pair, self.objective, task.support, self.inner, seed, self.memory, carried=self.carried)
        buffers = adapted_buffers(game.phi)
        own = learned_by_player(pair, self.inner)
        depends_on_theta = [name for name, role in resolve_roles(pair, self.inner.all_roles).items() if role != "frozen"]
        wanted = dict.fromkeys(own, depends_on_theta)
        phi = without_hooks(game.phi)
        at_phi, query_logs = query_gradients(game.objective, phi, query, wanted, seed, self.query_batch_size, self.inner.steps)
        at_theta = dict(zip(own, game.pull([at_phi[player] for player in own]), strict=True))
        # As a backward pass to theta would have it, theta's gradient hooks come last, and those of phi, which is no leaf, not at all.
        found = {name: at_theta[player][name] for player, names in own.items() for name in names}
        hooked = obeyed(list(found), list(found.values()), dict(pair.named_parameters()))
        grads = {name: gradient for name, gradient in zip(found, hooked, strict=True) if gradient is not None}
        return MetaGradient(grads, {**game.logs, **query_logs}, buffers)
