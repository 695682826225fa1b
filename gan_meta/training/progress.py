"""Progress: how fast a training goes, when it will be done, and the memory that it takes."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch

from gan_meta.files import json_text, read_json, write_text

STATUS = "status.json"
_RECENT = 20  # iterations that the speed is taken over


class Progress:
    """Speed over the last iterations, by a clock that no one can set.

    Args:
        total: the training's iterations.
        done: those that a resumed training has behind it.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total = total
        self.done = done
        self._ticks: deque[tuple[float, int]] = deque([(time.monotonic(), done)], maxlen=_RECENT + 1)

    def tick(self, done: int) -> None:
        """Note that this many iterations are done."""
        self.done = done
        self._ticks.append((time.monotonic(), done))

    @property
    def per_second(self) -> float:
        """Iterations a second; 0 before the first."""
        (start, before), (now, done) = self._ticks[0], self._ticks[-1]
        return (done - before) / (now - start) if now > start else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the last iteration, at this speed; ``None`` before the first."""
        return (self.total - self.done) / self.per_second if self.per_second > 0 else None

    def figures(self, device: torch.device) -> dict[str, float]:
        """Speed, time left and memory, for logs."""
        figures = {"iterations_per_second": self.per_second, **memory(device)}
        if self.seconds_left is not None:
            figures["seconds_left"] = self.seconds_left
        return figures


def memory(device: torch.device) -> dict[str, float]:
    """Memory that this process takes, in MB: at most on the host, and on a GPU now and at most; and how busy the GPU is, in per cent."""
    figures = {"peak_memory_mb": _peak_bytes() / 1e6}
    if device.type == "cuda":
        figures["gpu_memory_mb"] = torch.cuda.memory_allocated(device) / 1e6
        figures["gpu_peak_memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
        busy = _gpu_use(device)
        if busy is not None:
            figures["gpu_use_percent"] = busy
    return figures


def _gpu_use(device: torch.device) -> float | None:
    """The part of the last second or so in which the GPU was at work, in per cent; ``None`` where NVIDIA's library does not say."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        return float(torch.cuda.utilization(device))
    except (pynvml.NVMLError, RuntimeError):  # a part of a GPU (MIG), for one, has no such figure
        return None


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class StatusFile:
    """``status.json`` in a run folder: what another terminal may want to know, at most once every few seconds.

    Args:
        folder: the run's.
        kind: what runs, for example ``"meta-training"``.
        ranks: how many processes take part.
    """

    def __init__(self, folder: Path, kind: str, ranks: int, every: float = 5.0) -> None:
        self.path = folder / STATUS
        self.facts = {"kind": kind, "ranks": ranks, "process": os.getpid(), "host": socket.gethostname()}
        self.every = every
        self._next = time.monotonic()

    def write(self, state: str, progress: Progress, device: torch.device, *, always: bool = False, **more: Any) -> None:
        """Say how things stand: ``state`` is ``"running"``, ``"finished"``, ``"stopped"`` or ``"failed"``."""
        if not always and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.every
        document = {
            **self.facts,
            "state": state,
            "iteration": progress.done,
            "iterations": progress.total,
            **progress.figures(device),
            **more,
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_text(self.path, json_text(document, indent=1), durable=False)


def read_status(folder: Path) -> dict[str, Any]:
    """What :class:`StatusFile` wrote.

    Raises:
        FileNotFoundError: when the folder has none.
        ValueError: when it is damaged.
    """
    path = folder / STATUS
    if not path.is_file():
        raise FileNotFoundError(f"there is no {STATUS} in {folder}: no training has run there")
    return read_json(path)
