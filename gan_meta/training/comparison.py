"""What differs between two descriptions of a training: a checkpoint's and the present one's, or those of two ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gan_meta.training.description import CODE, UNKNOWN

ABSENT = "absent"
_LONGEST = 300  # characters of a value in a message


class Comparison:
    """Compares two JSON-able descriptions, entry by entry.

    Args:
        there, here: the two.
        is_whole: whether each of them holds all that it could; otherwise entries that one of them lacks, or has in another form, are
            not differences but cannot be compared.

    Attributes:
        differences: by name, the two values, only the parts that differ.
        not_compared: what was described on one side only, or cannot be described.
    """

    def __init__(self, there: Mapping[str, Any], here: Mapping[str, Any], *, is_whole: bool = True) -> None:
        self._is_whole = is_whole
        self.not_compared: list[str] = []
        found = self._of(json.loads(json.dumps(there)), json.loads(json.dumps(here)), "")
        self.differences: dict[str, tuple[Any, Any]] = {}
        if found is not None:
            names = list(dict.fromkeys((*found[0], *found[1])))
            self.differences = {name: (found[0].get(name, ABSENT), found[1].get(name, ABSENT)) for name in names}

    def sentences(self, there: str = "there", here: str = "here") -> list[str]:
        """Each difference in words."""
        return [f"{name}: {_short(one)} {there}, {_short(other)} {here}" for name, (one, other) in self.differences.items()]

    def _of(self, there: Any, here: Any, path: str) -> tuple[Any, Any] | None:
        """The differing parts of both; ``None`` where there are none."""
        if _is_unknown(there) or _is_unknown(here):
            self.not_compared.append(f"{path} ({there[UNKNOWN] if _is_unknown(there) else here[UNKNOWN]})")
            return None
        if isinstance(there, dict) and isinstance(here, dict):
            return self._of_dicts(there, here, path)
        if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
            parts = [self._of(one, other, f"{path}[{number}]") for number, (one, other) in enumerate(zip(there, here, strict=True))]
            return (there, here) if any(part is not None for part in parts) else None
        if there == here and isinstance(there, bool) == isinstance(here, bool):
            return None
        if _python_of(path, there) != _python_of(path, here):
            self.not_compared.append(f"{path} (compiled by Python {_python_of(path, there)}, here {_python_of(path, here)})")
            return None
        if not self._is_whole and not _are_alike(there, here):
            if there or here:
                self.not_compared.append(path)
            return None
        return there, here

    def _of_dicts(self, there: dict[str, Any], here: dict[str, Any], path: str) -> tuple[Any, Any] | None:
        ours: dict[str, Any] = {}
        theirs: dict[str, Any] = {}
        for name in sorted(there.keys() | here.keys()):
            where = f"{path}.{name}" if path else name
            if name in there and name in here:
                found = self._of(there[name], here[name], where)
                if found is not None:
                    theirs[name], ours[name] = found
            elif name not in there and not self._is_whole:
                if here[name]:
                    self.not_compared.append(f"{where} (not recorded)")
            else:
                (theirs if name in there else ours)[name] = there.get(name, here.get(name))
        return (theirs, ours) if theirs or ours else None


def name_list(names: Sequence[str], most: int = 8) -> str:
    """The first of these names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _is_unknown(value: Any) -> bool:
    return isinstance(value, dict) and UNKNOWN in value


def _python_of(path: str, value: Any) -> str:
    return value.partition(":")[0] if path.endswith(f".{CODE}") and isinstance(value, str) else ""


def _are_alike(there: Any, here: Any) -> bool:
    number = (int, float)
    if str(there).startswith("functools.partial("):  # as earlier versions wrote them, with addresses
        return False
    return type(there) is type(here) or there is None or here is None or (isinstance(there, number) and isinstance(here, number))


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST // 2]} ... {words[-_LONGEST // 2 :]}"
