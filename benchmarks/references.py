"""Question: does meta-learning pay once the generator is given a reference? Every start, for each reference, on drawn and real people.

For each seed and reference the same small generator is trained jointly on drawn people (pretrained), and then, from there and with as
many further steps each: jointly (the fair baseline), with Reptile, and with FOMAML on held-out frames of the task. Each start is
personalised to K = 5 frames and scored on unseen drawn people and on real clips, none of which was trained on. Also prints what
learns nothing, and the starts before any step of personalising.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from metapix.data.clip import Clip
from metapix.demo.crew import Crew, Stage
from metapix.evaluate import evaluate_nearest, evaluate_puppet, evaluate_start
from metapix.files import read_json, write_text
from metapix.poses.pose_input import flip
from metapix.recipe import Recipe
from metapix.reference import REFERENCE_CHANNELS
from metapix.reference_tasks import ReferenceSamples, ReferenceTasks
from metapix.start.data import drawn_people, real_people
from metapix.start.settings import StartSettings

import gan_meta as gm

SCORES = ("person_psnr", "psnr", "ssim")
DIGITS = {"person_psnr": 2, "psnr": 2, "ssim": 3}
STARTS = ("random", "pretrain", "pretrain-equal-steps", "reptile", "fomaml")


@dataclass(frozen=True)
class Comparison:
    """One seed's settings; a generator alone with the pixel term, so that the reference is all that differs."""

    seed: int = 0
    size: int = 32
    people: int = 24
    frames: int = 24
    unseen: int = 4
    base_channels: int = 8
    pretrain_steps: int = 400
    meta_iterations: int = 40
    steps: int = 20
    lr: float = 1e-3
    fomaml_lr: float = 2e-4
    real_clips: tuple[str, ...] = ("single-cam01", "single-cam03")

    @property
    def start(self) -> StartSettings:
        """The same people as a start of this size would have."""
        return StartSettings(seed=self.seed, size=self.size, drawn_fps=6.0, person_weight=3.0)

    def recipe(self, reference: str) -> Recipe:
        """A personalisation: the paper's way needs a rate ten times that of a network that starts from a picture."""
        rate = self.lr if reference == "none" else self.lr / 10
        return Recipe(size=self.size, lr=rate, schedule="constant", mirror=True, person_weight=3.0)

    def build(self, reference: str) -> gm.GANPair:
        """The generator, untrained."""
        torch.manual_seed(self.seed)
        widths = {"base_channels": self.base_channels, "n_downsample": 2, "n_blocks": 2}
        if reference == "none":
            return gm.GANPair(gm.models.create("pix2pixhd", pose_channels=18, upsampling="resize", **widths).generator)
        return gm.models.create("metapix-reference", reference=reference, **widths)


def train(settings: Comparison, reference: str, clips: Sequence[Clip]) -> dict[str, gm.GANPair]:
    """Every start by name."""
    samples = ReferenceSamples(clips, reference, rounds=3, targets=16, seed=settings.seed, person_weight=3.0)
    tasks = ReferenceTasks(clips, reference, queries=8, person_weight=3.0)
    recipe = settings.recipe(reference)
    objective, inner = recipe.objective(), recipe.inner(settings.steps)
    # From a picture a smaller rate: at 1e-3 the last layer, zero at first, can saturate before it has learned anything.
    joint = gm.InnerLoop(lr=settings.lr if reference == "none" else settings.lr / 2, augment=(flip,))
    starts = {"random": settings.build(reference)}

    def pretrained(pair: gm.GANPair, steps: int, seed: int) -> gm.GANPair:
        return gm.pretrain(pair, objective, samples, steps=steps, inner=joint, seed=seed)

    starts["pretrain"] = pretrained(starts["random"].clone(), settings.pretrain_steps, settings.seed)
    further = settings.meta_iterations * settings.steps
    starts["pretrain-equal-steps"] = pretrained(starts["pretrain"].clone(), further, settings.seed + 1000)
    outer: dict[str, dict[str, Any]] = {
        "reptile": {"meta_lr": 1.0},
        "fomaml": {"meta_lr": settings.fomaml_lr, "meta_optimizer": "adam", "meta_schedule": "linear"},
    }
    for name, options in outer.items():
        algorithm = gm.algorithms.create(name, objective=objective, inner=inner)
        pair = starts["pretrain"].clone()
        starts[name] = gm.MetaTrainer(pair, algorithm, tasks, iterations=settings.meta_iterations, seed=settings.seed, **options).fit()
    return starts


def compare(settings: Comparison, reference: str, run_dir: Path, tick: Any) -> None:
    """Train and score everything of one seed and reference; kept in a file."""
    file = run_dir / f"{reference}-{settings.seed}.json"
    if file.exists():
        return

    def quiet(*_: object) -> None: ...

    clips = drawn_people(settings.start, "training", settings.people, settings.frames, quiet)
    groups = {
        "drawn": drawn_people(settings.start, "unseen", settings.unseen, 40, quiet),
        "real": real_people(settings.start, settings.real_clips, run_dir, quiet),
    }
    tick(1)
    starts = train(settings, reference, clips)
    tick(2)
    recipe = settings.recipe(reference)
    found: dict[str, Any] = {}
    for data, people in groups.items():
        found[f"{data} nearest"], found[f"{data} puppet"] = mean(evaluate_nearest(people, 5)), mean(evaluate_puppet(people, 5))
        for name, start in starts.items():
            for steps in (0, settings.steps):
                videos = evaluate_start(start, people, recipe.objective(), recipe.inner(steps), 5, person_weight=3.0)
                found[f"{data} {name} T={steps}"] = mean(videos)
    tick(3)
    write_text(file, json.dumps(found, indent=1))


def mean(videos: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over clips."""
    return {score: sum(video[score] for video in videos) / len(videos) for score in SCORES}


def main() -> None:
    """Read the options, run the comparisons side by side, print a table a reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--references", nargs="+", default=list(REFERENCE_CHANNELS))
    parser.add_argument("--out", type=Path, default=Path("runs/bench-references"))
    parser.add_argument("--set", type=json.loads, default={}, help="other settings as JSON")
    options = parser.parse_args()
    base = Comparison(**options.set)
    options.out.mkdir(parents=True, exist_ok=True)
    real_people(base.start, base.real_clips, options.out, lambda *_: None)
    cells = [(reference, dataclasses.replace(base, seed=seed)) for seed in range(options.seeds) for reference in options.references]
    with Crew(options.workers) as crew:
        crew.run([Stage(f"{name}, seed {cell.seed}", compare, (cell, name, options.out), 3) for name, cell in cells])
    for reference in options.references:
        found = [read_json(options.out / f"{reference}-{seed}.json", dict) for seed in range(options.seeds)]
        print(f"\nreference {reference!r}, {options.seeds} seeds, mean ± standard deviation over seeds")
        print(f"{'':<40}" + "".join(f"{score:>18}" for score in SCORES))
        for name in found[0]:
            cells_of_row = (torch.tensor([one[name][score] for one in found], dtype=torch.float64) for score in SCORES)
            texts = (
                f"{float(v.mean()):.{DIGITS[s]}f} ± {float(v.std()) if len(v) > 1 else 0:.{DIGITS[s]}f}"
                for s, v in zip(SCORES, cells_of_row, strict=True)
            )
            print(f"{name:<40}" + "".join(f"{text:>18}" for text in texts))


if __name__ == "__main__":
    main()
