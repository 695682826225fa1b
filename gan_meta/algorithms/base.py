"""What every algorithm is: a function from (theta, task) to a direction in which theta moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from gan_meta.game.adaptation import play
from gan_meta.game.carry import CarriedMoments
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.inner import InnerLoop
from gan_meta.game.rates import PREFIX
from gan_meta.game.roles import is_learned, resolve_roles
from gan_meta.game.workbench import Workbench
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.tasks import Samples, Task


@dataclass(frozen=True)
class MetaGradient:
    """The direction that one task gives theta.

    Attributes:
        grads: {parameter name: descent direction}: an optimiser *subtracts* it. Parameters whose start stays are left out.
        logs: the losses of the game by name.
        buffers: {buffer name: phi's value}, as the game left it. Theta's buffers follow these values whatever the outer rate and
            optimiser: running averages, and any other real or complex buffer, become the mean over the iteration's tasks; unit
            vectors stay unit vectors, and those of spectral normalisation are fitted to theta's weights; whole numbers and truth
            values are taken from the last task. What no game changed stays.
    """

    grads: dict[str, Tensor]
    logs: Mapping[str, float] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)


class MetaAlgorithm(ABC):
    """A meta-learning algorithm. Subclass it, write ``meta_gradient``, and register it by name.

    Args:
        objective: what each player minimises.
        inner: the options of the game.
        carry_optimizer: whether a game takes up Adam's running averages where the game before left them, instead of fresh
            ones for each task.

    Raises:
        TypeError: when ``objective`` or ``inner`` is of another type.
        ValueError: for ``carry_optimizer`` with an optimiser that has no state.
    """

    can_share_frames: ClassVar[bool] = False
    """Whether several ranks may play one game together: whether ``meta_gradient`` hands ``share`` on to the game."""
    goes_through_the_game: ClassVar[bool] = False
    """Whether the direction differentiates the game, so that it is wrong where a loss cuts a path by ``detach``."""
    carried: CarriedMoments | None = None
    share: FrameShare | None = None
    """How a game's batches are shared by several ranks; set by the trainer."""

    def __init__(self, *, objective: Objective, inner: InnerLoop, carry_optimizer: bool = False) -> None:
        if not isinstance(objective, Objective):
            raise TypeError(f"objective must be a gan_meta.Objective, got {type(objective).__name__}")
        if not isinstance(inner, InnerLoop):
            raise TypeError(f"inner must be a gan_meta.InnerLoop, got {type(inner).__name__}")
        if carry_optimizer and inner.optimizer == "sgd":
            raise ValueError('carry_optimizer=True and optimizer="sgd" exclude each other: plain SGD has no state to carry')
        if carry_optimizer and inner.has_own_optimizer:
            raise ValueError('carry_optimizer=True carries Adam\'s running averages, so it excludes an optimizer factory; use "adam"')
        self.objective = objective
        self.inner = inner
        self.carried = CarriedMoments() if carry_optimizer else None
        self._workbench = Workbench()

    @abstractmethod
    def meta_gradient(self, pair: GANPair, task: Task, seed: int = 0) -> MetaGradient:
        """The direction of one task at theta = ``pair``, which stays untouched, bit for bit."""

    def play(self, theta: GANPair, support: Samples, seed: int = 0) -> tuple[GANPair, dict[str, float]]:
        """A game of this algorithm: phi, good until its next game, and the last iteration's losses by name."""
        return play(theta, self.objective, support, self.inner, seed, carried=self.carried, share=self.share, workbench=self._workbench)

    @property
    def played_objective(self) -> Objective:
        """The objective as the last game left it, for questions about its phi."""
        return self._workbench.objective or self.objective

    def state_tensors(self) -> dict[str, Tensor]:
        """What the algorithm remembers from task to task, for checkpoints; empty for most."""
        return {} if self.carried is None else self.carried.tensors()

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what :meth:`state_tensors` gave."""
        if self.carried is not None:
            self.carried.load_tensors(tensors)


def learned_names(pair: GANPair, inner: InnerLoop) -> list[str]:
    """The names of the parameters whose start is learned across tasks."""
    return [name for name, role in resolve_roles(pair, inner.all_roles).items() if is_learned(role)]


def learned_by_player(pair: GANPair, inner: InnerLoop) -> dict[str, list[str]]:
    """:func:`learned_names` of each player that has any, the learned rates of its weights included."""
    names = learned_names(pair, inner)
    own = {player: [name for name in names if name.removeprefix(PREFIX).startswith(f"{player}.")] for player in pair.players}
    return {player: names for player, names in own.items() if names}


def displacement(theta: GANPair, phi: GANPair, names: list[str]) -> dict[str, Tensor]:
    """theta - phi for these parameters."""
    start, end = dict(theta.named_parameters()), dict(phi.named_parameters())
    return {name: start[name].detach() - end[name].detach() for name in names}


def adapted_buffers(phi: GANPair) -> dict[str, Tensor]:
    """Copies of phi's buffers, which its next game would write over."""
    return {name: buffer.detach().clone() for name, buffer in phi.named_buffers()}
