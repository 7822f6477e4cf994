"""Whose turn it is: requested runs wait here until a worker takes them. The only door to DBOS.

The log stays the only truth about runs: what is lost here is asked for again from the log, and
what is found here twice is done once, because the log knows it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Protocol
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
_LOOK_SECONDS = 0.1  # how often a worker looks for work: 2 ms of work each time on SQLite
_NAPS = (1.0, 2.0, 5.0, 10.0, 30.0)  # between the tries of what may be tried again
_WAITING = ("ENQUEUED", "PENDING", "DELAYED")


@dataclass(frozen=True, slots=True)
class Request:
    """A run that was asked for, by its id, and the incident it belongs to."""

    run: str
    incident: str


class Presence(Protocol):
    """How workers know of each other.

    ``is_certain``: who is gone has ended. Otherwise it may only have been cut off for a moment.
    """

    is_certain: bool

    def hold(self) -> None:
        """Say, or go on saying, that this worker is alive."""
        ...

    def gone(self, names: Collection[str]) -> set[str]:
        """Those of these workers that are not."""
        ...

    def has_left(self, name: str) -> bool:
        """Whether this worker is not; waits until that is sure."""
        ...

    def let_go(self) -> None:
        """Say that this worker is no longer there."""
        ...


CarryOut = Callable[[Request], None]
"""Returns when the run has ended or waits for a person, whatever became of it."""


class Queue:
    """Requested runs, in order of priority and age. DBOS allows one that serves in a process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: DBOSClient | None = None
        self._serving: type[DBOS] | None = None
        self._presence: Presence | None = None
        self._executor = ""
        self._suspects: set[str] = set()
        self._is_ending = Event()

    def enqueue(self, run_id: str, *, incident: str, priority: int = LAST) -> None:
        """Have a run wait for a worker; one that waits or goes on already is left as it is.

        What ended here once waits again: only the log says whether a run is over.
        """
        client = self._opened()
        for known in client.list_workflows(
            workflow_ids=[run_id], load_input=False, load_output=False
        ):
            if known.status in _WAITING:
                return
            client.delete_workflow(run_id)
        client.enqueue(
            {
                "workflow_name": _WORKFLOW,
                "queue_name": _QUEUE,
                "workflow_id": run_id,
                "priority": max(1, priority),
                "app_version": _VERSION,
            },
            run_id,
            incident,
        )

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
        tried again is; any other ends the run's waiting, and never the worker. ``at_once`` is
        kept with the queue: of workers that say different numbers, the last one's counts.
        """
        from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

        self._prepare()
        self._executor = executor_name(this_process())

        def work(run: str, incident: str) -> None:
            self._patiently(carry_out, Request(run, incident))

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
            DBOS(config=config)
            DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)(work)
            DBOS.listen_queues([_QUEUE])
            DBOS.launch()
            DBOS.register_queue(
                _QUEUE,
                worker_concurrency=min(at_once, over_all or at_once),
                global_concurrency=over_all or None,
                polling_interval_sec=_LOOK_SECONDS,
                on_conflict="always_update",
            )
            undo.pop_all()
        self._serving, self._presence = DBOS, presence

    def take_over(self) -> list[str]:
        """Have those runs wait again whose worker is gone; the workers that are.

        To be called every few seconds. Where it is not certain that a worker is gone, it is taken
        for gone when it was so twice.
        """
        if self._serving is None or self._presence is None:
            return []
        self._presence.hold()
        pending = self._serving.list_workflows(
            status="PENDING", queue_name=_QUEUE, load_input=False, load_output=False
        )
        others = {str(one.executor_id) for one in pending} - {self._executor}
        missing = self._presence.gone(others) if others else set()
        gone = sorted(missing if self._presence.is_certain else missing & self._suspects)
        self._suspects = missing
        if gone:
            # One guarded statement for each run: of two workers that take over, one does. With
            # cancel_workflow and resume_workflow a run that the other has begun already would be
            # begun again, and a death between the two would leave it cancelled.
            self._serving._recover_pending_workflows(gone)  # DBOS has no other
        return gone

    def is_gone(self, process: Process) -> bool:
        """Whether a process that was a worker has ended, on whichever machine it was."""
        name = executor_name(process)
        if process.is_gone:
            return True
        return self._presence is not None and self._presence.has_left(name)

    def stop(self) -> None:
        """Take no more runs. Those that go on here are another's to go on with, once this ends."""
        self._is_ending.set()
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
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _patiently(self, carry_out: CarryOut, request: Request) -> None:
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


def open_queue(settings: Settings) -> Queue:
    """The queue of the workspace's log: in a file beside it, or in the same PostgreSQL.

    Nothing is loaded or connected before it is used. ConfigError when the log is in memory.
    """
    kind, _, rest = settings.store_url.partition("://")
    place, _, query = rest.partition("?")
    if kind.startswith("postgres"):
        options = urlencode([one for one in parse_qsl(query) if one[0] != "timeout"])
        return Queue(f"postgresql://{place}{options and '?'}{options}")
    path = Path(place.removeprefix("/"))
    if not path.name or path.name == ":memory:":
        raise ConfigError(
            "A log in memory has no queue: no worker could see it.",
            hint="Keep the log in a file or in PostgreSQL: [store] url in imt.toml.",
        )
    return Queue(f"sqlite:///{path.with_name(f'{path.stem}-queue.db')}")


def executor_name(process: Process) -> str:
    """What a worker is called, by its process: its machine, its number, and when it began."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", process.host)
    return f"{host}-{process.pid}-{hashlib.sha256(process.started.encode()).hexdigest()[:12]}"
