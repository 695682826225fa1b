"""Messages for names that are not known: what was asked for, and the nearest ones there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """A sentence for an unknown name, with the nearest known ones first and then all of them."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown {kind} {name!r}: {hint}known: {', '.join(choices)}"
