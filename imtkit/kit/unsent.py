"""What is still to be sent to the address of outputs: a small file for each cause.

A cause is on disk before there is anything to send, so that a process that is killed, and a depot
that is away, only put the sending off.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from imtkit.depot import writing_here
from imtkit.errors import StoreError
from imtkit.kit.desk import Desk
from imtkit.kit.files import write_whole
from imtkit.model.incident import Incident

_FOLDER = ".unsent"
_FAULT = "fault.txt"
_ENDING = ".json"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an incident's folder is to be sent; ``run`` where an attempt at it writes there."""

    name: str
    incident: str
    run: str = ""
    attempt: int = 0

    def is_due(self, incident: Incident) -> bool:
        """Whether there may be something to send: the run does not run any more."""
        run = incident.run(self.run)
        # A later attempt has a cause of its own, here or on another machine.
        return run is None or run.attempt > self.attempt or run.status != "running"

    def is_settled(self, incident: Incident) -> bool:
        """Whether nothing more comes of it, once what is there now is sent."""
        run = incident.run(self.run)
        is_held = run is not None and run.attempt == self.attempt and bool(run.holder)
        return self.is_due(incident) and not is_held


def note(desk: Desk, incident_id: str, run_id: str = "", attempt: int = 0) -> None:
    """Keep in mind that an incident's folder is to be sent; nothing where outputs stay here."""
    if not desk.settings.depot.address:
        return
    # Each has a name of its own: a pass that drops what it has sent drops nothing noted since.
    name = f"{Path(run_id).name or incident_id}.{uuid4().hex[:12]}"
    cause = Cause(name, incident_id, run_id, attempt)
    with suppress(StoreError):  # a full disk must not keep a run from going on
        told = json.dumps(asdict(cause)).encode()
        write_whole(_folder(desk) / f"{cause.name}{_ENDING}", told)


@contextmanager
def noted(desk: Desk, incident_id: str) -> Iterator[None]:
    """Keep in mind that something is to be sent that is told to the log meanwhile.

    Before, because a process may be killed; and after, because a pass in between does not see in
    the log what it is for, and drops it.
    """
    note(desk, incident_id)
    try:
        yield
    finally:
        note(desk, incident_id)


def causes(desk: Desk) -> list[Cause]:
    """What is still to be sent from here, by its incident."""
    found = []
    for path in sorted(_folder(desk).glob(f"*{_ENDING}")):
        with suppress(OSError, ValueError, TypeError):  # just sent, or none of ours
            found.append(Cause(**json.loads(path.read_bytes())))
    return sorted(found, key=lambda cause: cause.incident)


def drop(desk: Desk, cause: Cause) -> None:
    """Forget a cause: what it stood for was sent."""
    with suppress(OSError):
        (_folder(desk) / f"{cause.name}{_ENDING}").unlink(missing_ok=True)


def tell_fault(desk: Desk, words: str) -> None:
    """Keep why the last sending did not succeed; empty words when it did."""
    path = _folder(desk) / _FAULT
    with suppress(OSError, StoreError):
        if words:
            write_whole(path, words.encode())
        else:
            path.unlink(missing_ok=True)


def fault(desk: Desk) -> str:
    """Why the last sending did not succeed; empty when it did."""
    with suppress(OSError):
        return (_folder(desk) / _FAULT).read_text(encoding="utf-8", errors="replace")
    return ""


@contextmanager
def one_sender(desk: Desk) -> Iterator[None]:
    """Lets one thread of one process of the workspace send at a time, or older states could
    come after newer ones. The lock ends with its process.

    ServiceError when the folder of outputs cannot be written: the log is well, and a server must
    not take it for broken.
    """
    path = _folder(desk) / ".lock"
    with writing_here(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(desk: Desk) -> Path:
    return desk.settings.outputs / _FOLDER
