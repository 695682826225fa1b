"""Claim: the puppet beats the nearest frame on real people, and a plain puppet by 1 dB, without learning, in real time.

Prints SSIM, PSNR and the person's PSNR on the frames of packaged clips after the first 85% for the nearest of the K frames, the empty
plate, a plain puppet (`first_puppet.py`) and the puppet, and how many frames a second the puppet renders. Preparing the clips takes
some ten seconds each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from first_puppet import first_puppet
from metapix.data.bundled import bundled_videos
from metapix.data.clip import Clip
from metapix.data.pose import MediapipeEstimator
from metapix.data.prepare import crop_track
from metapix.data.track import estimate_track
from metapix.evaluate import score_clip
from metapix.poses.pose_input import to_unit
from metapix.puppet.plate import background_plate
from metapix.puppet.puppet import Puppet
from metapix.tasks import nearest_frames, split

SCORES = ("ssim", "psnr", "person_psnr")
CLIPS = [f"{kind}-cam{camera:02d}" for kind in ("single", "multi") for camera in (1, 2, 3, 4)]


def clips(name: str, sizes: list[int], crop: str) -> Iterator[Clip]:
    """One packaged clip in several sizes, at the price of one pose estimation."""
    video = bundled_videos()[name]
    with MediapipeEstimator() as estimator:
        track = estimate_track(video, estimator)
    for size in sizes:
        yield crop_track(track, video, size=size, crop=crop, name=name)


def spread(clip: Clip, shots: int) -> Clip:
    """K frames from the first to the last."""
    return clip.select([round(number * (len(clip) - 1) / max(1, shots - 1)) for number in range(shots)])


def frames_per_second(puppet: Puppet, clip: Clip, repeats: int = 4) -> float:
    """The best of several runs over a clip's poses, after one to warm up."""
    rates = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        frames = puppet.render(clip.joints, clip.boxes)
        float(frames.image[-1, 0, 0, 0])  # waits for the device
        rates.append(len(clip) / (time.perf_counter() - begin))
    return max(rates[1:])


def benchmark(clip: Clip, shots: int, device: str) -> None:
    """One clip's lines of the table."""
    first, rest = split(clip)
    chosen = spread(first, shots)
    begin = time.perf_counter()
    plate = background_plate(chosen)
    puppet = Puppet(chosen, plate, device)
    built = time.perf_counter() - begin
    room = plate.crops(rest.boxes, rest.size).expand(len(rest), -1, -1, -1)
    pictures = {
        "nearest": to_unit(chosen.frames[nearest_frames(chosen, rest.joints)]),
        "plate": room,
        "first": first_puppet(chosen, plate, rest).clamp(-1, 1),
        "puppet": puppet.render(rest.joints, rest.boxes).image.cpu(),
    }
    speed = f"{frames_per_second(puppet, rest):>8.0f} fps, made in {built:.2f} s, plate {plate.kind}"
    for method, generated in pictures.items():
        scores = score_clip(generated, rest)
        figures = f"{scores['ssim']:>7.3f}{scores['psnr']:>8.2f}{scores['person_psnr']:>12.2f}"
        print(f"{clip.name:<14}{clip.size:>5}  {method:<9}{figures}{speed if method == 'puppet' else ''}", flush=True)


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="+", default=CLIPS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 256])
    parser.add_argument("--frames", type=int, default=5, help="K, the frames that the puppet is made from")
    parser.add_argument("--crop", choices=("fixed", "follow"), default="fixed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'clip':<14}{'size':>5}  {'method':<9}" + "".join(f"{name:>{width}}" for name, width in zip(SCORES, (7, 8, 12), strict=True)))
    for name in options.clips:
        for clip in clips(name, options.sizes, options.crop):
            benchmark(clip, options.frames, options.device)


if __name__ == "__main__":
    main()
