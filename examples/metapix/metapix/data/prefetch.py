"""Prefetch: an iterator that works ahead in a thread of its own, so that decoding and computing happen at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 0.1


class _End:
    """What comes after the last item."""


def prefetch(items: Generator[T, None, None] | Iterator[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items in the same order, up to ``depth`` of them made ahead of time; errors come where they would have come."""
    waiting: queue.Queue[T | BaseException | _End] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: T | BaseException | _End) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=_PATIENCE_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def fill() -> None:
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as error:  # noqa: BLE001 - raised again where the items are used
            put(error)
        finally:
            if isinstance(items, Generator):
                items.close()
        put(_End())

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
