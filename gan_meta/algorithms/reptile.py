"""Reptile: theta <- theta + eps * (phi - theta), where phi is theta after the game.

Source: Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", 2018 (algorithm 1); for both players of a GAN:
MetaPix, algorithm 1 (printed there without the leading "theta +").
"""

from __future__ import annotations

from gan_meta.algorithms.base import MetaAlgorithm, MetaGradient, adapted_buffers, displacement, learned_names
from gan_meta.algorithms.registry import register
from gan_meta.game.roles import adapts, is_learned, resolve_roles
from gan_meta.pair import GANPair
from gan_meta.tasks import Task


@register("reptile")
class Reptile(MetaAlgorithm):
    """Descent direction theta - phi, for every weight that adapts and whose start is learned.

    Raises:
        ValueError: when a weight has the role ``"shared"``: it does not move in the game, so Reptile has no direction for it.
    """

    can_share_frames = True

    def meta_gradient(self, pair: GANPair, task: Task, seed: int = 0) -> MetaGradient:
        for name, role in resolve_roles(pair, self.inner.all_roles).items():
            if is_learned(role) and not adapts(role):
                raise ValueError(
                    f"Reptile cannot learn {name!r} with the role {role!r}: a weight that stays fixed in the game gives it no direction; "
                    'use "meta" or "frozen" there, or an algorithm with a query gradient such as "fomaml"'
                )
        phi, logs = self.play(pair, task.support, seed)
        return MetaGradient(displacement(pair, phi, learned_names(pair, self.inner)), logs, adapted_buffers(phi))
