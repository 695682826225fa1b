"""The start in this package, checked against its checksum before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gan_meta as gm
from metapix.errors import InputError
from metapix.files import read_json
from metapix.recipe import Recipe, recipe_of
from metapix.start.card import card_path, digest

NAME = "pix2pixhd-demo"


def shipped_start() -> Path:
    """The file of the start that ships.

    Raises:
        InputError: when it is not in this installation.
    """
    path = Path(__file__).parent / "weights" / f"{NAME}.safetensors"
    if not path.is_file():
        raise InputError(f"this installation of metapix lacks its start {path.name}; install it again, or give your own with --init")
    return path


def checked_shipped_start() -> Path:
    """:func:`shipped_start`, and the file is the one that its card describes.

    Raises:
        InputError: when it is missing or another file.
    """
    path = shipped_start()
    check(path)
    return path


def load_shipped_start() -> tuple[gm.GANPair, Recipe]:
    """The start that ships and how it wants to be personalised; raises as :func:`checked_shipped_start` does."""
    path = checked_shipped_start()
    return gm.load_pair(path), recipe_of(path)


def check(path: Path) -> None:
    """See that a start is the one of its card.

    Raises:
        InputError: when its checksum is another, or there is no card.
    """
    facts: dict[str, Any] = read_json(card_path(path), dict, "install metapix again")
    if digest(path) != facts.get("sha256"):
        raise InputError(f"{path} is not the file that its card describes: the checksum differs; install metapix again")
