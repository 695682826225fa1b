"""Question: what does it cost to lay each gradient out in memory as its weight, without which fused Adam moves the wrong weights?

The step is the one of `pix2pixhd_step.py` (K = 5, batch 8, the published losses), against the same step whose optimisers take the gradients
as they come: exact where all layouts agree (contiguous weights), and wrong where they do not, so there only its time says something.

    python benchmarks/layout.py [--size 128] [--channels 16] [--device cpu]
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
from measure import Result, in_turns, parser, publish
from pix2pixhd_step import BATCH, STEPS, random_frames
from torch.nn.utils.parametrizations import weight_norm

import gan_meta as gm
from gan_meta.game import engine
from gan_meta.models.pix2pixhd import Pix2PixHDObjective


def contiguous(pair: gm.GANPair) -> gm.GANPair:
    """Weights as they are made."""
    return pair


def channels_last(pair: gm.GANPair) -> gm.GANPair:
    """Weights with the channels last in memory."""
    return pair.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def weight_norm_channels_last(pair: gm.GANPair) -> gm.GANPair:
    """The discriminator's weights normalised as well: their gradients come in other strides."""
    assert pair.discriminator is not None
    for module in [module for module in pair.discriminator.modules() if isinstance(module, torch.nn.Conv2d)]:
        weight_norm(module)
    return channels_last(pair)


LAYOUTS: dict[str, Callable[[gm.GANPair], gm.GANPair]] = {
    "contiguous": contiguous,
    "channels_last": channels_last,
    "weight_norm, channels_last": weight_norm_channels_last,
}


def made_game(layout: Callable[[gm.GANPair], gm.GANPair], size: int, channels: int, device: str) -> engine.Game:
    """A game over weights in a layout."""
    torch.manual_seed(0)
    pair = layout(gm.models.create("pix2pixhd", base_channels=channels).to(device))
    objective = Pix2PixHDObjective(perceptual="vgg19-random")
    assert isinstance(objective.extractor, torch.nn.Module)
    objective.extractor.to(device)
    inner = gm.InnerLoop(steps=STEPS, batch_size=BATCH, schedule="constant")
    return engine.Game(pair, objective, random_frames(5, size, device), inner)


def as_they_come(game: engine.Game) -> None:
    """A step whose optimisers take the gradients as they come."""
    with mock.patch.object(engine, "step_in_layout", lambda optimizer: optimizer.step()):
        game.step()


def main() -> None:
    """Measure each layout and print the ratios."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--channels", type=int, default=16, help="base_channels of the generator")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    results = []
    for name, layout in LAYOUTS.items():
        game = made_game(layout, arguments.size, arguments.channels, arguments.device)
        found = in_turns({"laid out": game.step, "as they come": lambda game=game: as_they_come(game)}, arguments.rounds, arguments.device)
        ratio = found["laid out"] / found["as they come"]
        results.append(Result(f"step, {name}", ratio, "gradients as they come", better="lower", details=found))
    publish(results, arguments.json)


if __name__ == "__main__":
    main()
