"""A lock that threads get in the order in which they ask for it."""

from __future__ import annotations

from collections import deque
from threading import Event, Lock


class Turns:
    """One thread at a time, first come first served: Python's own lock may go to whoever asks last,
    so that one who writes all the time starves the others.
    """

    def __init__(self) -> None:
        self._mutex = Lock()
        self._waiting: deque[Event] = deque()
        self._is_taken = False

    def come(self, seconds: float) -> bool:
        """Wait for one's turn; whether it came in so many seconds. Then ``give_on`` is owed."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = Event()
            self._waiting.append(mine)
        try:
            return mine.wait(seconds) or not self._is_left(mine)
        except BaseException:  # Ctrl-C while it waits
            if not self._is_left(mine):
                self.give_on()
            raise

    def _is_left(self, mine: Event) -> bool:
        """Whether who waited stands in the row no more; not when it has its turn already."""
        with self._mutex:
            if mine.is_set():
                return False
            self._waiting.remove(mine)
            return True

    def give_on(self) -> None:
        """Let the next have its turn."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
