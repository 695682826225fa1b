"""The demo's real people: personalised from the start that ships, scored, and one of them brought to move as somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metapix.data.clip import Clip
from metapix.data.folder import read_clip
from metapix.data.video_writer import VideoWriter
from metapix.demo.settings import DemoSettings
from metapix.demo.stages import Tick
from metapix.evaluate import evaluate_nearest, evaluate_puppet, evaluate_start, make_row
from metapix.evaluation.held_out import score_held_out
from metapix.files import read_json, write_picture, write_text
from metapix.people import personalize_to
from metapix.performer import Performer, load_performer
from metapix.poses.pose_input import to_bytes
from metapix.poses.retarget import align_poses
from metapix.puppet.puppet import Puppet
from metapix.reference import reference_of
from metapix.start import load_shipped_start
from metapix.tasks import evenly_spaced, nearest_frames, split

MODEL = "Pix2PixHD"
_MOST_FPS = 30.0
"""The packaged clips last under two seconds at their 60 frames a second; shown at 30 one sees the motion."""
_SHOWN = (1 / 6, 1 / 2, 5 / 6)
"""Where in the driver the strip's rows are taken, so that nobody chooses."""
_PANELS = ("person", "driver", "nearest", "puppet", "metapix")


def personalised_people(settings: DemoSettings) -> list[str]:
    """The packaged clips whose person is personalised from the shipped start."""
    return list(dict.fromkeys([*settings.scored_clips, settings.target]))


def model_file(run_dir: Path, name: str) -> Path:
    """Where a personalised model is kept."""
    return run_dir / "models" / f"{name}.safetensors"


def scores_file(run_dir: Path) -> Path:
    """Where the rows of the shipped start are kept."""
    return run_dir / "scores" / "shipped-start.json"


def personalize_people(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """Personalise the shipped start to each real person, as `metapix personalize --choose` does, and score it."""
    start, recipe = load_shipped_start()
    names = personalised_people(settings)
    for number, name in enumerate(names):
        shots = evenly_spaced(split(read_clip(run_dir / "clips" / name))[0], settings.shots)
        personalize_to(start, recipe, shots, settings.adapt_steps, model_file(run_dir, name), choosing=True, seed=settings.seed)
        tick(number + 1)
    clips = [read_clip(run_dir / "clips" / name).resized(recipe.size) for name in settings.scored_clips]
    kind = reference_of(start)
    shown = [
        ("none", "nearest-frame", 0, evaluate_nearest(clips, settings.shots)),
        ("none", "puppet", 0, evaluate_puppet(clips, settings.shots)),
        (MODEL, "pretrain", 0, evaluate_start(start, clips, recipe.objective(), recipe.inner(0), settings.shots)),
        (MODEL, "pretrain", settings.adapt_steps, [_score_personalised(run_dir, clip, settings) for clip in clips]),
    ]
    rows = [make_row(model, init, settings.shots, steps, videos, "real", kind) for model, init, steps, videos in shown] if clips else []
    write_text(scores_file(run_dir), json.dumps(rows, indent=1))


def _score_personalised(run_dir: Path, clip: Clip, settings: DemoSettings) -> dict[str, Any]:
    """A clip's scores, and how many steps were taken and how much of the network's change was kept."""
    performer = load_performer(model_file(run_dir, clip.name))
    assert performer.pair is not None
    first, rest = split(clip)
    return score_held_out(performer.pair, evenly_spaced(first, settings.shots), rest, performer.choice)


def retarget_video(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """Hand the personalised target the driver's poses; writes ``retarget.mp4`` and the pictures of the strip."""
    performer = load_performer(model_file(run_dir, settings.target))
    driver = read_clip(run_dir / "clips" / settings.driver)
    shots = performer.shots
    poses = align_poses(driver.joints, shots.joints)
    turns = shots.frames[torch.arange(len(driver)) * len(shots) // len(driver)]  # all that was ever seen of the person
    done = 0
    with VideoWriter(run_dir / "retarget.mp4", min(driver.fps, _MOST_FPS)) as video:
        for images in performer.perform(poses):
            part = slice(done, done + len(images))
            for picture in torch.cat([turns[part], driver.frames[part], to_bytes(images)], dim=-1):
                video.write(picture)
            done += len(images)
            tick(done)
    for row, share in enumerate(_SHOWN):
        frame = int(share * len(driver))
        pictures = _strip_row(performer, driver.frames[frame], poses[frame : frame + 1])
        for panel, picture in zip(_PANELS, pictures, strict=True):
            write_picture(run_dir / picture_name(row, panel), picture)


def _strip_row(performer: Performer, driver: Tensor, pose: Tensor) -> list[Tensor]:
    shots = performer.shots
    nearest = shots.frames[int(nearest_frames(shots, pose))]
    puppet = to_bytes(Puppet(shots).render(pose).image)[0]
    return [shots.frames[0], driver, nearest, puppet, to_bytes(next(performer.perform(pose)))[0]]


def picture_name(row: int, panel: str) -> str:
    """A picture of the strip, as a path in the run's folder."""
    return f"pictures/retarget-{row}-{panel}.png"


def pictures(run_dir: Path) -> list[Path]:
    """All pictures of the strip."""
    return [run_dir / picture_name(row, panel) for row in range(len(_SHOWN)) for panel in _PANELS]


def strip() -> dict[str, Any]:
    """The report's strip of the retargeted person."""
    return {
        "title": "The real person, frame by frame",
        "caption": "One of the frames that were seen of the person, the driver, the frame of the person whose pose is nearest, the "
        "puppet, and what MetaPix makes of the puppet.",
        "columns": ["the person", "driver", "nearest of the K frames", "puppet", "MetaPix"],
        "rows": [[picture_name(row, panel) for panel in _PANELS] for row in range(len(_SHOWN))],
    }


def describe_video(settings: DemoSettings, run_dir: Path) -> dict[str, str]:
    """The video's title and caption, which says what drew the person."""
    choice = load_performer(model_file(run_dir, settings.target)).choice
    if choice["strength"]:
        kept = f"{choice['strength']:.0%} of what the network says is kept"
        drawn = f"the start that ships, after {choice['steps']} steps on those frames, on top of their puppet; {kept}"
    else:
        drawn = "the puppet alone, since leaving frames out says that the network would not improve on it"
    return {
        "title": "A real person, someone else's moves",
        "file": "retarget.mp4",
        "caption": f"From left to right: the {settings.shots} frames of the person ({settings.target}) that were seen. The driving video "
        f"({settings.driver}). The person doing those moves, drawn by MetaPix: {drawn}. Neither clip was in any training.",
    }


def verdict(run_dir: Path) -> str:
    """One sentence on what learning brings on top of the puppet, from the rows themselves."""
    rows = {(row["init"], row["T"] > 0): row for row in read_json(scores_file(run_dir), list)}
    if not rows:
        return ""
    score = {name: rows[key]["person_psnr"] for name, key in _COMPARED.items()}
    gain = score["personalised"] - score["puppet"]
    return (
        f"On the person alone, personalising the start that ships on top of the puppet gives {score['personalised']:.2f} dB, "
        f"{abs(gain):.2f} dB {'above' if gain >= 0 else 'below'} the puppet without learning; "
        f"the nearest frame has {score['nearest']:.2f} dB."
    )


_COMPARED = {"nearest": ("nearest-frame", False), "puppet": ("puppet", False), "personalised": ("pretrain", True)}
