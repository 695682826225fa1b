"""Manners of worker processes: they do not hear Ctrl-C, leave with their parent, and tidy up when they are told to end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

_TOLD = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has no SIGHUP
_GRACE_SECONDS = 60.0
"""How long a worker without a parent may tidy up; a training saves a checkpoint first."""


@contextlib.contextmanager
def interrupts_not_inherited() -> Iterator[None]:
    """Workers started in this block do not hear Ctrl-C: the main process does, if only after the block, and ends them in order."""
    # Blocked rather than ignored: one that comes during the block is kept for after it, and processes inherit the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_with_parent() -> None:
    """A worker whose main process was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def unwinding_when_told_to_end(code: int = 1) -> Iterator[None]:
    """SIGTERM, and SIGHUP of a closed terminal, end this block as an exception does, so that half-written files go on the way out.

    One that is ignored, as nohup has SIGHUP, stays ignored.

    Args:
        code: of the SystemExit that is raised.
    """

    def leave(*_: object) -> NoReturn:
        for number in _TOLD:
            signal.signal(number, signal.SIG_IGN)  # the pool and the crew may both say so
        raise SystemExit(code)

    heard = [number for number in _TOLD if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
