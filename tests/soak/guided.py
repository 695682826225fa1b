"""Fuzzing that follows the code's branches, by atheris: python -m tests.soak.guided [INPUTS] [READER ...]. Ends with 1 if one is unclean.

Each reader gets a process of its own, since libFuzzer ends the process that it ran in.
"""

from __future__ import annotations

import logging
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PURE = (
    "status", "jsonl", "csv", "manifest", "keypoints.json", "results", "preset", "video list", "start", "report",
    "released train_1_img.txt", "openpose", "poses coco", "poses exact", "poses results", "journal", "counted clip", "kept clip",
)  # fmt: skip
"""Readers whose own Python decides what is refused; those of pictures and videos are compiled code that atheris cannot follow."""

_MARK = "--in-this-process"


def fuzz_here(name: str, inputs: int, folder: Path) -> None:
    """Fuzz one reader; never returns."""
    import atheris

    with atheris.instrument_imports(include=["gan_meta", "metapix", "tomllib", "json"]):
        from tests.fuzz.metapix_readers import all_readers
        from tests.fuzz.readers import mutate
    logging.disable(logging.CRITICAL)
    (folder / "files").mkdir()
    (folder / "corpus").mkdir()
    reader = all_readers(folder / "files")[name]
    (folder / "corpus" / "good").write_bytes(reader.good)

    def damage(content: bytes, most: int, seed: int) -> bytes:
        """Half the time by what knows of headers and numbers, half the time by libFuzzer's own, which knows of branches."""
        damaged = mutate(content, random.Random(seed)) if seed % 2 else atheris.Mutate(content, most)
        return bytes(damaged[:most])

    def read(content: bytes) -> None:
        reader.survives(content)

    most = max(4096, 2 * len(reader.good))
    options = [f"-runs={inputs}", "-seed=1", f"-max_len={most}", "-rss_limit_mb=4096", "-timeout=60", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], read, custom_mutator=damage)
    atheris.Fuzz()


def fuzz(name: str, inputs: int) -> bool:
    """Whether a reader met all inputs cleanly."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.soak.guided", _MARK, name, str(inputs), folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    runs = re.findall(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
    branches = re.findall(r"cov: (\d+)", done.stderr)
    if done.returncode or not runs:
        sys.stdout.write(f"{name}: unclean\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n")
        return False
    sys.stdout.write(f"{name}: {int(runs[-1]):,} inputs, branches reached: {branches[0]} at first, {branches[-1]} at the end\n")
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    if sys.argv[1:2] == [_MARK]:
        fuzz_here(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    chosen = sys.argv[2:] or PURE
    each = int((sys.argv[1:] or ["100000"])[0]) // len(chosen)
    outcomes = [fuzz(name, each) for name in chosen]  # all of them, whatever the first ones say
    raise SystemExit(0 if all(outcomes) else 1)
