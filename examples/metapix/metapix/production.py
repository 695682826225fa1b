"""What the commands make: clips opened from folders or videos, and retargeted videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from metapix.data.clip import Clip
from metapix.data.folder import read_clip
from metapix.data.prepare import prepare_clip
from metapix.data.video_writer import VideoWriter
from metapix.errors import InputError
from metapix.performer import Performer
from metapix.pose_input import to_bytes
from metapix.retarget import align_poses

Tick = Callable[[int, int | None], None]


def open_clip(path: Path, size: int, cache: Path, progress: Tick | None = None) -> Clip:
    """A clip at a size: a clip folder as it is, or a video, which is prepared first and kept for the next time.

    Args:
        cache: where clip folders of videos are kept.

    Raises:
        InputError: when there is no such file or folder, or it cannot be used.
    """
    if path.is_dir():
        return read_clip(path).resized(size)
    if not path.exists():
        raise InputError(f"there is no clip folder and no video at {path}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {cache} for prepared clips: {error.strerror or error}") from error
    return prepare_clip(path, cache / f"{path.stem}-{size}", size=size, progress=progress)


def write_retargeted(
    performer: Performer, driver: Clip, out: Path, *, side_by_side: bool = False, align: bool = True, tick: Tick | None = None
) -> None:
    """The performer's person doing the driver's moves, as a video with the driver's rate.

    Args:
        side_by_side: put the K frames and the driver to the left of the result.
        align: scale and move the driver's poses to the person's size and place; ``False`` where both are one clip.

    Raises:
        InputError: when the video cannot be written; nothing is left behind then.
    """
    shots = performer.shots
    driver = driver.resized(shots.size)
    poses = align_poses(driver.joints, shots.joints) if align else driver.joints
    turns = shots.frames[torch.arange(len(driver)) * len(shots) // len(driver)]
    done = 0
    with VideoWriter(out, driver.fps) as video:
        for images in performer.perform(poses, None if align else driver.boxes):
            part = slice(done, done + len(images))
            panels = [turns[part], driver.frames[part]] if side_by_side else []
            for picture in torch.cat([*panels, to_bytes(images)], dim=-1):
                video.write(picture)
            done += len(images)
            if tick is not None:
                tick(done, len(driver))
