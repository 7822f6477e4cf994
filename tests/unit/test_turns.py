"""Turns that threads take in the order in which they ask."""

from __future__ import annotations

import signal
import time
from threading import Event, Thread, get_ident, main_thread

import pytest

from imtkit.store.turns import Turns


def waiting(turns: Turns, count: int) -> None:
    """Wait until so many stand in the row."""
    ends_at = time.monotonic() + 20
    while len(turns._waiting) < count:
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def test_who_asks_first_comes_first():
    """Also before one who has just had a turn and asks again at once."""
    turns, told = Turns(), []

    def work(name: int) -> None:
        assert turns.come(20)
        told.append(name)
        turns.give_on()

    assert turns.come(0)
    threads = []
    for number in range(8):
        threads.append(Thread(target=work, args=(number,)))
        threads[-1].start()
        waiting(turns, number + 1)
    turns.give_on()
    work(8)
    for thread in threads:
        thread.join(20)
    assert told == list(range(9))


def test_one_at_a_time_and_all_of_them():
    """Many threads that come and go leave the turn free, and were never two at it."""
    turns, at_it, most = Turns(), [], []

    def work() -> None:
        for _ in range(50):
            assert turns.come(20)
            at_it.append(get_ident())
            most.append(len(at_it))
            at_it.pop()
            turns.give_on()

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 400
    assert turns.come(0)


def test_who_waited_in_vain_keeps_nobody_waiting():
    """Its place in the row is gone with it."""
    turns = Turns()
    assert turns.come(0)
    assert not turns.come(0.01)
    turns.give_on()
    assert turns.come(0)


def test_ctrl_c_while_one_waits_keeps_nobody_waiting():
    """The row goes on without who was interrupted, who hears of it."""
    turns, over = Turns(), Event()
    assert turns.come(0)

    def interrupt() -> None:
        waiting(turns, 1)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)
        over.set()

    thread = Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        turns.come(20)
    assert over.wait(20)
    thread.join()
    turns.give_on()
    assert turns.come(0)
