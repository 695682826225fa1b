"""A start's model card: what it is, what it learned from, how good it is, and its checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metapix.files import write_text

_TITLES = {"drawn": "unseen drawn people", "real": "unseen real clips"}


def card_path(start: Path) -> Path:
    """Where a start's facts lie: beside it, as JSON."""
    return start.with_suffix(".json")


def digest(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(card: Mapping[str, Any], path: Path) -> None:
    """Write the card as Markdown, for people to read."""
    settings = card["settings"]
    facts = {**settings, **card, "license": _LICENCE, "weighted": 1 + settings["person_weight"], "real": _real_data(settings)}
    write_text(path, _CARD.format(**facts, scores="\n".join(_score_line(row) for row in card["rows"])))


_LICENCE = "Apache-2.0"
_CARD = """# {file}

A Pix2PixHD generator that starts from the {reference} of a person (see `metapix.reference`) and says what to change in it: a start
for `metapix personalize`. Made by `metapix train-start`, which makes it again.

## Data and licences

- {drawn_people} drawn people, {drawn_frames} frames of each at {size} x {size} pixels, drawn by this package ({license}).
- {real}
- {samples} samples in all, each in colours of its own. The weights are under this package's licence, {license}.

## Training

{steps} steps of Adam at {lr:g}, batch 8, on the mean absolute difference of pixels, {weighted:g} times as much near the skeleton.
{minutes} minutes, the making of the data included, on the machine that made it.

## Scores

K = 5 frames, before any personalisation, on the last 15% of each clip, at {size} x {size}:

| on | what | SSIM | PSNR (dB) | person PSNR (dB) |
|---|---|---|---|---|
{scores}

## Limits

It was trained on few real people, all in one laboratory. Ask the people in your pictures first; what it makes is synthetic.

SHA-256: `{sha256}`
"""


def _real_data(settings: Mapping[str, Any]) -> str:
    clips = settings["real_clips"]
    if not clips:
        return "No real people."
    return (
        f"The real clips {', '.join(clips)} of the package pose2sim 0.10.49 (BSD-3-Clause; not in this package). In the multi clips the "
        "person learned from is a woman in a white shirt, and a man, who is the person of the single clips, crosses the background."
    )


def _score_line(row: Mapping[str, Any]) -> str:
    what = "the puppet, no learning" if row["init"] == "puppet" else "this start"
    on = f"{_TITLES[row['data']]} ({len(row['videos'])})"
    return f"| {on} | {what} | {row['ssim']:.3f} | {row['psnr']:.2f} | {row['person_psnr']:.2f} |"
