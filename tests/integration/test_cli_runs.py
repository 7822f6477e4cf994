"""``imt runs list`` and ``imt runs show``: whose turn it is, who asked, who went on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal import Called, caller

from imtkit.kit import Desk, incidents, open_desk
from imtkit.model.opening import Opening


@pytest.fixture
def imt(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Called]:
    """Calls ``imt`` in the workspace as Ann Example."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("IMT_USER", "Ann Example")
    return caller(capsys)


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
