"""train_start: draw people, learn on top of their puppets, score it on people never seen, and write the start and its card."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gan_meta as gm
from metapix.data.clip import Clip
from metapix.evaluate import Row, evaluate_puppet, evaluate_start, make_row
from metapix.files import write_text
from metapix.start.card import card_path, digest, write_card
from metapix.start.data import SCORED_FRAMES, Progress, drawn_people, real_people, training_samples
from metapix.start.settings import StartSettings

SHOTS = 5


def train_start(settings: StartSettings, run_dir: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Train a start and write ``out`` and its model card beside it; returns the card's contents.

    Interrupted and run again with the same settings, it goes on from its last checkpoint in ``run_dir``.

    Raises:
        InputError: when the packaged clips are not there.
        CheckpointError: when ``run_dir`` holds a run of other settings.
        OSError: when a file cannot be written; an earlier start stays whole.
    """
    begin = time.perf_counter()
    samples = training_samples(settings, run_dir, progress)

    def note(done: int, steps: int, _losses: Mapping[str, Tensor]) -> None:
        progress("train", done, steps)

    torch.manual_seed(settings.seed)
    pair = gm.pretrain(
        settings.build_pair(),
        settings.recipe.objective(),
        samples,
        steps=settings.steps,
        inner=settings.build_joint(),
        run_dir=run_dir,
        seed=settings.seed,
        on_step=note,
    )
    minutes = round((time.perf_counter() - begin) / 60, 1)
    rows = score(pair, settings, run_dir, progress)
    facts = {"start": "pretrain", "recipe": settings.recipe.as_dict(), "settings": settings.as_dict()}
    gm.save_pair(pair, out, facts)
    card = {
        "file": out.name,
        "sha256": digest(out),
        "samples": len(samples),
        "minutes": minutes,
        "settings": settings.as_dict(),
        "rows": rows,
    }
    write_text(card_path(out), json.dumps(card, indent=1))
    write_card(card, out.with_suffix(".md"))
    return card


def score(pair: gm.GANPair, settings: StartSettings, run_dir: Path, progress: Progress) -> list[Row]:
    """The puppet and the start as it is, on unseen drawn people and on the scored clips, K = 5."""
    groups: dict[str, list[Clip]] = {
        "drawn": drawn_people(settings, "unseen", settings.scored_people, SCORED_FRAMES, progress),
        "real": real_people(settings, settings.scored_clips, run_dir, progress),
    }
    rows = []
    for data, clips in groups.items():
        if not clips:
            continue
        rows.append(make_row("none", "puppet", SHOTS, 0, evaluate_puppet(clips, SHOTS), data, settings.reference))
        videos = evaluate_start(pair, clips, settings.recipe.objective(), settings.recipe.inner(0), SHOTS)
        rows.append(make_row("Pix2PixHD", "pretrain", SHOTS, 0, videos, data, settings.reference))
    return rows
