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
    lines = [
        f"# {card['file']}",
        "",
        f"A Pix2PixHD generator that starts from the {settings['reference']} of a person (see `metapix.reference`) and says what to change in",
        "it; a start for `metapix personalize`. Made by `metapix train-start`, which makes it again.",
        "",
        "## Data and licences",
        "",
        f"- {settings['drawn_people']} drawn people, {settings['drawn_frames']} frames of each at {settings['size']} x {settings['size']} pixels, "
        "drawn by this package (Apache-2.0).",
        f"- {len(settings['real_clips'])} real clips, {', '.join(settings['real_clips'])}, of the package pose2sim 0.10.49 (BSD-3-Clause), whose main "
        "person is a woman in a white shirt; a man crosses their background. The clips are not in this package.",
        f"- {card['samples']} samples in all. The weights are under this package's licence, Apache-2.0.",
        "",
        "## Training",
        "",
        f"{settings['steps']} steps of Adam at {settings['lr']:g}, batch 8, mean absolute difference of pixels, {1 + settings['person_weight']:g} "
        f"times as much near the skeleton; {card['minutes']} minutes, data included, on the machine that made it.",
        "",
        "## Scores",
        "",
        "K = 5 frames, before any personalisation, on the last 15% of each clip, at the network's size:",
        "",
        "| on | what | SSIM | PSNR (dB) | person PSNR (dB) |",
        "|---|---|---|---|---|",
        *(
            f"| {_TITLES[row['data']]} ({len(row['videos'])}) | {'the puppet, no learning' if row['init'] == 'puppet' else 'this start'} "
            f"| {row['ssim']:.3f} | {row['psnr']:.2f} | {row['person_psnr']:.2f} |"
            for row in card["rows"]
        ),
        "",
        "## Limits",
        "",
        "It was trained on few real people, all in one laboratory. Ask the people in your pictures first; what it makes is synthetic.",
        "",
        f"SHA-256: `{card['sha256']}`",
        "",
    ]
    write_text(path, "\n".join(lines))
