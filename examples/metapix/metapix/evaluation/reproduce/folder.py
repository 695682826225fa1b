"""The run's folder: one preset and one set of videos each, and refused before anything in it is touched where it is another's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metapix.errors import InputError
from metapix.files import read_json, write_text

FOLDERS_ORDER = "reproduce.json"
"""The file of the order that a folder is of."""


def claim_folder(out: Path, order: Mapping[str, Any]) -> None:
    """Make the folder, or make sure that it holds a run of the same preset and videos.

    Raises:
        InputError: when it cannot be written, or holds another run or something else.
    """
    file = out / FOLDERS_ORDER
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            if any(out.iterdir()):
                raise InputError(f"{out} holds something that is not a reproduction; give an empty or new folder with --out")
            write_text(file, json.dumps(dict(order), indent=1))
            return
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}; give another folder with --out") from error
    before = read_json(file, dict, "give another folder with --out, or move that one away")
    for key, value in order.items():
        if before.get(key) != value:
            raise InputError(f"{out} holds a reproduction with {key} = {before.get(key)!r}, not {value!r}; give another folder with --out")
