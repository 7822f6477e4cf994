"""Alerts: what a delivery does to incidents, however often and in whatever order it comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from alert_bodies import FIRING, OVER, delivery, nameless
from notebook_files import SOUND, code, write_notebook
from terminal import caller

from imtkit.errors import PayloadError
from imtkit.kit import Desk, alerts, incidents, runbooks

PAYLOADS = os.environ.get("IMT_PAYLOADS", "")


def test_an_alert_opens_an_incident_by_a_machine(desk: Desk):
    """Title, service, severity and who opened it come from the alert."""
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    incident = incidents.get(desk, outcome.incident)
    assert outcome.action == "opened"
    assert incident.title == "Orders fail"
    assert incident.services == ("orders",)
    assert incident.severity == "sev2"
    assert incident.opened_by == "automation/alertmanager"
    assert incident.alerts[0].status == "firing"


def test_measures_in_annotations_propose_the_severity(desk: Desk):
    """A number measured by the sender beats the word in its label."""
    body = delivery({"annotations": {"summary": "s", "measure_error_rate": "0.4"}})
    incident = incidents.get(desk, alerts.receive(desk, body)[0].incident)
    assert incident.severity == "sev1"
    assert [e.type for e in incident.entries].count("severity.proposed") == 1


def test_a_storm_of_alerts_without_a_service_is_one_incident(desk: Desk):
    """400 alerts of one Alertmanager group open one incident, and it holds all of them."""
    storm = delivery(*map(nameless, range(400)), group='{}:{alertname="DiskFull"}')
    outcomes = alerts.receive(desk, storm)
    assert {one.incident for one in outcomes} == {outcomes[0].incident}
    assert [one.action for one in outcomes] == ["opened"] + 399 * ["joined"]
    assert len(incidents.get(desk, outcomes[0].incident).alerts) == 400
    assert {one.action for one in alerts.receive(desk, storm)} == {"known"}


def test_a_group_opens_anew_only_when_its_incident_is_over(desk: Desk):
    """Other groups have incidents of their own; after a resolution the group opens its next."""
    one, other = '{}:{alertname="DiskFull"}', "{}:{}"
    first = alerts.receive(desk, delivery(nameless(1), group=one))[0].incident
    assert alerts.receive(desk, delivery(nameless(2), group=other))[0].incident != first
    incidents.resolve(desk, first, fields={"resolution": "Freed some space."})
    (again,) = alerts.receive(desk, delivery(nameless(3), group=one))
    assert (again.action, again.incident == first) == ("opened", False)
    (joined,) = alerts.receive(desk, delivery(nameless(4), group=one))
    assert (joined.action, joined.incident) == ("joined", again.incident)


def test_redelivery_changes_nothing(desk: Desk):
    """The same message twice, or a resolution three times, is once."""
    alerts.receive(desk, delivery(FIRING))
    before = len(list(desk.store.entries()))
    assert alerts.receive(desk, delivery(FIRING))[0].action == "known"
    assert len(list(desk.store.entries())) == before
    first = alerts.receive(desk, delivery(OVER))[0]
    after = len(list(desk.store.entries()))
    for _ in range(2):
        assert alerts.receive(desk, delivery(OVER))[0].action == "known"
    assert len(list(desk.store.entries())) == after
    types = [e.type for e in incidents.get(desk, first.incident).entries]
    assert types.count("resolution.proposed") == 1


def test_a_resolved_alert_proposes_and_never_closes(desk: Desk):
    """Only when every alert of the incident is over is its resolution proposed, to a person."""
    other = {"fingerprint": "ffff"}
    incident_id = alerts.receive(desk, delivery(FIRING, other))[0].incident
    alerts.receive(desk, delivery(OVER))
    types = [e.type for e in incidents.get(desk, incident_id).entries]
    assert "resolution.proposed" not in types
    alerts.receive(desk, delivery({**OVER, **other}))
    incident = incidents.get(desk, incident_id)
    assert incident.entries[-1].type == "resolution.proposed"
    assert incident.status == "open"


def test_alerts_of_one_service_join_one_incident(desk: Desk):
    """A second alert about a service in trouble is no second incident."""
    first, second = alerts.receive(desk, delivery(FIRING, {"fingerprint": "eeee"}))
    assert (first.action, second.action) == ("opened", "joined")
    assert first.incident == second.incident


def test_a_resolution_nobody_heard_of_opens_nothing(desk: Desk):
    """It may belong to a time before imtkit was set up."""
    assert alerts.receive(desk, delivery(OVER))[0].action == "unknown"
    assert list(desk.store.entries()) == []


def test_alerts_left_out_are_said(desk: Desk):
    """Alertmanager's max_alerts hides alerts; the log says how many."""
    (outcome,) = alerts.receive(desk, delivery(FIRING, left_out=2))
    notes = [
        e.data["text"]
        for e in incidents.get(desk, outcome.incident).entries
        if e.type == "note.added"
    ]
    assert notes == ["alertmanager left 2 more alerts out of this delivery."]


def test_runbooks_answer_by_metadata_and_by_the_alerts_own_link(desk: Desk, workspace: Path):
    """The runbook that runbook_url names comes first; patterns in metadata follow."""
    write_notebook(workspace / "runbooks" / "trial.ipynb", [code("a", "1")], about=SOUND)
    write_notebook(workspace / "runbooks" / "linked.ipynb", [code("a", "1")])
    annotations = {"summary": "s", "runbook_url": "https://wiki.example/runbooks/linked.html"}
    (outcome,) = alerts.receive(desk, delivery({"annotations": annotations}))
    assert outcome.runbooks == ("linked", "trial")


def test_alert_text_reaches_declared_parameters_only_as_typed_data(desk: Desk, workspace: Path):
    """What is no parameter, not meant for alerts, or not of its type, stays in the log."""
    cell = 'url: str = ""  # address\ncount: int = 5  # requests\nincident_id: str = ""  # one'
    about = {"alert_parameters": ["url", "count"]}
    write_notebook(workspace / "runbooks" / "t.ipynb", [code("p", cell, "parameters")], about=about)
    labels = {"alertname": "A", "count": "__import__('os')", "incident_id": "x", "evil": "1"}
    annotations = {"url": "http://127.0.0.1/'; import os"}
    (outcome,) = alerts.receive(desk, delivery({"labels": labels, "annotations": annotations}))
    alert = incidents.get(desk, outcome.incident).alerts[0]
    values = alerts.parameters_for(runbooks.find(desk.settings, "t"), alert)
    assert values == {"url": "http://127.0.0.1/'; import os"}


def test_what_cannot_be_read_stores_nothing(desk: Desk):
    """Malformed JSON is refused whole."""
    with pytest.raises(PayloadError):
        alerts.receive(desk, b'{"version":"4","alerts":[{"status":"firing"}]}')
    assert list(desk.store.entries()) == []


@pytest.mark.skipif(not PAYLOADS, reason="IMT_PAYLOADS names no folder of real payloads")
def test_real_traffic_makes_each_alert_one_episode(desk: Desk):
    """Captured traffic, replayed twice: nothing of the second pass is new."""
    bodies = [
        path.read_bytes()
        for path in sorted(Path(PAYLOADS).glob("alertmanager-captured/*.body.json"))
    ]
    for body in bodies:
        alerts.receive(desk, body)
    before = len(list(desk.store.entries()))
    for body in bodies:
        for outcome in alerts.receive(desk, body):
            assert outcome.action in ("known", "unknown")
    assert len(list(desk.store.entries())) == before
    assert desk.store.verify() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"annotations": {"url": "https://shop.example/a b"}},
            "imt run http-service -p 'url=https://shop.example/a b' --incident",
        ),
        ({"labels": {"instance": "shop:8080"}}, "-p url=http://shop:8080/ --incident"),
        ({"labels": {"instance": "a; rm x"}}, "-p 'url=http://a; rm x/' --incident"),
        ({}, "imt run http-service -p url=… --incident"),
    ],
    ids=["annotation", "instance", "hostile instance", "neither"],
)
def test_replay_proposes_a_command_with_what_the_alert_says(
    workspace: Path, capsys: pytest.CaptureFixture[str], changed: dict, said: str
):
    """Its parameters are in the command, quoted; what it does not say is left to fill in."""
    labels = {"alertname": "HttpErrorRateHigh", **changed.get("labels", {})}
    payload = workspace / "payload.json"
    payload.write_bytes(delivery({"annotations": {}, **changed, "labels": labels}))
    done = caller(capsys)("alerts", "replay", str(payload), "--workspace", str(workspace))
    assert done.code == 0, done.err
    assert said in done.err
