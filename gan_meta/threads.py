"""Whether one thread of Python waits for another: what would otherwise be a silent deadlock can then be said."""

from __future__ import annotations

import concurrent.futures._base
import concurrent.futures.thread
import sys
import threading
import types
from collections.abc import Iterator

_WAITING = (threading.__file__, concurrent.futures._base.__file__, concurrent.futures.thread.__file__)
"""Where Python's own functions wait for threads: ``Thread.join``, ``Future.result``, ``wait``, an executor's end."""


def waits_for_this_thread(other: int) -> bool:
    """Whether another thread, by its identifier, waits for the end of this one or of what an executor has it do."""
    frames = sys._current_frames()
    own: list[object] = [threading.current_thread()]
    for frame in _stack(sys._getframe()):
        if frame.f_code.co_filename == concurrent.futures.thread.__file__ and "self" in frame.f_locals:
            own.append(getattr(frame.f_locals["self"], "future", None))
    waiting = [frame for frame in _stack(frames.get(other)) if frame.f_code.co_filename in _WAITING]
    return any(_holds(value, wanted) for frame in waiting for value in frame.f_locals.values() for wanted in own if wanted is not None)


def _stack(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _holds(value: object, wanted: object) -> bool:
    return value is wanted or (isinstance(value, list | tuple | set | frozenset) and any(part is wanted for part in value))
