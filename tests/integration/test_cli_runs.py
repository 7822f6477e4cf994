"""``imt runs list`` and ``imt runs show``: whose turn it is, who asked, who went on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from terminal import Called

from imtkit.errors import NotFoundError
from imtkit.kit import Desk, incidents, open_desk, resume, running
from imtkit.kit.runs import new_run_id
from imtkit.kit.turns import turns_of
from imtkit.model.opening import Opening
from imtkit.store.bell import open_bell


@pytest.fixture
def log(workspace: Path) -> Iterator[Desk]:
    """The machine's view of the workspace's log."""
    with open_desk(workspace, actor="automation/shop") as opened:
        yield opened


def test_queued_runs_tell_their_place_and_why_they_wait(
    imt: Callable[..., Called], log: Desk
) -> None:
    """The worst severity first, whatever incident it is of; without a worker that is said."""
    ids = [incidents.open_(log, Opening("Orders fail")).id for _ in range(2)]
    for id_, run, priority in ((ids[0], "r-late", 3), (ids[1], "r-next", 1)):
        asked = {"run": run, "runbook": "book", "rule": "shop", "priority": priority}
        log.store.append(id_, log.draft("run.requested", asked))
    listed = imt("runs", "list")
    assert listed.err == "No worker is up. Start one with: imt worker\n"
    documents = {one["id"]: one for one in imt("runs", "list", "--json").json}
    assert documents["r-late"]["queue"] == {"place": 2, "of": 2, "is_worker_up": False}
    assert documents["r-next"]["queue"]["place"] == 1
    alone = imt("runs", "list", "--incident", ids[0], "--json").json
    assert [(one["id"], one["queue"]["place"]) for one in alone] == [("r-late", 2)]
    shown = imt("runs", "show", "r-late").out.splitlines()
    assert shown[0] == "r-late: book, queued"
    assert shown[1].startswith(f"  {ids[0]}, asked for by automation/shop for the rule 'shop', ")
    assert shown[2].startswith("  2 of 2 in the queue, for ")
    assert shown[2].endswith("No worker is up. Start one with: imt worker")


def test_a_storm_hides_no_run_that_waits(desk: Desk) -> None:
    """More incidents were opened since than any list looks at: it is found, counted, cancelled."""
    asked = new_run_id(desk.clock.now())
    first = incidents.open_(desk, Opening("Orders fail")).id
    told = {"run": asked, "runbook": "book", "rule": "shop", "priority": 1}
    desk.store.append(first, desk.draft("run.requested", told, key="episode/rule/shop/book"))
    for number in range(110):
        opened = incidents.open_(desk, Opening(f"Orders fail in shop {number}"))
    late = {**told, "run": new_run_id(desk.clock.now()), "priority": 2}
    desk.store.append(opened.id, desk.draft("run.requested", late, key="another/rule/shop/book"))
    assert resume.find(desk, asked).incident == first
    assert turns_of(desk, running.list_(desk)).runs == (asked, late["run"])
    assert [run.id for run in running.list_(desk, limit=50)] == [late["run"]]
    assert running.cancel(desk, asked).status == "cancelled"
    with pytest.raises(NotFoundError):
        resume.find(desk, new_run_id(desk.clock.now()))


@pytest.mark.postgres
def test_with_postgresql_it_is_known_too_whether_a_worker_is_up(
    imt: Callable[..., Called], postgres_log: str, monkeypatch: pytest.MonkeyPatch, workspace: Path
) -> None:
    """Nobody is told to start a worker while one is there, on whichever machine it is."""
    monkeypatch.setenv("IMT_STORE_URL", postgres_log)
    with open_desk(workspace, actor="automation/shop") as log:
        id_ = incidents.open_(log, Opening("Orders fail")).id
        asked = {"run": "r-next", "runbook": "book", "rule": "shop", "priority": 1}
        log.store.append(id_, log.draft("run.requested", asked))
    assert imt("runs", "list").err == "No worker is up. Start one with: imt worker\n"
    with closing(open_bell(postgres_log, workspace)) as worker:
        worker.wait(0)
        said = imt("runs", "list").err
    assert said == "A worker takes the next one as soon as it has room.\n"


def test_a_run_that_was_gone_on_with_tells_who_asked_and_who_went_on(
    imt: Callable[..., Called], log: Desk
) -> None:
    """Both, and each at its time; the run stays that of whoever asked for it."""
    id_ = incidents.open_(log, Opening("Orders fail")).id
    for type_ in ("run.requested", "run.started", "run.parked"):
        log.store.append(id_, log.draft(type_, {"run": "r1", "runbook": "book"}))
    server = log.acting_as("automation/server")
    log.store.append(id_, server.draft("run.resumed", {"run": "r1"}))
    run = incidents.get(log, id_).runs[0]
    assert (run.actor, run.resumed_by) == ("automation/shop", "automation/server")
    shown = imt("runs", "show", "r1").out
    assert "asked for by automation/shop, " in shown
    assert "gone on with by automation/server, " in shown
