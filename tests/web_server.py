"""The web face's pages for tests: a real server on loopback, and an incident worth looking at."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from imtkit.config import load_settings
from imtkit.kit import Desk, changes, evidence, gates, incidents, open_desk
from imtkit.kit.changes import Plan
from imtkit.kit.gates import Question
from imtkit.model.entries import utc_text
from imtkit.model.opening import Opening
from imtkit.web import astray, pages
from imtkit.web.entrance import Entrance
from imtkit.web.office import Office

TOKEN = "a-token-for-tests"
RUN = "20261121T201700Z-1a2b3c"
FAILED = "20261121T201500Z-4d5e6f"
LINK = f"/?token={TOKEN}"


@dataclass(frozen=True)
class Web:
    """A running server and its workspace."""

    url: str
    workspace: Path

    @property
    def link(self) -> str:
        """The address that lets a browser in."""
        return f"{self.url}{LINK}"

    def desk(self, actor: str = "Bob Beispiel") -> Desk:
        """A desk of the workspace for somebody elsewhere; closed by who opens it."""
        return open_desk(self.workspace, actor=actor)


def application(office: Office, **serve: Any) -> Starlette:
    """The pages behind their entrance; ``serve`` are settings of [serve] that are not as usual."""
    settings = office.settings
    changed = replace(settings, serve=replace(settings.serve, **serve))
    return Starlette(
        routes=pages.routes(office),
        exception_handlers=astray.handlers(),
        middleware=[Middleware(Entrance, settings=changed, token=TOKEN)],
    )


@contextmanager
def running_web(workspace: Path, **serve: Any) -> Iterator[Web]:
    """The pages of a workspace on a free port of loopback."""
    office = Office(load_settings(workspace))
    config = uvicorn.Config(
        application(office, **serve),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    server = uvicorn.Server(config)
    bound = config.bind_socket()
    bound.listen()  # who connects before the thread runs waits
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])), daemon=True)
    thread.start()
    try:
        yield Web(f"http://127.0.0.1:{bound.getsockname()[1]}", workspace)
    finally:
        server.should_exit = True
        thread.join(15)
        bound.close()
        office.close()


@pytest.fixture
def serve(workspace: Path) -> Iterator[Callable[..., Web]]:
    """Serves the workspace's pages with settings of [serve]; ended with the test."""
    with ExitStack() as ended:
        yield lambda **settings: ended.enter_context(running_web(workspace, **settings))


@pytest.fixture
def web(serve: Callable[..., Web]) -> Web:
    """The pages as they are served on a laptop."""
    return serve()


@pytest.fixture
def ann(web: Web) -> Iterator[Desk]:
    """Ann Example at a terminal of the same workspace."""
    with web.desk("Ann Example") as desk:
        yield desk


def browser(web: Web, person: str = "") -> requests.Session:
    """A browser that was let in, by this person if one is named."""
    session = requests.Session()
    assert session.get(web.link, timeout=10).ok
    if person:
        said = {"person": person, "csrf": csrf_of(session, web, "/login"), "next": "/"}
        assert post(session, web, "/login", said).ok
    return session


def csrf_of(session: requests.Session, web: Web, path: str) -> str:
    """The CSRF token in the first form of a page."""
    text = session.get(web.url + path, timeout=10).text
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
    assert found, text
    return found[1]


def post(
    session: requests.Session, web: Web, path: str, said: dict[str, str], **headers: str
) -> requests.Response:
    """What a browser sends when a form of ours is submitted."""
    sent = {"Origin": web.url, **headers}
    return session.post(web.url + path, data=said, headers=sent, timeout=10)


def busy_incident(
    desk: Desk,
    title: str = "Checkout answers slowly",
    *,
    run: str = RUN,
    failed: str = FAILED,
) -> str:
    """An incident with alerts, a run that waits at a gate, a failed one, a change, decisions.

    A second one in the same log needs other runs.
    """
    opening = Opening(
        title,
        severity="sev1",
        services=("checkout", "payments"),
        summary="Customers wait more than ten seconds for the payment page.",
    )
    id_ = incidents.open_(desk, opening).id
    now = desk.clock.now()
    machine = desk.acting_as("automation/alertmanager", "alert")
    for name, instance in (("HighLatency", "checkout-1"), ("HighLatency", "checkout-2")):
        alert = {
            "fingerprint": f"{name}-{instance}",
            "name": name,
            "source": "alertmanager",
            "started_at": utc_text(now - timedelta(minutes=4)),
            "labels": {"alertname": name, "instance": instance, "severity": "critical"},
            "annotations": {"description": "p99 of /pay is 11.2 s for 5 min."},
        }
        desk.store.append(id_, machine.draft("alert.received", alert))
    over = {"fingerprint": "HighLatency-checkout-2", "name": "HighLatency"}
    desk.store.append(id_, machine.draft("alert.resolved", over))
    incidents.acknowledge(desk, id_)
    incidents.assign(desk, id_, "commander", "Ann Example")
    incidents.decide(desk, id_, "Stop the nightly batch job", reason="it holds 80 connections")
    kept = "The pool has 100 connections, 97 of them idle in transaction."
    evidence.keep(
        desk, id_, "Connections by state", kept.encode(), name="pool.txt", media_type="text/plain"
    )
    runs_of(desk, id_, run=run, failed=failed)
    question = Question(
        "Fail over to the replica?",
        answers=("yes", "no"),
        within=timedelta(minutes=30),
        run=run,
        step="gate",
    )
    gates.open_(machine, id_, question)
    incidents.note(desk, id_, "Support has 14 tickets so far; the first came at 20:09.")
    return id_


def runs_of(desk: Desk, incident_id: str, *, run: str = RUN, failed: str = FAILED) -> None:
    """A run that is parked at its third step, and one that failed at its second."""
    machine = desk.acting_as("automation/alertmanager", "alert")
    for id_, title, ends in (
        (failed, "Read the slow queries", ("completed", "failed")),
        (run, "A database is slow", ("completed", "completed", "waiting")),
    ):
        names = ("look", "measure", "gate", "act", "verify")[: 5 if id_ == run else 3]
        steps = [{"step": name, "title": TITLES[name]} for name in names]
        started = {"run": id_, "runbook": "db", "title": title, "steps": steps}
        started |= {"parameters": {"service": "checkout"}, "output": "outputs/x.ipynb"}
        drafts = [machine.draft("run.started", started, key=f"run/{id_}")]
        for index, (name, status) in enumerate(zip(names, ends, strict=False)):
            step = {"run": id_, "step": name, "title": TITLES[name], "index": index}
            now = utc_text(desk.clock.now())
            error = {"error": "TimeoutError: no answer in 5 s"} if status == "failed" else {}
            drafts.append(machine.draft("step.started", step))
            ended = {**step, "status": status, "started_at": now, "finished_at": now, **error}
            drafts.append(machine.draft("step.finished", ended))
        how = {"run": id_, "status": ends[-1], "error": "TimeoutError: no answer in 5 s"}
        if id_ == run:
            how = {"run": id_, "status": "waiting", "error": "Fail over to the replica?"}
        kind = "run.parked" if id_ == run else "run.finished"
        drafts.append(machine.draft(kind, how))
        desk.store.append(incident_id, *drafts)


TITLES = {
    "look": "Look at the service from outside",
    "measure": "Measure the database",
    "gate": "Ask whether to fail over",
    "act": "Fail over",
    "verify": "Verify that it helped",
}


def ask_change(desk: Desk, incident_id: str) -> str:
    """A change that somebody else than this desk's person is asked to approve; its id."""
    plan = Plan(
        "Promote the replica",
        why="the primary does not answer",
        do="patronictl switchover --candidate db-2",
        verify="the replica takes writes",
        rollback="patronictl switchover --candidate db-1",
    )
    return changes.ask(desk, incident_id, plan, Question("Promote?", within=None)).id
