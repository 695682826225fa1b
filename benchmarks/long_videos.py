"""Claim: the memory of `metapix prepare` grows by a few kilobytes a frame, so that two hours of 1080p video take under 2 GB.

Real estimation of two hours takes about two hours, so the claim is put together from two measurements. The curve over the length has
videos of 64 x 48 pixels, of all the lengths asked for, and an estimator that answers at once with joints and a mask; everything else
is as the command does it. What 1080p adds, decoder, mediapipe and pictures, does not depend on the length: it is the peak of a short
clip prepared at 1920 x 1080 by the real estimator (300 frames, since memory still grows in the first 250). Peak memory is the process's
largest resident set, Python and torch included; each measurement has a process of its own. Run it with
`python benchmarks/long_videos.py` (three minutes; with `--frames 216000` a quarter of an hour more).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from measure import Result, publish
from metapix.data.pose import Detection
from numpy.typing import NDArray

TWO_HOURS = 2 * 3600 * 30
REAL_FRAMES = 300
GOAL_MB = 2000.0


def main() -> None:
    """Measure every length and the short clip at 1080p, and print the curve and the sum."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[1800, 5400, 16200], help="lengths of the small videos")
    parser.add_argument("--json", type=Path, help="write the result into this file as well")
    parser.add_argument("--measure", type=Path, metavar="VIDEO", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        sys.stdout.write(json.dumps(measure(arguments.measure)) + "\n")
        return
    print(f"{'frames':>8}{'minutes':>9}{'seconds':>9}{'peak MB':>9}   (64 x 48 pixels, an estimator that answers at once)")
    curve = {}
    for frames in sorted(arguments.frames):
        row = measure_apart(frames)
        curve[frames] = row["peak_mb"]
        print(f"{frames:>8}{frames / 1800:>9.1f}{row['seconds']:>9.0f}{row['peak_mb']:>9.0f}", flush=True)
    real = measure_apart(0)
    print(f"{REAL_FRAMES:>8}{REAL_FRAMES / 1800:>9.1f}{real['seconds']:>9.0f}{real['peak_mb']:>9.0f}   (1920 x 1080 pixels, mediapipe)")
    slope = float(np.polyfit(list(curve), list(curve.values()), 1)[0]) if len(curve) > 1 else 0.0
    hours = real["peak_mb"] + slope * (TWO_HOURS - REAL_FRAMES)
    print(f"{slope * 1000:.2f} KB a frame; two hours of 1080p: {real['peak_mb']:.0f} + {slope * TWO_HOURS:.0f} = {hours:.0f} MB")
    publish(
        [Result("prepare, two hours of 1080p: memory", hours / GOAL_MB, f"{GOAL_MB:.0f} MB", "lower", 1.0, {"slope": slope})],
        arguments.json,
    )


def measure_apart(frames: int) -> dict[str, float]:
    """:func:`measure` in a new process, of a small video of so many frames, or of the real one for 0."""
    with tempfile.TemporaryDirectory() as folder:
        video = _write_small(Path(folder) / "small.mp4", frames) if frames else _write_real(Path(folder) / "real.mp4")
        finished = subprocess.run([sys.executable, __file__, "--measure", str(video)], check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return row


def measure(video: Path) -> dict[str, float]:
    """Prepare a video: seconds, and this process's peak resident set in MB."""
    from metapix.cli import give_back_large_buffers
    from metapix.data.prepare import prepare_video

    give_back_large_buffers()
    small = video.stem == "small"
    begun = time.perf_counter()
    prepare_video(video, video.with_name("clip"), size=16 if small else 256, estimator=Walker() if small else None)
    taken = time.perf_counter() - begun
    return {"seconds": taken, "peak_mb": _peak_kb() * 1024 / 1e6}


def _peak_kb() -> int:
    """This program's largest resident set (Linux); getrusage's would be its parent's, too, which has made the video."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


class Walker:
    """An estimator that answers at once: somebody who walks to and fro, with a mask."""

    def __repr__(self) -> str:
        return "Walker()"

    def reset(self) -> None:
        """Begin at the first frame."""
        self._seen = 0

    def estimate(self, frame: NDArray[np.uint8]) -> Detection:
        """The walker in the next frame."""
        self._seen += 1
        x = 32 + 16 * np.sin(self._seen / 60)
        joints = np.stack([x + np.linspace(-4, 4, 18), np.linspace(8, 40, 18), np.full(18, 0.9)], axis=1).astype(np.float32)
        mask = np.zeros(frame.shape[:2], np.uint8)
        mask[6:42, int(x) - 6 : int(x) + 6] = 255
        return Detection(joints, mask)


def _write_small(path: Path, frames: int) -> Path:
    from metapix.data.video import VideoWriter

    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    with VideoWriter(path, 30) as writer:
        for number in range(frames):
            writer.write(np.roll(noise, number // 8, axis=1))
    return path


def _write_real(path: Path) -> Path:
    """A bundled clip of a person as 1920 x 1080 pixels, to and fro."""
    import cv2
    from metapix.data.bundled import bundled_videos
    from metapix.data.video import VideoWriter, read_video

    once = [
        cv2.resize(frame.image, (1920, 1080), interpolation=cv2.INTER_AREA)
        for frame in read_video(bundled_videos()["single-cam01"], max_frames=100)
    ]
    with VideoWriter(path, 30) as writer:
        for image in islice(cycle([*once, *once[-2:0:-1]]), REAL_FRAMES):
            writer.write(image)
    return path


if __name__ == "__main__":
    main()
