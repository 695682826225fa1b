"""Claim: a Posewarp step takes at most 1.2 times as long as its convolutions alone.

The step: pose inputs from joints, the generator (three U-Nets), a pixel loss, all gradients. Against it its 52 convolutions, all
forward and then all backward, on the very shapes that the step gives them, and nothing else. Both in one process, in turns; printed
are the ratios of the minima and of the medians. On a CPU both spend time on fresh memory for each large tensor; with
`MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_THRESHOLD_=4294967296` before the command, glibc keeps it, and the ratio shows the
arithmetic alone. Run it with `python benchmarks/posewarp_step.py`; the published setting is `--size 256 --batch 4
--channels 64`, on a GPU with `--device cuda`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Result, publish
from torch import Tensor, nn

from gan_meta import models
from gan_meta.models.posewarp import PosewarpObjective, pose_inputs
from gan_meta.models.posewarp.layers import SameConv2d

Step = Callable[[], object]


def main() -> None:
    """Measure both in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--channels", type=int, default=64, help="base_channels of the generator")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the result into this file as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    step, pose_step, convolutions = make_steps(arguments.size, arguments.batch, arguments.channels, torch.device(arguments.device))
    steps = {"step": step, "its convolutions": convolutions, "its pose inputs": pose_step}
    found: dict[str, list[float]] = {name: [] for name in steps}
    for measured in range(arguments.rounds + 1):
        for name, run in steps.items():
            seconds = clock(run, torch.device(arguments.device))
            if measured:  # the first round warms up
                found[name].append(seconds)
    print(f"{arguments.size}x{arguments.size}, batch {arguments.batch}, base_channels {arguments.channels}, {arguments.device}")
    for name, times in found.items():
        print(f"{name:<20}{min(times):>10.4f} s min{statistics.median(times):>10.4f} s median")
    whole, bare = found["step"], found["its convolutions"]
    print(
        f"step / convolutions: {min(whole) / min(bare):.3f} by minimum, {statistics.median(whole) / statistics.median(bare):.3f} by median"
    )
    publish([Result("Posewarp step", min(whole) / min(bare), "its convolutions alone", "lower", 1.2)], arguments.json)


def make_steps(size: int, batch_size: int, channels: int, device: torch.device) -> tuple[Step, Step, Step]:
    """The step, its pose inputs, and its convolutions alone."""
    torch.manual_seed(0)
    pair = models.create("posewarp", base_channels=channels).to(device)
    draws = torch.Generator().manual_seed(1)
    images = {name: torch.rand(batch_size, 3, size, size, generator=draws) * 2 - 1 for name in ("source", "image")}
    joints = {name: torch.rand(batch_size, 14, 2, generator=draws) * size for name in ("source_joints", "target_joints")}
    batch = {name: tensor.to(device) for name, tensor in {**images, **joints}.items()}
    objective = PosewarpObjective(pixel=1.0)
    weights = list(pair.parameters())

    def step() -> object:
        return torch.autograd.grad(objective.losses(pair, batch).generator.mean(), weights)

    def pose_step() -> object:
        return pose_inputs(batch["source_joints"], batch["target_joints"], size=size)

    return step, pose_step, alone(pair.generator, step)


def alone(generator: nn.Module, step: Step) -> Step:
    """The generator's convolutions, all forward, then all backward, on inputs of the step's shapes."""
    seen: list[tuple[SameConv2d, Tensor]] = []
    hooks = [
        module.register_forward_pre_hook(lambda layer, inputs: seen.append((layer, inputs[0].detach())))
        for module in generator.modules()
        if isinstance(module, SameConv2d)
    ]
    step()
    for hook in hooks:
        hook.remove()
    work = []
    for number, (layer, inputs) in enumerate(seen):
        # The step wants no gradient of the source, the first convolution's input.
        with torch.no_grad():
            output = layer(inputs)
        work.append((layer, inputs.requires_grad_(number > 0), torch.ones_like(output)))

    def run() -> object:
        outputs = [layer(inputs) for layer, inputs, _ in work]
        for layer, inputs, direction in reversed(work):
            wanted = [*layer.parameters(), *([inputs] if inputs.requires_grad else [])]
            torch.autograd.grad(outputs.pop(), wanted, direction)
        return None

    return run


def clock(run: Step, device: torch.device) -> float:
    """Seconds of one run."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
