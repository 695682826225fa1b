"""What the timing scripts share: runs that take turns, this machine's peaks, and results as lines and as JSON.

Seconds on a CPU are CPU time of this process on one thread, so that neighbours on the machine do not count; on a GPU they are the
clock's. What is compared runs in turns in one process, and the minimum of the rounds counts, since noise only ever adds.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import torch
from torch import nn

Run = Callable[[], object]


@dataclass(frozen=True)
class Result:
    """One claim's figure.

    Attributes:
        name: the claim, by which two runs are compared.
        ratio: of what is claimed to the baseline.
        baseline: what the ratio is taken against.
        better: ``"higher"`` or ``"lower"``.
        goal: the ratio that is aimed at; ``None`` where there is none.
        details: further figures.
    """

    name: str
    ratio: float
    baseline: str
    better: str = "higher"
    goal: float | None = None
    details: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.goal is None or (self.ratio >= self.goal if self.better == "higher" else self.ratio <= self.goal)

    def line(self) -> str:
        """The claim in one line."""
        goal = "" if self.goal is None else f" (goal: {'>=' if self.better == 'higher' else '<='} {self.goal:g})"
        return f"{self.name}: {self.ratio:.3g} against {self.baseline}{goal}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all timing scripts have."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--json", type=Path, help="write the results into this file as well")
    made.add_argument("--rounds", type=int, default=5, help="turns of each run; the minimum counts")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--device", default="cpu")
    return made


def publish(results: list[Result], path: Path | None) -> None:
    """Print the results, and write them as JSON where a file was asked for."""
    for result in results:
        print(result.line(), flush=True)
    if path is not None:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": torch.get_num_threads()}
        document = {"date": date.today().isoformat(), "machine": machine, "results": [asdict(result) for result in results]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def seconds(run: Run, device: torch.device | str = "cpu") -> float:
    """How long one run takes: CPU time, or the clock's on a GPU."""
    if torch.device(device).type == "cpu":
        begun = time.process_time()
        run()
        return time.process_time() - begun
    torch.cuda.synchronize(device)
    begun = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def in_turns(runs: Mapping[str, Run], rounds: int, device: torch.device | str = "cpu", warm_up: int = 1) -> dict[str, float]:
    """The minimum seconds of each run, taken in turns, after some rounds that do not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_up + rounds):
        for name, run in runs.items():
            taken = seconds(run, device)
            if number >= warm_up:
                times[name].append(taken)
    return {name: min(taken) for name, taken in times.items()}


def operations(run: Run) -> float:
    """Floating-point operations of the convolutions and matrix products of a run, backward passes included."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def peak_runs(device: torch.device | str = "cpu") -> dict[str, tuple[Run, float]]:
    """A matrix product and a convolution that a machine is good at, each with its operations: what one can hope for."""
    left, right = torch.rand(2048, 2048, device=device), torch.rand(2048, 2048, device=device)
    convolution = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(device)
    images = torch.rand(8, 256, 32, 32, device=device)

    @torch.no_grad()
    def convolve() -> object:
        return convolution(images)

    return {"GEMM": (lambda: left @ right, 2.0 * 2048**3), "convolution": (convolve, 2.0 * 8 * 32 * 32 * 256 * 256 * 9)}


@contextmanager
def counted_calls(module: nn.Module) -> Iterator[list[int]]:
    """The batch sizes with which a module was called inside the block."""
    sizes: list[int] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        yield sizes
    finally:
        hook.remove()
