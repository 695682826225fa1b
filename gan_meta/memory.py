"""Memory: whether an error says that it ran out, how much was asked for, and how much a process may still take."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from pathlib import Path

_WORDS = re.compile(
    r"allocate memory|not enough memory|bad_alloc|bad allocation|out of memory|insufficient memory|unable to allocate|failed to map segment"
    r"|can't start new thread|cannot enlarge memory|failed to allocate",
    re.IGNORECASE,
)
_ASKED = re.compile(r"allocat\w+\s+(?P<count>[\d.,]+)\s*(?P<unit>bytes|[KMGT]i?B)", re.IGNORECASE)
_UNITS = {"bytes": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
REMEDY = (
    "lower the size of the pictures, the batch (--set recipe.batch_size), the number of frames, the widths of the network or --workers, "
    "or give it more memory"
)


def memory_problem(error: BaseException, remedy: str = REMEDY) -> str | None:
    """A sentence for an error that says that memory ran out, of the processor or of a device; ``None`` for any other error."""
    text = " ".join(str(error).split())
    is_no_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if not is_no_memory and not _WORDS.search(text):
        return None
    asked = _asked_for(text)
    wanted = f"{in_words(asked)} were asked for at once" if asked else "there was no room for the next piece"
    where = "the device has no more" if "cuda" in text.lower() else f"this process holds {in_words(held())} of {in_words(limit())}"
    return f"memory ran out: {wanted}, and {where}; {remedy}"


def _asked_for(text: str) -> float | None:
    match = _ASKED.search(text)
    if match is None:
        return None
    unit = match["unit"].lower()
    return float(match["count"].replace(",", "").rstrip(".")) * _UNITS[unit if unit == "bytes" else unit[0]]


def in_words(count: float) -> str:
    """Bytes as people read them."""
    if count == float("inf"):
        return "all that there is"
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


def limit() -> float:
    """Bytes that this process may have: the limit on its address space, or of its group, or the machine's memory."""
    known = [_address_space(), _group("memory.max", "memory/memory.limit_in_bytes"), _machine("MemTotal")]
    return min((value for value in known if value is not None), default=float("inf"))


def held() -> float:
    """Bytes that this process has: of address space where that is limited, else in memory."""
    return _process("VmSize" if _address_space() is not None else "VmRSS") or 0.0


def free() -> float:
    """Bytes that this process may still take before it, or another, is killed or refused; infinite where the system does not say."""
    space, group, machine = _address_space(), _group("memory.max", "memory/memory.limit_in_bytes"), _machine("MemAvailable")
    known = [] if machine is None else [machine]
    if space is not None:
        known.append(space - (_process("VmSize") or 0.0))
    if group is not None:
        known.append(group - (_group("memory.current", "memory/memory.usage_in_bytes") or 0.0) + (_group_cache() or 0.0))
    return max(0.0, min(known, default=float("inf")))


def _address_space() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft in (resource.RLIM_INFINITY, -1) else float(soft)


def _machine(name: str) -> float | None:
    return _kilobytes(Path("/proc/meminfo"), name)


def _process(name: str) -> float | None:
    return _kilobytes(Path("/proc/self/status"), name)


def _kilobytes(file: Path, name: str) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return float(line.split()[1]) * 1024
    return None


def _group(*names: str) -> float | None:
    """A number of this process's control group, as containers have one."""
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            value = float(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
            return value if value < 2**60 else None
    return None


def _group_cache() -> float | None:
    """Bytes of the group that hold files, which the system gives back when they are needed."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith("inactive_file "):
                return float(line.split()[1])
    return None
