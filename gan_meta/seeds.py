"""Seeds derived from seeds: every random draw is a function of named numbers, never of what ran before it."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_meta.threads import waits_for_this_thread

_CPU = -1
"""The CPU among the numbers of GPUs."""


def derive_seed(seed: int, *parts: int | str) -> int:
    """A 63-bit seed that depends on ``seed`` and on each of ``parts``, in order, and on nothing else.

    Args:
        seed: any integer, negative ones included.
        parts: integers or short names, for example ``derive_seed(0, "task", iteration, index)``.

    Example:
        >>> derive_seed(0, "step", 3) == derive_seed(0, "step", 3) != derive_seed(0, "step", 4)
        True
    """
    # A sign bit and a kind bit keep 1, -1 and "1" apart; SeedSequence's mixing is stable across numpy versions.
    words: list[int] = []
    for part in (seed, *parts):
        if isinstance(part, str):
            words += [2, zlib.crc32(part.encode())]
        else:
            words += [int(part < 0), abs(int(part))]
    low, high = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return (int(high) << 32 | int(low)) & (2**63 - 1)


class _Turn:
    """Whose turn it is: the generators belong to the whole process, so one thread at a time draws from them.

    Attributes:
        between: the GPUs of a :func:`between_blocks`, while nothing is drawn in it; ``None`` outside of any.
    """

    def __init__(self) -> None:
        self._renew()
        # A fork copies the lock as it is, held perhaps by a thread that the child has not got: the child begins with its own.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self._holder: int | None = None
        self.between: list[int] | None = None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """A block in which it is this thread's turn.

        Raises:
            RuntimeError: when the thread whose turn it is waits for this one, which would wait for it forever.
        """
        lock = self._lock
        while not lock.acquire(timeout=_LOOK):
            if self._holder is not None and waits_for_this_thread(self._holder):
                raise RuntimeError(
                    "two threads wait for each other: a game's loss, dataset or task source waits in one thread for this one, which is to "
                    "draw random numbers for a game, too, and waits for its turn; play that game in the thread that needs it"
                )
        outer, self._holder = self._holder, threading.get_ident()
        try:
            yield
        finally:
            self._holder = outer
            lock.release()


_LOOK = 1.0
"""Seconds that a thread waits for its turn before it looks whether that can come."""
_TURN = _Turn()


@dataclass(frozen=True, eq=False)
class RandomState:
    """The states of the generators that code draws from when it names none: Python's, numpy's and torch's. Equal if all are.

    Attributes:
        python, numpy: as ``random.getstate()`` and ``numpy.random.get_state()`` give them.
        devices: torch's, by the number of the GPU, -1 for the CPU.
    """

    python: tuple[Any, ...]
    numpy: tuple[Any, ...]
    devices: Mapping[int, Tensor]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RandomState):
            return NotImplemented
        (kind, words, *rest), (other_kind, other_words, *other_rest) = self.numpy, other.numpy
        return (
            self.python == other.python
            and (kind, rest) == (other_kind, other_rest)
            and bool(np.array_equal(words, other_words))
            and self.devices.keys() == other.devices.keys()
            and all(torch.equal(state, other.devices[number]) for number, state in self.devices.items())
        )

    def restore(self) -> None:
        """Put the generators back into these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - the generator that others draw from
        for number, state in self.devices.items():
            if number == _CPU:
                torch.set_rng_state(state)
            else:
                torch.cuda.set_rng_state(state, number)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Run a block with Python's, numpy's and torch's global generators seeded, and put them back afterwards.

    One thread at a time is in such a block, in which others may be nested; another thread waits, so that each draws what it would
    draw alone. A thread that draws from these generators outside of any such block is not kept from it.

    Args:
        device: whose generators are seeded, besides the CPU's; by default those of all GPUs that this process uses.

    Raises:
        RuntimeError: when the thread that is in such a block waits for this one.
    """
    with _TURN.taken():
        between = _TURN.between
        before = random_state(device) if between != _gpus(device) else None
        try:
            _TURN.between = None
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            for number in _gpus(device):
                torch.cuda.default_generators[number].manual_seed(seed)
            yield
        finally:
            _TURN.between = between
            if before is not None:
                before.restore()


@contextlib.contextmanager
def between_blocks(device: torch.device | None = None) -> Iterator[None]:
    """Around several seeded blocks of this device, between which nothing is drawn: the generators are put back once, at the end.

    Taking and putting back their states costs a tenth of a millisecond, which a small game would pay in every iteration.
    """
    with _TURN.taken():
        before, outer = random_state(device), _TURN.between
        try:
            _TURN.between = _gpus(device)
            yield
        finally:
            _TURN.between = outer
            before.restore()


def random_state(device: torch.device | None = None) -> RandomState:
    """The states of the global generators that code on this device, or by default on any in use, draws from."""
    states = {_CPU: torch.get_rng_state(), **{number: torch.cuda.get_rng_state(number) for number in _gpus(device)}}
    return RandomState(random.getstate(), np.random.get_state(), states)  # type: ignore[arg-type]  # noqa: NPY002


def _gpus(device: torch.device | None) -> list[int]:
    if device is None:
        return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]
