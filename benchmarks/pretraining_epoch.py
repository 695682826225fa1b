"""Claim: an epoch of pretraining is bound by the networks: making a batch (frames, heatmaps, flips) takes less than 5% of a step.

The demo's networks, objective and batches, on drawn people held as uint8 frames and joints. The profile's main lines say where a
step's time goes.

    python benchmarks/pretraining_epoch.py [--size 48] [--people 4]
"""

from __future__ import annotations

import dataclasses

import torch
from measure import Result, in_turns, parser, publish
from metapix.data.drawn import draw_clip
from metapix.demo import DemoSettings
from metapix.tasks import ClipSamples

from gan_meta.game.engine import Game

LINES = 12


def main() -> None:
    """Measure a step and its batch, and print the profile of an epoch."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=48)
    options.add_argument("--people", type=int, default=4)
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    settings = DemoSettings(size=arguments.size)
    samples = ClipSamples([draw_clip(seed, settings.training_frames, settings.size) for seed in range(arguments.people)])
    inner = settings.build_joint()
    epoch = len(samples) // inner.batch_size
    game = Game(
        settings.build_pair().to(arguments.device), settings.build_objective(), samples, dataclasses.replace(inner, steps=100 * epoch)
    )
    game.step()
    n_items = len(samples) * len(game.table.pool.transforms)
    batches = torch.randint(n_items, (1000, inner.batch_size), generator=torch.Generator().manual_seed(0))
    numbers = iter(batches)
    found = in_turns({"step": game.step, "batch": lambda: game.table.pool.take(next(numbers))}, max(arguments.rounds, 5), arguments.device)
    print(f"{len(samples)} samples, {epoch} steps an epoch; a step {found['step'] * 1e3:.1f} ms, its batch {found['batch'] * 1e3:.1f} ms")
    show_profile(game, epoch)
    details = {"step, ms": found["step"] * 1e3, "batch, ms": found["batch"] * 1e3}
    publish(
        [Result("pretraining, making a batch", found["batch"] / found["step"], "a step with it", "lower", 0.05, details)], arguments.json
    )


def show_profile(game: Game, steps: int) -> None:
    """The operations that most of an epoch's CPU time goes to."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            game.step()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    for event in events[:LINES]:
        print(f"  {event.key:<40}{event.self_cpu_time_total / total:>7.1%}  {event.count:>6} times")


if __name__ == "__main__":
    main()
