"""Names of a loss's terms: each says one thing in the logs, so none may be another's."""

from __future__ import annotations

from collections.abc import Iterable

RESERVED = frozenset(
    {
        *("generator", "discriminator", "query_generator", "query_discriminator"),
        *("iteration", "direction_norm", "meta_lr", "skipped_tasks", "best_score"),
        *("iterations_per_second", "seconds_left", "peak_memory_mb", "gpu_memory_mb", "gpu_peak_memory_mb", "gpu_use_percent"),
    }
)
"""What the logs say of every game and training themselves."""


def refuse_reserved(terms: Iterable[str]) -> None:
    """Refuse terms that would stand in the place of a total or another entry of the logs, or that no table's head can hold.

    Raises:
        ValueError: naming one of them.
    """
    for name in terms:
        if not isinstance(name, str):
            raise ValueError(f"the objective names a term {name!r}; a term's name is a string")
        if len(f"{name}.".splitlines()) > 1:
            raise ValueError(f"the objective names a term {name!r}; a term's name is one line, as it becomes the head of a table's column")
        if name in RESERVED:
            raise ValueError(
                f"the objective names a term {name!r}, which the logs have for something else (the players' totals, and what a training "
                f"says of itself); give it another name, such as 'term_{name}'"
            )


def refuse_shared(terms: Iterable[str], others: Iterable[str]) -> None:
    """Refuse a name that both players' losses have: the logs would keep one of the two terms.

    Raises:
        ValueError: naming it.
    """
    shared = sorted(set(terms) & set(others))
    if shared:
        raise ValueError(
            f"both players' losses have a term {shared[0]!r}, of which the logs would keep one; name them apart, for example "
            f"'G_{shared[0]}' and 'D_{shared[0]}'"
        )
