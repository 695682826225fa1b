"""Claim: MetaPix's start beats the fair baseline on unseen people. Repeats the demo's comparison over seeds: mean and spread.

Every seed draws people of its own, pretrains, then trains the two rivals from that same start with the same number of
optimiser steps, and scores all starts on unseen people after the same personalisation. Run it with `make bench-starts`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from metapix.demo import DemoSettings, scoring, stages
from metapix.demo.crew import Crew, Stage

SCORES = ("ssim", "psnr", "mse", "person_psnr")
DIGITS = {"ssim": 3, "psnr": 2, "mse": 0, "person_psnr": 2}


def run_seed(settings: DemoSettings, run_dir: Path, tick: stages.Tick) -> None:
    """Everything of one seed; what is there already is kept."""
    for name in ("pictures", "scores"):
        (run_dir / name).mkdir(parents=True, exist_ok=True)
    for done, (run, made) in enumerate(
        [
            (stages.draw_people, "people.safetensors"),
            (stages.pretrain, "pretrained.safetensors"),
            (stages.pretrain_further, "equal-steps.safetensors"),
            (stages.meta_train, "theta.safetensors"),
        ]
    ):
        if not (run_dir / made).exists():
            run(settings, run_dir, lambda _: None)
        tick(done + 1)
    for init in scoring.STARTS:
        if not scoring.scores_file(run_dir, init).exists():
            scoring.score_start(settings, run_dir, init, lambda _: None)
    scoring.score_untrained(settings, run_dir, lambda _: None)
    tick(5)


def print_table(rows_by_seed: list[dict[str, dict[str, float]]]) -> None:
    """Mean over seeds ± sample standard deviation over seeds, and MetaPix's margin over the fair baseline, paired by seed."""
    print(f"{'start':<24}" + "".join(f"{score:>20}" for score in SCORES))
    for init in rows_by_seed[0]:
        print(f"{init:<24}" + "".join(f"{spread([rows[init][score] for rows in rows_by_seed], score):>20}" for score in SCORES))
    margins = {score: [rows["metapix"][score] - rows["pretrain-equal-steps"][score] for rows in rows_by_seed] for score in SCORES}
    print(f"{'metapix - equal steps':<24}" + "".join(f"{spread(margins[score], score):>20}" for score in SCORES))
    for score in ("ssim", "psnr"):
        print(f"seeds in which MetaPix has the higher {score}: {sum(value > 0 for value in margins[score])} of {len(margins[score])}")


def spread(values: list[float], score: str) -> str:
    """ "mean ± standard deviation"."""
    table = torch.tensor(values, dtype=torch.float64)
    deviation = f" ± {float(table.std()):.{DIGITS[score]}f}" if len(values) > 1 else ""
    return f"{float(table.mean()):.{DIGITS[score]}f}{deviation}"


def main() -> None:
    """Read the arguments, run the seeds two at a time, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-starts"))
    parser.add_argument("--set", type=json.loads, default={}, help="other settings as JSON, for example '{\"meta_iterations\": 30}'")
    arguments = parser.parse_args()
    base = dataclasses.replace(DemoSettings(**arguments.set), scored_clips=())
    folders = [arguments.out / f"seed-{seed}" for seed in range(arguments.seeds)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with Crew(arguments.workers) as crew:
        crew.run(
            [Stage(f"seed {seed}", run_seed, (dataclasses.replace(base, seed=seed), folder), 5) for seed, folder in enumerate(folders)]
        )
    print_table([{row["init"]: row for row in scoring.all_rows(folder) if row["data"] == "drawn"} for folder in folders])


if __name__ == "__main__":
    main()
