"""Claims: `import gan_meta` takes at most 0.3 of what importing torch takes on top of it, and `metapix --help` under 1.5 seconds.

Each in a new process, in turns; seconds are the process's CPU time, so a machine with a cold disk takes longer the first time.

    python benchmarks/startup.py [--rounds 5]
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence

from measure import Result, parser, publish

COMMANDS = {
    "python": ["-c", ""],
    "import torch": ["-c", "import torch"],
    "import gan_meta": ["-c", "import gan_meta"],
    "metapix --help": ["-m", "metapix", "--help"],
}


def cpu_seconds(arguments: Sequence[str]) -> float:
    """CPU time of one Python process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure in turns, and print both claims."""
    arguments = parser(__doc__).parse_args()
    found = {name: float("inf") for name in COMMANDS}
    for _ in range(arguments.rounds):
        for name, command in COMMANDS.items():
            found[name] = min(found[name], cpu_seconds(command))
    for name, taken in found.items():
        print(f"{name:<16}{taken:>7.3f} s")
    torch_alone = found["import torch"] - found["python"]
    added = found["import gan_meta"] - found["import torch"]
    details = {f"{name}, seconds": taken for name, taken in found.items()}
    publish(
        [
            Result("import gan_meta on top of torch", added / torch_alone, "importing torch", "lower", 0.3, details),
            Result("metapix --help", found["metapix --help"] / 1.5, "1.5 seconds", "lower", 1.0),
        ],
        arguments.json,
    )


if __name__ == "__main__":
    main()
