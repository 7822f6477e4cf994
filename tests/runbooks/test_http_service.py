"""The runbook for HTTP services: against one in trouble, one that is well, one that is gone."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path

import papermill
import pytest
from certificates import Authority
from sites import answer, closed_port, site

from imtkit.contracts import Query
from imtkit.kit import Desk

NAME = "http-service"
SICK = json.dumps(
    {"status": "degraded", "checks": {"database": {"status": "fail", "reason": "disk is full"}}}
).encode()
WELL = json.dumps({"status": "pass", "checks": {"database": {"status": "pass"}}}).encode()


class Service:
    """A service that fails every second request until it has answered so many."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.served = 0

    def __call__(self, sock: socket.socket, path: str) -> None:
        sick = self.served < self.until
        if path == "/health":
            answer(SICK if sick else WELL, status=503 if sick else 200)(sock, path)
            return
        self.served += 1
        answer(status=500 if sick and self.served % 2 else 200, wait=0.15 * sick)(sock, path)


@pytest.mark.parametrize(("name", "target"), [(NAME, "url"), ("postgres", "dsn")])
def test_without_a_target_nothing_is_probed_wherever_it_runs(
    desk: Desk, tmp_path: Path, name: str, target: str
) -> None:
    """Plain papermill is told what to give; no incident is opened, and nothing is measured."""
    where = Path(__file__).resolve().parents[2] / "runbooks" / f"{name}.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match=f"-p {target}="):
        papermill.execute_notebook(where, tmp_path / "out.ipynb", progress_bar=False)
    assert desk.store.incidents(Query()) == []


def test_a_sick_service_is_diagnosed_down_to_its_dependency(go, desk: Desk) -> None:
    """Errors and slowness are measured, the failing dependency named, and nothing is done."""
    with site(Service(float("inf"))) as here:
        ran = go(NAME, url=here.url, count=8, slow_seconds=0.1)
    said = ran.said("conclude")
    assert "4 of 8 requests failed: the service says that it failed (5xx)" in said
    assert "Requests are slow" in said
    assert "waiting for the answer to begin" in said
    assert "check 'database': fail" in said
    assert "disk is full" in said
    assert "disk is full" in ran.notes
    assert "CRITICAL" in ran.said("verify")
    assert ran.incident.severity == "sev1"
    assert not ran.incident.decisions
    assert {one.media_type for one in ran.incident.evidence} == {"image/png", "text/csv"}
    for kept in ran.incident.evidence:
        assert (desk.folder(ran.incident.id) / kept.path).stat().st_size == kept.size


def test_a_well_service_is_called_well(go) -> None:
    """The same runbook against a service without a fault says so, and raises nothing."""
    with site(Service(0)) as here:
        ran = go(NAME, url=here.url, count=8)
    assert "no fault found from here" in ran.notes
    assert "CRITICAL" not in ran.said("conclude")
    assert "WARNING" not in ran.said("conclude")
    assert "8 of 8 requests" in ran.said("conclude")
    assert "calls itself pass" in ran.said("conclude")
    assert ran.incident.severity == "sev3"


def test_a_repair_in_between_shows_in_the_verification(go) -> None:
    """When the fault goes away after the diagnosis, the last measurement says that it is over."""
    with site(Service(until=6)) as here:
        ran = go(NAME, url=here.url, count=6, concurrency=1, checked=["impact"])
    assert "3 of 6 requests failed" in ran.said("conclude")
    assert "OK" in ran.said("verify")
    assert "CRITICAL" not in ran.said("verify")
    checklist = ran.incident.checklist(NAME)
    assert [item.id for item in checklist.items if item.is_ticked] == ["impact"]


def test_a_dead_service_does_not_stop_the_diagnosis(go) -> None:
    """With nobody at the port, every step still says what it can, and the run completes."""
    ran = go(NAME, url=f"https://127.0.0.1:{closed_port()}/", count=2, timeout_seconds=1.0)
    assert "the connection is refused" in ran.said("conclude")
    assert "No certificate can be had" in ran.said("conclude")
    assert ran.incident.severity == "sev1"


def test_an_expired_certificate_does_not_hide_the_service_behind_it(go, tmp_path: Path) -> None:
    """The expiry is named, and the service is measured behind it too."""
    authority = Authority(tmp_path)
    pair = authority.issue("old", begins=timedelta(-9), ends=timedelta(-2))
    with site(answer(status=503), context=pair.context()) as here:
        ran = go(NAME, url=here.url, ca_file=str(authority.ca_file), count=2)
    assert "The certificate expired 2.0 days ago" in ran.said("conclude")
    assert "5xx" in ran.said("look-behind")


def test_plain_papermill_runs_it_too(
    workspace: Path, desk: Desk, font_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our engine the same file runs, opens an incident, and diagnoses the same."""
    monkeypatch.setenv("MPLCONFIGDIR", str(font_cache))
    monkeypatch.setenv("IMT_WORKSPACE", str(workspace))
    monkeypatch.setenv("IMT_USER", "Ann Example")
    path = Path(__file__).resolve().parents[2] / "runbooks" / f"{NAME}.ipynb"
    with site(Service(0)) as here:
        papermill.execute_notebook(
            str(path),
            str(workspace / "plain.ipynb"),
            parameters={"url": here.url, "count": 2},
            progress_bar=False,
            cwd=str(workspace),
        )
    (summary,) = desk.store.incidents(Query())
    notes = [e.data["text"] for e in desk.store.entries(summary.id) if e.type == "note.added"]
    assert any("no fault found from here" in note for note in notes)
