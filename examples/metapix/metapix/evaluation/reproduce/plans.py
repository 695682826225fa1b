"""Plans: which entries each part of the paper's evaluation has; an entry is a cell for every video and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from metapix.evaluation.grid import Count
from metapix.evaluation.reproduce.suite import Suite
from metapix.evaluation.starts import LEARNS_NOTHING

NO_MODEL = "none"
TITLES = {"pix2pixhd": "Pix2PixHD", "posewarp": "Posewarp", NO_MODEL: "none"}
"""Models as the paper's table names them."""


@dataclass(frozen=True)
class Entry:
    """A line of a table or a point of a curve.

    Attributes:
        part: the table, figure or ablation it belongs to.
        model: a model's name; ``"none"`` for an answer that learns nothing.
        variant: what tells it from the others of its part: the start, and how it was trained where that differs.
        init: the start, one of :data:`metapix.evaluation.starts.INITS`.
        shots, steps: K and T of the personalisation.
        meta_shots, meta_steps: K and T of the games of meta-training; for equal steps, what they are equal to.
        changes: settings other than the preset's, from meta-training on.
        snapshots: steps after which pictures are kept.
    """

    part: str
    model: str
    variant: str
    init: str
    shots: Count
    steps: Count
    meta_shots: int = 0
    meta_steps: int = 0
    changes: tuple[str, ...] = ()
    snapshots: tuple[int, ...] = ()


Plan = Callable[[Suite, str], list[Entry]]


def table1(suite: Suite, model: str) -> list[Entry]:
    """The paper's rows, the fair baseline, and what learns nothing."""
    shots, steps = suite.shots, suite.steps

    def few(init: str, trained: int = 0) -> Entry:
        return Entry("table1", model, init, init, shots, steps, shots if trained else 0, trained)

    every = [Entry("table1", model, init, init, "all", "all") for init in ("random", "pretrain")]
    copies = [Entry("table1", NO_MODEL, init, init, shots, 0) for init in LEARNS_NOTHING] if model == suite.models[0] else []
    return [*every, few("random"), few("pretrain"), few("pretrain-equal-steps", steps), few("metapix", steps), *copies]


def figure5(suite: Suite, model: str) -> list[Entry]:
    """K varies: random, pretrained, MetaPix trained at that K, and at the K of Table 1."""
    return [entry for shots in suite.shot_sweep for entry in _four("fig5", suite, model, shots, suite.steps, (shots, suite.steps))]


def figure6(suite: Suite, model: str) -> list[Entry]:
    """T varies, likewise."""
    return [entry for steps in suite.step_sweep for entry in _four("fig6", suite, model, suite.shots, steps, (suite.shots, steps))]


def figure7(suite: Suite, model: str) -> list[Entry]:
    """Pictures while a pretrained and a meta-learned start adapt, and both before they do."""
    last, trained = suite.snapshots[-1], (suite.shots, suite.ablation_steps)
    entries = []
    for steps, snapshots in ((last, suite.snapshots), (0, ())):
        entries.append(Entry("fig7", model, "pretrain", "pretrain", suite.shots, steps, snapshots=snapshots))
        entries.append(Entry("fig7", model, "metapix", "metapix", suite.shots, steps, *trained, snapshots=snapshots))
    return entries


def epsilon(suite: Suite, model: str) -> list[Entry]:
    """The outer rate 0.1 against 1."""
    return [_pretrained("epsilon", suite, model), *(_ablated("epsilon", suite, model, f"eps {eps}", _eps(eps)) for eps in ("1.0", "0.1"))]


def freeze_d(suite: Suite, model: str) -> list[Entry]:
    """Both players meta-learned; D put back at every task; D never moved."""
    changes = {"both learned": (), "D reset": ("inner.freeze_d=reset",), "D always frozen": ("inner.freeze_d=always",)}
    return [_ablated("freeze-d", suite, model, variant, change) for variant, change in changes.items()]


def ratio(suite: Suite, model: str) -> list[Entry]:
    """Unequal numbers of updates of D and G an iteration; only alternating games have them."""
    changes = {"simultaneous 1:1": ()} | {
        f"alternating {d}:{g}": ("inner.update=alternating", f"inner.update_ratio=[{d}, {g}]") for d, g in ((1, 1), (2, 1), (1, 2))
    }
    return [_ablated("ratio", suite, model, variant, change, suite.steps) for variant, change in changes.items()]


def objective(suite: Suite, model: str) -> list[Entry]:
    """Simplified objectives, in meta-training and in personalising alike."""
    no_gan, no_matching = "recipe.adversarial_weight=0", "recipe.feature_matching=0"
    changes: Mapping[str, tuple[str, ...]] = {
        "full": (),
        "perceptual term only": (no_gan, no_matching, "recipe.pixel=0"),
        "no GAN term": (no_gan,),
        "no feature matching": (no_matching,),
    }
    return [_ablated("objective", suite, model, variant, change, suite.steps) for variant, change in changes.items()]


PARTS: Mapping[str, Plan] = {
    "table1": table1,
    "fig5": figure5,
    "fig6": figure6,
    "fig7": figure7,
    "epsilon": epsilon,
    "freeze-d": freeze_d,
    "ratio": ratio,
    "objective": objective,
}


def entries_of(parts: Sequence[str], suite: Suite, models: Sequence[str]) -> list[Entry]:
    """All entries of some parts: Table 1 has every model, the figures and ablations the first one, as in the paper (section 4.3)."""
    return [entry for part in parts for model in (models if part == "table1" else models[:1]) for entry in PARTS[part](suite, model)]


def _four(part: str, suite: Suite, model: str, shots: int, steps: int, trained: tuple[int, int]) -> list[Entry]:
    usual = (suite.shots, suite.steps)
    return [
        Entry(part, model, "random", "random", shots, steps),
        Entry(part, model, "pretrain", "pretrain", shots, steps),
        Entry(part, model, "metapix, trained alike", "metapix", shots, steps, *trained),
        Entry(part, model, f"metapix, trained at K = {usual[0]}, T = {usual[1]}", "metapix", shots, steps, *usual),
    ]


def _pretrained(part: str, suite: Suite, model: str) -> Entry:
    return Entry(part, model, "pretrain", "pretrain", suite.shots, suite.ablation_steps)


def _ablated(part: str, suite: Suite, model: str, variant: str, changes: tuple[str, ...], steps: int | None = None) -> Entry:
    """MetaPix with some settings changed, trained and personalised with the same K and T."""
    count = suite.ablation_steps if steps is None else steps
    return Entry(part, model, variant, "metapix", suite.shots, count, suite.shots, count, changes)


def _eps(value: str) -> tuple[str, ...]:
    return () if float(value) == 1.0 else (f"meta_train.meta_lr={value}",)
