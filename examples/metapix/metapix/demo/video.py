"""The demo's video: the person, the driver and the results, side by side."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import gan_meta as gm
from metapix.data.clip import Clip, scale_joints
from metapix.data.folder import read_clip
from metapix.data.video_writer import VideoWriter
from metapix.demo.settings import DemoSettings
from metapix.demo.stages import Tick
from metapix.personalize import generate, personalize
from metapix.pose_input import to_bytes
from metapix.puppet import Puppet
from metapix.retarget import align_poses
from metapix.tasks import evenly_spaced, split

_AT_ONCE = 16

_MOST_FPS = 30.0
"""The packaged clips last under two seconds at their 60 frames a second; shown at 30 one sees the motion."""


def retarget_video(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """Personalise MetaPix's start to the target, hand it the driver's poses, and write ``retarget.mp4``."""
    target = read_clip(run_dir / "clips" / settings.target)
    driver = read_clip(run_dir / "clips" / settings.driver)
    shots = evenly_spaced(split(target)[0], settings.shots)
    small = shots.resized(settings.size)
    adapted = personalize(
        gm.load_pair(run_dir / "theta.safetensors"), small, settings.build_objective(), settings.build_inner(), settings.seed
    )
    puppet = Puppet(shots)
    poses = align_poses(driver.joints, shots.joints)
    with VideoWriter(run_dir / "retarget.mp4", min(driver.fps, _MOST_FPS)) as video:
        for first in range(0, len(driver), _AT_ONCE):
            frames = slice(first, first + _AT_ONCE)
            drawn = torch.cat(list(generate(adapted, scale_joints(poses[frames], settings.size / target.size), settings.size)))
            panels = [
                _taking_turns(shots, len(driver))[frames],
                driver.frames[frames],
                to_bytes(_enlarged(drawn, settings.video_size)),
                to_bytes(puppet.render(poses[frames]).image),
            ]
            for picture in torch.cat(panels, dim=-1):
                video.write(picture)
            tick(min(first + _AT_ONCE, len(driver)))


def _taking_turns(shots: Clip, count: int) -> Tensor:
    """The K frames one after the other over the length of the video: all that was ever seen of the person."""
    return shots.frames[torch.arange(count) * len(shots) // count]


def _enlarged(images: Tensor, size: int) -> Tensor:
    return functional.interpolate(images, size=(size, size), mode="bicubic", align_corners=False)
