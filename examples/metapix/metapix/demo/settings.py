"""Every number of the demo, in one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import gan_meta as gm
from gan_meta.naming import unknown_name
from metapix.errors import InputError
from metapix.poses.pose_input import flip
from metapix.poses.skeleton import N_JOINTS
from metapix.recipe import MODELS, Recipe

CHOICES: dict[str, tuple[str, ...]] = {**{model: (model,) for model in MODELS}, "both": MODELS}


@dataclass(frozen=True)
class DemoSettings:
    """What the demo does; the defaults take a few minutes on two cores.

    Attributes:
        seed: of everything.
        models: which models are trained on drawn people and scored: ``"pix2pixhd"``, ``"posewarp"``, or both.
        size: side of the pictures the network sees, in pixels.
        shots, steps: K frames and T iterations of a personalisation.
        training_people, training_frames: drawn people to learn from, and frames of each.
        unseen_people, unseen_frames: drawn people to be scored on, and frames of each.
        drawn_fps: frames a second of the drawn clips; fewer make neighbouring frames differ more.
        base_channels, n_downsample, n_blocks, discriminator_channels: widths and depth of Pix2PixHD.
        upsampling: ``"transpose"`` (published) or ``"resize"`` (no checkerboard).
        perceptual, perceptual_weight, pixel, feature_matching: the objective.
        lr, discriminator_lr: inner learning rates.
        posewarp_channels, posewarp_lr: width and rate of Posewarp, which otherwise plays as Pix2PixHD does, without a discriminator.
        pretrain_steps: iterations of joint training before meta-training.
        meta_iterations, meta_lr: steps of theta, and eps.
        adapt_steps: at most so many steps are taken from the start that ships, for a real person.
        target, driver: the packaged clips of the person and of the moves.
        driver_rank: which person of the driver's clip has the moves, by size: 0 is the largest, 1 the next.
        real_frames: frames taken from each real clip.
        scored_clips: packaged clips that appear in the table for real people.
        video_size: side of each panel of the video, in pixels.
    """

    seed: int = 0
    models: tuple[str, ...] = ("pix2pixhd",)
    size: int = 48
    shots: int = 5
    steps: int = 20
    training_people: int = 32
    training_frames: int = 40
    unseen_people: int = 6
    unseen_frames: int = 60
    drawn_fps: float = 12.0
    base_channels: int = 16
    n_downsample: int = 2
    n_blocks: int = 3
    discriminator_channels: int = 16
    upsampling: str = "transpose"
    perceptual: str | None = "efficientnet_lite0"
    perceptual_weight: float = 1.0
    pixel: float = 10.0
    feature_matching: float = 10.0
    lr: float = 1e-3
    discriminator_lr: float | None = 2e-4
    posewarp_channels: int = 8
    posewarp_lr: float = 1e-3
    pretrain_steps: int = 400
    meta_iterations: int = 45
    meta_lr: float = 1.0
    adapt_steps: int = 20
    target: str = "single-cam01"
    driver: str = "multi-cam04"
    driver_rank: int = 1
    real_frames: int = 100
    scored_clips: tuple[str, ...] = ("single-cam01", "single-cam03")
    video_size: int = 256

    @property
    def curve(self) -> tuple[int, ...]:
        """The numbers of steps at which the report's curve is taken."""
        return tuple(sorted({0, self.steps // 8, self.steps // 4, self.steps // 2, 3 * self.steps // 4, self.steps}))

    def build_pair(self, model: str = "pix2pixhd") -> gm.GANPair:
        """An untrained pair of the demo's widths."""
        if model == "posewarp":
            return gm.models.create("posewarp", base_channels=self.posewarp_channels)
        return gm.models.create(
            "pix2pixhd",
            pose_channels=N_JOINTS,
            base_channels=self.base_channels,
            n_downsample=self.n_downsample,
            n_blocks=self.n_blocks,
            discriminator_channels=self.discriminator_channels,
            upsampling=self.upsampling,
        )

    def recipe_of(self, model: str = "pix2pixhd") -> Recipe:
        """The game of one personalisation."""
        return Recipe(
            size=self.size,
            lr=self.posewarp_lr if model == "posewarp" else self.lr,
            discriminator_lr=None if model == "posewarp" else self.discriminator_lr,
            perceptual=self.perceptual,
            perceptual_weight=self.perceptual_weight,
            pixel=self.pixel,
            feature_matching=self.feature_matching,
            model=model,
        )

    def build_objective(self, model: str = "pix2pixhd") -> gm.Objective:
        """What both players minimise, everywhere in the demo."""
        return self.recipe_of(model).objective()

    def build_inner(self, model: str = "pix2pixhd") -> gm.InnerLoop:
        """The game of one personalisation."""
        return self.recipe_of(model).inner(self.steps)

    def build_joint(self, model: str = "pix2pixhd") -> gm.InnerLoop:
        """The game of joint training: the same rates and batch, each picture flipped half of the time."""
        return dataclasses.replace(self.build_inner(model), augment=(flip,))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**dataclasses.asdict(self), "models": list(self.models), "scored_clips": list(self.scored_clips)}


def settings_for(models: str, seed: int) -> DemoSettings:
    """The demo's settings for one of :data:`CHOICES`; with Posewarp everybody is drawn at a size that its U-Nets can halve five times.

    Raises:
        InputError: for anything else.
    """
    if models not in CHOICES:
        raise InputError(unknown_name("model", models, CHOICES))
    chosen = CHOICES[models]
    return DemoSettings(seed=seed, models=chosen, size=64) if "posewarp" in chosen else DemoSettings(seed=seed, models=chosen)
