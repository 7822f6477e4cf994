"""Storms of alerts: what Alertmanager posts when much breaks, and programs that die meanwhile."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
from notebook_files import code, write_notebook
from serving import ServeProcess
from terminal import IMT
from watchers import free_port

from imtkit.kit import Desk, intake
from imtkit.model.entries import WORKSPACE, Entry

SOURCE = '\n[alerts.sources.storm]\nkind = "alertmanager"\nproof = "none"\n'
RULE = """
[[alerts.rules]]
name = "look"
match = ['alertname="ErrorsHigh"']
runbooks = ["look"]
per_hour = {per_hour}
at_once = {at_once}
"""
"""A rule that speaks of every alert of a storm, and may begin few of the runs that it wants."""
PATIENCE = 90.0
"""How long a sender goes on with one delivery: Alertmanager's own limit is its group_interval."""

_LOCKER = """
import random, sqlite3, sys, time
line, dice = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None), random.Random(1)
while True:
    time.sleep(dice.uniform(0.2, 1.5))
    line.execute("BEGIN IMMEDIATE")
    time.sleep(dice.uniform(0.1, 1.0))
    line.execute("ROLLBACK")
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of a group: its new alerts, and those of the message before once more."""

    group: str
    body: bytes

    @property
    def sha256(self) -> str:
        """What the log knows the message by."""
        return hashlib.sha256(self.body).hexdigest()


def fingerprint(group: int, number: int) -> str:
    """Sixteen hexadecimal digits, as Alertmanager makes of labels."""
    return hashlib.sha256(f"{group}/{number}".encode()).hexdigest()[:16]


def deliveries(alerts: int, groups: int, *, new: int = 5, weight: int = 0) -> list[Delivery]:
    """The messages of a storm in the order they are due; each brings ``new`` alerts of its group.

    Half of the groups name a service, the others only their group. ``weight`` is how many bytes
    of text beside its alerts each holds. Shape: the documentation of Alertmanager's webhook,
    version 4.
    """
    each = alerts // groups
    found = []
    for first in range(0, each, new):
        for group in range(groups):
            known = range(max(0, first - new), min(each, first + new))
            told = [_alert(group, number) for number in known]
            found.append(Delivery(f"g-{group}", _message(group, told, weight)))
    return found


def _message(group: int, alerts: Sequence[dict[str, Any]], weight: int) -> bytes:
    common = {"group": f"g-{group}"}
    message = {
        "version": "4",
        "groupKey": f'{{}}:{{group="g-{group}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "imtkit",
        "groupLabels": common,
        "commonLabels": common,
        "commonAnnotations": {"runbook": "x" * weight} if weight else {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": alerts,
    }
    return json.dumps(message).encode()


def _alert(group: int, number: int) -> dict[str, Any]:
    """One alert; a group's first says so, and every third group's asks a person."""
    labels = {
        "alertname": "ErrorsHigh",
        "group": f"g-{group}",
        "instance": f"host-{number}",
        "severity": "critical" if number == 0 else "warning",
        "first": "asks" if number == 0 and group % 3 == 2 else "yes" if number == 0 else "no",
    }
    if group % 2:
        labels["service"] = f"service-{group}"
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"Errors are high on host-{number}"},
        "startsAt": f"2026-11-21T10:{number % 60:02}:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=errors",
        "fingerprint": fingerprint(group, number),
    }


@dataclass(slots=True)
class Told:
    """What senders were told: which messages are kept, at which place; what they tried again for;
    what was refused; and the seconds from the first try of each to its 202.
    """

    kept: dict[str, int] = field(default_factory=dict)
    again: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


class Senders:
    """Several keep-alive connections that post a storm; a group's messages stay in their order."""

    def __init__(self, port: int, storm: Sequence[Delivery], *, lines: int, seconds: float) -> None:
        self._port, self._pause = port, seconds / len(storm)
        self._began_at = time.monotonic()
        own: dict[int, list[tuple[int, Delivery]]] = defaultdict(list)
        for number, one in enumerate(storm):
            own[int(one.group.removeprefix("g-")) % lines].append((number, one))
        self._told = [Told() for _ in own]
        self._threads = [
            Thread(target=self._post_all, args=(line, told), daemon=True)
            for line, told in zip(own.values(), self._told, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def kept(self) -> int:
        """How many were answered 202 so far."""
        return sum(len(told.kept) for told in self._told)

    @property
    def is_over(self) -> bool:
        """Whether all is sent, or given up."""
        return not any(thread.is_alive() for thread in self._threads)

    def told(self, seconds: float) -> Told:
        """What all were told, once they are through."""
        ends_at = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        assert self.is_over, f"{self.kept} were kept when the time was over"
        whole = Told()
        for one in self._told:
            whole.kept |= one.kept
            whole.again += one.again
            whole.refused += one.refused
            whole.waits += one.waits
        return whole

    def _post_all(self, line: Sequence[tuple[int, Delivery]], told: Told) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for number, one in line:
            due_at = self._began_at + number * self._pause
            time.sleep(max(0.0, due_at - time.monotonic()))
            self._post(connection, one, told)
        connection.close()

    def _post(self, connection: http.client.HTTPConnection, one: Delivery, told: Told) -> None:
        """Until it is kept: again after a 5xx and a broken connection, never after a 4xx."""
        began_at, pause = time.monotonic(), 0.2
        while time.monotonic() - began_at < PATIENCE:
            status, said = _asked(connection, one.body)
            if status == 202:
                told.kept[one.sha256] = int(json.loads(said)["delivery"])
                told.waits.append(time.monotonic() - began_at)
                return
            if 0 < status < 500:
                break
            told.again[str(status or "broken")] += 1
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, 2.0)
        told.refused.append(f"{status}: {said[:200]!r}")


def _asked(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    """Status and body of one try; 0 when the connection broke."""
    head = {"Content-Type": "application/json", "User-Agent": "Alertmanager/0.34.0"}
    try:
        connection.request("POST", "/alerts/storm", body, head)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()  # the next request opens it again
        return 0, repr(error).encode()


# Programs that die


class Receiver:
    """``imt serve`` on one port, however often it is killed and started again."""

    def __init__(self, workspace: Path) -> None:
        self._workspace, self.port = workspace, free_port()
        self.start()

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self._one = ServeProcess(self._workspace, "--port", str(self.port))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._one.process.pid

    def kill(self) -> None:
        """``kill -9``."""
        self._one.end(signal.SIGKILL)

    def end(self) -> None:
        """Tell it to end."""
        self._one.end(signal.SIGTERM)


class Worker:
    """``imt worker``, however often it is killed and started again."""

    def __init__(self, workspace: Path) -> None:
        self._workspace, self._log = workspace, workspace / "worker.log"
        self.start()

    def start(self) -> None:
        """Start it; it takes runs in a moment."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*IMT, "worker", "--jupyter=--ServerApp.allow_root=True"],
                cwd=self._workspace,
                env={**os.environ, "IMT_USER": "Bo Berg"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def is_up(self) -> bool:
        """Whether it can be asked for runs."""
        return any(self._workspace.glob("outputs/.running/server-*.json"))

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Tell it to end, and see that nothing of it is left."""
        children: list[psutil.Process] = []
        if self._process.poll() is None:
            children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        for child in psutil.wait_procs(children, timeout=5)[1]:
            child.kill()


@contextmanager
def locked_now_and_then(database: Path) -> Iterator[None]:
    """Another process holds the log's only write lock, for up to a second at a time."""
    process = subprocess.Popen([sys.executable, "-c", _LOCKER, str(database)])
    try:
        yield
        assert process.poll() is None, "the locker ended by itself"
    finally:
        process.kill()
        process.wait()


class Scale:
    """The memory of a process, looked at ten times a second: the most of it, in bytes (RSS).

    ``pid`` says which; a process that follows another is weighed by itself.
    """

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid, self._over = pid, Event()
        self._most: dict[int, int] = {}
        self._marked: dict[int, int] = {}
        self._thread = Thread(target=self._weigh, daemon=True)
        self._thread.start()

    def mark(self) -> None:
        """From now on it may not grow: what it weighed until now at most is what it needs."""
        self._marked = dict(self._most)

    def growth(self) -> int:
        """By how much the process that was there at the mark weighed more after it, in bytes; ends
        the weighing.
        """
        self._over.set()
        self._thread.join()
        pid = self._pid()
        return self._most[pid] - self._marked[pid]

    @property
    def most(self) -> int:
        """The most that one process weighed."""
        return max(self._most.values())

    def _weigh(self) -> None:
        while not self._over.wait(0.1):
            pid = self._pid()
            try:
                now = psutil.Process(pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
            self._most[pid] = max(now, self._most.get(pid, 0))


# What the log has of it


@dataclass(frozen=True, slots=True)
class Found:
    """How often the log has each delivery (by SHA-256) and each alert (by fingerprint), the
    incidents of each group, and what was asked for.
    """

    deliveries: Counter[str]
    alerts: Counter[str]
    incidents: dict[str, set[str]]
    opened: int
    requested: list[Entry]


def found_in(desk: Desk) -> Found:
    """What the log has of a storm."""
    found = Found(Counter(), Counter(), defaultdict(set), len(desk.store.incidents()), [])
    for entry in desk.store.entries():
        if entry.type == "delivery.received":
            found.deliveries[str(entry.data["sha256"])] += 1
        elif entry.type == "alert.received":
            found.alerts[str(entry.data["fingerprint"])] += 1
            found.incidents[str(entry.data["labels"]["group"])].add(entry.incident)
        elif entry.type == "run.requested":
            found.requested.append(entry)
    return found


@dataclass(frozen=True, slots=True)
class Begun:
    """The runs that a storm's rule asked for, and those of them that workers began and ended."""

    requested: tuple[str, ...]
    started: tuple[str, ...]
    completed: tuple[str, ...]


def with_rule(workspace: Path, *, per_hour: int, at_once: int) -> None:
    """Let a workspace know the storm's sender, and run a runbook for its alerts within limits."""
    write_notebook(workspace / "runbooks" / "look.ipynb", [code("look", "print('looked')")])
    with (workspace / "imt.toml").open("a") as settings:
        settings.write(SOURCE + RULE.format(per_hour=per_hour, at_once=at_once))


def asked_for(desk: Desk) -> list[tuple[str, str]]:
    """The runs that were asked for, each with its incident."""
    entries = (one for one in desk.store.entries() if one.type == "run.requested")
    return [(one.incident, str(one.data["run"])) for one in entries]


def is_all_run(desk: Desk, asked: Sequence[tuple[str, str]]) -> bool:
    """Whether these runs have ended."""
    runs = [desk.store.incident(incident).run(run) for incident, run in asked]
    return all(run is not None and run.is_over for run in runs)


def assert_within_limits(desk: Desk, *, per_hour: int, at_once: int) -> Begun:
    """The rule asked for no more than it may in each hour, and in each incident at once; what it
    asked for was begun once at most, and nothing else was.
    """
    told: dict[str, list[str]] = defaultdict(list)
    going: dict[str, set[str]] = defaultdict(set)
    hours: Counter[str] = Counter()
    for entry in desk.store.entries():
        run = str(entry.data.get("run", ""))
        told[entry.type].append(run)
        if entry.type == "rule.counted":
            hours[str(entry.key).rpartition("/")[0]] += 1
        elif entry.type == "run.requested":
            going[entry.incident].add(run)
            assert len(going[entry.incident]) <= at_once, f"too many at once: {entry.incident}"
        elif entry.type == "run.finished":
            going[entry.incident].discard(run)
            if entry.data["status"] == "completed":
                told["completed"].append(run)
    assert max(hours.values(), default=0) <= per_hour
    asked, started = told["run.requested"], told["run.started"]
    assert len(asked) <= hours.total(), "more runs were asked for than numbers were taken"
    assert len(set(asked)) == len(asked)
    assert len(set(started)) == len(started), "a run was begun twice"
    assert set(started) <= set(asked), "a run was begun that nobody asked for"
    return Begun(tuple(asked), tuple(started), tuple(told["completed"]))


def is_handled(desk: Desk, told: Told) -> bool:
    """Whether all that was promised became alerts."""
    return intake.progress(desk).through >= max(told.kept.values())


def assert_nothing_lost(desk: Desk, told: Told, alerts: int, groups: int) -> Found:
    """Each 202 is in the log once, each alert in its incident once, each group is one incident."""
    found = found_in(desk)
    assert told.refused == []
    assert set(told.kept) <= set(found.deliveries), "an answered delivery is missing"
    assert set(found.deliveries.values()) == {1}, "a delivery is there twice"
    refused = [one for one in desk.store.entries(WORKSPACE) if one.type == "delivery.refused"]
    assert refused == []
    assert len(found.alerts) == alerts
    assert set(found.alerts.values()) == {1}, "an alert is there twice"
    homes = {group: len(incidents) for group, incidents in found.incidents.items()}
    assert homes == {f"g-{number}": 1 for number in range(groups)}
    assert len(set.union(*found.incidents.values())) == groups
    assert desk.store.verify() == []
    return found
