"""How a run stands, in words, from what it leaves in its folder; for another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_meta.checkpoint import CheckpointError
from gan_meta.training.progress import read_status
from gan_meta.training.run_folder import is_locked

_LABELS = {
    "ranks": "processes",
    "process": "process",
    "host": "host",
    "peak_memory_mb": "peak memory, MB",
    "gpu_memory_mb": "GPU memory, MB",
    "gpu_peak_memory_mb": "peak GPU memory, MB",
    "gpu_use_percent": "GPU at work, %",
    "best": "best checkpoint",
    "message": "message",
    "written": "as of",
}


def run_status(folder: Path) -> dict[str, str]:
    """Label to value, in the order to show them.

    Raises:
        FileNotFoundError: when no training has run there.
        CheckpointError: when its status file is damaged.
    """
    try:
        status = read_status(folder)
        shown = {"run": str(folder), "state": _state(folder, status), "progress": _progress(status)}
        if status["state"] == "running":
            shown["speed"] = f"{float(status['iterations_per_second']):.3g} iterations a second"
            if "seconds_left" in status:
                shown["time left"] = duration(float(status["seconds_left"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"the status file of {folder} is damaged: {error}") from error
    shown.update({label: _plain(status[name]) for name, label in _LABELS.items() if name in status})
    checkpoints = sorted(file.name for file in folder.glob("*.safetensors"))
    return {**shown, "checkpoints": ", ".join(checkpoints) or "none yet"}


def duration(seconds: float) -> str:
    """Such as ``1 d 2 h``, ``3 h 5 min`` or ``40 s``.

    Raises:
        ValueError, OverflowError: for what is not a number of seconds.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _state(folder: Path, status: dict[str, Any]) -> str:
    state = str(status["state"])
    if state == "running" and is_locked(folder) is None:
        return "killed: it ended without a word, and will go on from its last checkpoint when it is started again"
    return state


def _progress(status: dict[str, Any]) -> str:
    done, total = int(status["iteration"]), int(status["iterations"])
    return f"{status['kind']}: {done} of {total} iterations ({100 * done / max(total, 1):.1f}%)"


def _plain(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)
