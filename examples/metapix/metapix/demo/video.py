"""The demo's video: the person, the driver and the result, side by side."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.data.folder import read_clip
from metapix.data.video_writer import VideoWriter
from metapix.demo.settings import DemoSettings
from metapix.demo.stages import Tick
from metapix.personalize import generate, personalize
from metapix.pose_input import to_bytes
from metapix.retarget import align_poses
from metapix.tasks import evenly_spaced, split

_MOST_FPS = 30.0
"""The packaged clips last under two seconds at their 60 frames a second; shown at 30 one sees the motion."""


def retarget_video(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """Personalise MetaPix's start to the target, hand it the driver's poses, and write ``retarget.mp4``."""
    target = read_clip(run_dir / "clips" / settings.target)
    driver = read_clip(run_dir / "clips" / settings.driver)
    shots = evenly_spaced(split(target)[0], settings.shots)
    small = shots.resized(settings.size)
    poses = align_poses(driver.resized(settings.size).joints, small.joints)
    adapted = personalize(
        gm.load_pair(run_dir / "theta.safetensors"), small, settings.build_objective(), settings.build_inner(), settings.seed
    )
    done = 0
    with VideoWriter(run_dir / "retarget.mp4", min(driver.fps, _MOST_FPS)) as video:
        for images in generate(adapted, poses, settings.size):
            for image in images:
                video.write(_panels(shots, driver, done, image, settings.video_size))
                done += 1
                tick(done)


def _panels(shots: Clip, driver: Clip, frame: int, image: Tensor, size: int) -> Tensor:
    """(3, size, 3 * size) uint8: one of the K frames, the driver, the result."""
    result = functional.interpolate(image[None], size=(size, size), mode="bicubic", align_corners=False)[0]
    # The five frames take turns, so that one sees all that the network ever saw of the person.
    source = shots.frames[frame * len(shots) // len(driver)]
    return torch.cat([source, driver.frames[frame], to_bytes(result)], dim=-1)
