"""One thread turns what was kept into alerts, and has the runs queued that they ask for."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Event, Thread

from imtkit.errors import StoreError
from imtkit.kit import Desk, intake, requests
from imtkit.kit.intake import Progress
from imtkit.runs.queue import Queue
from imtkit.web.metrics import Metrics
from imtkit.web.office import Office

log = logging.getLogger(__name__)

_POLL_SECONDS = 3.0
"""How often it looks by itself: another server may have kept something."""

_RUSH_SECONDS = 0.2
"""How long after a delivery was kept the next ones may be on their way."""

_MOST_LAG = 5.0
"""Seconds behind, from which on it rests no more: then senders wait a little longer."""

_REST = 2.0
"""How many times as long as it worked it rests in a rush."""

_MOST, _PAGE = 100, 10
"""How many deliveries are handled in a pass; and how many in a rush."""

_REQUESTS_SECONDS = 30.0
"""How often all incidents are looked through for runs that are in no queue."""


_TOLD_EACH = 100
"""Of how many failed passes in a row one is logged."""


@dataclass(frozen=True, slots=True)
class State:
    """How the consumer is. ``fault`` is the kind of error that its last pass met: no more, for
    anybody may ask. ``lag`` is in seconds.
    """

    is_alive: bool
    fault: str
    faults: int
    unhandled: int
    lag: float

    @property
    def is_well(self) -> bool:
        """Whether what is kept becomes alerts."""
        return self.is_alive and not self.fault


class Consumer:
    """Handles kept deliveries in their order, woken by whoever kept one."""

    def __init__(self, office: Office, metrics: Metrics, queue: Queue | None) -> None:
        self._office, self._metrics, self._queue = office, metrics, queue
        self._all_queued_at = float("-inf")
        self._progress: Progress | None = None
        self._newest = 0
        self._kept_at = float("-inf")
        self._fault, self._faults = "", 0
        self._caught_up_at = time.monotonic()
        self._wake, self._over = Event(), Event()
        self._thread = Thread(target=self._work, name="imt-consumer", daemon=True)

    @property
    def state(self) -> State:
        """How it is now."""
        through = self._progress.through if self._progress else 0
        unhandled = max(0, self._newest - through)
        lag = time.monotonic() - self._caught_up_at if unhandled or self._fault else 0.0
        return State(self._thread.is_alive(), self._fault, self._faults, unhandled, lag)

    def start(self) -> None:
        """Begin with what earlier servers left."""
        self._thread.start()

    def wake(self, newest: int) -> None:
        """Say that a delivery was kept, at this position of the chain."""
        self._newest = max(self._newest, newest)
        self._kept_at = time.monotonic()
        self._wake.set()

    def close(self, seconds: float) -> None:
        """End after the delivery that is being handled; a later start goes on with the next."""
        self._over.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _work(self) -> None:
        while not self._over.is_set():
            self._wake.clear()
            began_at = time.monotonic()
            if not self._pass():
                self._wake.wait(_POLL_SECONDS)
            elif self._is_rush:
                self._over.wait(_REST * (time.monotonic() - began_at))

    @property
    def _is_rush(self) -> bool:
        """Whether more comes in than becomes alerts. Then it rests longer than it works: senders
        wait for their answers, and post again what is not answered in time.
        """
        is_going_on = time.monotonic() - self._kept_at < _RUSH_SECONDS
        state = self.state
        return is_going_on and state.unhandled > _PAGE and state.lag < _MOST_LAG

    def _pass(self) -> bool:
        """Handle what waits, and say whether more may; no fault ends the thread."""
        try:
            is_more = self._office.now(self._handle)
        except StoreError as error:
            self._failed(error, trace=False)
            return False
        except Exception as error:  # noqa: BLE001 # the outermost frame of this thread
            self._failed(error, trace=True)
            return False
        if self._faults:
            log.warning("Deliveries are handled again, after %d failed passes.", self._faults)
        self._fault, self._faults = "", 0
        if not is_more:
            self._caught_up_at = time.monotonic()
        return is_more

    def _failed(self, error: Exception, *, trace: bool) -> None:
        """Say what is wrong, though not each time, and give it time to pass."""
        self._fault = type(error).__name__
        self._faults += 1
        self._all_queued_at = float("-inf")  # what was asked for may not be in the queue
        if self._faults % _TOLD_EACH == 1:
            log.warning("Kept deliveries wait; it is tried again: %s", error, exc_info=trace)
        self._over.wait(min(0.2 * self._faults, _POLL_SECONDS))

    def _handle(self, desk: Desk) -> bool:
        before = self._progress or intake.progress(desk)
        most = _PAGE if self._is_rush else _MOST
        after = intake.handle_next(desk, before, most=most, is_over=self._over.is_set)
        self._metrics.handled(after.handled - before.handled, after.refused - before.refused)
        self._progress = after
        self._enqueue(desk, after.incidents)  # first: what it asked for waits for nothing else
        self._progress = intake.mark(desk, after)
        return after.through > before.through

    def _enqueue(self, desk: Desk, incidents: frozenset[str]) -> None:
        """Have workers be told of the runs that were asked for: here, and now and then anywhere."""
        if self._queue is None:
            return
        now = time.monotonic()
        is_time = now - self._all_queued_at > _REQUESTS_SECONDS
        if is_time:
            requests.enqueue_requested(desk, self._queue)
            self._all_queued_at = now
        elif incidents:
            requests.enqueue_requested(desk, self._queue, incident_ids=incidents)
