"""claim(): a run's folder belongs to the run of one stage, with one set of settings and data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_meta.training.run_folder import is_locked
from metapix.errors import InputError
from metapix.files import read_json, writable, write_text
from metapix.training.statistics import FILE
from metapix.training.subjects import Subject


def check_checkpoint(out: Path, name: str, resume: bool | str) -> None:
    """See that there is a checkpoint where one is insisted on, before the long work.

    Raises:
        InputError: when there is none.
    """
    file = out / f"{name}.safetensors"
    if resume is True and not file.is_file():
        raise InputError(f"--resume, but there is no checkpoint {file} to go on from; name the run's folder with --out")


def claim(
    out: Path, stage: str, settings: Mapping[str, Any], subjects: Sequence[Subject], seed: int, resume: bool | str, made: str
) -> None:
    """Refuse a folder with a run of other settings, or one at work, before anything in it is touched.

    Args:
        made: the name of the file that the run makes there at its end.
        resume: ``False`` gives the folder to this run, whatever was in it.

    Raises:
        InputError: when it is refused.
    """
    path = out / f"{stage}.json"
    writable(out / made)
    owner = is_locked(out)
    if owner is not None:
        raise InputError(f"another run is at work in {out} ({owner}); wait for it, stop it, or give another folder with --out")
    people = [[subject.name, len(subject.samples)] for subject in subjects]
    now = json.loads(json.dumps({"settings": {**settings, "seed": seed}, "people": people}))
    kept = (made, f"{stage}ing.safetensors", FILE)  # a run that was refused before its first checkpoint has nothing to lose
    if path.is_file() and resume is not False and any((out / name).is_file() for name in kept):
        before = read_json(path, dict, "give another folder with --out")
        if before != now:
            raise InputError(
                f"{out} holds a run of other settings or data (see {path.name} there); give another folder with --out, or start anew "
                "in this one with --no-resume"
            )
    write_text(path, json.dumps(now, indent=1) + "\n")
