"""Roles: which weights adapt inside a task, and whose start is learned across tasks."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping

from gan_meta.game.rates import is_rate
from gan_meta.pair import GANPair

ROLES: dict[str, tuple[bool, bool]] = {
    "meta": (True, True),
    "local": (True, False),
    "shared": (False, True),
    "frozen": (False, False),
}
"""Role name: (adapts inside a task, its start is learned across tasks)."""


def resolve_roles(pair: GANPair, roles: Mapping[str, str]) -> dict[str, str]:
    """Each parameter's role, by name, in the order of ``pair.named_parameters()``.

    Args:
        roles: {glob over parameter names: role}; a later entry overrides an earlier one; what none matches is ``"meta"``.
            A parameter that does not require a gradient is ``"frozen"`` whatever the globs say.
            Learned rates are ``"frozen"`` unless a glob that starts with ``rates.`` says ``"shared"``; other globs pass them over.

    Raises:
        ValueError: for a glob that matches no parameter (with the nearest names), or learned rates that would adapt.
    """
    resolved = {name: "frozen" if is_rate(name) else "meta" for name, _ in pair.named_parameters()}
    for glob, role in roles.items():
        names = [name for name in resolved if is_rate(name) == is_rate(glob)]
        if is_rate(glob) and not names:
            raise ValueError(f"role pattern {glob!r} is for learned rates, but the pair has none; call gan_meta.add_learned_rates(pair)")
        if is_rate(glob) and adapts(role):
            raise ValueError(f"role pattern {glob!r} cannot be {role!r}: learned rates stay fixed inside a task; use 'shared' or 'frozen'")
        matched = fnmatch.filter(names, glob)
        if not matched:
            nearest = difflib.get_close_matches(glob, names, n=3, cutoff=0.3) or names[:3]
            raise ValueError(f"role pattern {glob!r} matches no parameter; nearest names: {', '.join(nearest)}")
        resolved.update(dict.fromkeys(matched, role))
    for name, parameter in pair.named_parameters():
        if not parameter.requires_grad:
            resolved[name] = "frozen"
    return resolved


def adapts(role: str) -> bool:
    """Whether weights of this role move inside a task."""
    return ROLES[role][0]


def is_learned(role: str) -> bool:
    """Whether the start of weights of this role is learned across tasks."""
    return ROLES[role][1]
