"""From an alert to its diagnosis: a webhook's first byte to the first output in a notebook on disk.

    python bench/alert.py               # about two minutes
    python bench/alert.py --rounds 3    # under one
    python bench/alert.py --joints      # where our time goes, joint by joint; without the script

``imt serve`` with a worker that has kernels ready, against the least that does the same: a script
that hears the webhook with http.server and starts the papermill command. Every round goes each way
once, in turn, so that a busy machine slows all alike; ratios are taken within a round. Beside it
stands what nobody can beat: a cell that prints, on a kernel that is up already.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import notebooks
from facts import folder_for, machine, span, table
from jupyter_client.manager import start_new_kernel
from programs import BOOKS, IMT, listening, worker, workspace

OURS, PEER = "imt serve and worker", "script and papermill"
LOOK_SECONDS = 0.003
"""How often the disk is looked at: the error of the times that are read from it."""

JOINTS = {
    "answered": "the sender has its 202",
    "delivery.received": "the delivery is being kept",
    "incident.opened": "the consumer was woken, and begins with it",
    "run.requested": "the request is being written",
    "enqueued": "the run is in the queue",
    "dequeued": "a worker has claimed it",
    "run.started": "its beginning is being written",
    "step.started": "its kernel is ready, and the first step is being written",
    "output": "the first diagnostic output is on disk",
    "run.finished": "its end is being written",
    "whole": "the notebook is whole",
}
"""What an alert passes on its way, in order. Entries tell when they were stamped, which is just
before they are on disk.
"""

SETTINGS = """
[alerts.sources.bench]
kind = "alertmanager"
proof = "none"

[[alerts.rules]]
name = "trivial"
match = ['book="trivial"']
runbooks = ["trivial"]

[[alerts.rules]]
name = "realistic"
match = ['book="realistic"']
runbooks = ["realistic"]
"""

SCRIPT = """
import http.server, json, subprocess, sys

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        labels = said["alerts"][0]["labels"]
        book, written = f"runbooks/{labels['book']}.ipynb", f"{labels['service']}.ipynb"
        command = [sys.executable, "-m", "papermill", book, written]
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}/"}), flush=True)
server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One alert, in seconds from its first byte: the answer, the first diagnostic output on disk,
    and the whole notebook.
    """

    answer: float
    output: float
    whole: float


@dataclass(frozen=True, slots=True)
class Way:
    """Where alerts are posted, and the notebook that one of them (book, service) leads to."""

    address: str
    path: str
    notebook: Callable[[str, str], Path | None]


def main() -> None:
    """Go each way, round by round, and print one table for each notebook."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", help="where its files lie; else here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=tuple(BOOKS), help="one of the notebooks")
    parser.add_argument("--joints", action="store_true", help="only where our own time goes")
    asked = parser.parse_args()
    print(machine())
    with folder_for(asked.folder) as folder:
        way = break_down if asked.joints else measure
        way(folder, asked.rounds, [asked.only] if asked.only else list(BOOKS))
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def measure(folder: Path, rounds: int, books: Sequence[str]) -> None:
    """All rounds of these notebooks."""
    root = prepared(folder / "w")
    with ExitStack() as ends:
        ways = {
            PEER: ends.enter_context(script(root)),
            OURS: ends.enter_context(serve_and_worker(root)),
        }
        floor = ends.enter_context(warm_kernel())
        for book in books:
            found: dict[str, list[Seen]] = {name: [] for name in ways}
            trips: list[float] = []
            for number in range(rounds + 1):
                for name, way in ways.items():
                    seen = alerted(way, book, f"{book}-{number}")
                    if number:  # the first round fills caches
                        found[name].append(seen)
                trips.append(floor())
            show(book, found, trips[1:])


def show(book: str, found: Mapping[str, Sequence[Seen]], trips: Sequence[float]) -> None:
    """Each moment by way, and ours as a part of the script's in the same round."""
    moments: Mapping[str, Callable[[Seen], float]] = {
        "answered": lambda seen: seen.answer,
        "first output on disk": lambda seen: seen.output,
        "notebook whole": lambda seen: seen.whole,
    }
    rows = []
    for label, moment in moments.items():
        ours, theirs = ([moment(one) for one in found[name]] for name in (OURS, PEER))
        within = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        rows.append((label, span(theirs), span(ours), f"{within:.1%}"))
    rows.append(("a cell on a kernel that is up", "", span(trips), ""))
    table(f"One alert, {book}", ("ms: median (range)", PEER, OURS, "of the script's"), rows)


def break_down(folder: Path, rounds: int, books: Sequence[str]) -> None:
    """Our way alone: when each joint of it is reached, and how long it took from the one before."""
    root = prepared(folder / "w")
    with serve_and_worker(root) as way:
        for book in books:
            found: list[dict[str, float]] = []
            for number in range(rounds + 1):
                service = f"{book}-{number}"
                queue, began = QueueSeen(root), time.time()
                seen = alerted(way, book, service, queue.look)
                passed = {"answered": seen.answer, "output": seen.output, "whole": seen.whole}
                passed |= {joint: at - began for joint, at in queue.moments.items()}
                found.append(passed | joints(root, service, since=began))
            rows, before = [], [0.0] * rounds
            for joint, words in JOINTS.items():
                reached = [one[joint] for one in found[1:]]
                took = [now - then for now, then in zip(reached, before, strict=True)]
                rows.append((f"{joint}: {words}", span(reached), span(took)))
                before = reached if joint != "answered" else before
            head = ("ms: median (range)", "from the first byte", "from the joint before")
            table(f"One alert, {book}", head, rows)


def joints(root: Path, service: str, *, since: float) -> dict[str, float]:
    """When the log says that it heard of the alert of a service, in seconds since then."""
    with closing(sqlite3.connect(root / "outputs" / "imt.db")) as log:
        rows = log.execute("SELECT incident, type, recorded_at, data FROM entries ORDER BY seq")
        entries = [(*row[:3], json.loads(row[3])) for row in rows]
    asked = f'"service": "{service}"'
    [kept] = [one for one in entries if one[1] == "delivery.received" and asked in one[3]["body"]]
    incident = next(
        one[0]
        for one in entries
        if one[1] == "alert.received" and one[3]["labels"]["service"] == service
    )
    found: dict[str, float] = {}
    for _, kind, at, _ in (kept, *(one for one in entries if one[0] == incident)):
        found.setdefault(kind, datetime.fromisoformat(at).timestamp() - since)
    return {joint: at for joint, at in found.items() if joint in JOINTS}


class QueueSeen:
    """When the newest run came into the queue, and when a worker claimed it: looked up again and
    again, for SQLite's clock, which DBOS asks, knows whole seconds.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "outputs" / "imt-queue.db"
        self._before = self._newest()
        self.moments: dict[str, float] = {}

    def look(self) -> None:
        """Note what has changed by now."""
        newest = self._newest()
        if newest[0] != self._before[0]:
            self.moments.setdefault("enqueued", time.time())
            if newest[1] != "ENQUEUED":
                self.moments.setdefault("dequeued", time.time())

    def _newest(self) -> tuple[str, str]:
        asked = "SELECT workflow_uuid, status FROM workflow_status ORDER BY rowid DESC LIMIT 1"
        # Before the first there is no table.
        with closing(sqlite3.connect(self._path)) as queue, suppress(sqlite3.OperationalError):
            return queue.execute(asked).fetchone() or ("", "")
        return "", ""


def alerted(way: Way, book: str, service: str, look: Callable[[], None] = lambda: None) -> Seen:
    """Post one alert, and watch the disk until its notebook is whole."""
    body = message(book, service)
    place = way.address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(place, timeout=30)
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", way.path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    answered = time.perf_counter() - began
    connection.close()
    assert answer.status == 202, answer.status
    output = 0.0
    while time.perf_counter() - began < 120:
        look()
        text = text_of(way.notebook(book, service))
        # In the source it stands in quotes; in an output it ends with its line.
        if not output and f"{notebooks.FIRST_OUTPUT}\\n" in text:
            output = time.perf_counter() - began
        if output and is_whole(way.notebook(book, service)):
            whole = time.perf_counter() - began
            time.sleep(1.0)  # what is left to be done disturbs nobody's next round
            return Seen(answered, output, whole)
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{way.path}: {service} came to no whole notebook")


def message(book: str, service: str) -> bytes:
    """One alert as Alertmanager posts it; its label says which notebook is to be run."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "Slow", "service": service, "severity": "critical", "book": book},
        "annotations": {"summary": f"{service} is slow"},
        "startsAt": "2026-11-21T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": service.encode().hex(),
    }
    return json.dumps({"version": "4", "groupKey": service, "alerts": [alert]}).encode()


def text_of(path: Path | None) -> str:
    """A notebook as it stands on disk now; empty when it is not there."""
    if path is not None:
        with suppress(OSError):
            return path.read_text(encoding="utf-8")
    return ""


def is_whole(path: Path | None) -> bool:
    """Whether every cell of it completed; not while it is half written."""
    with suppress(OSError, ValueError):
        return path is not None and notebooks.is_whole(path)
    return False


# What listens


def prepared(root: Path) -> Path:
    """A workspace with both notebooks as runbooks, a rule for each, and a sender."""
    with (workspace(root) / "imt.toml").open("a") as file:
        file.write(SETTINGS)
    return root


@contextmanager
def script(root: Path) -> Iterator[Way]:
    """The least that hears a webhook and runs a notebook."""
    with listening((sys.executable, "-c", SCRIPT), root) as url:

        def notebook(_: str, service: str) -> Path | None:
            return root / f"{service}.ipynb"

        yield Way(url, "/", notebook)


@contextmanager
def serve_and_worker(root: Path) -> Iterator[Way]:
    """``imt serve`` and ``imt worker``, its kernels ready."""
    known: set[Path] = set()
    found: dict[str, Path] = {}

    def notebook(book: str, service: str) -> Path | None:
        if service not in found:
            for path in set(root.glob(f"outputs/*/*-{book}.ipynb")) - known:
                known.add(path)
                found[service] = path
        return found.get(service)

    with worker(root), listening((*IMT, "serve", "--port", "0", "--json"), root) as url:
        time.sleep(3.0)
        yield Way(url, "/alerts/bench", notebook)


@contextmanager
def warm_kernel() -> Iterator[Callable[[], float]]:
    """A kernel that is up: the seconds from asking for a cell that prints to what it printed."""
    manager, client = start_new_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def trip() -> float:
        said: list[float] = []

        def hear(heard: Mapping[str, Any]) -> None:
            if heard["msg_type"] == "stream":
                said.append(time.perf_counter())

        began = time.perf_counter()
        client.execute_interactive("print('first')", output_hook=hear, timeout=30)
        return said[0] - began

    try:
        yield trip
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
