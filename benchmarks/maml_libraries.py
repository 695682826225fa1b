"""Claim: MAML's gradient through a game of one player takes us no longer than `higher` or TorchOpt, and the sweep at most 1.5 times.

One player, since that is what the others are made for: the demo's generator, K = 5 frames, T steps of SGD, a pixel loss, and the
query loss's gradient for the start. All four are asked for the same numbers, and have to agree on them. With `--adam` the game has Adam;
`higher`'s does not correct eps for the bias, so its numbers differ there.

    python benchmarks/maml_libraries.py [--steps 20] [--size 32] [--adam]     (needs: pip install higher==0.2.1 torchopt==0.7.3)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import higher
import torch
import torchopt
from measure import Result, in_turns, parser, publish
from pix2pixhd_step import random_frames
from torch import Tensor

import gan_meta as gm
from gan_meta.models.pix2pixhd import GlobalGenerator, Pix2PixHDObjective

RATE, EPS = 2e-4, 1e-3  # a large eps: with a tiny one Adam's update is nearly a sign, whose derivative single precision cannot carry
Direction = Callable[[], list[Tensor]]


class Problem:
    """The start, the frames, and the four ways to the same gradient."""

    def __init__(self, steps: int, size: int, adam: bool) -> None:
        torch.manual_seed(0)
        self.steps, self.adam = steps, adam
        self.start = GlobalGenerator(18, base_channels=16, n_downsample=2, n_blocks=3)
        frames = random_frames(10, size)
        self.support, self.query = ({name: tensor[part] for name, tensor in frames.items()} for part in (slice(0, 5), slice(5, 10)))

    def loss(self, generator: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Ten times the mean absolute difference."""
        return 10 * (generator(batch["pose"]) - batch["image"]).abs().mean()

    def ours(self, memory: str) -> Direction:
        """MAML with one of the library's engines."""
        pair = gm.GANPair(self.start)
        inner = gm.InnerLoop(
            steps=self.steps, optimizer="adam" if self.adam else "sgd", lr=RATE, eps=EPS, batch_size=5, schedule="constant"
        )
        algorithm = gm.algorithms.create("maml", objective=Pix2PixHDObjective(pixel=10.0), inner=inner, memory=memory)
        task = gm.Task(self.support, self.query)
        return lambda: list(algorithm.meta_gradient(pair, task).grads.values())

    def by_higher(self) -> list[Tensor]:
        """`higher`: a functional copy of the module and a differentiable optimiser."""
        optimizer = self._torch_optimizer(self.start.parameters())
        with higher.innerloop_ctx(self.start, optimizer, copy_initial_weights=False) as (generator, optimizer_steps):
            for _ in range(self.steps):
                optimizer_steps.step(self.loss(generator, self.support))
            return list(torch.autograd.grad(self.loss(generator, self.query), list(self.start.parameters())))

    def by_torchopt(self) -> list[Tensor]:
        """TorchOpt: a differentiable optimiser that moves the module's weights, which are put back afterwards."""
        before = torchopt.extract_state_dict(self.start, by="reference", detach_buffers=True)
        parameters = list(self.start.parameters())
        options = {"betas": (0.5, 0.999), "eps": EPS} if self.adam else {}
        optimizer = (torchopt.MetaAdam if self.adam else torchopt.MetaSGD)(self.start, lr=RATE, **options)
        for _ in range(self.steps):
            optimizer.step(self.loss(self.start, self.support))
        found = torch.autograd.grad(self.loss(self.start, self.query), parameters)
        torchopt.recover_state_dict(self.start, before)
        return list(found)

    def _torch_optimizer(self, parameters: Iterator[torch.nn.Parameter]) -> torch.optim.Optimizer:
        if self.adam:
            return torch.optim.Adam(parameters, lr=RATE, betas=(0.5, 0.999), eps=EPS)
        return torch.optim.SGD(parameters, lr=RATE)


def main() -> None:
    """Check that all agree, measure them in turns, and print the ratios."""
    options = parser(__doc__)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--adam", action="store_true")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    problem = Problem(arguments.steps, arguments.size, arguments.adam)
    runs: dict[str, Direction] = {
        "unrolled": problem.ours("unrolled"),
        "sweep": problem.ours("sweep"),
        "higher": problem.by_higher,
        "TorchOpt": problem.by_torchopt,
    }
    directions = {name: torch.cat([gradient.flatten() for gradient in run()]) for name, run in runs.items()}
    found = in_turns(runs, arguments.rounds)
    print(f"T = {arguments.steps}, K = 5, {arguments.size}x{arguments.size}, {'Adam' if arguments.adam else 'SGD'}")
    for name, taken in found.items():
        difference = float((directions[name] - directions["unrolled"]).norm() / directions["unrolled"].norm())
        print(f"{name:<10}{taken:>8.2f} s   off ours by {difference:.1e}")
    label = f"MAML, one player, T={arguments.steps}{', Adam' if arguments.adam else ''}"
    fastest_other = min(found["higher"], found["TorchOpt"])
    details = {f"{name}, seconds": taken for name, taken in found.items()}
    publish(
        [
            Result(f"{label}: unrolled", fastest_other / found["unrolled"], "the faster of higher and TorchOpt", goal=1.0, details=details),
            Result(f"{label}: sweep", found["sweep"] / found["unrolled"], "unrolled", "lower", 1.5),
        ],
        arguments.json,
    )


if __name__ == "__main__":
    main()
