"""Processes that append to one log, for tests that need many of them, or need them killed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from imtkit.model.entries import Draft

_WORK = multiprocessing.get_context("forkserver")
"""Its server imports the store once; a worker is then forked in milliseconds."""
_WORK.set_forkserver_preload(["imtkit.store.log", "sqlalchemy.dialects.sqlite.pysqlite"])


@dataclass(frozen=True)
class Job:
    """What one process appends: ``keys``, one entry each, in this order."""

    url: str
    incident: str
    keys: Sequence[str]
    padding: int = 0


@dataclass
class Appender:
    """A process at work, and the keys whose append it was told is stored."""

    process: BaseProcess
    acknowledged: list[str] = field(default_factory=list)

    def kill(self) -> None:
        self.process.kill()  # SIGKILL


def _append_all(job: Job, acknowledge: Connection) -> None:
    from imtkit.store import open_store

    store = open_store(job.url)
    for key in job.keys:
        data = {"text": key, "padding": "x" * job.padding}
        store.append(job.incident, Draft("note.added", data, actor="Ann", key=key))
        acknowledge.send(key)
    store.close()


def run_all(
    jobs: Sequence[Job], *, on_acknowledged: Callable[[Appender], None] = lambda _: None
) -> list[Appender]:
    """Run each job in a process of its own to its end; what each was told, in order."""
    appenders: dict[Connection, Appender] = {}
    for job in jobs:
        ours, theirs = _WORK.Pipe(duplex=False)
        process = _WORK.Process(target=_append_all, args=(job, theirs), daemon=True)
        process.start()
        theirs.close()
        appenders[ours] = Appender(process)
    open_ends = set(appenders)
    ends_at = time.monotonic() + 120
    while open_ends:
        assert time.monotonic() < ends_at, "the appenders did not end in time"
        for end in wait(list(open_ends), timeout=5):
            assert isinstance(end, Connection)
            try:
                appenders[end].acknowledged.append(end.recv())
            except EOFError:
                open_ends.discard(end)
                end.close()
            else:
                on_acknowledged(appenders[end])
    for appender in appenders.values():
        appender.process.join(30)
    return list(appenders.values())
