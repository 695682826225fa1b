"""Question: what does personalising the start that ships bring, on people it has never seen? Scores against K, T and the rate.

For each clip, K and learning rate: the nearest frame and the puppet, which learn nothing, then the start after T steps (all of the
network's change kept), and last what `metapix personalize` makes of it, which finds steps and strength by leaving frames out.
`python benchmarks/personalize.py` takes about ten minutes on two cores; `--people training` is what its settings were found on.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from metapix.choice import personalize_by_choice
from metapix.data.clip import Clip
from metapix.evaluate import evaluate_nearest, evaluate_puppet, score_clip
from metapix.personalize import draw, personalize, pose_inputs
from metapix.start import StartSettings, load_shipped_start
from metapix.start.data import drawn_people, real_people
from metapix.tasks import evenly_spaced, split

import gan_meta as gm


def people(which: str, settings: StartSettings, run_dir: Path) -> dict[str, list[Clip]]:
    """``"unseen"``: the demo's real clips; ``"training"``: drawn people, and a further view of the woman trained on."""

    def quiet(*_: object) -> None: ...

    if which == "unseen":
        return {clip.name: [clip] for clip in real_people(settings, ("single-cam01", "single-cam03"), run_dir, quiet)}
    drawn = drawn_people(settings, "unseen", 3, 40, quiet)
    return {"drawn": drawn, "multi-cam04": real_people(settings, ("multi-cam04",), run_dir, quiet)}


def curve(start: gm.GANPair, clip: Clip, objective: gm.Objective, inner: gm.InnerLoop, shots: int, steps: list[int]) -> dict[str, Any]:
    """Scores of one clip after each number of steps, and by choice."""
    weight = StartSettings().person_weight
    first, rest = split(clip)
    chosen = evenly_spaced(first, shots)
    pose = pose_inputs(start, chosen, rest)
    found: dict[str, Any] = {"T=0": score_clip(draw(start, pose), rest)}

    def note(step: int, pair: gm.GANPair, _losses: Mapping[str, Any]) -> None:
        if step in steps:
            found[f"T={step}"] = score_clip(draw(pair, pose), rest)

    personalize(start, chosen, objective, inner, 0, note, weight)
    few = dataclasses.replace(inner, steps=min(20, inner.steps))
    adapted, choice = personalize_by_choice(start, chosen, objective, few, person_weight=weight)
    label = f"chosen of T<={few.steps}"
    found[label] = {**score_clip(draw(adapted, pose), rest), "steps": choice.steps, "strength": choice.strength}
    return found


def main() -> None:
    """Read the options and print a table for each clip, K and rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", choices=("unseen", "training"), default="unseen")
    parser.add_argument("--shots", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--steps", nargs="+", type=int, default=[5, 20, 60, 200])
    parser.add_argument("--rates", nargs="+", type=float, default=[StartSettings().adapt_lr])
    parser.add_argument("--clips", type=Path, default=Path("runs/bench-personalize"), help="where prepared clips are kept")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start, recipe = load_shipped_start()
    print(f"{'':<38}{'person PSNR':>12}{'PSNR':>8}{'SSIM':>8}")
    for name, clips in people(options.people, StartSettings(size=recipe.size), options.clips).items():
        for shots in options.shots:
            rows = {"nearest": evaluate_nearest(clips, shots), "puppet": evaluate_puppet(clips, shots)}
            for rate in options.rates:
                inner = dataclasses.replace(recipe.inner(max(options.steps)), lr=rate)
                curves = [curve(start, clip, recipe.objective(), inner, shots, options.steps) for clip in clips]
                rows.update({f"rate {rate:g}, {label}": [one[label] for one in curves] for label in curves[0]})
            for label, videos in rows.items():
                mean = {score: sum(video[score] for video in videos) / len(videos) for score in ("person_psnr", "psnr", "ssim")}
                how = " ".join(f"({video['steps']} steps x {video['strength']:g})" for video in videos if "strength" in video)
                scores = f"{mean['person_psnr']:>12.2f}{mean['psnr']:>8.2f}{mean['ssim']:>8.3f}"
                print(f"{f'{name}, K={shots}, {label}':<38}{scores}  {how}", flush=True)


if __name__ == "__main__":
    main()
