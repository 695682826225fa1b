"""Question: does Posewarp gain when its person stands on the plate in place of its own background?

Takes starts that `posewarp_people.py` left in its folder, personalises each to K = 5 frames of unseen drawn people, and scores its
picture as it is, and its foreground over the plate of the same five frames through its own foreground mask.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from metapix.data.clip import Clip
from metapix.demo import stages
from metapix.demo.settings import DemoSettings
from metapix.evaluate import SCORES, score_clip
from metapix.files import read_json
from metapix.people import start_with_recipe
from metapix.personalize import personalize, pose_inputs
from metapix.puppet.plate import background_plate
from metapix.tasks import evenly_spaced, split
from torch import Tensor

import gan_meta as gm

SHOTS, STEPS = 5, 20


@torch.no_grad()
def drawn(adapted: gm.GANPair, shots: Clip, rest: Clip) -> tuple[Tensor, Tensor]:
    """The pair's pictures of the rest, and its foreground over the plate."""
    parts = [adapted.generator.parts(*inputs) for inputs in pose_inputs(adapted, shots, rest).batches(16)]
    image, person, mask = (torch.cat([part[name] for part in parts]) for name in ("image", "foreground", "foreground_mask"))
    room = background_plate(shots).crops(rest.boxes, rest.size).expand_as(image)
    return image, mask * person + (1 - mask) * room


def main() -> None:
    """Read the options and print a line a start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a run of posewarp_people.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    _, unseen = stages.load_people(DemoSettings(**read_json(options.run / "settings.json", dict)), options.run)
    for init in stages.STARTS:
        start, recipe = start_with_recipe(stages.start_file(options.run, "posewarp", init), None, "cpu", "posewarp")
        found: dict[str, list[dict[str, float]]] = {"as it is": [], "over the plate": []}
        for clip in unseen:
            first, rest = split(clip)
            shots = evenly_spaced(first, SHOTS)
            adapted = personalize(start, shots, recipe.objective(), recipe.inner(STEPS))
            for scores, picture in zip(found.values(), drawn(adapted, shots, rest), strict=True):
                scores.append(score_clip(picture.clamp(-1, 1), rest))
        for how, videos in found.items():
            means = {name: sum(video[name] for video in videos) / len(videos) for name in SCORES}
            print(f"{init:<22}{how:<16}" + "".join(f"{name} {means[name]:.3f}  " for name in ("ssim", "psnr", "person_psnr")), flush=True)


if __name__ == "__main__":
    main()
