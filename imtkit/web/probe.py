"""Whether the log takes entries, for machines that ask it all the time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from imtkit.errors import StoreError
from imtkit.kit import Desk
from imtkit.model.entries import WORKSPACE
from imtkit.web.office import Office


class Probe:
    """Tries whether the log takes entries: one try at a time, in a thread of its own.

    While another writer holds the log a try waits long, and none of those who work at pages may
    be kept by it. ``patience`` is how many seconds whoever asks waits for a try.
    """

    def __init__(self, office: Office, *, patience: float) -> None:
        self._office = office
        self._patience = patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imt-probe")
        self._try: asyncio.Future[str] | None = None

    async def fault(self) -> str:
        """Why the log takes no entries now; empty when it does."""
        if self._try is None or self._try.done():
            loop = asyncio.get_running_loop()
            self._try = loop.run_in_executor(self._thread, self._tried)
        done, _ = await asyncio.wait([self._try], timeout=self._patience)
        return self._try.result() if done else f"did not answer within {self._patience:.0f} seconds"

    def close(self) -> None:
        """Try no more; a try that waits is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _tried(self) -> str:
        try:
            self._office.now(_check_writable)
        except StoreError as error:
            return type(error).__name__  # where the log lies is nobody's business here
        return ""


def _check_writable(desk: Desk) -> None:
    """StoreError unless an alert could be kept now. Nothing is, and the log does not grow."""
    from imtkit.store.room import check_room

    desk.store.append(WORKSPACE)  # nothing, when it is our turn to write
    check_room(desk.settings.store_url)
