"""GANPair: a generator and, if there is one, its discriminator, as one module."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gan_meta.copying import Copier

PLAYERS = ("generator", "discriminator")
_VARIANTS = 64


class GANPair(nn.Module):
    """The two players of an adversarial game, held by one module.

    Parameter names start with ``generator.`` or ``discriminator.``; roles and
    meta-gradients speak of parameters by these names.

    Args:
        generator: any module; its inputs are the objective's business.
        discriminator: any module, or ``None`` for a generator that is trained alone.

    Raises:
        TypeError: when a player is not an ``nn.Module``.
        ValueError: when both players are one module or share parameters, since the engine
            must know which player a parameter belongs to.

    Attributes:
        model_name: the model that the registry built (``gan_meta.models.create``), or ``None`` for a pair made by hand.
        model_arguments: what it was built with, ``{}`` for a pair made by hand. The two let a file of weights be turned into
            a pair again.
    """

    model_name: str | None
    model_arguments: dict[str, Any]

    def __init__(self, generator: nn.Module, discriminator: nn.Module | None = None) -> None:
        super().__init__()
        if not isinstance(generator, nn.Module):
            raise TypeError(f"generator must be an nn.Module, got {type(generator).__name__}")
        if discriminator is not None and not isinstance(discriminator, nn.Module):
            raise TypeError(f"discriminator must be an nn.Module or None, got {type(discriminator).__name__}")
        self.generator = generator
        self.discriminator = discriminator
        self.model_name = None
        self.model_arguments = {}
        self._compile_options: dict[str, Any] | None = None
        if discriminator is not None:
            shared = {id(p) for p in generator.parameters()} & {id(p) for p in discriminator.parameters()}
            if shared:
                raise ValueError(
                    f"generator and discriminator share {len(shared)} parameter(s); each parameter must belong to one "
                    "player, so build the two from separate modules"
                )

    @property
    def players(self) -> tuple[str, ...]:
        """The names of the players that exist: ``("generator",)`` or both."""
        return PLAYERS if self.discriminator is not None else PLAYERS[:1]

    def player_parameters(self, player: str) -> Iterator[tuple[str, nn.Parameter]]:
        """The (name, parameter) pairs of one player, names as in ``named_parameters()``."""
        module = getattr(self, player)
        if module is not None:
            yield from module.named_parameters(prefix=player)

    def forward(self, *inputs: Any, **named_inputs: Any) -> Any:
        """What the generator makes of the inputs."""
        return self.generator(*inputs, **named_inputs)

    def compile(self, **options: Any) -> None:
        """Compile both players in place, and those of every copy that :meth:`clone` makes.

        A copy reuses what was compiled for the original, so a game of a new task, or of another number of samples, compiles nothing
        anew, once torch has seen that the number varies. Parameter names stay the same.

        Args:
            options: those of ``torch.compile``: ``backend``, ``mode``, ``dynamic``, ``fullgraph``, ``options``.
        """
        # Two players on real and generated samples, learning or not, of one sample, a fixed number or any: more than torch's 8 variants,
        # after which it would stop compiling without a word.
        if "recompile_limit" in inspect.signature(torch.compile).parameters:
            options = {"recompile_limit": _VARIANTS, **options}
        self._compile_options = options
        for player in self.players:
            getattr(self, player).compile(**options)

    def clone(self) -> GANPair:
        """A deep copy that shares nothing with this pair, compiled where :meth:`compile` was called.

        Hooks of modules and gradient hooks of parameters come along; those that look at this pair look at the copy there. A tensor
        attribute that has a graph, as torch's old weight normalisation keeps one, comes along as its values.

        Raises:
            TypeError: for a module that keeps an iterator which cannot be copied, or one with weights to train that torch.jit made.
        """
        return self.copied_by(Copier([self]))

    def copied_by(self, copier: Copier) -> GANPair:
        """:meth:`clone`, by a copier that copies something else with it."""
        copied = copier.copy(self)
        # A deep copy of a compiled module is not compiled.
        if self._compile_options is not None:
            copied.compile(**self._compile_options)
        return copied
