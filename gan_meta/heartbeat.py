"""Heartbeat: each process of several says that it lives, and says so when another is silent: stopped, hung, or cut off.

A collective operation waits inside C++ for a process that does not answer, for as long as a game may last. So two threads of each
process see to it meanwhile: one counts up in the store through which the processes met, and reads the others' counts; the other,
which touches nothing that may block, looks how long they have stood still. A process that computes counts on; only one that is
stopped, whose machine hangs, or that cannot be reached does not. Silence is counted in this process's own beats: those of a time in
which it was stopped itself do not count.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Protocol

logger = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two beats."""
SILENCE = 20.0
"""Seconds of silence after which it is said."""
LOST = 300.0
"""Seconds of silence after which a process that waits for the silent one ends."""
_LEFT = b"left"


class Store(Protocol):
    """What is used of a torch.distributed store."""

    def set(self, key: str, value: str) -> None:
        """Put a value under a key."""

    def get(self, key: str) -> bytes:
        """The value under a key."""


class Heartbeat:
    """A context manager around the time in which the processes work together.

    Args:
        store: a connection of its own to where the processes met, since a call on it may block.
        rank, size: this process's number, and how many there are.
        beat, silence, lost: seconds, as the module's.

    Attributes:
        sentence: why this process should wait no longer; ``None`` while it may.
    """

    def __init__(
        self, store: Store, rank: int, size: int, beat: float | None = None, silence: float | None = None, lost: float | None = None
    ) -> None:
        self._store = store
        self._rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._beat = BEAT if beat is None else beat
        self._silence = SILENCE if silence is None else silence
        self._lost = LOST if lost is None else lost
        self._counts = dict.fromkeys(self._others, b"")
        self._rounds = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=target, name="heartbeat", daemon=True) for target in (self._talk, self._listen)]
        self.sentence: str | None = None
        store.set(_key(rank), "0")

    def __enter__(self) -> Heartbeat:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def _talk(self) -> None:
        """Beat, and hear the others; ends when the store is gone, and then the next collective operation says so."""
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            while not self._over.wait(self._beat):
                self._rounds += 1
                self._store.set(_key(self._rank), str(self._rounds))
                self._counts = {other: self._store.get(_key(other)) for other in self._others}
            self._store.set(_key(self._rank), _LEFT.decode())

    def _listen(self) -> None:
        """See how long each count has stood still, in this process's own beats."""
        silent: dict[object, float] = dict.fromkeys(("the store", *self._others), 0.0)
        before: dict[object, object] = {}
        talking = self._threads[0]
        while not self._over.wait(self._beat) and talking.is_alive():
            now: dict[object, object] = {"the store": self._rounds}
            for other, count in self._counts.items():
                now[other] = count
            stands = now["the store"] == before.get("the store")
            for name in silent:
                if now[name] == _LEFT or now[name] != before.get(name):
                    if silent[name] >= self._silence:
                        logger.warning("%s answers again", self._named(name))
                    silent[name] = 0.0
                elif name == "the store" or not stands:  # while the store is silent nothing is known of the others
                    silent[name] += self._beat
                    self._say(name, silent[name])
            before = now
            if not any(seconds >= self._lost for seconds in silent.values()):
                self.sentence = None

    def _say(self, name: object, seconds: float) -> None:
        if self._silence <= seconds < self._silence + self._beat:
            logger.error(
                "%s has given no sign of life for %.0f seconds: its process is stopped, or its machine hangs or cannot be reached; this "
                "one (rank %d) waits for it, and ends after %.0f seconds of silence",
                *(self._named(name), seconds, self._rank, self._lost),
            )
        if seconds >= self._lost:
            self.sentence = f"{self._named(name)} has given no sign of life for {seconds:.0f} seconds"

    def _named(self, name: object) -> str:
        return f"rank {name}" if isinstance(name, int) else "rank 0 (or torchrun on its machine), where the processes meet,"


def _key(rank: int) -> str:
    return f"beat/{rank}"
