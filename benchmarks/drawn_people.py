"""Question: how does a start's score on real people depend on the number and kind of drawn people it learned from?

A small generator on the puppet is trained for the same number of steps on 8, 32 and 96 drawn people, once as they are drawn and once with
an estimator's and a camera's faults (jittering joints, rough masks, motion blur, grain, blocks), and scored without personalising, with
K = 5, on unseen drawn people of either kind and on real clips. Scores are dB over the puppet, on the person.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from metapix.demo.crew import Crew, Stage
from metapix.evaluate import evaluate_puppet, evaluate_start
from metapix.files import read_json, write_text
from metapix.reference_tasks import ReferenceSamples
from metapix.start.data import drawn_people, real_people
from metapix.start.settings import StartSettings

import gan_meta as gm

NUMBERS = (8, 32, 96)
CLEAN = {"jitter": 0.0, "mask_blur": 0.0, "mask_shift": 0.0, "motion_blur": 0.0, "grain": 0.0, "blocks": 0.0}
KINDS: dict[str, dict[str, float]] = {"as drawn": CLEAN, "with faults": {}}
CLIPS = ("single-cam01", "single-cam03", "multi-cam04")


def cell(number: int, kind: str, steps: int, seed: int, run_dir: Path, tick: Any) -> None:
    """Train on so many people of a kind, and keep the gains over the puppet."""

    def quiet(*_: object) -> None: ...

    settings = StartSettings(seed=seed, size=32, base_channels=8, n_blocks=2, steps=steps, drawn_people=number, **KINDS[kind])
    people = drawn_people(settings, "training", number, settings.drawn_frames, quiet)
    samples = ReferenceSamples(people, "puppet", rounds=3, targets=16, seed=seed, person_weight=settings.person_weight)
    tick(1)
    torch.manual_seed(seed)
    objective = settings.recipe.objective()
    pair = gm.pretrain(settings.build_pair(), objective, samples, steps=steps, inner=settings.build_joint(), seed=seed)
    tick(2)
    groups = {f"drawn, {name}": drawn_people(_of_kind(settings, name), "unseen", 4, 40, quiet) for name in KINDS}
    groups.update({name: real_people(settings, (name,), run_dir, quiet) for name in CLIPS})
    gains = {}
    for group, clips in groups.items():
        before, after = evaluate_puppet(clips, 5), evaluate_start(pair, clips, objective, settings.recipe.inner(0), 5)
        differences = [new["person_psnr"] - old["person_psnr"] for new, old in zip(after, before, strict=True)]
        gains[group] = sum(differences) / len(differences)
    write_text(_file(run_dir, number, kind, seed), json.dumps(gains))


def _of_kind(settings: StartSettings, kind: str) -> StartSettings:
    return dataclasses.replace(StartSettings(seed=settings.seed, size=settings.size), **KINDS[kind])


def _file(run_dir: Path, number: int, kind: str, seed: int) -> Path:
    return run_dir / f"{number}-{kind.replace(' ', '-')}-{seed}.json"


def main() -> None:
    """Read the options, run what is not there yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-drawn-people"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    real_people(StartSettings(size=32), CLIPS, options.out, lambda *_: None)
    cells = [(number, kind, seed) for number in NUMBERS for kind in KINDS for seed in range(options.seeds)]
    missing = [one for one in cells if not _file(options.out, *one).exists()]
    with Crew(options.workers) as crew:
        stages = [Stage(f"{n} people {kind}, seed {s}", cell, (n, kind, options.steps, s, options.out), 3) for n, kind, s in missing]
        for first in range(0, len(stages), 16):
            crew.run(stages[first : first + 16])
    for number in NUMBERS:
        for kind in KINDS:
            found = [read_json(_file(options.out, number, kind, seed), dict) for seed in range(options.seeds)]
            gains = {group: sum(one[group] for one in found) / len(found) for group in found[0]}
            print(f"{number:>3} people {kind:<12}" + "".join(f"  {group}: {gain:+.2f}" for group, gain in gains.items()))


if __name__ == "__main__":
    main()
