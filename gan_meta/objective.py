"""Objective: what each player of a GANPair minimises, and Losses: what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gan_meta.pair import GANPair

Batch = dict[str, Tensor]
"""One batch: named tensors whose first dimension counts the samples."""


@dataclass(frozen=True)
class Losses:
    """Both players' losses of one batch.

    Attributes:
        generator: shape (N,), one loss a sample, or a scalar where the loss couples the samples.
        discriminator: likewise, or ``None`` where there is no discriminator or it was not asked for.
        parts: the named terms, for logging; each (N,) or scalar.
    """

    generator: Tensor
    discriminator: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Objective:
    """What each player minimises. Subclass it for a GAN of your own.

    Write the losses as if both players were always learning: **never detach**. The engine asks each
    player's gradient for that player's own weights only, and a meta-gradient through the game needs
    the paths that a ``detach`` would cut.

    Example:
        >>> class LeastSquares(Objective):
        ...     def generator_loss(self, pair, batch):
        ...         fake = pair.generator(batch["noise"])
        ...         return (pair.discriminator(fake) - 1).square().flatten(1).mean(1)      # (N,)
        ...     def discriminator_loss(self, pair, batch):
        ...         fake = pair.generator(batch["noise"])
        ...         real_term = (pair.discriminator(batch["image"]) - 1).square().flatten(1).mean(1)
        ...         fake_term = pair.discriminator(fake).square().flatten(1).mean(1)
        ...         return {"D_real": real_term / 2, "D_fake": fake_term / 2}              # summed, logged by name
    """

    def generator_loss(self, pair: GANPair, batch: Batch) -> Tensor | Mapping[str, Tensor]:
        """The generator's loss: (N,), a dict of (N,) that is summed, or a scalar if the loss couples the samples."""
        raise TypeError(f"{type(self).__name__} defines neither generator_loss nor losses; define one of them")

    def discriminator_loss(self, pair: GANPair, batch: Batch) -> Tensor | Mapping[str, Tensor]:
        """The discriminator's loss, in the same forms; never called for a pair without a discriminator."""
        raise TypeError(
            f"{type(self).__name__} defines no discriminator_loss, but the pair has a discriminator; define it, or "
            "build the pair with discriminator=None"
        )

    def losses(self, pair: GANPair, batch: Batch) -> Losses:
        """Both losses of one batch with the weights as they stand.

        Override it where one forward pass can serve both players; it must then return what the two
        separate losses would.
        """
        generator, parts = total(self.generator_loss(pair, batch))
        if pair.discriminator is None:
            return Losses(generator, None, parts)
        discriminator, discriminator_parts = total(self.discriminator_loss(pair, batch))
        return Losses(generator, discriminator, {**parts, **discriminator_parts})

    def precompute(self, batch: Batch) -> Batch:
        """Further per-sample tensors that no step of a game changes, for example features of the real images.

        The engine calls it once a game, on the unique samples, and adds the result to each batch; keys must
        not clash with the batch's own. The default adds nothing. An objective must give the same losses with
        and without these keys.
        """
        return {}


def total(loss: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of a loss given as a tensor or as named terms, and the named terms."""
    if isinstance(loss, Tensor):
        return loss, {}
    if not loss:
        raise ValueError("a loss given as a dict must have at least one term")
    terms = dict(loss)
    values = iter(terms.values())
    result = next(values)
    for value in values:
        result = result + value
    return result, terms
