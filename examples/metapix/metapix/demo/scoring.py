"""The demo's table: each start personalised to each unseen person, and the picture strips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import gan_meta as gm
from metapix.conditioning import conditioning_of
from metapix.conditioning.from_source import FromSource
from metapix.conditioning.pose_only import PoseOnly
from metapix.data.clip import Clip
from metapix.data.folder import read_clip
from metapix.demo.settings import DemoSettings
from metapix.demo.stages import STARTS, Tick, load_people, prefix, start_file
from metapix.evaluate import Row, evaluate_nearest, evaluate_puppet, evaluate_start, make_row
from metapix.files import read_json, write_picture, write_text
from metapix.poses.pose_input import to_bytes
from metapix.puppet.puppet import Puppet
from metapix.tasks import evenly_spaced, nearest_frames, split

TITLES = {"pix2pixhd": PoseOnly.title, "posewarp": FromSource.title}
UNTRAINED = ("nearest-frame", "puppet")
"""The answers that learn nothing."""


def scored_clips(settings: DemoSettings, run_dir: Path) -> dict[str, list[Clip]]:
    """The unseen people that are scored, at the network's size: ``"drawn"`` and ``"real"``."""
    _, unseen = load_people(settings, run_dir)
    real = [read_clip(run_dir / "clips" / name).resized(settings.size) for name in settings.scored_clips]
    return {data: clips for data, clips in (("drawn", unseen), ("real", real)) if clips}


def scores_file(run_dir: Path, name: str) -> Path:
    """Where the rows of a model's start, or of what learns nothing, are kept."""
    return run_dir / "scores" / f"{name}.json"


def made_files(settings: DemoSettings, run_dir: Path, name: str) -> list[Path]:
    """What scoring a model's start, or what learns nothing, leaves behind: the scores and a picture of each person."""
    _, unseen = load_people(settings, run_dir)
    names = [*(clip.name for clip in unseen), *settings.scored_clips]
    endings = {"nearest-frame": ["nearest", "truth"], "puppet": ["puppet"]}.get(name, [name])
    return [scores_file(run_dir, name), *(run_dir / "pictures" / f"{person}-{ending}.png" for person in names for ending in endings)]


def score_start(settings: DemoSettings, run_dir: Path, model: str, init: str, tick: Tick) -> None:
    """Personalise one start to every unseen person; keeps a row for the drawn and one for the real people."""
    start, name = gm.load_pair(start_file(run_dir, model, init)), f"{prefix(model)}{init}"
    rows, done = [], 0

    def keep(clip: Clip, _pair: gm.GANPair, generated: Tensor) -> None:
        nonlocal done
        done += 1
        tick(done)
        write_picture(run_dir / "pictures" / f"{clip.name}-{name}.png", to_bytes(generated[strip_frame(clip)]))

    for data, clips in scored_clips(settings, run_dir).items():
        videos = evaluate_start(
            start,
            clips,
            settings.build_objective(model),
            settings.build_inner(model),
            settings.shots,
            seed=settings.seed,
            curve=settings.curve,
            on_clip=keep,
        )
        rows.append(make_row(conditioning_of(start).title, init, settings.shots, settings.steps, videos, data))
    write_text(scores_file(run_dir, name), json.dumps(rows, indent=1))


def score_untrained(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """The answers that learn nothing, nearest frame and puppet, and the strips' other columns."""
    rows: dict[str, list[Row]] = {"nearest-frame": [], "puppet": []}
    for data, clips in scored_clips(settings, run_dir).items():
        rows["nearest-frame"].append(make_row("none", "nearest-frame", settings.shots, 0, evaluate_nearest(clips, settings.shots), data))
        rows["puppet"].append(make_row("none", "puppet", settings.shots, 0, evaluate_puppet(clips, settings.shots), data))
        for clip in clips:
            _write_strip_frames(clip, settings.shots, run_dir / "pictures")
    tick(1)
    for init, found in rows.items():
        write_text(scores_file(run_dir, init), json.dumps(found, indent=1))


def _write_strip_frames(clip: Clip, shots: int, folder: Path) -> None:
    first, rest = split(clip)
    chosen, frame = evenly_spaced(first, shots), rest.select([strip_frame(clip)])
    pictures = {
        "nearest": chosen.frames[int(nearest_frames(chosen, frame.joints))],
        "puppet": to_bytes(Puppet(chosen).render(frame.joints, frame.boxes).image)[0],
        "truth": frame.frames[0],
    }
    for name, picture in pictures.items():
        write_picture(folder / f"{clip.name}-{name}.png", picture)


def score_names(settings: DemoSettings) -> list[str]:
    """What is scored: each model's starts in the paper's order, then what learns nothing."""
    return [*(f"{prefix(model)}{init}" for model in settings.models for init in STARTS), *UNTRAINED]


def all_rows(settings: DemoSettings, run_dir: Path) -> list[Row]:
    """The table: drawn people first, in the order of :func:`score_names`."""
    rows: list[Row] = []
    for name in score_names(settings):
        rows += read_json(scores_file(run_dir, name), list)
    return sorted(rows, key=lambda row: row["data"] != "drawn")


def strip_frame(clip: Clip) -> int:
    """Which of the scored frames a strip shows: the middle one, so that nobody chooses."""
    return len(split(clip)[1]) // 2


def strips(settings: DemoSettings, run_dir: Path) -> list[dict[str, Any]]:
    """The report's picture strips, one a model for the drawn and one for the real people."""
    return [
        _strip(model, data, clips, len(settings.models) > 1)
        for data, clips in scored_clips(settings, run_dir).items()
        for model in settings.models
    ]


def _strip(model: str, data: str, clips: list[Clip], among_others: bool) -> dict[str, Any]:
    endings = ["nearest", "truth", *(f"{prefix(model)}{init}" for init in STARTS), "puppet"]
    captions = {
        "drawn": "Unseen drawn people in poses that the five frames do not hold. From left to right: the nearest of the five frames, the "
        "truth, what each start makes of the pose after the same personalisation, and the puppet, which learns nothing.",
        "real": "The same starts personalised to real people, of whom no frame was in training.",
    }
    return {
        "title": f"Unseen {data} people{f', {TITLES[model]}' if among_others else ''}",
        "caption": captions[data],
        "columns": ["nearest of the K frames", "truth", "random", "pretrained", "pretrained, equal steps", "MetaPix", "puppet"],
        "rows": [[f"pictures/{clip.name}-{ending}.png" for ending in endings] for clip in clips],
    }


def curves(rows: list[Row], curve: Sequence[int]) -> list[dict[str, Any]]:
    """How each start gets better on the scored frames while it adapts, a plot for each model and kind of people."""
    models = list(dict.fromkeys(row["model"] for row in rows if "psnr_curve" in row["videos"][0]))
    found = []
    for data in ("drawn", "real"):
        for model in models:
            series = [
                {"label": row["init"], "x": list(curve), "y": _column_means([video["psnr_curve"] for video in row["videos"]])}
                for row in rows
                if (row["data"], row["model"]) == (data, model) and all("psnr_curve" in video for video in row["videos"])
            ]
            if series:
                title = f"While adapting to unseen {data} people{f', {model}' if len(models) > 1 else ''}"
                found.append({"title": title, "x_label": "steps T", "y_label": "PSNR on held-out frames (dB)", "series": series})
    return found


def _column_means(table: list[list[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*table, strict=True)]
