"""Claim: MAML through the whole game at a memory that hardly grows with T. Both engines beside `higher`, and FOMAML.

The problem is the demo's: its networks, 5 frames, Adam, both players at once; without the perceptual term, which is the same
work for everyone. Each measurement runs in a process of its own, on one thread; seconds are that thread's (CPU time, so that
neighbours do not count), and peak memory is the process's largest resident set, so it includes Python and
torch. Run it with `python benchmarks/maml_memory.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from measure import Result, publish

ENGINES = ("unrolled", "sweep", "higher", "fomaml")
FRAMES, QUERIES = 5, 5


def main() -> None:
    """Measure every engine at every T and print the table, ratios against `unrolled`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 5, 20, 60, 200])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--size", type=int, default=64, help="side of the pictures, in pixels")
    parser.add_argument("--limit-gb", type=float, default=8.0, help="leave out what would need more, judged by what was measured")
    parser.add_argument("--json", type=Path, help="write the ratios at the largest T into this file as well")
    parser.add_argument("--measure", nargs=2, metavar=("ENGINE", "T"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(arguments.measure[0], int(arguments.measure[1]), arguments.size)) + "\n")
        return
    print(f"{'T':>5}  {'engine':<9}{'seconds':>9}{'peak MB':>9}{'time':>8}{'memory':>8}   (ratios to unrolled)")
    found: dict[tuple[str, int], dict[str, float]] = {}
    for steps in sorted(arguments.steps):
        for engine in arguments.engines:
            if _expected_gb(found, engine, steps) > arguments.limit_gb:
                print(f"{steps:>5}  {engine:<9}{'left out: about ' + format(_expected_gb(found, engine, steps), '.0f') + ' GB':>18}")
                continue
            row = found[engine, steps] = measure_apart(engine, steps, arguments.size)
            named = found.get(("unrolled", steps), row)
            ratios = f"{row['seconds'] / named['seconds']:>8.2f}{row['peak_mb'] / named['peak_mb']:>8.2f}"
            print(f"{steps:>5}  {engine:<9}{row['seconds']:>9.1f}{row['peak_mb']:>9.0f}{ratios}   |g|={row['norm']:.6g}", flush=True)
    if arguments.json is not None:
        publish(_claims(found), arguments.json)


def _claims(found: dict[tuple[str, int], dict[str, float]]) -> list[Result]:
    """What the sweep costs and saves at the largest T that both engines were measured at."""
    both = [steps for name, steps in found if name == "sweep" and ("unrolled", steps) in found]
    if not both:
        return []
    last, label = max(both), f"MAML, two players, T={max(both)}"
    sweep, unrolled = found["sweep", last], found["unrolled", last]
    return [
        Result(f"{label}: seconds of the sweep", sweep["seconds"] / unrolled["seconds"], "unrolled", "lower", 1.5),
        Result(f"{label}: memory of the sweep", sweep["peak_mb"] / unrolled["peak_mb"], "unrolled", "lower"),
    ]


def measure_apart(engine: str, steps: int, size: int) -> dict[str, float]:
    """:func:`measure` in a new process."""
    command = [sys.executable, __file__, "--measure", engine, str(steps), "--size", str(size)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return row


def measure(engine: str, steps: int, size: int) -> dict[str, float]:
    """One meta-gradient: CPU seconds, this process's peak resident set in MB, and the norm of the generator's part."""
    import torch

    import gan_meta as gm

    torch.set_num_threads(1)
    torch.manual_seed(0)
    # The widths of the demo's networks (metapix.demo.DemoSettings).
    pair = gm.models.create("pix2pixhd", base_channels=16, n_downsample=2, n_blocks=3, discriminator_channels=16)
    objective = gm.models.pix2pixhd.Pix2PixHDObjective(pixel=10.0)
    pictures = [
        {"pose": torch.rand(number, 18, size, size), "image": torch.rand(number, 3, size, size) * 2 - 1} for number in (FRAMES, QUERIES)
    ]
    task = gm.Task(*pictures)
    # With a tiny eps Adam's update is nearly a sign, whose derivative single precision cannot carry. `higher` has the Adam of
    # 2019, in which eps is not bias-corrected, so its numbers differ a little; its work is the same.
    inner = gm.InnerLoop(steps=steps, lr=2e-4, eps=1e-3, batch_size=FRAMES, schedule="constant")
    begun = time.process_time()
    if engine == "higher":
        norm = meta_gradient_by_higher(pair, objective, task, inner)
    else:
        # FOMAML, the same game without the way back, shows what the second order costs.
        name, options = ("fomaml", {}) if engine == "fomaml" else ("maml", {"memory": engine})
        update = gm.algorithms.create(name, objective=objective, inner=inner, **options).meta_gradient(pair, task)
        norm = sum(float(g.square().sum()) for name, g in update.grads.items() if name.startswith("generator")) ** 0.5
    return {"seconds": time.process_time() - begun, "peak_mb": _peak_mb(), "norm": norm}


def meta_gradient_by_higher(pair, objective, task, inner) -> float:  # type: ignore[no-untyped-def]
    """The same game written with `higher`: each player's query gradient for its own start; the norm of the generator's."""
    import higher
    import torch

    import gan_meta as gm

    def adam(player: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(player.parameters(), lr=inner.lr, betas=inner.betas, eps=inner.eps)

    with (
        higher.innerloop_ctx(pair.generator, adam(pair.generator), copy_initial_weights=False) as (generator, generator_steps),
        higher.innerloop_ctx(pair.discriminator, adam(pair.discriminator), copy_initial_weights=False) as (
            discriminator,
            discriminator_steps,
        ),
    ):
        played = gm.GANPair(torch.nn.Identity(), torch.nn.Identity())
        played.generator, played.discriminator = generator, discriminator
        for _ in range(inner.steps):
            losses = objective.losses(played, task.support)
            generator_steps.step(losses.generator.mean())
            discriminator_steps.step(losses.discriminator.mean())
        losses = objective.losses(played, task.query)
        found = torch.autograd.grad(losses.generator.mean(), list(pair.generator.parameters()), retain_graph=True)
        torch.autograd.grad(losses.discriminator.mean(), list(pair.discriminator.parameters()))
    return float(sum(float(gradient.square().sum()) for gradient in found)) ** 0.5


def _peak_mb() -> float:
    # Not getrusage: its maximum is inherited from the process that started this one.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM line; this benchmark needs Linux")


def _expected_gb(found: dict[tuple[str, int], dict[str, float]], engine: str, steps: int) -> float:
    """Peak memory at T, continued along the line through the engine's last two measurements."""
    known = sorted(number for name, number in found if name == engine)[-2:]
    if len(known) < 2:
        return 0.0
    (a, b), (low, high) = known, (found[engine, number]["peak_mb"] for number in known)
    return (high + (high - low) / (b - a) * (steps - b)) / 1024


if __name__ == "__main__":
    main()
