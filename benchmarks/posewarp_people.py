"""Question: is Posewarp the stronger model at K = 5 on drawn people, as in the paper's Table 1?

The demo's stages for both models on drawn people alone, at 32 x 32: random, pretrained, pretrained for as many further steps, and
meta-learned starts, each personalised to six unseen people. `python benchmarks/posewarp_people.py` takes about seven minutes of one
processor; what is in the run's folder is not made again. `metapix demo --model both` is the same at 64 x 64, with real clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from metapix.demo import DemoSettings, scoring, stages
from metapix.demo.story import claim_folder
from metapix.demo.verdict import verdict
from metapix.recipe import MODELS

_SCORES = {"ssim": 3, "psnr": 2, "mse": 0, "person_psnr": 2, "temporal_std": 2}
"""Score: digits shown."""


def main() -> None:
    """Train and score what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/posewarp-people"))
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--pretrain-steps", type=int, default=300)
    parser.add_argument("--meta-iterations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = DemoSettings(
        seed=options.seed,
        models=MODELS,
        size=options.size,
        pretrain_steps=options.pretrain_steps,
        meta_iterations=options.meta_iterations,
        scored_clips=(),
    )
    claim_folder(options.run, settings)
    for name in ("pictures", "scores"):
        (options.run / name).mkdir(exist_ok=True)
    make(settings, options.run)
    rows = scoring.all_rows(settings, options.run)
    print(f"{'model':<11}{'start':<22}{''.join(f'{name:>20}' for name in _SCORES)}")
    for row in rows:
        print(f"{row['model']:<11}{row['init']:<22}{''.join(f'{_score(row, name, digits):>20}' for name, digits in _SCORES.items())}")
    print(verdict(rows))


def make(settings: DemoSettings, run_dir: Path) -> None:
    """The stages in order, but for those whose files are there."""
    if not (run_dir / "people.safetensors").exists():
        stages.draw_people(settings, run_dir, _quiet)
    if not all(scoring.scores_file(run_dir, init).exists() for init in scoring.UNTRAINED):
        scoring.score_untrained(settings, run_dir, _quiet)
    for model in settings.models:
        for init, train in (
            ("pretrain", stages.pretrain),
            ("pretrain-equal-steps", stages.pretrain_further),
            ("metapix", stages.meta_train),
        ):
            if not stages.start_file(run_dir, model, init).exists():
                train(settings, run_dir, model, _quiet)
        for init in stages.STARTS:
            if not scoring.scores_file(run_dir, f"{stages.prefix(model)}{init}").exists():
                scoring.score_start(settings, run_dir, model, init, _quiet)


def _quiet(_done: int) -> None: ...


def _score(row: dict[str, Any], name: str, digits: int) -> str:
    return f"{row[name]:.{digits}f} ± {row[f'{name}_sd']:.{digits}f}"


if __name__ == "__main__":
    main()
