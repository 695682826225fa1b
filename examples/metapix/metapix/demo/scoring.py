"""The demo's table: each start personalised to each unseen person, and the picture strips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.data.folder import read_clip
from metapix.demo.settings import DemoSettings
from metapix.demo.stages import Tick, load_people
from metapix.evaluate import Row, evaluate_nearest, evaluate_start, make_row
from metapix.files import write_picture, write_text
from metapix.pose_input import to_bytes
from metapix.tasks import evenly_spaced, nearest_frames, split

MODEL = "Pix2PixHD"
STARTS = {"random": "random", "pretrain": "pretrained", "pretrain-equal-steps": "equal-steps", "metapix": "theta"}
"""A start's name in ``results.json`` and the file that holds it."""


def scored_clips(settings: DemoSettings, run_dir: Path) -> dict[str, list[Clip]]:
    """The unseen people that are scored, at the network's size: ``"drawn"`` and ``"real"``."""
    _, unseen = load_people(settings, run_dir)
    real = [read_clip(run_dir / "clips" / name).resized(settings.size) for name in settings.scored_clips]
    return {"drawn": unseen, "real": real}


def scores_file(run_dir: Path, init: str) -> Path:
    """Where the rows of a start are kept."""
    return run_dir / "scores" / f"{init}.json"


def score_start(settings: DemoSettings, run_dir: Path, init: str, tick: Tick) -> None:
    """Personalise one start to every unseen person; keeps a row for the drawn and one for the real people."""
    start = gm.load_pair(run_dir / f"{STARTS[init]}.safetensors")
    rows, done = [], 0

    def keep(clip: Clip, _pair: gm.GANPair, generated: Tensor) -> None:
        nonlocal done
        done += 1
        tick(done)
        write_picture(run_dir / "pictures" / f"{clip.name}-{init}.png", to_bytes(generated[strip_frame(clip)]))

    for data, clips in scored_clips(settings, run_dir).items():
        videos = evaluate_start(
            start, clips, settings.build_objective(), settings.build_inner(), settings.shots, seed=settings.seed, on_clip=keep
        )
        rows.append(make_row(MODEL, init, settings.shots, settings.steps, videos, data))
    write_text(scores_file(run_dir, init), json.dumps(rows, indent=1))


def score_nearest(settings: DemoSettings, run_dir: Path, tick: Tick) -> None:
    """The answer that learns nothing, and the strips' other columns."""
    rows = []
    for data, clips in scored_clips(settings, run_dir).items():
        rows.append(make_row("none", "nearest-frame", settings.shots, 0, evaluate_nearest(clips, settings.shots), data))
        for clip in clips:
            first, rest = split(clip)
            shots, frame = evenly_spaced(first, settings.shots), strip_frame(clip)
            nearest = int(nearest_frames(shots, rest.joints[frame : frame + 1]))
            write_picture(run_dir / "pictures" / f"{clip.name}-nearest.png", shots.frames[nearest])
            write_picture(run_dir / "pictures" / f"{clip.name}-truth.png", rest.frames[frame])
    tick(1)
    write_text(scores_file(run_dir, "nearest-frame"), json.dumps(rows, indent=1))


def all_rows(run_dir: Path) -> list[Row]:
    """The table: drawn people first, the learned starts in the paper's order, then what learns nothing."""
    rows: list[Row] = []
    for init in (*STARTS, "nearest-frame"):
        rows += json.loads(scores_file(run_dir, init).read_text())
    return sorted(rows, key=lambda row: row["data"] != "drawn")


def strip_frame(clip: Clip) -> int:
    """Which of the scored frames a strip shows: the middle one, so that nobody chooses."""
    return len(split(clip)[1]) // 2


def strips(settings: DemoSettings, run_dir: Path) -> list[dict[str, Any]]:
    """The report's picture strips, one for the drawn and one for the real people."""
    columns = ["nearest of the K frames", "truth", "random", "pretrained", "pretrained, equal steps", "MetaPix"]
    endings = ["nearest", "truth", *STARTS]
    captions = {
        "drawn": "Unseen drawn people in poses that the five frames do not hold. From left to right: the nearest of the five frames, the "
        "truth, and what each start makes of the pose after the same personalisation.",
        "real": "The same starts personalised to real people, of whom no frame was in training.",
    }
    return [
        {
            "title": f"Unseen {data} people",
            "caption": captions[data],
            "columns": columns,
            "rows": [[f"pictures/{clip.name}-{ending}.png" for ending in endings] for clip in clips],
        }
        for data, clips in scored_clips(settings, run_dir).items()
    ]


def verdict(rows: list[Row]) -> str:
    """One plain sentence on who wins, from the rows themselves."""
    sentences = []
    for data in ("drawn", "real"):
        score = {row["init"]: row for row in rows if row["data"] == data and row["reference"] == "none"}
        if not {"metapix", "pretrain-equal-steps", "nearest-frame"} <= set(score):
            continue
        gain = score["metapix"]["psnr"] - score["pretrain-equal-steps"]["psnr"]
        ssim = score["metapix"]["ssim"] - score["pretrain-equal-steps"]["ssim"]
        beside = score["metapix"]["psnr"] - score["nearest-frame"]["psnr"]
        sentences.append(
            f"On unseen {data} people MetaPix is {abs(gain):.1f} dB PSNR and {abs(ssim):.3f} SSIM "
            f"{'above' if gain > 0 and ssim > 0 else 'below' if gain < 0 and ssim < 0 else 'apart (one up, one down) from'} "
            f"the pretrained start that had as many further training steps, and {abs(beside):.1f} dB {'above' if beside > 0 else 'below'} "
            "simply copying the nearest frame."
        )
    return " ".join(sentences)
