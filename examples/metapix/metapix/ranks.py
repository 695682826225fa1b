"""The processes of one command under torchrun: connected for its length; what goes wrong is said once, by the one it went wrong in."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import gan_meta as gm
from gan_meta.distributed import LostRankError, OtherRankError, World
from metapix.errors import Ended, InputError

T = TypeVar("T")

_AFTER_CTRL_C = 130


@contextlib.contextmanager
def connected(device: str) -> Iterator[World]:
    """The processes that torchrun started, for the length of a command; a command started by hand is alone.

    Raises:
        InputError: when they cannot work on this device.
        Ended: when training was asked to stop and has saved its state, or another process stopped or was lost.
    """
    with contextlib.ExitStack() as stack:
        try:
            world = stack.enter_context(gm.distributed.connect(device))
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"cannot work on the device {device!r}: {str(error).splitlines()[0]}") from error
        if not world.is_first:  # what all have to say is said by the first
            logging.getLogger().setLevel(logging.ERROR)
        with _ended_in_words(world):
            yield world


def in_turn(world: World, action: Callable[[], T]) -> T:
    """What an action gives, on every process, the first one before the others.

    So what it refuses is refused once, and what it leaves on the disk is there for the others.

    Raises:
        OtherRankError: on the others, when the first raised an error.
    """
    given: list[T] = []
    world.on_first(lambda: given.append(action()))
    return given[0] if world.is_first else action()


@contextlib.contextmanager
def _ended_in_words(world: World) -> Iterator[None]:
    try:
        yield
    except gm.TrainingInterrupted as stopped:
        raise Ended(str(stopped) if world.is_first else "", stopped.exit_code) from stopped
    except KeyboardInterrupt as pressed:
        if world.is_first:
            raise
        raise Ended("", _AFTER_CTRL_C) from pressed
    except OtherRankError as other:
        raise Ended("", 2) from other
    except LostRankError as lost:
        sys.stderr.write(f"metapix: process {world.rank} of {world.size}: {lost}\n")  # at once: torchrun is about to end this one, too
        raise Ended("", 2) from lost
