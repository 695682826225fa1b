"""Who is silent is named, once; who computes or has left in order is not; and nothing is known while the store is silent."""

from __future__ import annotations

import contextlib
import threading
import time

from gan_meta.heartbeat import Heartbeat


class Memory:
    """A store in memory, which can be made to block or to break."""

    def __init__(self):
        self.values = {f"beat/{rank}": b"0" for rank in range(3)}  # each rank says so before it begins
        self.open, self.is_broken = threading.Event(), False
        self.open.set()

    def set(self, key, value):
        self.open.wait()
        if self.is_broken:
            raise RuntimeError("gone")
        self.values[key] = value.encode()

    def get(self, key):
        self.open.wait()
        return self.values[key]


QUICK = {"beat": 0.02, "silence": 0.2, "lost": 0.5}


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_silent_rank_is_named_once_and_an_answer_takes_it_back(caplog):
    store = Memory()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Heartbeat(store, 0, 3, **QUICK))
        second = stack.enter_context(Heartbeat(store, 1, 3, **QUICK))
        wait_until(lambda: first.sentence and second.sentence)
        assert first.sentence.startswith("rank 2 has given no sign of life for ")
        assert [record.getMessage()[:40] for record in caplog.records] == ["rank 2 has given no sign of life for 0 s"] * 2
        store.set("beat/2", "1")
        wait_until(lambda: first.sentence is None and second.sentence is None)
        assert "rank 2 answers again" in caplog.text


def test_living_ranks_and_those_that_left_are_not_silent(caplog):
    store = Memory()
    with Heartbeat(store, 0, 2, **QUICK) as first:
        with Heartbeat(store, 1, 2, **QUICK):
            time.sleep(0.6)
        time.sleep(0.6)
        assert store.values["beat/1"] == b"left"
        assert first.sentence is None
    assert caplog.text == ""


def test_while_the_store_is_silent_only_its_keeper_is_named(caplog):
    store = Memory()
    with Heartbeat(store, 0, 2, **QUICK) as one:
        store.open.clear()
        wait_until(lambda: one.sentence)
        assert one.sentence.startswith("rank 0 (or torchrun on its machine), where the processes meet, has given no sign of life")
        assert "rank 1 has" not in caplog.text
        store.open.set()
        store.is_broken = True
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_store_that_is_gone_ends_the_watch_without_a_word(caplog):
    store = Memory()
    with Heartbeat(store, 0, 2, **QUICK) as one:
        store.is_broken = True
        wait_until(lambda: not any(thread.name == "heartbeat" for thread in threading.enumerate()))
        assert one.sentence is None
    assert caplog.text == ""
