"""Question: which of torch's options make a step of the game faster on this machine? Each against the same step without it.

The step is the one of `pix2pixhd_step.py` (K = 5, batch 8, the published losses). Beside each ratio stands how far the option moves the
generator's gradient, relative to its norm: float32 in another order of sums moves it a little, since the terms have kinks where signs flip.
Options that a device lacks are left out; on a GPU there are more (TF32, CUDA graphs by `mode="reduce-overhead"`).

    python benchmarks/options.py [--size 128] [--channels 16] [--device cpu]
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from measure import Result, in_turns, parser, publish, seconds
from pix2pixhd_step import BATCH, STEPS, random_frames
from torch import Tensor, nn

import gan_meta as gm
from gan_meta.game.engine import Game
from gan_meta.models.pix2pixhd import Pix2PixHDObjective

BASELINE = "float32, nothing else"


@dataclass(frozen=True)
class Option:
    """One way to run a game.

    Attributes:
        compile: arguments of ``GANPair.compile`` and of the extractor's; ``None``: not compiled.
        layout: of weights and pictures.
        inner: options of the game.
        around: a context that the game is played in.
        only: the kind of device that has it.
    """

    compile: dict[str, Any] | None = None
    layout: torch.memory_format = torch.contiguous_format
    inner: dict[str, Any] = field(default_factory=dict)
    around: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    only: str = ""


@contextlib.contextmanager
def reduced_precision(kind: str) -> Iterator[None]:
    """Products in another format inside float32 operations: TF32 on a GPU, bfloat16 on a CPU."""
    places = (
        [torch.backends.cudnn.conv, torch.backends.cuda.matmul]
        if kind == "tf32"
        else [torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul]
    )
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = kind
    try:
        yield
    finally:
        for place, kept in zip(places, before, strict=True):
            place.fp32_precision = kept


OPTIONS = {
    BASELINE: Option(),
    "channels_last": Option(layout=torch.channels_last),
    'precision="bfloat16"': Option(inner={"precision": "bfloat16"}),
    'precision="bfloat16", channels_last': Option(inner={"precision": "bfloat16"}, layout=torch.channels_last),
    "bfloat16 inside float32 operations": Option(around=lambda: reduced_precision("bf16"), only="cpu"),
    "TF32": Option(around=lambda: reduced_precision("tf32"), only="cuda"),
    "compile": Option(compile={}),
    'compile, precision="bfloat16", channels_last': Option(compile={}, inner={"precision": "bfloat16"}, layout=torch.channels_last),
    "compile with CUDA graphs": Option(compile={"mode": "reduce-overhead"}, only="cuda"),
    'compile with CUDA graphs, precision="bfloat16", channels_last': Option(
        compile={"mode": "reduce-overhead"}, inner={"precision": "bfloat16"}, layout=torch.channels_last, only="cuda"
    ),
}


class Trial:
    """A game played with an option."""

    def __init__(self, option: Option, size: int, channels: int, shots: int, device: str) -> None:
        torch.manual_seed(0)
        self.option = option
        pair = gm.models.create("pix2pixhd", base_channels=channels).to(device, memory_format=option.layout)
        objective = Pix2PixHDObjective(perceptual="vgg19-random")
        assert isinstance(objective.extractor, nn.Module)
        objective.extractor.to(device, memory_format=option.layout)
        if option.compile is not None:
            pair.compile(**option.compile)
            objective.extractor.compile(**option.compile)
        frames = {name: tensor.to(memory_format=option.layout) for name, tensor in random_frames(shots, size, device).items()}
        inner = gm.InnerLoop(steps=STEPS, batch_size=BATCH, schedule="constant", **option.inner)
        with option.around():
            self.game = Game(pair, objective, frames, inner)

    def step(self) -> None:
        """One step, in the option's surroundings."""
        with self.option.around():
            self.game.step()

    def gradient(self) -> Tensor:
        """The generator's gradient of the last step, as one vector."""
        parameters = self.game.parameters["generator"]
        return torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])


def main() -> None:
    """Measure every option that the device has and print the table."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--channels", type=int, default=16, help="base_channels of the generator")
    options.add_argument("--shots", type=int, default=5, help="K")
    options.add_argument("--only", nargs="+", help="these options; default: all that the device has", metavar="OPTION")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    trials: dict[str, Trial] = {}
    first: dict[str, float] = {}
    error: dict[str, float] = {}
    for name, option in OPTIONS.items():
        if option.only not in ("", device.type) or (arguments.only and name not in (BASELINE, *arguments.only)):
            continue
        trial = Trial(option, arguments.size, arguments.channels, arguments.shots, arguments.device)
        try:
            first[name] = seconds(trial.step, device)
        except RuntimeError as refused:  # torch's answer where an option does not work on a machine
            print(f"{name}: does not work here: {str(refused).splitlines()[0]}")
            continue
        trials[name] = trial
        error[name] = float((trial.gradient() - trials[BASELINE].gradient()).norm() / trials[BASELINE].gradient().norm())
    found = in_turns({name: trial.step for name, trial in trials.items()}, arguments.rounds, device)
    print(f"K = {arguments.shots}, {arguments.size}x{arguments.size}, base_channels {arguments.channels}, {arguments.device}")
    for name, taken in found.items():
        print(f"{name:<64}{taken:>8.3f} s{found[BASELINE] / taken:>7.2f}x  first {first[name]:>6.1f} s  gradient off by {error[name]:.1e}")
    results = [
        Result(f"option {name}", found[BASELINE] / taken, BASELINE, details={"seconds": taken, "gradient error": error[name]})
        for name, taken in found.items()
        if name != BASELINE
    ]
    publish(results, arguments.json)


if __name__ == "__main__":
    main()
