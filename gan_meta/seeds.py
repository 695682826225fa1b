"""Seeds derived from seeds: every random draw is a function of named numbers, never of what ran before it."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


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


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run a block with torch's global generators seeded, and put them back as they were afterwards."""
    before = random_state(device)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    try:
        yield
    finally:
        restore_random_state(before, device)


def random_state(device: torch.device) -> list[Tensor]:
    """The states of the global generators that code on this device draws from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def restore_random_state(states: list[Tensor], device: torch.device) -> None:
    """Put the global generators back into states taken by :func:`random_state`."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
