"""Claim: `metapix retarget` makes at least 0.8 of the frames a second that its networks alone make; the rest is the pictures and the file.

A drawn person and a drawn driver with known poses, so that finding poses in a driving video, which is done once and kept, does not count.
Two kinds of model: a network that draws whole pictures (the demo's widths, at 256x256), and the start that ships, which changes what
the puppet draws: a small network at 64x64, beside which the puppet and the file are most of the work at any size of video.

    python benchmarks/retarget_speed.py [--size 256] [--frames 48]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from measure import Result, in_turns, parser, publish
from metapix.data.clip import Clip
from metapix.data.drawn import draw_clip
from metapix.performer import Performer
from metapix.personalize import draw_inputs, pose_inputs
from metapix.production import write_retargeted
from metapix.start import load_shipped_start
from metapix.tasks import evenly_spaced

import gan_meta as gm


def main() -> None:
    """Measure each kind of model and print frames a second."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=256, help="side of the video's pictures")
    options.add_argument("--frames", type=int, default=48)
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    shots = evenly_spaced(draw_clip(1, 20, arguments.size), 5)
    driver = draw_clip(2, arguments.frames, arguments.size)
    whole = gm.models.create("pix2pixhd", base_channels=16, n_downsample=2, n_blocks=3, discriminator_channels=16)
    start, recipe = load_shipped_start()
    performers = {"whole pictures": Performer(shots, whole), "the start that ships": Performer(shots, start, recipe.size)}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, performer in performers.items():
            results.append(measure(name, performer, driver, Path(folder), arguments.rounds))
    publish(results, arguments.json)


def measure(name: str, performer: Performer, driver: Clip, folder: Path, rounds: int) -> Result:
    """The network alone on inputs that are ready, all drawing, and the whole command's work, in turns."""
    size, pair = performer.network_size, performer.pair
    assert pair is not None
    ready = list(pose_inputs(pair, performer.shots.resized(size), driver.resized(size)).batches(16))
    runs = {
        "network": lambda: [draw_inputs(pair, inputs) for inputs in ready],
        "drawing": lambda: [len(images) for images in performer.perform(driver.joints)],
        "retarget": lambda: write_retargeted(performer, driver, folder / "made.mp4"),
    }
    found = in_turns(runs, rounds)
    for what, taken in found.items():
        print(f"{name}, {what:<10}{len(driver) / taken:>8.1f} frames a CPU second")
    is_whole = size == performer.shots.size
    alone, label = ("network", "the network alone") if is_whole else ("drawing", "puppet and network alone")
    details = {f"{what}, frames a second": len(driver) / taken for what, taken in found.items()}
    return Result(f"retarget, {name}", found[alone] / found["retarget"], label, goal=0.8, details=details)


if __name__ == "__main__":
    main()
