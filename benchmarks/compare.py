"""Tells whether a change made a ratio worse: two files of `benchmarks/all.py`, the one before and the one after.

    python benchmarks/compare.py before.json after.json [--tolerance 0.1]

The exit code is 1 when a ratio became worse by more than the tolerance, a goal is missed that was reached before, or a claim is gone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import Result

Results = Mapping[str, Result]


def main() -> None:
    """Compare and print a line for each claim."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.1, help="by what share a ratio may be worse; timings are noisy")
    arguments = parser.parse_args()
    before, after = read(arguments.before), read(arguments.after)
    complaints = worse(before, after, arguments.tolerance)
    for name in before.keys() | after.keys():
        figures = [f"{results[name].ratio:.3g}" if name in results else "-" for results in (before, after)]
        print(f"{name}: {figures[0]} -> {figures[1]}{'   WORSE: ' + complaints[name] if name in complaints else ''}")
    sys.exit(bool(complaints))


def read(path: Path) -> dict[str, Result]:
    """The results of a file, by name."""
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {entry["name"]: Result(**entry) for entry in entries}


def worse(before: Results, after: Results, tolerance: float) -> dict[str, str]:
    """What became worse, by the claim's name, in words."""
    found: dict[str, str] = {}
    for name, old in before.items():
        if name not in after:
            found[name] = "is gone"
            continue
        new = after[name]
        factor = new.ratio / old.ratio if old.better == "higher" else old.ratio / new.ratio
        if factor < 1 - tolerance:
            found[name] = f"by {1 - factor:.0%}"
        elif old.is_met and not new.is_met:
            found[name] = f"its goal of {new.goal:g} is missed"
    return found


if __name__ == "__main__":
    main()
