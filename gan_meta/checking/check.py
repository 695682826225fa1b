"""check(): try a pair, an objective and a task, and say in words what works, what is refused and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gan_meta.algorithms import available, create, find
from gan_meta.checking.probes import (
    CAREFUL,
    REFUSED,
    USER_ERRORS,
    VERDICTS,
    WORKS,
    Finding,
    Trial,
    probe_detach,
    probe_gradients,
    probe_independence,
    probe_losses,
    probe_randomness,
    probe_shared_forward,
    probe_side_effects,
    probe_state,
    says,
)
from gan_meta.game.copies import copy_both
from gan_meta.game.hooks import refuse_unplayable
from gan_meta.game.inner import InnerLoop
from gan_meta.game.player_loss import NonFiniteLossError
from gan_meta.naming import unknown_name
from gan_meta.objective import Objective
from gan_meta.pair import GANPair
from gan_meta.seeds import seeded
from gan_meta.tasks import Task, count_samples, same_samples, take

ALGORITHMS = ("reptile", "fomaml", "maml")
"""What is tried where no algorithm is named."""
STEPS = 2
"""Length of the games that are tried."""
SAMPLES = 4
"""Support samples that the losses are tried on."""

_PROBES: tuple[Callable[[Trial], Iterator[Finding]], ...] = (
    probe_gradients,
    probe_detach,
    probe_randomness,
    probe_state,
    probe_independence,
    probe_shared_forward,
    probe_side_effects,
)


@dataclass(frozen=True)
class CheckReport:
    """What :func:`check` found; ``print(report)`` reads it out.

    Attributes:
        findings: in the order they were made.
        tried: the names of the algorithms that were to be tried.
    """

    findings: tuple[Finding, ...]
    tried: tuple[str, ...] = ALGORITHMS

    @property
    def ok(self) -> bool:
        """Whether nothing was refused."""
        return not self.refused

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The findings that were refused."""
        return tuple(finding for finding in self.findings if finding.verdict == REFUSED)

    @property
    def algorithms(self) -> dict[str, bool]:
        """Which of the tried algorithms gave a direction; empty when the losses did not work."""
        return {finding.subject: finding.verdict != REFUSED for finding in self.findings if finding.subject in self.tried}

    def __str__(self) -> str:
        widths = max(map(len, VERDICTS)), max(len(finding.subject) for finding in self.findings)
        return "\n".join(f"{found.verdict:<{widths[0]}}  {found.subject:<{widths[1]}}  {found.text}" for found in self.findings)


def check(
    pair: GANPair, objective: Objective, task: Task, algorithm: str | None = None, *, inner: InnerLoop | None = None, seed: int = 0
) -> CheckReport:
    """Try a pair with an objective on a task: its losses, their gradients, and two steps of each kind of algorithm.

    Nothing is trained: all of it happens on copies. It takes about as long as a dozen steps of a game.

    Args:
        pair: untouched, bit for bit.
        objective: what each player minimises.
        task: a task as you would train on; without a query the support stands in for it, and the report says so.
        algorithm: the name of the only one that you mean to use: what it does not need is then not asked for. By default everything
            that any of Reptile, FOMAML and MAML needs.
        inner: the options you mean to play with; only ``steps`` is replaced. The defaults otherwise.
        seed: of the draws.

    Returns:
        A report whose ``ok`` says whether nothing was refused, and whose text says what to change.

    Raises:
        TypeError: when an argument is of another type.
        ValueError: when the support is empty, the pair has no weights, or no algorithm has that name (with the nearest).

    Example:
        >>> print(check(pair, objective, tasks.sample(seed=0)))
    """
    for name, value, kind in (("pair", pair, GANPair), ("objective", objective, Objective), ("task", task, Task)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a gan_meta.{kind.__name__}, got {type(value).__name__}")
    if algorithm is not None and not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a name, or None, got {type(algorithm).__name__}; inner=... is given by keyword")
    if algorithm is not None and algorithm not in available():
        raise ValueError(unknown_name("algorithm", algorithm, available()))
    if next(pair.parameters(), None) is None:
        raise ValueError("the pair has no weights, so there is nothing to learn")
    if count_samples(task.support) == 0:
        raise ValueError("the task's support is empty: there is nothing to try the losses on")
    inner = dataclasses.replace(inner if inner is not None else InnerLoop(), steps=STEPS)
    names = ALGORITHMS if algorithm is None else (algorithm,)
    try:
        refuse_unplayable(pair, [name for name, parameter in pair.named_parameters() if parameter.requires_grad], is_shared=False)
        trial = _trial(pair, objective, task, algorithm, seed)
    except (TypeError, ValueError) as error:
        return CheckReport((Finding("copies", REFUSED, str(error)),), names)
    findings = [_describe(trial), *_reads_again(task, seed), *probe_losses(trial)]
    if all(finding.verdict != REFUSED for finding in findings):
        for probe in _PROBES:
            # Each on its own copy: an objective that changes weights or batches must not hide it from the next probe.
            findings += _tried(probe, _trial(pair, objective, task, algorithm, seed))
        findings += _try_algorithms(pair, objective, task, algorithm, inner, seed)
    return CheckReport(tuple(findings), names)


def _trial(pair: GANPair, objective: Objective, task: Task, algorithm: str | None, seed: int) -> Trial:
    device = next(pair.parameters()).device
    with seeded(seed, device):
        batch = take(task.support, range(min(SAMPLES, count_samples(task.support))))
    copies = copy_both(pair, objective)
    on_device = {name: tensor.to(device) for name, tensor in batch.items()}
    needs_paths = algorithm is None or find(algorithm).goes_through_the_game
    return Trial(copies.pair, copies.objective, on_device, seed, needs_paths, forgives_state=algorithm is not None)


def _describe(trial: Trial) -> Finding:
    weights = {player: sum(parameter.numel() for _, parameter in trial.pair.player_parameters(player)) for player in trial.pair.players}
    players = ", ".join(f"{player} {count:,} weights" for player, count in weights.items())
    keys = ", ".join(f"{name} {tuple(tensor.shape[1:])}" for name, tensor in trial.batch.items())
    return Finding("pair and batch", WORKS, f"{players}; a sample has {keys}")


def _reads_again(task: Task, seed: int) -> Iterator[Finding]:
    """Are samples that are read twice with the same seed the same?"""
    for name, samples in (("support", task.support), ("query", task.query)):
        if samples is not None and not same_samples(samples, samples, seed):
            text = (
                f"the {name}'s samples differ from one reading to the next with the same seed, so no run repeats or resumes to the same "
                "bits: let the dataset draw from a global generator (torch, numpy.random, random), which the engine seeds, not from its own"
            )
            yield Finding(f"{name} samples", CAREFUL, text)


def _tried(probe: Callable[[Trial], Iterator[Finding]], trial: Trial) -> Sequence[Finding]:
    subject = probe.__name__.removeprefix("probe_").replace("_", " ")
    try:
        return list(probe(trial))
    except USER_ERRORS as error:
        return [Finding(subject, REFUSED, f"it could not be tried: {says(error)}")]


def _try_algorithms(
    pair: GANPair, objective: Objective, task: Task, algorithm: str | None, inner: InnerLoop, seed: int
) -> Iterator[Finding]:
    if algorithm is None and task.query is None:
        yield Finding(
            "query", CAREFUL, "the task has none: fomaml and maml need one (FewShotTasks(queries=...)); here the support stands in"
        )
        task = dataclasses.replace(task, query=task.support)
    for name in ALGORITHMS if algorithm is None else (algorithm,):
        copies = copy_both(pair, objective)
        try:
            made = create(name, objective=copies.objective, inner=inner)
        except TypeError as error:
            yield Finding(name, CAREFUL, f"it was not tried, as it needs options of its own: {error}")
            continue
        except ValueError as error:
            yield Finding(name, REFUSED, str(error))
            continue
        try:
            made.meta_gradient(copies.pair, task, seed)
        except NonFiniteLossError as error:
            yield Finding(name, REFUSED, str(error))
        except USER_ERRORS as error:
            yield Finding(name, REFUSED, says(error).removeprefix("ValueError: "))
        else:
            yield Finding(name, WORKS, "gave a direction after a game of two steps")
