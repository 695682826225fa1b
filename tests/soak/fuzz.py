"""A million damaged files for every reader together: python -m tests.soak.fuzz [INPUTS] [SEED]. Ends with 1 if one is unclean."""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import traceback
from pathlib import Path

from tests.fuzz.metapix_readers import all_readers
from tests.fuzz.readers import mutate

LIMIT_KB = 600_000  # a damaged picture may still be a large one


def fuzz(inputs: int, seed: int) -> bool:
    """Whether all went cleanly."""
    draws = random.Random(seed)
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    unclean = 0
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        every = all_readers(Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, reader in every.items():
            for other in every.values():
                other.restore()
            accepted = 0
            for _ in range(inputs // len(every)):
                content = mutate(reader.good, draws)
                try:
                    accepted += reader.survives(content)
                except Exception:  # noqa: BLE001 - whatever it is, it is what this looks for
                    unclean += 1
                    kept = Path(tempfile.gettempdir()) / f"unclean-{seed}-{unclean}{reader.path.suffix}"
                    kept.write_bytes(content)
                    sys.stdout.write(f"{name}: {kept}\n{traceback.format_exc()}")
            sys.stdout.write(f"{name}: {inputs // len(every):,} files, {accepted:,} still readable\n")
            sys.stdout.flush()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(f"{unclean} unclean; peak memory grew by {grown / 1000:.0f} MB\n")
    return unclean == 0 and grown < LIMIT_KB


if __name__ == "__main__":
    raise SystemExit(0 if fuzz(int((sys.argv[1:] or ["1000000"])[0]), int((sys.argv[2:] or ["0"])[0])) else 1)
