"""FOMAML: the direction is each player's query gradient at phi, with d phi / d theta taken as the identity.

Source: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning", 2017 (section 5.2, first-order approximation).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gan_meta.adaptation import adapt
from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient, buffer_displacement, learned_names
from gan_meta.algorithms.registry import register
from gan_meta.game import player_loss, reduce_loss
from gan_meta.pair import GANPair
from gan_meta.seeds import derive_seed, seeded
from gan_meta.tasks import Task, count_samples, take


@register("fomaml")
class FOMAML(MetaAlgorithm):
    """Descent direction: the gradient of each player's loss on the query, at the adapted weights, for that player's own weights.

    Raises:
        ValueError: when a task has no query.
    """

    def meta_gradient(self, pair: GANPair, task: Task, seed: int = 0) -> MetaGradient:
        if task.query is None or count_samples(task.query) == 0:
            raise ValueError(f"FOMAML needs a query to take its gradient on, but task {task.name!r} has none")
        phi = adapt(pair, self.objective, task.support, self.inner, seed)
        names = learned_names(pair, self.inner)
        buffers = buffer_displacement(pair, phi)
        device = next(phi.parameters()).device
        query = {name: tensor.to(device) for name, tensor in take(task.query, range(count_samples(task.query))).items()}
        grads: dict[str, Tensor] = {}
        logs: dict[str, float] = {}
        for player in phi.players:
            own = {name: parameter for name, parameter in phi.player_parameters(player) if name in set(names)}
            if not own:
                continue
            with seeded(derive_seed(seed, "query", player), device):
                loss = reduce_loss(player_loss(self.objective, phi, query, player)[0], None, f"the {player}'s query loss")
            found = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
            for (name, parameter), gradient in zip(own.items(), found, strict=True):
                grads[name] = torch.zeros_like(parameter) if gradient is None else gradient
            logs[f"query_{player}"] = float(loss.detach())
        return MetaGradient(grads, logs, buffers)
