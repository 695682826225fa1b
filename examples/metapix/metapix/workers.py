"""Manners of worker processes: they do not hear Ctrl-C, leave with their parent, and tidy up when they are told to end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import NoReturn


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


@contextlib.contextmanager
def unwinding_when_told_to_end() -> Iterator[None]:
    """SIGTERM in this block ends it as an exception does, so that half-written files are removed on the way out."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pool and the crew may both say so
    raise SystemExit(1)
