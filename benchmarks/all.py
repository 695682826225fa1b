"""Runs the scripts that time a claim, one after the other, and writes all their results into one JSON file.

python benchmarks/all.py                           (`make bench`: on a CPU; stops after 15 minutes)
python benchmarks/all.py --plan gpu                (`make bench-gpu`: at GPU sizes; stops after 10 minutes)
python benchmarks/all.py --plan gpu --device cpu --tiny      (tries the GPU's plan without one)
python benchmarks/compare.py before.json after.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PLANS: dict[str, dict[str, list[str]]] = {
    "cpu": {
        "startup.py": [],
        "between_tasks.py": [],
        "pix2pixhd_step.py": ["--rounds", "4"],
        "options.py": ["--size", "64", "--rounds", "3", "--only", "channels_last", 'precision="bfloat16"'],
        "layout.py": ["--size", "64", "--rounds", "5"],
        "maml_libraries.py": ["--rounds", "3"],
        "maml_memory.py": ["--steps", "1", "20", "--engines", "unrolled", "sweep", "--size", "48"],
        "pretraining_epoch.py": [],
        "retarget_speed.py": ["--rounds", "2", "--frames", "32"],
        "posewarp_step.py": ["--rounds", "3"],
    },
    "gpu": {
        "pix2pixhd_step.py": ["--size", "256", "--channels", "64", "--rounds", "10"],
        "between_tasks.py": ["--size", "256", "--channels", "64"],
        "options.py": ["--size", "256", "--channels", "64", "--rounds", "10"],
        "layout.py": ["--size", "256", "--channels", "64", "--rounds", "10"],
        "pretraining_epoch.py": ["--size", "256"],
        "posewarp_step.py": ["--size", "256", "--batch", "4", "--rounds", "10"],
    },
}
TINY = {
    "layout.py": ["--size", "32", "--channels", "4", "--rounds", "1"],
    "between_tasks.py": ["--size", "32", "--channels", "4"],
    "options.py": ["--size", "32", "--channels", "4", "--rounds", "1", "--only", "channels_last", "TF32"],
    "pix2pixhd_step.py": ["--size", "32", "--channels", "4", "--rounds", "1"],
    "posewarp_step.py": ["--size", "64", "--batch", "1", "--channels", "4", "--rounds", "1"],
    "pretraining_epoch.py": ["--size", "32", "--people", "1"],
}
MINUTES = {"cpu": 15.0, "gpu": 10.0}
WITHOUT_DEVICE = ("startup.py", "maml_libraries.py", "maml_memory.py", "retarget_speed.py")


def main() -> None:
    """Run a plan; the exit code is 1 when a script failed or time ran out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", choices=PLANS, default="cpu")
    parser.add_argument("--device", help="default: cpu for the CPU's plan, cuda for the GPU's")
    parser.add_argument("--tiny", action="store_true", help="at sizes that say nothing, to see whether everything runs")
    parser.add_argument("--minutes", type=float, help="stop after so long; default: 15 for the CPU's plan, 10 for the GPU's")
    parser.add_argument("--json", type=Path, default=Path("runs/bench/results.json"))
    arguments = parser.parse_args()
    device = arguments.device or ("cpu" if arguments.plan == "cpu" else "cuda")
    end = time.monotonic() + 60 * (arguments.minutes or MINUTES[arguments.plan])
    document: dict[str, object] = {"plan": arguments.plan, "device": device}
    results: list[object] = []
    failed: list[str] = []
    for script, options in PLANS[arguments.plan].items():
        sizes = [*options, *(TINY.get(script, []) if arguments.tiny else [])]
        where = [] if script in WITHOUT_DEVICE else ["--device", device]
        print(f"\n-- {script} {' '.join([*sizes, *where])}", flush=True)
        found = run(script, [*sizes, *where], end - time.monotonic())
        if found is None:
            failed.append(script)
            continue
        results += found.pop("results")
        document.update(found)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({**document, "failed": failed, "results": results}, indent=1) + "\n", encoding="utf-8")
    print(f"\n{len(results)} results in {arguments.json}{'; failed: ' + ', '.join(failed) if failed else ''}")
    sys.exit(bool(failed))


def run(script: str, options: list[str], seconds: float) -> dict[str, list[object]] | None:
    """A script's JSON; ``None`` when it failed or there was no time left."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        command = [sys.executable, str(HERE / script), *options, "--json", str(file)]
        try:
            subprocess.run(command, check=True, timeout=max(seconds, 0.0), env={**os.environ, "OMP_NUM_THREADS": "1"})
        except subprocess.CalledProcessError as error:
            print(f"{script} ended with exit code {error.returncode}")
            return None
        except subprocess.TimeoutExpired:
            print(f"{script}: no time left")
            return None
        found: dict[str, list[object]] = json.loads(file.read_text(encoding="utf-8"))
        return found


if __name__ == "__main__":
    main()
