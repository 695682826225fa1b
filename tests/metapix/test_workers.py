"""Signals: what ends a command in order, and what a user has asked to be ignored."""

from __future__ import annotations

import signal

import pytest
from metapix.workers import unwinding_when_told_to_end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_block_as_an_exception_and_the_handler_before_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as left, unwinding_when_told_to_end(5):
        signal.raise_signal(number)
    assert left.value.code == 5
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under nohup, whose command goes on when the terminal closes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with unwinding_when_told_to_end():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
