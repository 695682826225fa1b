"""Interruption: Ctrl-C and SIGTERM are noted while training works, and answered where nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 0}
_SAME_PRESS = 2.0
"""Seconds within which a launcher may hand on the Ctrl-C that the terminal sent already."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop, has saved its state, and can go on later; the message says how.

    Attributes:
        exit_code: what a command should end with: 130 after Ctrl-C, 0 after SIGTERM, which asks for an orderly end.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WorkAbandoned(BaseException):
    """Raised inside work that may be left unfinished, to leave it; never leaves this library."""


class Interruption:
    """Notes SIGINT and SIGTERM for the length of a block, in the main thread of a process; elsewhere it notes nothing.

    A second Ctrl-C is not noted: it ends the work at once with KeyboardInterrupt.

    Attributes:
        requested: the signal that came, if one did.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._since = 0.0
        self._may_abandon = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _EXIT_CODES}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @contextlib.contextmanager
    def abandonable(self, allowed: bool = True) -> Iterator[None]:
        """Around work that changes nothing that is kept: a signal ends it at once with :class:`WorkAbandoned`."""
        self._may_abandon = allowed
        try:
            if allowed and self.requested is not None:
                raise WorkAbandoned
            yield
        finally:
            self._may_abandon = False

    def number(self) -> int:
        """The signal's number; 0 while none has come."""
        return int(self.requested or 0)

    def ended(self, number: int, where: str) -> TrainingInterrupted:
        """The error to raise when the state is saved.

        Args:
            number: of the signal, which another rank may have got; 0 for this process's own.
            where: what was reached, and where the state lies.
        """
        came = signal.Signals(number) if number else self.requested or signal.SIGTERM
        return TrainingInterrupted(f"stopped by {came.name} {where}; start it again in the same way to go on", _EXIT_CODES[came])

    def _note(self, number: int, _frame: FrameType | None) -> None:
        again = self.requested is not None and time.monotonic() - self._since > _SAME_PRESS
        if again and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.requested is None:
            self.requested, self._since = signal.Signals(number), time.monotonic()
        if self._may_abandon:
            self._may_abandon = False
            raise WorkAbandoned
