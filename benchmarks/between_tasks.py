"""Claim: between two tasks less than 2% of a game of 20 steps goes by: theta moves, the optimisers are reset, the next game is set up.

python benchmarks/between_tasks.py [--size 48] [--channels 16]
"""

from __future__ import annotations

import torch
from measure import Result, in_turns, parser, publish
from pix2pixhd_step import random_frames

import gan_meta as gm
from gan_meta.algorithms.base import MetaGradient, displacement, learned_names
from gan_meta.game.engine import Game
from gan_meta.game.workbench import Workbench
from gan_meta.models.pix2pixhd import Pix2PixHDObjective
from gan_meta.training.outer_step import OuterStep

STEPS = 20


def main() -> None:
    """Measure the parts of a task's turn and print what lies between two games against the game."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=48)
    options.add_argument("--channels", type=int, default=16, help="of both players")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = arguments.device
    theta = gm.models.create(
        "pix2pixhd", base_channels=arguments.channels, n_downsample=2, n_blocks=3, discriminator_channels=arguments.channels
    ).to(device)
    objective, inner = Pix2PixHDObjective(pixel=10.0), gm.InnerLoop(steps=STEPS, schedule="constant")
    frames = random_frames(5, arguments.size, device)
    workbench = Workbench()
    game = workbench.begin(theta, objective, frames, inner)
    game.step()
    names = learned_names(theta, inner)
    outer = OuterStep(dict(theta.named_parameters()), "sgd", lr=1.0)

    def move() -> object:
        return outer.move([MetaGradient(displacement(theta, game.pair, names))], rate=1e-3)

    def begin_by_copies() -> object:
        fresh = Game(theta.clone(), objective, frames, inner)
        return [torch.zeros_like(parameter) for parameter in fresh.pair.parameters() for _ in range(2)]

    runs = {"step": game.step, "move theta": move, "begin": lambda: workbench.begin(theta, objective, frames, inner)}
    found = in_turns({**runs, "begin by copies": begin_by_copies}, max(arguments.rounds, 20), device)
    for name, seconds in found.items():
        print(f"{name:<16}{seconds * 1e3:>9.2f} ms")
    between = found["move theta"] + found["begin"]
    details = {"ms": between * 1e3, "ratio by copies": (found["move theta"] + found["begin by copies"]) / (STEPS * found["step"])}
    result = Result("between tasks", between / (STEPS * found["step"]), f"a game of T = {STEPS}", "lower", 0.02, details)
    publish([result], arguments.json)


if __name__ == "__main__":
    main()
