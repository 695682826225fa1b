"""Table: what stays the same while a game is played: the players, their turns, the samples, and what a turn costs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_meta.contents import is_plain, is_same, measures_in
from gan_meta.game.copies import Loose, put_loose, see_loose, take_loose
from gan_meta.game.coupling import FAILURES, are_coupled, rearranged
from gan_meta.game.draws import Draw, draw
from gan_meta.game.frame_share import FrameShare
from gan_meta.game.hooks import refuse_unplayable
from gan_meta.game.inner import InnerLoop, Turn
from gan_meta.game.passes import Unrecorded, in_words
from gan_meta.game.player_loss import has_own_loss, lent, player_loss, present, reduce_loss
from gan_meta.game.pool import SamplePool
from gan_meta.game.roles import adapts, resolve_roles
from gan_meta.game.terms import refuse_reserved, refuse_shared
from gan_meta.objective import Batch, Objective, ask, asks_for_step, defines, written_losses
from gan_meta.pair import GANPair
from gan_meta.seeds import RandomState, derive_seed, random_state, seeded
from gan_meta.tasks import Samples

_RATHER = 'use parallel="tasks", or losses with one value a sample, no random draws and nothing kept'


class TurnLosses(NamedTuple):
    """What a turn costs: each mover's loss with its graph, and all losses and terms by name for the logs; scalars."""

    players: dict[str, Tensor]
    logs: dict[str, Tensor]


class _Unreduced(NamedTuple):
    """A turn's losses and terms as the objective gives them, with their samples' number and weights (``None``: all alike)."""

    players: dict[str, Tensor]
    parts: dict[str, Tensor]
    n_samples: int
    weights: Tensor | None = None


_Case = tuple[tuple[str, ...], bool]
"""Who moves, and whether several different samples are in the batch: one by itself says nothing of several."""


class _State(NamedTuple):
    """What a loss may change besides its answer."""

    buffers: dict[str, Tensor]
    loose: Loose
    random: RandomState

    @property
    def kept(self) -> list[object]:
        """What is kept from one loss to the next."""
        return [self.buffers, [attributes for _, attributes in self.loose.attributes], self.loose.objective]


class Table:
    """The fixed part of one game. It asks ``pair`` as it stands, and moves nothing but the buffers.

    Attributes:
        adapting: each player's adapting parameters, by name, in the order of ``named_parameters()``.
        roles: each parameter's role.
        turns: the turns of an iteration; a player with nothing to adapt takes none.

    Raises:
        ValueError: as for :func:`gan_meta.adapt`.
    """

    def __init__(
        self, pair: GANPair, objective: Objective, support: Samples, inner: InnerLoop, seed: int, share: FrameShare | None = None
    ) -> None:
        if torch.is_inference_mode_enabled():
            raise ValueError("a game takes gradients, which torch.inference_mode() forbids: play it outside of that block")
        self.pair = pair
        self.objective = objective
        self.inner = inner
        self.seed = seed
        self.share = share
        self.roles = resolve_roles(pair, inner.all_roles if pair.discriminator is not None else dict(inner.roles))
        self.adapting = {
            player: [name for name, _ in pair.player_parameters(player) if adapts(self.roles[name])] for player in pair.players
        }
        self._check_players()
        refuse_unplayable(pair, (name for names in self.adapting.values() for name in names), is_shared=share is not None)
        self.turns = self._playable_turns()
        reference = next(pair.parameters())
        self.device, self.dtype = reference.device, reference.dtype
        precompute = objective.precompute if inner.random_augment is None else _nothing
        with seeded(derive_seed(seed, "samples"), self.device), self._autocast():
            self.pool = SamplePool(support, inner.augment, self.device, precompute)
        always_new = self.pool.is_random or inner.random_augment is not None or has_batch_statistics(pair)
        self._may_be_unique = inner.unique_samples and not always_new
        self._is_unique: dict[_Case, bool] = {}
        self._is_coupled: dict[_Case, bool] = {}
        self._outline = _plain_values(pair, objective)
        self._term_owner: dict[str, str] = {}
        self._seen: set[tuple[str, ...]] = set()
        # Losses that know the step may couple samples, or draw, in some iterations only: each is then looked at by itself.
        self._is_same_always = not any(asks_for_step(method) for method in written_losses(objective))
        self._draws_samples = self.pool.is_random or inner.random_augment is not None
        if share is not None and has_batch_statistics(pair):
            raise ValueError(
                "batch normalisation in training mode mixes the samples of a batch, which several ranks cannot share; "
                'use parallel="tasks", or eval() on those layers'
            )

    def iteration(self, position: int) -> AbstractContextManager[None]:
        """Around one iteration: what it draws at random depends on the seed and the position alone."""
        return seeded(derive_seed(self.seed, "step", position), self.device)

    def losses(self, turn: Turn, position: int) -> TurnLosses:
        """The losses of a turn of the iteration at this position, with the weights as they stand."""
        rounds = max(self.inner.update_ratio)
        drawn = draw(self.pool.n_samples, self.inner.batch_size, len(self.pool.transforms), position * rounds + turn.batch, self.seed)
        found = self._unreduced(turn.players, drawn, position)
        where = f" at iteration {position}"
        players = {
            player: reduce_loss(loss, found.n_samples, found.weights, f"the {player}'s loss", where)
            for player, loss in found.players.items()
        }
        refuse_reserved(found.parts)
        logs = {player: loss.detach() for player, loss in players.items()}
        with torch.no_grad():
            for name, part in found.parts.items():
                logs[name] = reduce_loss(part.detach(), found.n_samples, found.weights, f"the term {name!r}", where)
        return TurnLosses(players, logs)

    def see_unused(self, turn: Turn, position: int, unused: Mapping[str, Tensor]) -> None:
        """Once a game, look why weights of these players, by name, got no gradient in this turn, with the weights as they stand.

        Raises:
            ValueError: naming one that is used, where no gradient is recorded.
        """
        if unused and turn.players not in self._seen:
            self._seen.add(turn.players)
            start = self._state()
            with Unrecorded(unused):
                self.losses(turn, position)
            self._put(start)

    def _unreduced(self, players: tuple[str, ...], drawn: Draw, step: int) -> _Unreduced:
        if self.share is not None:
            return self._own_share(self.share, players, drawn, step)
        if not (self._may_be_unique and drawn.has_repeats):
            return self._forward(players, self._batch(drawn.items), step)
        items, weights = drawn.unique(self.dtype)
        case = players, len(items) > 1
        if not self._is_unique.get(case, True):
            return self._forward(players, self._batch(drawn.items), step)
        if case in self._is_unique:
            return self._forward(players, self._take(items), step)._replace(weights=weights.to(self.device))
        # Only losses of each sample alone, that drew nothing and left nothing of the batch behind, are the same for unique samples.
        start = self._state()
        is_coupled = self._is_coupled.get(case) if self._is_same_always else None
        trial = None
        if is_coupled is None:  # before what is kept, whose graph a state put back afterwards would break
            trial = self._trial(players, items, step)
            self._put(start)
        found = self._forward(players, self._take(items), step)
        is_unique = all(loss.ndim == 1 for loss in (*found.players.values(), *found.parts.values())) and not self._drew(start)
        if is_unique and not self._is_at(start):
            moved = self._state()
            self._put(start)
            self._forward(players, self._take(drawn.items), step)
            is_unique = is_same(measures_in(moved.kept), measures_in(self._state().kept))
            self._put(start)
            found = self._forward(players, self._take(items), step) if is_unique else found
        if is_unique and is_coupled is None:
            self._is_coupled[case] = is_coupled = self._are_coupled(found, trial)
        is_unique = is_unique and not is_coupled
        if self._is_same_always:
            self._is_unique[case] = is_unique
        if is_unique:
            return found._replace(weights=weights.to(self.device))
        self._put(start)
        return self._forward(players, self._take(drawn.items), step)

    def learn_from(self, other: Table) -> None:
        """Take over what another table found out of the same players and the same losses, as far as plain values tell."""
        if self._is_same_always and self.share is None and other.share is None and self._outline == other._outline:
            self._is_coupled, self._is_unique = other._is_coupled, other._is_unique

    def _trial(self, players: tuple[str, ...], items: Tensor, step: int) -> dict[str, Tensor] | None:
        """The losses of these items rearranged, ``None`` where there are none to be had; the state that they leave is to be put back."""
        try:
            losses = self._forward(players, self._take(items[rearranged(len(items))]), step).players
        except FAILURES:
            return None
        return {player: loss.detach() for player, loss in losses.items()}

    def _are_coupled(self, found: _Unreduced, trial: Mapping[str, Tensor] | None) -> bool:
        precision = self.dtype if self.inner.precision == "float32" else torch.bfloat16
        return trial is None or are_coupled(found.players, trial, precision)

    def _state(self) -> _State:
        buffers = {name: buffer.detach().clone() for name, buffer in self.pair.named_buffers()}
        return _State(buffers, take_loose(self.pair, self.objective), random_state(self.device))

    def _put(self, state: _State) -> None:
        put_buffers(self.pair, state.buffers)
        self.objective = put_loose(self.pair, state.loose)
        state.random.restore()

    def _drew(self, start: _State) -> bool:
        return start.random != random_state(self.device)

    def _is_at(self, state: _State) -> bool:
        """Whether buffers, attributes and objective are as in this state."""
        now = _State(dict(self.pair.named_buffers()), see_loose(self.pair, self.objective), state.random)
        return is_same(state.kept, now.kept)

    def _take(self, items: Tensor) -> Batch:
        with self._autocast():
            return self.pool.take(items)

    def _batch(self, items: Tensor) -> Batch:
        batch = self._take(items)
        return batch if self.inner.random_augment is None else self.inner.random_augment(batch)

    def _own_share(self, share: FrameShare, players: tuple[str, ...], drawn: Draw, step: int) -> _Unreduced:
        """This rank's part of a batch that several ranks share: their weighted losses add up to the batch's."""
        batch, weights = self._shared_batch(share, drawn)
        if (players, True) not in self._is_unique:
            self._is_unique[players, True] = True
            self._refuse_keeping(players, drawn, batch, step)
            self._refuse_coupled(players, drawn.unique(self.dtype)[0][:2], step)
        before = random_state(self.device)
        found = self._forward(players, batch, step)
        if any(loss.ndim == 0 for loss in found.players.values()):
            raise ValueError(f"a loss that is one scalar couples the samples of a batch, which several ranks cannot share; {_RATHER}")
        if before != random_state(self.device):
            raise ValueError(f"the losses draw random numbers, so ranks that share a batch would draw others than one alone; {_RATHER}")
        parts = {name: part if part.ndim else part * weights.sum() for name, part in found.parts.items()}
        return found._replace(weights=weights.to(self.device), parts=parts)

    def _shared_batch(self, share: FrameShare, drawn: Draw) -> tuple[Batch, Tensor]:
        """This rank's samples of a batch, and their weights; what is drawn to make them is what one process alone would draw."""
        if self.pool.kept is not None and self.inner.random_augment is None:
            items, weights = share.of(*drawn.unique(self.dtype))
            return self._take(items), weights
        count = len(drawn.items)
        rows, weights = share.of(torch.arange(count), torch.full((count,), 1 / count, dtype=self.dtype))
        if not self._draws_samples:
            before = random_state(self.device)
            batch = self._take(drawn.items[rows])
            self._draws_samples = before != random_state(self.device)
            if not self._draws_samples:
                return batch, weights
            before.restore()
        whole = self._batch(drawn.items)
        return {name: tensor[rows.to(self.device)] for name, tensor in whole.items()}, weights

    def _refuse_keeping(self, players: tuple[str, ...], drawn: Draw, batch: Batch, step: int) -> None:
        """Refuse losses that keep something of the batches they have seen, since each rank sees others."""
        start = self._state()
        self._forward(players, batch, step)
        if self._is_at(start):
            return
        own = self._state()
        self._put(start)
        self._forward(players, self._take(drawn.items), step)
        is_same_for_all = is_same(measures_in(own.kept), measures_in(self._state().kept))
        self._put(start)
        if not is_same_for_all:
            raise ValueError(
                "a module or the objective keeps something of the batches it has seen, such as a running average or a pool, of which "
                f"ranks that share a batch would each see another part; {_RATHER}"
            )

    def _refuse_coupled(self, players: tuple[str, ...], items: Tensor, step: int) -> None:
        """Refuse losses that look at samples which other ranks have; tried on the same samples by every rank."""
        if len(items) < 2 or self._draws_samples:
            return
        start = self._state()
        found = self._forward(players, self._take(items), step)
        is_for_each = all(loss.ndim == 1 for loss in found.players.values()) and not self._drew(start)
        self._put(start)
        trial = self._trial(players, items, step)
        self._put(start)
        if is_for_each and self._are_coupled(found, trial):
            raise ValueError(f"a sample's loss depends on the others of its batch, which several ranks cannot share; {_RATHER}")

    def _forward(self, players: tuple[str, ...], batch: Batch, step: int) -> _Unreduced:
        with self._autocast(), in_words():
            return self._ask(players, batch, step)

    def _ask(self, players: tuple[str, ...], batch: Batch, step: int) -> _Unreduced:
        count = len(next(iter(batch.values())))
        if len(players) == 2 and defines(self.objective, "losses"):
            both = ask(self.objective.losses, self.pair, lent(batch), step)
            return _Unreduced({player: present(getattr(both, player), player) for player in players}, dict(both.parts), count)
        losses, parts = {}, {}
        for player in players:
            losses[player], terms = player_loss(self.objective, self.pair, batch, player, step)
            if has_own_loss(self.objective, player):
                refuse_shared(terms, [name for name, owner in self._term_owner.items() if owner != player])
                self._term_owner.update(dict.fromkeys(terms, player))
            parts.update(terms)
        return _Unreduced(losses, parts, count)

    def _autocast(self) -> AbstractContextManager[None]:
        """Around what the networks do. Copies of weights in bfloat16 are never kept, since the weights move between turns."""
        if torch.is_autocast_enabled(self.device.type):
            torch.clear_autocast_cache()
        if self.inner.precision == "float32":
            return contextlib.nullcontext()
        autocast: AbstractContextManager[None] = torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)
        return autocast

    def _check_players(self) -> None:
        if not self.adapting["generator"]:
            raise ValueError("the generator takes turns but has no weight that adapts: all of its weights are 'shared' or 'frozen'")
        if self.pair.discriminator is None and self.inner.update_ratio != (1, 1):
            raise ValueError(f"update_ratio={self.inner.update_ratio} needs a discriminator, but the pair has none")
        if self.inner.freeze_d != "never" and self.pair.discriminator is None:
            raise ValueError(f"freeze_d={self.inner.freeze_d!r} needs a discriminator, but the pair has none")
        if self.inner.update_ratio != (1, 1) and not self.adapting.get("discriminator"):
            raise ValueError(f"update_ratio={self.inner.update_ratio} gives the discriminator turns, but none of its weights adapts")

    def _playable_turns(self) -> list[Turn]:
        turns = [Turn(tuple(player for player in turn.players if self.adapting.get(player)), turn.batch) for turn in self.inner.turns()]
        return [turn for turn in turns if turn.players]


def _plain_values(pair: GANPair, objective: Objective) -> list[object]:
    """The modules' and the objective's kinds and plain attributes, by which their losses may be of another form."""
    return [(type(part), {name: value for name, value in vars(part).items() if is_plain(value)}) for part in (objective, *pair.modules())]


def _nothing(_batch: Batch) -> Batch:
    """A batch that is changed at random has no constant tensors."""
    return {}


def put_buffers(pair: GANPair, buffers: Mapping[str, Tensor]) -> None:
    """Set the buffers to these values, which are copied; one of another shape is replaced. Those that have them count as untouched."""
    for name, buffer in list(pair.named_buffers()):
        if torch.equal(buffer, buffers[name]):
            continue
        if buffer.shape == buffers[name].shape and buffer.is_leaf:
            buffer.detach().copy_(buffers[name])
        else:
            owner, _, own_name = name.rpartition(".")
            pair.get_submodule(owner)._buffers[own_name] = buffers[name].detach().clone()


def has_batch_statistics(pair: GANPair) -> bool:
    """Whether some normalisation mixes the samples of a batch, or keeps statistics of them, as the pair stands."""
    for module in pair.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or not module.track_running_stats):
            return True
        if isinstance(module, nn.modules.instancenorm._InstanceNorm) and module.training and module.track_running_stats:
            return True
    return False
