"""Starts by what they are made of: how a start came to be, as plain values, from which its file's name follows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEARNS_NOTHING = ("nearest-frame", "puppet")
"""Answers that copy pixels; they stand beside the starts in every table."""

LEARNS = ("random", "pretrain", "pretrain-equal-steps", "metapix")

INITS = (*LEARNS, *LEARNS_NOTHING)


@dataclass(frozen=True)
class Start:
    """A start of the suite.

    Attributes:
        model: its key in the suite, for example ``"pix2pixhd"``; ``"none"`` for an answer that learns nothing.
        init: one of :data:`INITS`.
        seed: of the weights and of all training.
        shots, steps: K and T of the games of meta-training; of the further steps, for ``"pretrain-equal-steps"``; else 0.
        changes: settings other than the preset's from meta-training on, as ``"section.key=value"``.
        settings: the training preset and a digest of the training data; what the start depends on beside the above.
    """

    model: str
    init: str
    seed: int
    shots: int = 0
    steps: int = 0
    changes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name all this."""
        return digest_of(dataclasses.asdict(self))

    @property
    def learns(self) -> bool:
        """Whether it is a network."""
        return self.init not in LEARNS_NOTHING


def digest_of(document: Any) -> str:
    """16 hexadecimal digits of a JSON-able document's SHA-256; equal documents, whatever the order of their keys, give equal ones."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def file_digest(file: Path) -> str:
    """16 hexadecimal digits of a file's SHA-256."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
