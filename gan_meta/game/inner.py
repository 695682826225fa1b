"""InnerLoop: the options of the game that is played inside a task."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gan_meta.game.draws import Transform
from gan_meta.game.factory import OptimizerFactory, check_factory
from gan_meta.game.roles import ROLES
from gan_meta.naming import unknown_name

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("constant", "constant_then_linear")
UPDATES = ("simultaneous", "alternating")
PRECISIONS = ("float32", "bfloat16")
FREEZE_D: dict[str, dict[str, str]] = {
    "never": {},
    "reset": {"discriminator.*": "local"},
    "always": {"discriminator.*": "frozen"},
}
"""The two freeze-D variants as roles: "reset" is the released MetaPix code, "always" the paper's wording (section 4.3)."""


class Turn(NamedTuple):
    """One update: these players move, their gradients taken on the iteration's batch of this number, before either moves."""

    players: tuple[str, ...]
    batch: int


@dataclass(frozen=True)
class InnerLoop:
    """How a game is played inside a task. The defaults are the paper's (section 3, implementation details).

    Attributes:
        steps: T, the number of iterations.
        optimizer: ``"adam"`` or ``"sgd"``; its state is fresh in every game. First-order algorithms also take a factory, called
            as ``factory(parameters, lr=...)`` once a player, with ``player="generator"`` or ``"discriminator"`` as well where it has an
            argument of that name: ``functools.partial(torch.optim.SGD, momentum=0.9)``. Parameter groups keep the rates that the
            factory gives them, times the schedule's factor.
        lr: learning rate of both players.
        betas, eps: Adam's; a factory states its own, and SGD has none.
        schedule: ``"constant"``, or ``"constant_then_linear"``: constant for T/2 iterations, then falling linearly:
            ``lr * (1 - max(0, i - T/2) / (T/2))`` for the 0-based iteration i, so that the last one still moves.
        batch_size: samples of one batch; fewer samples than this are repeated to fill it.
        update: ``"simultaneous"``: both gradients are taken from one forward pass, then both players move (the published
            pix2pixHD loop); ``"alternating"``: the discriminator moves first and the generator answers its new weights.
        update_ratio: (discriminator, generator) updates an iteration; anything but (1, 1) needs ``"alternating"``.
        freeze_d: ``"never"``; ``"reset"``: the discriminator adapts inside a task but its start stays; ``"always"``: it never moves.
        roles: the general form, {glob over parameter names: ``"meta"``, ``"local"``, ``"shared"`` or ``"frozen"``}.
        discriminator_lr: the discriminator's learning rate, where it differs from ``lr``.
        augment: deterministic transforms; each drawn sample keeps its own form or gets one of them, all equally likely.
            A single horizontal flip is thus drawn with probability 1/2.
        random_augment: a random change of each batch, drawn from torch's global CPU generator, which is seeded for every step: every
            sample of every batch is changed anew. With it nothing is precomputed and no sample is a repeat of another.
        unique_samples: play with the distinct samples of a batch and their weights instead of repeats: the same mathematics
            with less work. Losses that couple the samples, batch statistics and random draws switch it off by themselves.
        precision: ``"float32"``: as the weights are; ``"bfloat16"``: the networks work in bfloat16 where autocast says that they
            may, on processors and GPUs that are fast at it. Weights, gradients and optimiser state stay as they are.

    Raises:
        ValueError: for an unknown name (with the nearest), a value out of range, or options that contradict each other.
    """

    steps: int = 20
    optimizer: str | OptimizerFactory = "adam"
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    eps: float = 1e-8
    schedule: str = "constant_then_linear"
    batch_size: int = 8
    update: str = "simultaneous"
    update_ratio: tuple[int, int] = (1, 1)
    freeze_d: str = "never"
    roles: Mapping[str, str] = field(default_factory=dict)
    discriminator_lr: float | None = None
    augment: tuple[Transform, ...] = ()
    random_augment: Transform | None = None
    unique_samples: bool = True
    precision: str = "float32"

    def __post_init__(self) -> None:
        # Python's own numbers, whatever numpy's or torch's they were given as.
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))
        object.__setattr__(self, "update_ratio", tuple(map(operator.index, self.update_ratio)))
        for name in ("steps", "batch_size"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        for name in ("lr", "eps", "discriminator_lr"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        object.__setattr__(self, "augment", tuple(self.augment))
        for kind, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("update", self.update, UPDATES),
            ("freeze_d", self.freeze_d, FREEZE_D),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known and not (kind == "optimizer" and callable(value)):
                raise ValueError(unknown_name(kind, value, known))
        for role in self.roles.values():
            if role not in ROLES:
                raise ValueError(unknown_name("role", role, ROLES))
        self._check_ranges()
        self._check_combinations()

    def _check_ranges(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps must be 0 or more, got {self.steps}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        for name in ("lr", "eps", "discriminator_lr"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number, 0 or more, got {value}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        if len(self.update_ratio) != 2 or min(self.update_ratio) < 1:
            raise ValueError(
                f"update_ratio must be two numbers of at least 1, got {self.update_ratio}; "
                'use freeze_d="always" for a discriminator that never moves'
            )

    def _check_combinations(self) -> None:
        if not isinstance(self.optimizer, str):
            check_factory(self.optimizer, "the optimizer factory", "InnerLoop(lr=...)")
            for name in ("betas", "eps"):
                value = getattr(self, name)
                if value != getattr(type(self), name):
                    raise ValueError(
                        f"{name}={value} and an optimizer factory exclude each other: a factory states its own; use "
                        f"functools.partial(torch.optim.Adam, {name}={value})"
                    )
        if self.update == "simultaneous" and self.update_ratio != (1, 1):
            raise ValueError(
                f'update_ratio={self.update_ratio} and update="simultaneous" exclude each other: players that move together move '
                'equally often; use update="alternating"'
            )
        if self.freeze_d == "always" and self.update_ratio != (1, 1):
            raise ValueError(f'freeze_d="always" and update_ratio={self.update_ratio} exclude each other: a frozen player takes no turns')
        if self.freeze_d != "never" and any(glob.startswith("discriminator") for glob in self.roles):
            raise ValueError(
                f"freeze_d={self.freeze_d!r} and roles for the discriminator both say what it does; state it in roles alone "
                f"(freeze_d={self.freeze_d!r} is {FREEZE_D[self.freeze_d]})"
            )

    @property
    def has_own_optimizer(self) -> bool:
        """Whether the optimiser is a factory, whose mathematics the library does not know."""
        return not isinstance(self.optimizer, str)

    @property
    def all_roles(self) -> dict[str, str]:
        """The role patterns, freeze_d's included; it has the last word over wider ones such as ``"*"``."""
        return {**self.roles, **FREEZE_D[self.freeze_d]}

    def turns(self) -> tuple[Turn, ...]:
        """The turns of one iteration, in order."""
        if self.update == "simultaneous":
            return (Turn(("discriminator", "generator"), 0),)
        n_discriminator, n_generator = self.update_ratio
        return (
            *(Turn(("discriminator",), number) for number in range(n_discriminator)),
            *(Turn(("generator",), number) for number in range(n_generator)),
        )

    def lr_at(self, step: int, player: str = "generator") -> float:
        """The learning rate of a player at a 0-based iteration."""
        return self.base_lr(player) * self.factor_at(step)

    def base_lr(self, player: str) -> float:
        """The learning rate of a player before the schedule."""
        return self.discriminator_lr if player == "discriminator" and self.discriminator_lr is not None else self.lr

    def factor_at(self, step: int) -> float:
        """What the schedule multiplies learning rates by at a 0-based iteration."""
        if self.schedule == "constant" or self.steps == 0:
            return 1.0
        half = self.steps / 2
        return 1 - max(0.0, step - half) / half
