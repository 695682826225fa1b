"""What the commands make: clips and drivers opened from folders or videos, and retargeted videos."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from metapix.data.clip import Clip
from metapix.data.crop import CROPS
from metapix.data.folder import is_clip_folder, read_clip
from metapix.data.gif_writer import GifWriter
from metapix.data.pictures import clip_of_pictures, find_pictures
from metapix.data.prefetch import prefetch
from metapix.data.prepare import prepare_video
from metapix.data.video_writer import VideoWriter
from metapix.driver import Driver, clip_driver, open_video_driver
from metapix.errors import InputError
from metapix.files import make_folder, writable
from metapix.performer import Performer
from metapix.poses.limb_lengths import match_limbs
from metapix.poses.pose_input import to_bytes
from metapix.poses.retarget import align_poses

Tick = Callable[[int, int | None], None]


def open_clip(path: Path, size: int, cache: Path, progress: Tick | None = None, choose: Callable[[int], Sequence[int]] = range) -> Clip:
    """A clip at a size: a clip folder as it is, a folder of pictures, or a video, which is prepared first and kept for the next time.

    Args:
        cache: where clip folders of videos are kept.
        choose: given the number of frames, the numbers of those to read.

    Raises:
        InputError: when there is no such file or folder, or it cannot be used.
    """
    if path.is_dir():
        if not is_clip_folder(path) and find_pictures(path):
            clip = clip_of_pictures(path, size, progress=progress)
            return clip.select(list(choose(len(clip))))
        return read_clip(path, choose).resized(size)
    if not path.exists():
        raise InputError(f"there is no clip folder and no video at {path}")
    make_folder(cache)
    folder = prepare_video(path, cache / f"{path.stem}-{size}", size=size, progress=progress)[0]
    return read_clip(folder, choose)


def open_driver(path: Path, size: int, cache: Path, *, crop: str = "follow", progress: Tick | None = None) -> Driver:
    """Moves at a size: of a clip folder, of pictures, or of a video, whose pictures are not held in memory.

    Raises:
        InputError: when there is no such file or folder, or it cannot be used.
    """
    if path.is_file():
        make_folder(cache)
        return open_video_driver(path, size, cache, crop=crop, progress=progress)
    return clip_driver(open_clip(path, size, cache, progress))


def check_outputs(out: Path, gif: Path | None, crop: str, inputs: Sequence[Path]) -> None:
    """Refuse before minutes of work what would be refused after them.

    Args:
        inputs: what is read, and may not be written over.

    Raises:
        InputError: a file that cannot be written, or an unknown ``crop``.
    """
    VideoWriter(out, 1)
    writable(out, inputs=inputs)
    if gif is not None:
        GifWriter(gif, 1)
        writable(gif, inputs=inputs)
    if crop not in CROPS:
        raise InputError(f"unknown crop {crop!r}: choose one of {', '.join(CROPS)}")


def write_retargeted(
    performer: Performer,
    driver: Clip | Driver,
    out: Path,
    *,
    side_by_side: bool = False,
    align: bool = True,
    limbs: bool = False,
    sound: bool = True,
    gif: Path | None = None,
    tick: Tick | None = None,
) -> None:
    """The performer's person doing the driver's moves, as a video with the driver's times and sound.

    Memory does not grow with the length of a driver that is a video.

    Args:
        driver: a driver opened at the size of the performer's frames, or a clip of any size.
        side_by_side: put the K frames and the driver to the left of the result.
        align: scale and move the driver's poses to the person's size and place; ``False`` where both are one clip.
        limbs: give the driver's poses the lengths of the person's limbs, too.
        gif: an animated GIF to write as well.

    Raises:
        InputError: when the video cannot be written; nothing is left behind then.
    """
    shots = performer.shots
    moves = clip_driver(driver.resized(shots.size)) if isinstance(driver, Clip) else driver
    poses = align_poses(moves.joints, shots.joints) if align else moves.joints
    if limbs:
        poses = match_limbs(poses, shots.joints)
    moving = moves.pictures() if side_by_side else itertools.repeat(None)
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(VideoWriter(out, moves.fps, sound=moves.sound if sound else None, ends=moves.ends))
        animation = None if gif is None else stack.enter_context(GifWriter(gif, moves.fps, moves.ends))
        drawn = _one_by_one(prefetch(performer.perform(poses, None if align else moves.boxes), depth=2))
        for number, (image, seen) in enumerate(zip(drawn, moving, strict=False)):
            shot = shots.frames[number * len(shots) // len(poses)]
            picture = image if seen is None else torch.cat([shot, seen, image], dim=-1)
            time = None if moves.times is None else float(moves.times[number])
            video.write(picture, time)
            if animation is not None:
                animation.write(picture.permute(1, 2, 0).numpy(), time)
            if tick is not None:
                tick(number + 1, len(poses))


def _one_by_one(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    for images in batches:
        yield from to_bytes(images)
