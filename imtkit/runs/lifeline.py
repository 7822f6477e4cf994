"""How a process ends by itself when the one that started it is gone, however that one ended."""

from __future__ import annotations

import os
import signal
from threading import Thread, main_thread


def end_with(pipe: int) -> None:
    """Have this process end, as on SIGTERM, once nobody holds the other end of a pipe any more.

    ``pipe`` is the descriptor to read from; nobody ever writes. The system closes the other end
    when its holder is gone, also by ``kill -9``, before this process began to listen or later.
    """
    Thread(target=_wait_for_its_end, args=(pipe,), name="imt-lifeline", daemon=True).start()


def _wait_for_its_end(pipe: int) -> None:
    while os.read(pipe, 64):
        pass
    # The main thread waits for what happens to it; a signal that another thread gets wakes it not.
    signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)
