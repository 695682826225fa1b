"""Suites: everything of a reproduction but the data's whereabouts; `demo` fits a laptop, `paper` is the paper's setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gan_meta.naming import unknown_name
from metapix.errors import InputError
from metapix.evaluation.frame_scores import weights_here
from metapix.evaluation.grid import Protocol
from metapix.recipe import MODELS
from metapix.training.preset import Preset, load_preset


@dataclass(frozen=True)
class TestData:
    """The people to be scored where the user names no videos of their own.

    Attributes:
        drawn, drawn_frames: drawn people, and frames of each.
        real, real_frames: packaged clips by name, and at most so many frames of each.
    """

    __test__ = False  # pytest: this is no test

    drawn: int = 0
    drawn_frames: int = 0
    real: tuple[str, ...] = ()
    real_frames: int = 0


@dataclass(frozen=True)
class Assumed:
    """What a dry run reckons with where no videos are named.

    Attributes:
        training_frames: of all training videos together.
        test_videos, test_frames: how many videos are scored on, and frames of each.
    """

    training_frames: int
    test_videos: int
    test_frames: int


@dataclass(frozen=True)
class Suite:
    """What is reproduced.

    Attributes:
        name: also that of the training presets.
        models: names of models, of :data:`metapix.recipe.MODELS`; the figures and ablations are of the first.
        changes: settings other than the training presets', as ``"section.key=value"``.
        changes_of: further ones of single models, by their name.
        shots, steps: K and T of Table 1.
        shot_sweep, step_sweep: K of figure 5 and T of figure 6.
        ablation_steps: T of the ablations of eps and freeze-D.
        snapshots: the steps of figure 7; its last is the T of that personalisation.
        seeds: how many, from 0.
        selection, most_frames, pose_frames, epochs: as for :class:`Protocol`.
        test: the people to be scored.
        assumed: for a dry run of a suite that has no people of its own.
    """

    name: str
    models: tuple[str, ...] = ("pix2pixhd",)
    changes: tuple[str, ...] = ()
    changes_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shots: int = 5
    steps: int = 20
    shot_sweep: tuple[int, ...] = (1, 3, 5, 8, 10, 20)
    step_sweep: tuple[int, ...] = (5, 10, 20, 50, 100, 200)
    ablation_steps: int = 200
    snapshots: tuple[int, ...] = (0, 10, 20, 40, 80, 200)
    seeds: int = 1
    selection: str = "even"
    most_frames: int = 2000
    pose_frames: int = 0
    epochs: float = 10.0
    test: TestData = TestData()
    assumed: Assumed | None = None

    def training_preset(self, model: str, changes: Sequence[str] = ()) -> Preset:
        """How a model is trained.

        Raises:
            InputError: when there is no such model, or a change is refused.
        """
        if model not in MODELS:
            raise InputError(unknown_name("model", model, MODELS))
        return load_preset(self.name, [*self.changes, *self.changes_of.get(model, ()), *changes], model)

    def protocol(self, preset: Preset) -> Protocol:
        """How this suite scores a model that is trained so."""
        return Protocol(preset.recipe.size, self.selection, self.most_frames, self.pose_frames, self.epochs, self.shots, weights_here())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dataclasses.asdict(self)


SUITES = {
    "demo": Suite(
        "demo",
        changes=("recipe.size=48", "meta_train.iterations=45"),
        changes_of={"posewarp": ("recipe.size=64",)},  # its sizes are multiples of 32
        ablation_steps=40,
        seeds=2,
        pose_frames=3,
        test=TestData(6, 40, ("single-cam01", "single-cam03"), 60),
    ),
    # The paper's section 4.1; the K frames as the released lists have them. Ten training videos of 1.7k to 11.9k frames are reckoned
    # at 6k each, and eight test videos at the length whose last 15% has 2000 frames.
    "paper": Suite(
        "paper",
        models=("pix2pixhd", "posewarp"),
        selection="released",
        pose_frames=2000,
        assumed=Assumed(60_000, 8, 13_334),
    ),
}


def find_suite(name: str) -> Suite:
    """A suite by name.

    Raises:
        InputError: for an unknown one, with the nearest.
    """
    if name not in SUITES:
        raise InputError(unknown_name("preset", name, SUITES))
    return SUITES[name]
