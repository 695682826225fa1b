"""Profile: where the time of a few iterations goes, as a trace to look at and a table to read."""

from __future__ import annotations

from pathlib import Path

import torch

from gan_meta.files import replacing, write_text

_WARM_UP = 1
_ROWS = 30


class Profile:
    """Records a few iterations, after a first one that is not typical.

    It leaves ``profile.json`` (open it in a browser's tracing page or in Perfetto) and ``profile.txt`` in the folder.

    Args:
        folder: where the results go.
        iterations: how many are recorded.
    """

    def __init__(self, folder: Path, iterations: int) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self._folder = folder
        self._is_open = False
        self._profiler = torch.profiler.profile(
            activities=activities,
            schedule=torch.profiler.schedule(wait=0, warmup=_WARM_UP, active=iterations, repeat=1),
            on_trace_ready=self._write,
        )

    def start(self) -> None:
        """Begin before the first iteration."""
        self._profiler.start()
        self._is_open = True

    def tick(self) -> None:
        """After each iteration."""
        if self._is_open:
            self._profiler.step()

    def stop(self) -> None:
        """End early, if the iterations were fewer."""
        if self._is_open:
            self._is_open = False
            self._profiler.stop()

    def _write(self, profiler: torch.profiler.profile) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._folder / "profile.json", durable=False) as partial:
            profiler.export_chrome_trace(str(partial))
        table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=_ROWS)
        write_text(self._folder / "profile.txt", table, durable=False)
        self._is_open = False
