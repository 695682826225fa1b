"""learn2learn's algorithms, read from the folder where `make setup` unpacks the released source.

The release does not install on Python 3.11: its C files do not compile there, and importing the whole package needs them. Its
meta-learning is plain Python, so that is imported on its own, as released, from parents that are empty here.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(sys.prefix) / "oracles" / "learn2learn"


def algorithm_module(name: str) -> ModuleType:
    """``learn2learn.algorithms.<name>``.

    Raises:
        FileNotFoundError: when the source is not there.
    """
    if not (FOLDER / "algorithms" / f"{name}.py").is_file():
        raise FileNotFoundError(f"learn2learn's source is not in {FOLDER}; run `make setup`")
    for package, folder in (("learn2learn", FOLDER), ("learn2learn.algorithms", FOLDER / "algorithms")):
        if package not in sys.modules:
            sys.modules[package] = ModuleType(package)
            sys.modules[package].__path__ = [str(folder)]
    return importlib.import_module(f"learn2learn.algorithms.{name}")
