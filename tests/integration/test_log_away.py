"""A log that is away for a moment: what is written waits for it, once; a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from notebook_files import code, write_notebook
from servers import DURABLE, Plan, Postgres, start_postgres, until

from imtkit.contracts import Decide
from imtkit.errors import StateError, StoreDownError
from imtkit.kit import Desk, incidents, open_desk, requests, running, runs
from imtkit.kit.runs import Control, run_key, surely_told
from imtkit.model.entries import Draft, Entry
from imtkit.model.opening import Opening
from imtkit.runs.lease import Process
from imtkit.store import open_store
from imtkit.store.patience import patient

STEPS = """
import time
open('begun', 'w').close()
while not __import__('os').path.exists('down'):
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL of these tests alone, for they end it."""
    with start_postgres(plan=Plan(DURABLE)) as one:
        yield one


def note(text: str) -> Draft:
    return Draft("note.added", {"text": text}, actor="Ann")


@pytest.mark.postgres
def test_a_write_waits_for_a_database_that_comes_back(server: Postgres) -> None:
    """Killed and started again: the write is there once, and nobody heard of it."""
    with closing(open_store(server.dsn)) as store:
        incident = store.open_incident(Draft("incident.opened", {"title": "x"}, actor="Ann"))
        server.kill()
        with pytest.raises(StoreDownError):
            store.append(incident.incident, note("at once"))
        waiting = Thread(
            target=patient(store, 30).append, args=(incident.incident, note("patiently"))
        )
        waiting.start()
        server.start()
        waiting.join(30)
        texts = [entry.data.get("text") for entry in store.entries(incident.incident)]
        assert texts == [None, "patiently"]


class Torn:
    """A log whose connection breaks once, after the write is on disk and before that is told."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._is_torn = False

    def __getattr__(self, name: str) -> Any:
        def once(*args: Any) -> Any:
            answer = getattr(self._store, name)(*args)
            if not self._is_torn:
                self._is_torn = True
                raise StoreDownError("The connection broke.", retryable=True)
            return answer

        return once


@pytest.mark.parametrize("verb", ["append", "change", "open_incident"])
def test_what_was_stored_though_the_connection_broke_is_not_stored_again(
    verb: str, desk: Desk
) -> None:
    """The next try finds the first one's entries, and does not ask for a second decision."""
    opened = incidents.open_(desk, Opening("Orders fail"))
    torn = patient(Torn(desk.store), 5)  # type: ignore[arg-type]
    if verb == "append":
        told = torn.append(opened.id, note("a"), note("b"))
        assert [entry.data["text"] for entry in told] == ["a", "b"]
    elif verb == "change":
        told = torn.change(opened.id, lambda stands: [note(f"after {len(stands.entries)}")])
        assert [entry.data["text"] for entry in told] == ["after 1"]
    else:
        told = [torn.open_incident(Draft("incident.opened", {"title": "y"}, actor="Ann"))]
    assert list(desk.store.entries(told[0].incident))[-len(told) :] == told
    assert len(desk.store.incidents()) == (2 if verb == "open_incident" else 1)


class Overtaken:
    """A log that is away for a moment, in which another worker begins the run that was asked for.

    It was decided that the run begins here; that was not stored.
    """

    def __init__(self, store: Any, theirs: Draft) -> None:
        self._store = store
        self._theirs: Draft | None = theirs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def change(self, incident: str, decide: Decide) -> list[Entry]:
        theirs, self._theirs = self._theirs, None
        if theirs is None:
            return self._store.change(incident, decide)  # type: ignore[no-any-return]
        decide(self._store.incident(incident))
        self._store.append(incident, theirs)
        raise StoreDownError("The connection broke.", retryable=True)


def test_a_run_that_another_began_while_the_log_was_away_is_not_begun_again(
    desk: Desk, workspace: Path
) -> None:
    """Their entry has the key of ours, and is not taken for it; no empty notebook is left."""
    write_notebook(workspace / "runbooks" / "look.ipynb", [code("look", "print('looked')")])
    incident = incidents.open_(desk, Opening("Orders fail")).id
    asked = requests.request(desk, incident, "look")
    about = {"run": asked.id, "runbook": "look", "runner": asdict(Process("there", 1, "then"))}
    theirs = desk.draft("run.started", about, key=run_key(asked.id))
    overtaken = replace(desk, store=Overtaken(desk.store, theirs))  # type: ignore[arg-type]
    with pytest.raises(StateError, match="by another worker"):
        runs.start(overtaken, "look", incident_id=incident, run_id=asked.id)
    assert not list((workspace / "outputs").rglob("*.ipynb"))
    (run,) = incidents.get(desk, incident).runs
    assert (run.status, run.runner["host"]) == ("running", "there")


def test_it_waits_no_longer_than_it_may(desk: Desk) -> None:
    """Time over, or told to end: the error comes as it is."""
    calls: list[int] = []

    class Away:
        def find(self, *_: str) -> None:
            calls.append(1)
            raise StoreDownError("It is away.", retryable=True)

    for seconds, is_over in ((0.0, False), (60.0, True)):
        with pytest.raises(StoreDownError, match="It is away"):
            patient(Away(), seconds, is_over=lambda over=is_over: over).find("x")  # type: ignore[arg-type, misc]
    assert len(calls) <= 3


@pytest.mark.postgres
def test_a_run_goes_on_after_its_log_was_away(
    server: Postgres, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database dies in the middle of a step: the next begins when it is there, on the same
    kernel, and what a cell writes down waits as well.
    """
    monkeypatch.setenv("IMT_STORE_URL", server.dsn)
    cells = [
        code("setup", "import imtkit as imt\ninc = imt.join()\nkept = 'in memory'", "setup"),
        code("look", STEPS),
        code("note", "inc.note(kept)"),
    ]
    write_notebook(workspace / "runbooks" / "look.ipynb", cells)

    def crash() -> None:
        until((workspace / "begun").exists, 60)
        server.kill()
        (workspace / "down").touch()
        until(lambda: not server_is_up(server), 5)
        server.start()

    crashing = Thread(target=crash)
    crashing.start()
    with open_desk(workspace, actor="Ann Example") as desk:
        run = runs.start(desk, "look")
        crashing.join()
        assert (run.status, run.error) == ("completed", "")
        assert run.attempt == 1
        told = list(desk.store.entries(run.incident))
        assert [one.data["text"] for one in told if one.type == "note.added"] == ["in memory"]
        steps = [one.data["step"] for one in told if one.type == "step.started"]
        assert steps == ["setup", "look", "note"]


@pytest.mark.postgres
def test_a_run_that_is_ended_while_its_log_is_away_says_so_afterwards(
    server: Postgres, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait to end: its step and itself are told as they ended once the log is back."""
    monkeypatch.setenv("IMT_STORE_URL", server.dsn)
    cells = [code("look", "open('begun', 'w').close()\nimport time\ntime.sleep(60)")]
    write_notebook(workspace / "runbooks" / "look.ipynb", cells)
    control = Control()

    def crash() -> None:
        until((workspace / "begun").exists, 60)
        server.kill()
        control.stop.ask("cancelled", "its worker was cut off")
        path = next((workspace / "outputs").glob("INC-*/*.ipynb"))
        until(lambda: "its worker was cut off" in path.read_text(), 30)
        server.start()

    crashing = Thread(target=crash)
    crashing.start()
    with open_desk(workspace, actor="Ann Example") as desk:
        incident = incidents.open_(desk, Opening("Orders fail"))
        with pytest.raises(StoreDownError):
            runs.start(desk, "look", incident_id=incident.id, control=control)
        crashing.join()
        (run,) = incidents.get(desk, incident.id).runs
        assert (run.status, run.error) == ("cancelled", "its worker was cut off")
        assert [(one.id, one.status) for one in run.steps] == [("look", "cancelled")]


def server_is_up(server: Postgres) -> bool:
    return (server.data / "postmaster.pid").exists()


def test_a_run_whose_end_could_not_be_told_is_found_lost(workspace: Path) -> None:
    """It waited in vain: the next who clears up says so, though this process lives."""
    write_notebook(workspace / "runbooks" / "look.ipynb", [code("look", "print('looked')")])
    with open_desk(workspace, actor="Ann Example") as desk:
        run = runs.start(desk, "look")
        again = {"run": run.id, "runner": dict(run.runner)}
        desk.store.append(run.incident, desk.draft("run.resumed", again))
        assert running.reap(desk) == []
        with pytest.raises(StoreDownError), surely_told(desk, run.incident, run.id):
            raise StoreDownError("It is away.", retryable=True)
        assert [(one.id, one.status) for one in running.reap(desk)] == [(run.id, "lost")]
        assert running.reap(desk) == []
