"""Probes: small experiments on a user's pair and objective, each of which says in a sentence what it found. See ``checking.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gan_meta.contents import generator_states, is_same
from gan_meta.game.copies import Loose, changed_attributes, put_loose, take_loose
from gan_meta.game.player_loss import player_loss, present, reduce_loss
from gan_meta.game.table import has_batch_statistics, put_buffers
from gan_meta.objective import Batch, Objective, ask, defines
from gan_meta.pair import GANPair
from gan_meta.seeds import random_state, seeded

WORKS, CAREFUL, REFUSED = "works", "careful", "refused"
VERDICTS = (WORKS, CAREFUL, REFUSED)

USER_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
"""What a user's own code may raise while it is tried; the probe turns it into words."""

TOLERANCE = 1e-3
"""Relative difference up to which two float32 ways of computing one loss count as equal."""


@dataclass(frozen=True)
class Finding:
    """One sentence about one subject.

    Attributes:
        subject: what was looked at, for example ``"generator loss"`` or the name of an algorithm.
        verdict: ``"works"``, ``"careful"`` (it runs, but read the text) or ``"refused"``.
        text: what was found, why it matters, and what to do.
    """

    subject: str
    verdict: str
    text: str


@dataclass(frozen=True)
class Trial:
    """What is being tried: a throw-away clone of the pair, the objective, and a small batch of the task's support."""

    pair: GANPair
    objective: Objective
    batch: Batch
    seed: int
    needs_paths: bool = True
    """Whether a path from one player's loss to the other player's weights must not be cut."""
    forgives_state: bool = False
    """Whether only single games are played, each of which begins with the objective's and the modules' own state."""
    buffers: dict[str, Tensor] = field(init=False)
    loose: Loose = field(init=False)

    def __post_init__(self) -> None:
        buffers = {name: buffer.detach().clone() for name, buffer in self.pair.named_buffers()}
        object.__setattr__(self, "buffers", buffers)
        object.__setattr__(self, "loose", take_loose(self.pair, self.objective))

    def rewound(self) -> Objective:
        """The objective as it was given; the pair's buffers and attributes are set to what they were."""
        self.rewind_buffers()
        return put_loose(self.pair, self.loose)

    def rewind_buffers(self) -> None:
        """Set the pair's buffers to what they were."""
        put_buffers(self.pair, self.buffers)

    def loss(self, player: str, batch: Batch | None = None) -> Tensor:
        """A player's loss as the objective gives it at the start of a game, every random draw seeded."""
        objective = self.rewound()
        chosen = {name: tensor.clone() for name, tensor in (self.batch if batch is None else batch).items()}
        with seeded(self.seed, self.device):
            return player_loss(objective, self.pair, chosen, player)[0]

    @property
    def device(self) -> torch.device:
        """Where the pair is."""
        return next(self.pair.parameters()).device

    @property
    def n_samples(self) -> int:
        """Samples of the batch."""
        return len(next(iter(self.batch.values())))


def says(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def probe_losses(trial: Trial) -> Iterator[Finding]:
    """Each player's loss: does it run, is it finite, and is it one value a sample?"""
    for player in trial.pair.players:
        subject = f"{player} loss"
        try:
            loss = trial.loss(player)
            reduced = reduce_loss(loss, trial.n_samples, None, f"the {player}'s loss")
        except USER_ERRORS as error:
            keys = ", ".join(sorted(trial.batch))
            yield Finding(subject, REFUSED, f"it cannot be computed: {says(error)} (the batch has: {keys})")
            continue
        if not bool(torch.isfinite(reduced)):
            yield Finding(subject, REFUSED, "it is infinite or not a number at the start already")
        elif loss.ndim == 0:
            text = (
                "one scalar: it couples the samples, so repeated samples are played as repeats; return one value a sample, (N,), if you can"
            )
            yield Finding(subject, CAREFUL, text)
        else:
            yield Finding(subject, WORKS, "one value a sample")


def probe_gradients(trial: Trial) -> Iterator[Finding]:
    """Does each player's loss reach that player's own weights?"""
    for player in trial.pair.players:
        subject = f"{player} gradient"
        named = [(name, parameter) for name, parameter in trial.pair.player_parameters(player) if parameter.requires_grad]
        if not named:
            yield Finding(subject, CAREFUL, f"no weight of the {player} asks for a gradient, so the {player} never moves")
            continue
        loss = trial.loss(player).mean()
        if not loss.requires_grad:
            text = f"the {player}'s loss has no gradient to the {player}: it is not used there, or it was detached or made under no_grad"
            yield Finding(subject, REFUSED, text)
            continue
        gradients = torch.autograd.grad(loss, [parameter for _, parameter in named], allow_unused=True)
        unused = [name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is None]
        if len(unused) == len(named):
            yield Finding(subject, REFUSED, f"the {player}'s loss does not depend on any weight of the {player}: was its output detached?")
        elif unused:
            yield Finding(subject, CAREFUL, f"{len(unused)} of its weights get no gradient and never move: {', '.join(unused[:3])}")
        else:
            yield Finding(subject, WORKS, f"reaches all {len(named)} weight tensors")


def probe_detach(trial: Trial) -> Iterator[Finding]:
    """Does each player's loss still see the other player? A ``detach`` or ``no_grad`` in the objective cuts that path."""
    if trial.pair.discriminator is None:
        return
    if not _sees(trial, "discriminator", "generator"):
        text = "the discriminator's loss does not see the generator's weights: the fake was detached, or made under no_grad. " + (
            "Remove it: the engine knows who learns from what, so it costs nothing; MAML's direction is wrong without that path"
            if trial.needs_paths
            else "This algorithm does not need that path, but MAML's direction would be wrong without it"
        )
        yield Finding("no detach", REFUSED if trial.needs_paths else CAREFUL, text)
    elif not _sees(trial, "generator", "discriminator"):
        yield Finding("no detach", CAREFUL, "the generator's loss does not look at the discriminator at all, so the two play no game")
    else:
        yield Finding("no detach", WORKS, "each player's loss sees both players")


def probe_randomness(trial: Trial) -> Iterator[Finding]:
    """Are random draws the engine's to seed?"""
    drew = False
    for player in trial.pair.players:
        with seeded(trial.seed, trial.device):
            objective, before = trial.rewound(), random_state(trial.device)
            own = generator_states(objective, trial.pair)
            player_loss(objective, trial.pair, trial.batch, player)
            drew |= before != random_state(trial.device)
            drew_own = not is_same(own, generator_states(objective, trial.pair))
        if drew_own or not torch.equal(trial.loss(player), trial.loss(player)):
            text = (
                f"the {player}'s loss differs from one call to the next with the same seed: draw noise from a global generator (torch, "
                "numpy.random, random), which the engine seeds step by step; not from a generator of its own"
            )
            if not drew_own:
                text += (
                    ". If it draws nothing, it keeps something where no game begins it anew, such as a variable of a Python module: "
                    "ask for the keyword `step`"
                )
            yield Finding("randomness", REFUSED, text)
            return
    text = "noise or dropout is drawn from a global generator, seeded step by step" if drew else "nothing is drawn at random"
    yield Finding("randomness", WORKS, text)


def probe_state(trial: Trial) -> Iterator[Finding]:
    """Do the losses depend on how often they were asked for before? What a module or the objective counts or keeps makes them."""
    first = {player: trial.loss(player).detach() for player in trial.pair.players}
    objective = trial.rewound()
    states, differs = [take_loose(trial.pair, objective)], False
    for _ in range(2):
        for player in trial.pair.players:
            trial.rewind_buffers()
            with seeded(trial.seed, trial.device):
                differs |= not torch.equal(first[player], player_loss(objective, trial.pair, trial.batch, player)[0])
        states.append(take_loose(trial.pair, objective))
    # What is merely kept of the last call is the same after the same call.
    changed = changed_attributes(trial.pair, *states[1:]) or (changed_attributes(trial.pair, *states[:2]) if differs else [])
    if not changed and not differs:
        yield Finding("state", WORKS, "a loss does not depend on how often it was asked for before")
        return
    text = (
        f"{', '.join(changed) or 'something that is kept'} changes each time a loss is asked for. A loss that changes as the game goes on "
        "asks for the keyword `step` (def discriminator_loss(self, pair, batch, *, step)); an average belongs in a buffer. "
    )
    if trial.forgives_state:
        yield Finding("state", CAREFUL, f"{text}Here each game begins with it as it was given")
    else:
        more = "What is kept otherwise is in no checkpoint, and ranks that share a batch would each keep something else"
        yield Finding("state", REFUSED, text + more)


def probe_independence(trial: Trial) -> Iterator[Finding]:
    """Are losses per sample really the samples' own? If so, repeated samples cost nothing."""
    if has_batch_statistics(trial.pair):
        text = 'batch normalisation in training mode mixes the samples, so repeats are played as repeats; norm="instance" would be cheaper'
        yield Finding("independent samples", CAREFUL, text)
        return
    half = max(1, trial.n_samples // 2)
    part = {name: tensor[:half] for name, tensor in trial.batch.items()}
    for player in trial.pair.players:
        whole = trial.loss(player)
        if trial.n_samples < 2 or whole.ndim == 0 or _draws(trial, player):
            continue
        if not _close(whole[:half], trial.loss(player, part)):
            text = (
                f"the {player}'s loss of a sample changes when the others leave the batch, though it looks like one value a sample: some "
                "layer or mean mixes them, so repeated samples are played as repeats, and ranks cannot share a batch; a scalar says so"
            )
            yield Finding("independent samples", CAREFUL, text)
            return
    yield Finding("independent samples", WORKS, "a sample's loss does not depend on the others")


def probe_shared_forward(trial: Trial) -> Iterator[Finding]:
    """Do ``losses`` and the two separate losses agree, where an objective has both?"""
    separate = [player for player in trial.pair.players if defines(trial.objective, f"{player}_loss")]
    if not defines(trial.objective, "losses") or not separate:
        return
    with seeded(trial.seed, trial.device):
        both = ask(trial.objective.losses, trial.pair, dict(trial.batch), 0)
    for player in separate:
        if not _draws(trial, player) and not _close(present(getattr(both, player), player), trial.loss(player)):
            text = f"losses() and {player}_loss() give different numbers for the {player}; they must be two ways to the same loss"
            yield Finding("one forward for both", REFUSED, text)
            return
    yield Finding("one forward for both", WORKS, "losses() agrees with the separate losses")


def probe_side_effects(trial: Trial) -> Iterator[Finding]:
    """Does a loss change the weights or the batch?"""
    weights = {name: parameter.detach().clone() for name, parameter in trial.pair.named_parameters()}
    batch = {name: tensor.clone() for name, tensor in trial.batch.items()}
    for player in trial.pair.players:
        with seeded(trial.seed, trial.device):
            player_loss(trial.objective, trial.pair, batch, player)
    moved = [name for name, parameter in trial.pair.named_parameters() if not torch.equal(weights[name], parameter)]
    if moved:
        yield Finding("side effects", REFUSED, f"asking for a loss changes weights ({moved[0]}): only the engine may step")
    written = [name for name in trial.batch if not torch.equal(trial.batch[name], batch[name])]
    if written:
        yield Finding("side effects", REFUSED, f"the loss writes into the batch ({', '.join(written)}): use out-of-place operations")
    if not moved and not written:
        yield Finding("side effects", WORKS, "losses leave the weights and the batch as they are")


def _sees(trial: Trial, player: str, other: str) -> bool:
    loss = trial.loss(player).mean()
    weights = [parameter for _, parameter in trial.pair.player_parameters(other) if parameter.requires_grad]
    if not loss.requires_grad or not weights:
        return not weights
    return any(gradient is not None for gradient in torch.autograd.grad(loss, weights, allow_unused=True))


def _draws(trial: Trial, player: str) -> bool:
    with seeded(trial.seed, trial.device):
        before = random_state(trial.device)
        player_loss(trial.objective, trial.pair, dict(trial.batch), player)
        return before != random_state(trial.device)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(one.detach().abs().max()) if one.numel() else 0.0
    return bool(((one - other).abs() <= TOLERANCE * max(scale, 1e-6)).all())
