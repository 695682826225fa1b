"""Claim to be tested: does the algorithm matter? All of them on the demo's people, at equal games and at equal time.

Every variant starts from the same pretrained pair, meta-trains on the same people with the same seeds, and is then personalised
to the same unseen drawn people by the same game, so that nothing differs but the start. First each plays the same number of
games; then each plays as many as fit into the time that the first variant, Reptile, took. Each training runs in a process of its
own, on one thread; seconds are that thread's (CPU time), and peak memory is that process's largest resident set. Ablations
change one number of Reptile's.

`python benchmarks/algorithms.py` (hours on two cores; what is there already is kept), or for a try-out
`python benchmarks/algorithms.py --games 2 --tables algorithms --set '{"training_people": 3, "unseen_people": 1, "pretrain_steps": 5}'`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCORES = {"ssim": 3, "psnr": 2, "person_psnr": 2}


@dataclass(frozen=True)
class Variant:
    """One way to meta-train: the algorithm with its options, what differs in the game, and the outer step."""

    algorithm: str = "reptile"
    options: dict[str, Any] = field(default_factory=dict)
    inner: dict[str, Any] = field(default_factory=dict)
    outer: dict[str, Any] = field(default_factory=dict)


# A query gradient is not a displacement: it needs an outer learning rate of its own, for which Adam is the usual choice. Through
# Adam's own steps a tiny inner eps would leave noise (docs/concepts.md), so the second-order games are played with a larger one.
BY_GRADIENT = {"meta_optimizer": "adam", "meta_lr": 2e-4}
SMOOTH = {"eps": 1e-3}
HEAD = ["generator.model.1[0-9].*", "generator.model.2*", "discriminator.*"]
ALGORITHMS = {
    "reptile": Variant(),
    "fomaml": Variant("fomaml", outer=BY_GRADIENT),
    "maml": Variant("maml", inner=SMOOTH, outer={**BY_GRADIENT, "clip_norm": 10.0}),
    "anil": Variant("anil", options={"head": HEAD}, inner=SMOOTH, outer={**BY_GRADIENT, "clip_norm": 10.0}),
    "reptile, D restarts": Variant(inner={"freeze_d": "reset"}),
    "reptile, D fixed": Variant(inner={"freeze_d": "always"}),
}
TABLES = {
    "algorithms": ALGORITHMS,
    "eps": {f"reptile, eps {eps}": Variant(outer={"meta_lr": eps}) for eps in (0.25, 0.5, 1.0)},
    "T": {f"reptile, T {steps}": Variant(inner={"steps": steps}) for steps in (5, 10, 20, 40)},
    "ratio": {
        f"reptile, alternating {d}:{g}": Variant(inner={"update": "alternating", "update_ratio": (d, g)})
        for d, g in ((1, 1), (2, 1), (1, 2))
    },
}


def main() -> None:
    """Read the arguments, prepare people and the pretrained start, train and score every variant, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--out", type=Path, default=Path("runs/bench-algorithms"))
    parser.add_argument("--set", type=json.loads, default={}, help="other demo settings as JSON")
    parser.add_argument("--run", nargs=4, metavar=("TABLE", "VARIANT", "GAMES", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        table, name, games, seed = arguments.run
        run_variant(TABLES[table][name], arguments.set, int(games), int(seed), arguments.out, Path(row_name(table, name, int(games))))
        return
    for table in arguments.tables:
        rows = [compare(table, arguments, seed) for seed in range(arguments.seeds)]
        print_table(table, rows)


def compare(table: str, arguments: argparse.Namespace, seed: int) -> dict[str, dict[str, Any]]:
    """One seed's rows of a table: at equal games, and for the algorithms at equal time as well."""
    found: dict[str, dict[str, Any]] = {}
    for name in TABLES[table]:
        found[f"{name}, {arguments.games} games"] = run_apart(table, name, arguments.games, seed, arguments)
    if table == "algorithms":
        budget = next(iter(found.values()))["seconds"]
        for name in list(TABLES[table])[1:]:
            seconds = found[f"{name}, {arguments.games} games"]["seconds"]
            games = max(1, round(arguments.games * budget / seconds))
            found[f"{name}, equal time"] = run_apart(table, name, games, seed, arguments)
    return found


def run_apart(table: str, name: str, games: int, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """:func:`run_variant` in a process of its own; a row that is there already is read."""
    row = arguments.out / f"seed-{seed}" / row_name(table, name, games)
    if not row.exists():
        settings = ["--set", json.dumps(arguments.set), "--out", str(arguments.out)]
        subprocess.run([sys.executable, __file__, "--run", table, name, str(games), str(seed), *settings], check=True)
    found: dict[str, Any] = json.loads(row.read_text())
    return found


def run_variant(variant: Variant, changes: dict[str, Any], games: int, seed: int, out: Path, row_file: Path) -> None:
    """Meta-train one variant and score its start; writes the row."""
    import torch
    from metapix.demo import DemoSettings, stages
    from metapix.evaluate import evaluate_start, make_row
    from metapix.files import write_text
    from metapix.tasks import ClipSamples

    import gan_meta as gm

    torch.set_num_threads(1)
    settings = DemoSettings(**{**changes, "seed": seed, "scored_clips": ()})
    folder = out / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for stage, made in ((stages.draw_people, "people.safetensors"), (stages.pretrain, "pretrained.safetensors")):
        if not (folder / made).exists():
            stage(settings, folder, lambda _: None)
    training, unseen = stages.load_people(settings, folder)
    tasks = gm.FewShotTasks([ClipSamples([clip]) for clip in training], settings.shots, queries=settings.shots)
    inner = dataclasses.replace(settings.build_inner(), **variant.inner)
    algorithm = gm.algorithms.create(variant.algorithm, objective=settings.build_objective(), inner=inner, **variant.options)
    pair = gm.load_pair(folder / "pretrained.safetensors")
    begun = time.process_time()
    outer = {"meta_lr": settings.meta_lr, **variant.outer}
    trainer = gm.MetaTrainer(pair, algorithm, tasks, iterations=games, seed=seed, **outer)
    trainer.fit()
    seconds, peak = time.process_time() - begun, _peak_mb()
    videos = evaluate_start(pair, unseen, settings.build_objective(), settings.build_inner(), settings.shots, seed=seed)
    row = make_row("Pix2PixHD", variant.algorithm, settings.shots, settings.steps, videos, "drawn")
    row = {**row, "games": games, "seconds": seconds, "peak_mb": peak, "skipped": trainer.skipped_tasks}
    write_text(folder / row_file, json.dumps(row, indent=1))


def print_table(table: str, seeds: list[dict[str, dict[str, Any]]]) -> None:
    """Means over seeds."""
    print(f"\n{table:<34}{'games':>7}" + "".join(f"{score:>13}" for score in SCORES) + f"{'seconds':>10}{'peak MB':>9}{'skipped':>9}")
    for names in zip(*seeds, strict=True):
        rows = [rows[name] for rows, name in zip(seeds, names, strict=True)]
        means = "".join(f"{_mean(rows, score):>13.{digits}f}" for score, digits in SCORES.items())
        rest = f"{_mean(rows, 'seconds'):>10.0f}{_mean(rows, 'peak_mb'):>9.0f}{_mean(rows, 'skipped'):>9.1f}"
        print(f"{names[0]:<34}{_mean(rows, 'games'):>7.0f}{means}{rest}", flush=True)


def row_name(table: str, name: str, games: int) -> str:
    """The file of a row."""
    words = "".join(letter if letter.isalnum() or letter == "." else "-" for letter in name)
    return f"{table}-{words}-{games}.json"


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return sum(float(row[key]) for row in rows) / len(rows)


def _peak_mb() -> float:
    # Not getrusage: its maximum is inherited from the process that started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM line; this benchmark needs Linux")


if __name__ == "__main__":
    main()
