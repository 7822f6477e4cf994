"""Whose turn it is: requested runs wait here until a worker takes them. The only door to DBOS.

The log stays the only truth about runs: what is lost here is asked for again from the log, and
what is found here twice is done once, because the log knows it.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlencode

from imtkit.config import Settings
from imtkit.errors import ConfigError, ImtkitError
from imtkit.runs.lease import Process, this_process

if TYPE_CHECKING:
    from dbos import DBOS, DBOSClient

LAST = 1000
"""The priority of what has none; 1 comes first."""

_APPLICATION = "imtkit"
_VERSION = "1"  # pinned: with the version of the code, a new release would orphan what waits
_SCHEMA = "imtkit_queue"
_QUEUE = "runs"
_WORKFLOW = "carry_out_run"
_LOOK_SECONDS = 1.0  # how often a worker looks for work though nobody rang: 2 ms of work each time
_SOON = (0.02, 0.05, 0.1, 0.3)  # the looks after it rang: another worker may have been in the way
_LEAST_SECONDS = 0.01  # between two rings that are heard
_BEGUN_SECONDS = 0.25  # after which what a look took has begun, if not before
_NAPS = (1.0, 2.0, 5.0, 10.0, 30.0)  # between the tries of what may be tried again
_LOOKS_UNKNOWN = 4  # how often in a row a claim is seen that this worker knows nothing of
_WAITING = ("ENQUEUED", "PENDING", "DELAYED")
_OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_CLEARED_AT_ONCE = 1000
_NO_SILENCE = (
    # of the connections to PostgreSQL, as the log's: a host that is gone is missed within seconds
    ("keepalives", "1"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "3"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """A run that was asked for, by its id, and the incident it belongs to."""

    run: str
    incident: str


class Presence(Protocol):
    """How workers know of each other. Who is gone does not go on with any run."""

    def hold(self) -> None:
        """Say, or go on saying, that this worker is alive."""
        ...

    def gone(self, names: Collection[str]) -> set[str]:
        """Those of these workers that are not."""
        ...

    def missing(self, names: Collection[str]) -> set[str]:
        """Those of these workers that are not seen now; they may come back."""
        ...

    def has_left(self, name: str) -> bool:
        """Whether this worker is not; waits until that is sure."""
        ...

    def let_go(self) -> None:
        """Say that this worker is no longer there."""
        ...


class Bell(Protocol):
    """How workers hear at once that there is work. It may not be heard: then they look later."""

    def ring(self) -> None:
        """Have all workers look now."""
        ...

    @property
    def is_heard(self) -> bool:
        """Whether any worker listens now."""
        ...

    def wait(self, seconds: float) -> bool:
        """Whether it rang within these seconds; an ImtkitError when nobody could hear it."""
        ...

    def close(self) -> None:
        """Ring and listen no more."""
        ...


CarryOut = Callable[[Request], None]
"""Returns when the run has ended or waits for a person, whatever became of it."""


class Queue:
    """Requested runs, in order of priority and age. DBOS allows one that serves in a process.

    Without a ``bell`` workers find what is new at their next look.
    """

    def __init__(self, url: str, bell: Bell | None = None) -> None:
        self._url = url
        self._bell = bell
        self._client: DBOSClient | None = None
        self._serving: type[DBOS] | None = None
        self._presence: Presence | None = None
        self._looks: _Looks | None = None
        self._executor = ""
        self._at_hand: list[str] = []
        self._unknown: dict[str, int] = {}
        self._is_ending = Event()

    def enqueue(self, wanted: Mapping[Request, int]) -> list[str]:
        """Have runs wait for a worker, each with its priority (1 comes first); the new ones' ids.

        One that waits or goes on already is left as it is. What ended here once waits again: only
        the log says whether a run is over.
        """
        if not wanted:
            return []
        client = self._opened()
        known = client.list_workflows(
            workflow_ids=[one.run for one in wanted], load_input=False, load_output=False
        )
        waiting = {one.workflow_id for one in known if one.status in _WAITING}
        over = [one.workflow_id for one in known if one.workflow_id not in waiting]
        if over:
            client.delete_workflows(over)
        missing = sorted(
            (one for one in wanted if one.run not in waiting),
            key=lambda one: (wanted[one], one.run),
        )
        for one in missing:
            client.enqueue(
                {
                    "workflow_name": _WORKFLOW,
                    "queue_name": _QUEUE,
                    "workflow_id": one.run,
                    "priority": max(1, wanted[one]),
                    "app_version": _VERSION,
                },
                one.run,
                one.incident,
            )
        if missing and self._bell is not None:
            self._bell.ring()
        return sorted(one.run for one in missing)

    @property
    def is_served(self) -> bool:
        """Whether any worker listens for what is new; StoreError when nobody can tell now."""
        return self._bell is not None and self._bell.is_heard

    def clear(self, older_than: timedelta) -> int:
        """Forget what ended here longer ago than this, a bounded number at once; how many."""
        client = self._opened()
        over = client.list_workflows(
            status=list(_OVER),
            queue_name=_QUEUE,
            completed_before=(datetime.now(UTC) - older_than).isoformat(),
            limit=_CLEARED_AT_ONCE,
            load_input=False,
            load_output=False,
        )
        if over:
            client.delete_workflows([one.workflow_id for one in over])
        return len(over)

    def waiting(self, run_ids: Collection[str]) -> set[str]:
        """Those of these runs that wait for a worker, or that one is at."""
        if not run_ids:
            return set()
        found = self._opened().list_workflows(
            workflow_ids=list(run_ids),
            status=list(_WAITING),
            load_input=False,
            load_output=False,
        )
        return {one.workflow_id for one in found}

    def serve(
        self, carry_out: CarryOut, *, presence: Presence, at_once: int, over_all: int = 0
    ) -> None:
        """Begin to take runs in this process: so many at once here, so many on all workers.

        ``carry_out`` is called in a thread of its own for each. An error that says it may be
        tried again is; any other ends the run's waiting, and never the worker. Each worker keeps
        to the numbers that it was given itself.
        """
        from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

        self._prepare()
        self._executor = this_process().name
        looks = _Looks(self._bell, self._executor)

        def work(run: str, incident: str) -> None:
            looks.began(run)
            try:
                self._patiently(carry_out, Request(run, incident))
            finally:
                looks.soon()  # there is room for another
                if over_all and self._bell is not None:
                    self._bell.ring()

        config = DBOSConfig(
            name=_APPLICATION,
            system_database_url=self._url,
            dbos_system_schema=_SCHEMA,
            executor_id=self._executor,
            application_version=_VERSION,
            serializer=DBOSPortableJSONSerializer(),
            log_level="WARNING",
            enable_otlp=False,
            use_listen_notify=False,
            scheduler_polling_interval_sec=3600.0,
            sys_db_pool_size=5,
        )
        with ExitStack() as undo:
            undo.callback(presence.let_go)
            presence.hold()
            undo.callback(DBOS.destroy, destroy_registry=True)
            dbos = DBOS(config=config)
            DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)(work)
            DBOS.listen_queues([])  # it is looked at here: DBOS's own looks cannot be hurried
            DBOS.launch()
            queue = DBOS.register_queue(_QUEUE, on_conflict="always_update")
            # Else they are kept with the queue: of workers that say different numbers, the last
            # one's would count for all.
            queue.database_backed_queue = False
            queue._worker_concurrency = min(at_once, over_all or at_once)
            queue._concurrency = over_all or None
            looks.start(dbos, queue)
            undo.pop_all()
        self._serving, self._presence, self._looks = DBOS, presence, looks

    def take_over(self) -> list[str]:
        """Have those runs wait again whose worker is gone; the workers that are.

        To be called every few seconds.
        """
        if self._serving is None or self._presence is None:
            return []
        self._presence.hold()
        pending = self._serving.list_workflows(
            status="PENDING", queue_name=_QUEUE, load_input=False, load_output=False
        )
        self._let_go_of({one.workflow_id for one in pending if one.executor_id == self._executor})
        others = {str(one.executor_id) for one in pending} - {self._executor}
        gone = sorted(self._presence.gone(others)) if others else []
        if gone:
            # One guarded statement for each run: of two workers that take over, one does. With
            # cancel_workflow and resume_workflow a run that the other has begun already would be
            # begun again, and a death between the two would leave it cancelled.
            self._serving._recover_pending_workflows(gone)  # DBOS has no other
        return gone

    def _let_go_of(self, mine: Collection[str]) -> None:
        """Forget what was given to this worker without its knowledge; it is asked for anew.

        That is so when the database goes away after it stored the claim and before it said so.
        """
        unknown = set(mine).difference(self._at_hand)
        self._unknown = {run: self._unknown.get(run, 0) + 1 for run in unknown}
        lost = [run for run, looks in self._unknown.items() if looks >= _LOOKS_UNKNOWN]
        if lost:
            self._opened().delete_workflows(lost)

    def is_gone(self, process: Process) -> bool:
        """Whether a process that ran a run has ended, on whichever machine it was.

        On this machine the system knows, also of one that is no worker, such as a terminal's.
        """
        if process.host == this_process().host:
            return process.is_gone
        return self._presence is not None and self._presence.has_left(process.name)

    def missing(self, processes: Collection[Process]) -> set[Process]:
        """Those of these processes that may have ended (see ``is_gone``); nothing is waited for.

        Of other machines only a queue that serves can tell; elsewhere they count as there.
        """
        found = {one for one in processes if one.is_gone}
        away = {one.name: one for one in processes if one.host != this_process().host}
        if away and self._presence is not None:
            found |= {away[name] for name in self._presence.missing(away)}
        return found

    def stop(self) -> None:
        """Take no more runs. Those that go on here are another's to go on with, once this ends."""
        self._is_ending.set()
        if self._looks is not None:
            self._looks.stop()
        if self._serving is not None:
            # That the end of what goes on cannot be told to the queue any more is as it should be.
            logging.getLogger("dbos").setLevel(logging.CRITICAL)
            serving, self._serving = self._serving, None
            serving.destroy(destroy_registry=True)

    def close(self) -> None:
        """Take no more runs, say that this worker is gone, and let go of the database."""
        self.stop()
        if self._presence is not None:
            self._presence.let_go()
        if self._looks is not None:
            self._looks.close()
            self._looks = None
        if self._bell is not None:
            self._bell.close()
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _patiently(self, carry_out: CarryOut, request: Request) -> None:
        self._at_hand.append(request.run)
        try:
            self._tried_again(carry_out, request)
        finally:
            self._at_hand.remove(request.run)

    def _tried_again(self, carry_out: CarryOut, request: Request) -> None:
        for nap in (*_NAPS, None):
            try:
                return carry_out(request)
            except ImtkitError as error:
                if not error.retryable or nap is None or self._is_ending.wait(nap):
                    raise
        return None

    def _opened(self) -> DBOSClient:
        from dbos import DBOSClient, DBOSPortableJSONSerializer

        if self._client is None:
            self._prepare()
            self._client = DBOSClient(
                system_database_url=self._url,
                dbos_system_schema=_SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                application_name=_APPLICATION,
                retry_connection_errors=False,
            )
        return self._client

    def _prepare(self) -> None:
        """Make the tables, where they are not there yet."""
        from dbos import DBOS

        if self._url.startswith("sqlite"):
            path = Path(self._url.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            # Kept in the file: who reads need not wait for who writes.
            with closing(sqlite3.connect(path, timeout=30)) as raw:
                raw.execute("PRAGMA journal_mode = WAL")
        DBOS.migrate(self._url, schema=_SCHEMA)


class _Looks(Event):
    """When a worker looks for work: each second, and at once when it rings.

    To DBOS it is the event that ends the looks: it waits for that between any two of them.
    """

    def __init__(self, bell: Bell | None, executor: str) -> None:
        super().__init__()
        self.begun: set[str] = set()
        self._bell = bell
        self._executor = executor
        self._looked_at = 0.0
        self._now = Event()
        self._next = iter(_SOON)
        self._threads: list[Thread] = []

    def start(self, dbos: DBOS, queue: Any) -> None:  # noqa: ANN401 # DBOS does not export it
        """Begin to look, and to listen."""
        from dbos._queue import queue_worker_thread  # DBOS has no way to be told to look now

        look = Thread(target=queue_worker_thread, args=(self, dbos, queue), name="queue-looks")
        self._threads.append(look)
        if self._bell is not None:
            self._threads.append(Thread(target=self._listen, name="queue-bell"))
        for one in self._threads:
            one.daemon = True
            one.start()

    def soon(self) -> None:
        """Look now, and a few times more in the next moments, unless that finds a run."""
        self._next = iter(_SOON)
        self._now.set()

    def began(self, run: str) -> None:
        """Note that a run was taken and goes on: nobody was in the way of the look that took it."""
        self.begun.add(run)
        self._next = iter(())

    def wait(self, timeout: float | None = None) -> bool:
        """Until the next look, which may be sooner than this; whether there is none any more."""
        usual = _LOOK_SECONDS if timeout is None else timeout
        self._now.wait(min(usual, next(self._next, usual)))
        self._now.clear()
        while not (self.is_set() or self._is_settled()):
            super().wait(_SOON[0])
        self._looked_at = time.monotonic()
        return self.is_set()

    def _is_settled(self) -> bool:
        """Whether all that the last look took has begun: DBOS counts only what has, and a look that
        came sooner would take too many.
        """
        from dbos import DBOS

        if time.monotonic() - self._looked_at >= _BEGUN_SECONDS:
            return True
        try:
            taken = DBOS.list_workflows(
                status="PENDING",
                queue_name=_QUEUE,
                executor_id=self._executor,
                load_input=False,
                load_output=False,
            )
        except Exception:  # noqa: BLE001 # the database is away: the look itself says so
            return True
        self.begun &= {one.workflow_id for one in taken}
        return len(self.begun) == len(taken)

    def stop(self) -> None:
        """Look no more, once the look that goes on is over."""
        self.set()
        self._now.set()
        for one in self._threads[:1]:
            one.join(_LOOK_SECONDS)

    def close(self) -> None:
        """Listen no more."""
        for one in self._threads[1:]:
            one.join(2 * _LOOK_SECONDS)

    def _listen(self) -> None:
        while self._bell is not None and not self.is_set():
            try:
                if self._bell.wait(_LOOK_SECONDS):
                    self.soon()
                    super().wait(_LEAST_SECONDS)  # who rings all the time is no burden
            except ImtkitError:
                super().wait(_LOOK_SECONDS)  # the looks go on, and it may come back


def open_queue(settings: Settings, bell: Bell | None = None) -> Queue:
    """The queue of the workspace's log: in a file beside it, or in the same PostgreSQL.

    Nothing is loaded or connected before it is used. ConfigError when the log is in memory.
    """
    kind, _, rest = settings.store_url.partition("://")
    place, _, query = rest.partition("?")
    if kind.startswith("postgres"):
        options = [one for one in parse_qsl(query) if one[0] != "timeout"]
        told = {name for name, _ in options}
        options += [one for one in _NO_SILENCE if one[0] not in told]
        return Queue(f"postgresql://{place}?{urlencode(options)}", bell)
    path = Path(place.removeprefix("/"))
    if not path.name or path.name == ":memory:":
        raise ConfigError(
            "A log in memory has no queue: no worker could see it.",
            hint="Keep the log in a file or in PostgreSQL: [store] url in imt.toml.",
        )
    return Queue(f"sqlite:///{path.with_name(f'{path.stem}-queue.db')}", bell)
