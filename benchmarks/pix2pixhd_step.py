"""Claim: a step of the game is 2.2 times as fast as the published procedure at K = 5 in batches of 8, and 7 times at K = 1.

The baseline is the training step of pix2pixHD and MetaPix as published: the K frames repeated to fill the batch, the discriminator
run three times (on the fake for itself, on the real, on the fake for the generator), VGG19 of the real frames in every step, and
gradients of everything in every backward pass. Ours is :class:`gan_meta.game.engine.Game`, with its share of what is done once a game
of 20 steps. Both give the same gradients (`tests/benchmarks/test_pix2pixhd_step.py`). VGG19 has random weights here, as slow as others.

    python benchmarks/pix2pixhd_step.py [--size 128] [--channels 16] [--shots 5 1]
"""

from __future__ import annotations

import torch
from measure import Result, in_turns, operations, parser, peak_runs, publish
from torch import Tensor, nn
from torch.nn import functional

import gan_meta as gm
from gan_meta.game.engine import Game
from gan_meta.models.pix2pixhd import Pix2PixHDObjective

BATCH, STEPS = 8, 20
GOALS = {5: 2.2, 1: 7.0}
FEATURE_MATCHING = PERCEPTUAL = 10.0


def main() -> None:
    """Measure both at each K and print the ratios, the operations, and the share of this machine's peak."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--channels", type=int, default=16, help="base_channels of the generator")
    options.add_argument("--discriminator-channels", type=int, default=64)
    options.add_argument("--shots", type=int, nargs="+", default=[5, 1], help="K")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    widths = {"base_channels": arguments.channels, "discriminator_channels": arguments.discriminator_channels}
    publish([measure(arguments.size, widths, shots, arguments.rounds, arguments.device) for shots in arguments.shots], arguments.json)


def measure(size: int, widths: dict[str, int], shots: int, rounds: int, device: str) -> Result:
    """The published step against the game's at one K."""
    torch.manual_seed(0)
    pair = gm.models.create("pix2pixhd", **widths).to(device)
    objective = Pix2PixHDObjective(feature_matching=FEATURE_MATCHING, perceptual="vgg19-random", perceptual_weight=PERCEPTUAL)
    frames = random_frames(shots, size, device)
    published = PublishedStep(pair.clone(), objective.extractor, frames)

    def begin() -> Game:
        return Game(pair.clone(), objective, frames, gm.InnerLoop(steps=STEPS, batch_size=BATCH, schedule="constant"))

    game = begin()
    game.step()  # the first step of a game checks that losses are per sample
    counted = {"published": operations(published), "ours": operations(game.step) + operations(begin) / STEPS}
    peaks = peak_runs(device)
    found = in_turns(
        {"published": published, "ours": game.step, "begin": begin, **{name: run for name, (run, _) in peaks.items()}}, rounds, device
    )
    found["ours"] += found["begin"] / STEPS
    peak = {name: work / found[name] / 1e9 for name, (_, work) in peaks.items()}
    print(f"K = {shots}, batch {BATCH}, {size}x{size}, {widths}, {device}")
    for name, work in counted.items():
        speed = work / found[name] / 1e9
        share = ", ".join(f"{speed / fastest:.0%} of the {what} peak" for what, fastest in peak.items())
        print(f"  {name:<10}{found[name]:>8.3f} s{work / 1e9:>9.1f} GFLOP{speed:>8.1f} GFLOP/s ({share})")
    print(f"  peaks: {', '.join(f'{name} {value:.0f} GFLOP/s' for name, value in peak.items())}")
    details = {
        "seconds": found["ours"],
        "operations ratio": counted["published"] / counted["ours"],
        "GFLOP/s": counted["ours"] / found["ours"] / 1e9,
        **{f"{name} peak, GFLOP/s": value for name, value in peak.items()},
    }
    ratio = found["published"] / found["ours"]
    return Result(f"pix2pixHD step, K={shots}", ratio, "the published procedure", goal=GOALS.get(shots), details=details)


def random_frames(shots: int, size: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """K frames of noise."""
    draws = torch.Generator().manual_seed(1)
    pose = torch.rand(shots, 18, size, size, generator=draws, dtype=dtype)
    image = torch.rand(shots, 3, size, size, generator=draws, dtype=dtype) * 2 - 1
    return {"pose": pose.to(device), "image": image.to(device)}


class PublishedStep:
    """One update of both players, written as it was published; it moves the pair.

    Args:
        extractor: VGG19's five feature maps, with their weights as ``layer_weights``.
        frames: the K frames, repeated here to fill the batch.
    """

    def __init__(self, pair: gm.GANPair, extractor: nn.Module, frames: dict[str, Tensor], lr: float = 2e-4) -> None:
        rows = torch.arange(BATCH) % len(frames["image"])
        self.pose, self.image = frames["pose"][rows], frames["image"][rows]
        self.pair, self.extractor = pair, extractor
        self.optimizers = [torch.optim.Adam(player.parameters(), lr, betas=(0.5, 0.999)) for player in (pair.generator, pair.discriminator)]

    def __call__(self) -> None:
        """Forward, then each player's backward pass and step."""
        fake = self.pair.generator(self.pose)
        seen_by_discriminator = self.judge(fake.detach())
        on_real = self.judge(self.image)
        on_fake = self.judge(fake)
        losses = self.generator_loss(fake, on_fake, on_real), self.discriminator_loss(seen_by_discriminator, on_real)
        for optimizer, loss in zip(self.optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def judge(self, image: Tensor) -> list[list[Tensor]]:
        """The discriminator's stages for these pictures under the batch's poses."""
        stages: list[list[Tensor]] = self.pair.discriminator(torch.cat([self.pose, image], dim=1))
        return stages

    def generator_loss(self, fake: Tensor, on_fake: list[list[Tensor]], on_real: list[list[Tensor]]) -> Tensor:
        """LSGAN, feature matching and VGG19's features."""
        return mean_square(on_fake, 1) + FEATURE_MATCHING * matching(on_fake, on_real) + PERCEPTUAL * self.perceptual(fake)

    def discriminator_loss(self, on_fake: list[list[Tensor]], on_real: list[list[Tensor]]) -> Tensor:
        """LSGAN's other side."""
        return (mean_square(on_real, 1) + mean_square(on_fake, 0)) / 2

    def perceptual(self, fake: Tensor) -> Tensor:
        """The weighted distance of VGG19's features from those of the real frames."""
        pairs = zip(self.extractor(fake), self.extractor(self.image), self.extractor.layer_weights, strict=True)
        return sum(functional.l1_loss(a, b.detach()) * weight for a, b, weight in pairs)


def mean_square(stages: list[list[Tensor]], target: float) -> Tensor:
    """LSGAN's loss of the score maps of all scales."""
    return sum(functional.mse_loss(scale[-1], torch.full_like(scale[-1], target)) for scale in stages)


def matching(fake: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """Feature matching over the stages before the scores."""
    terms = []
    for fake_scale, real_scale in zip(fake, real, strict=True):
        weight = 4 / (len(fake_scale) - 1) / len(fake)
        terms += [functional.l1_loss(a, b.detach()) * weight for a, b in zip(fake_scale[:-1], real_scale[:-1], strict=True)]
    return sum(terms)


if __name__ == "__main__":
    main()
