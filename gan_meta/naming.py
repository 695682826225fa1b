"""Names: messages for those that are not known, with the nearest there are; and weights' names without what wrappers add to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

_WRAPPERS = ("module", "_orig_mod")
"""What DataParallel, DistributedDataParallel and torch.compile put into the names of the weights that they wrap."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """A sentence for an unknown name, with the nearest known ones first and then all of them."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown {kind} {name!r:.80}: {hint}known: {', '.join(choices)}"


def without_wrappers(entries: Mapping[str, Value]) -> dict[str, Value]:
    """Entries by name, the names as they are when no wrapper holds the network; as they come where two would be called alike."""
    bare = {_bare(name): value for name, value in entries.items()}
    return bare if len(bare) == len(entries) else dict(entries)


def named_as(entries: Mapping[str, Value], known: Iterable[str]) -> dict[str, Value]:
    """Entries under the known names, where wrappers on one side or the other are all that tells the two apart; otherwise as they come."""
    names = list(known)
    by_bare = {_bare(name): name for name in names}
    if set(entries) == set(names) or len(by_bare) < len(names):
        return dict(entries)
    renamed = {by_bare[_bare(name)]: value for name, value in entries.items() if _bare(name) in by_bare}
    return renamed if len(renamed) == len(entries) == len(names) else dict(entries)


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
