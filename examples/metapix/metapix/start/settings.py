"""Every number of the shipped start's training, in one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import gan_meta as gm
from metapix.data.drawn.noise import Noise
from metapix.poses.pose_input import flip
from metapix.recipe import Recipe


@dataclass(frozen=True)
class StartSettings:
    """How the start is trained; the defaults made the one that ships.

    Attributes:
        seed: of everything.
        reference: what the generator starts from, ``"plate"`` or ``"puppet"``.
        size: side of the pictures the network sees, in pixels.
        drawn_people, drawn_frames, drawn_fps: how many people are drawn, how many frames of each, and how far apart.
        jitter, mask_blur, mask_shift, motion_blur, grain, blocks: the drawn clips' faults, as for :class:`Noise`.
        drawn_rounds, real_rounds, targets: as for :class:`metapix.reference_tasks.ReferenceSamples`.
        real_clips: the packaged clips to learn from.
        scored_clips: packaged clips that the model card scores; none of them is learned from.
        scored_people: unseen drawn people that the model card scores.
        base_channels, n_downsample, n_blocks: widths and depth of the generator.
        steps, lr: of the joint training.
        person_weight: how much more the pixels near the skeleton weigh.
        adapt_lr: the rate of a personalisation.
    """

    seed: int = 0
    reference: str = "puppet"
    size: int = 64
    drawn_people: int = 160
    drawn_frames: int = 24
    drawn_fps: float = 6.0
    jitter: float = 0.5
    mask_blur: float = 0.5
    mask_shift: float = 0.5
    motion_blur: float = 0.3
    grain: float = 2.0
    blocks: float = 0.2
    drawn_rounds: int = 3
    real_rounds: int = 100
    targets: int = 16
    real_clips: tuple[str, ...] = ("multi-cam01", "multi-cam02")
    scored_clips: tuple[str, ...] = ("single-cam01", "single-cam02", "single-cam03", "single-cam04")
    scored_people: int = 4
    base_channels: int = 16
    n_downsample: int = 2
    n_blocks: int = 3
    steps: int = 1600
    lr: float = 5e-4
    person_weight: float = 3.0
    adapt_lr: float = 1e-4

    @property
    def noise(self) -> Noise:
        """The drawn clips' faults."""
        names = [option.name for option in dataclasses.fields(Noise) if option.name != "dropout"]
        return Noise(**{name: getattr(self, name) for name in names})

    @property
    def recipe(self) -> Recipe:
        """How the start wants to be personalised."""
        return Recipe(size=self.size, lr=self.adapt_lr, schedule="constant", mirror=True, person_weight=self.person_weight)

    def build_pair(self) -> gm.GANPair:
        """An untrained generator, which draws the reference itself."""
        return gm.models.create(
            "metapix-reference",
            reference=self.reference,
            base_channels=self.base_channels,
            n_downsample=self.n_downsample,
            n_blocks=self.n_blocks,
        )

    def build_joint(self) -> gm.InnerLoop:
        """The game of joint training: batches of 8, each picture flipped half of the time, the rate falling in the second half."""
        return gm.InnerLoop(steps=self.steps, lr=self.lr, augment=(flip,))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**dataclasses.asdict(self), "real_clips": list(self.real_clips), "scored_clips": list(self.scored_clips)}
