"""The fold: entries -> Incident, for any entries at all."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rows import START, entry

from imtkit.model.entries import CATALOGUE, utc_text
from imtkit.model.fold import fold, summarise
from imtkit.model.gates import Change, Gate
from imtkit.model.incident import (
    Alert,
    Decision,
    Evidence,
    Incident,
    Run,
    Step,
    Task,
    Update,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
PARTS = (Alert, Change, Decision, Evidence, Gate, Incident, Run, Step, Task, Update)
OTHERS = {
    "change",
    "gate",
    "to",
    "from",
    "name",
    "value",
    "role",
    "person",
    "list",
    "items",
    "item",
    "supersedes",
}
NAMES = st.sampled_from(sorted({field.name for part in PARTS for field in fields(part)} | OTHERS))
LIKELY = st.sampled_from(
    ["owner", "title", "tags", "", "a", "r1", 1, 2, True, utc_text(START), "0001-01-01T00:00+23:59"]
) | st.lists(st.fixed_dictionaries({"id": st.sampled_from("ab"), "text": st.text(max_size=3)}))
DATA = st.dictionaries(NAMES | st.text(max_size=4), JSON | LIKELY, max_size=6)
TYPES = st.sampled_from(sorted(CATALOGUE)) | st.text(max_size=8)


def folded(*rows: tuple[str, dict[str, Any]]) -> Incident:
    return fold("INC-1", [entry(n, *row) for n, row in enumerate(rows, start=1)])


OPENED = ("incident.opened", {"title": "Orders fail", "severity": "sev3", "services": ["orders"]})


@given(st.lists(st.tuples(TYPES, DATA), max_size=15))
@settings(max_examples=200)
@example([("incident.opened", {"measures": {"x": 10**400}})])
@example([("task.assigned", {"due_at": "0001-01-01T00:00:00+23:59"})])
def test_any_sequence_of_entries_folds(rows: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever types, whatever JSON: an incident comes out, the same each time, and whole."""
    incident = folded(*rows)
    assert repr(incident) == repr(folded(*rows))
    assert len(incident.entries) == len(rows)
    assert summarise(incident).id == "INC-1"


@given(st.text(min_size=1).filter(lambda name: name not in CATALOGUE), DATA)
def test_unknown_types_are_kept_and_change_nothing_else(name: str, data: dict[str, Any]) -> None:
    """What a newer imtkit wrote stays in the timeline."""
    data.pop("supersedes", None)
    before, after = folded(OPENED), folded(OPENED, (name, data))
    assert after.entries[-1].type == name
    assert summarise(before) == summarise(after)


def test_nothing_was_opened() -> None:
    """No entries give an incident without a status."""
    assert folded() == Incident("INC-1")
    assert not folded().status
    assert not folded().head


def test_a_whole_life_is_told_by_its_entries() -> None:
    """Times, people and states come from the entries, the first acknowledgement stays."""
    incident = folded(
        OPENED,
        ("incident.acknowledged", {}),
        ("incident.mitigated", {}),
        ("incident.reopened", {"reason": "again"}),
        ("incident.acknowledged", {}),
        ("incident.resolved", {}),
        ("incident.closed", {}),
        ("incident.reviewed", {}),
    )
    minute = {n: START + timedelta(minutes=n) for n in range(1, 9)}
    assert incident.status == "reviewed"
    assert incident.is_over
    assert incident.opened_at == minute[1]
    assert incident.acknowledged_at == minute[2]
    assert incident.mitigated_at is None  # reopening took it back
    assert incident.resolved_at == minute[6]
    assert incident.closed_at == minute[7]
    assert incident.reviewed_at == minute[8]
    assert incident.reopened == 1
    assert incident.owner == "Ann"


def test_reopening_what_nobody_took_in_hand_leads_to_open() -> None:
    """And after an acknowledgement it leads back there."""
    assert folded(OPENED, ("incident.mitigated", {}), ("incident.reopened", {})).status == "open"
    taken = folded(OPENED, ("incident.acknowledged", {}), ("incident.reopened", {}))
    assert taken.status == "acknowledged"


def test_a_machine_that_acknowledges_owns_nothing() -> None:
    """Only a person becomes the owner by acknowledging."""
    rows = [entry(1, *OPENED), entry(2, "incident.acknowledged", {}, actor="automation/x")]
    assert fold("INC-1", rows).owner == ""


def test_what_is_corrected_counts_no_longer() -> None:
    """The correction stands in its place; both stay readable."""
    incident = folded(
        OPENED,
        ("decision.made", {"text": "fail over", "reason": "r"}),
        ("decision.made", {"text": "wait", "reason": "r"}),
        ("decision.made", {"text": "fail back", "reason": "r", "supersedes": 2}),
    )
    assert [d.text for d in incident.decisions] == ["fail back", "wait"]
    assert incident.superseded == {2}
    assert len(incident.entries) == 4


def test_a_corrected_opening_does_not_open_again() -> None:
    """Title and severity are mended; what happened since still counts."""
    incident = folded(
        ("incident.opened", {"title": "Ordrs", "severity": "sev3"}),
        ("incident.acknowledged", {}),
        ("severity.changed", {"from": "sev3", "to": "sev1"}),
        ("incident.opened", {"title": "Orders", "severity": "sev4", "supersedes": 1}),
    )
    assert (incident.title, incident.status, incident.severity) == (
        "Orders",
        "acknowledged",
        "sev1",
    )


def test_a_corrected_value_does_not_win_over_a_later_one() -> None:
    """Corrections of corrections too stand where the first one stood."""
    incident = folded(
        OPENED,
        ("field.set", {"name": "cause", "value": "diks"}),
        ("field.set", {"name": "cause", "value": "network"}),
        ("field.set", {"name": "cause", "value": "dikk", "supersedes": 2}),
        ("field.set", {"name": "cause", "value": "disk", "supersedes": 4}),
    )
    assert incident.fields["cause"] == "network"


def test_what_is_withdrawn_counts_no_longer() -> None:
    """A resolution that was taken back is none."""
    incident = folded(
        OPENED,
        ("incident.acknowledged", {}),
        ("incident.resolved", {}),
        ("entry.withdrawn", {"supersedes": 3, "reason": "wrong window"}),
    )
    assert incident.status == "acknowledged"
    assert incident.resolved_at is None


def test_fields_roles_tasks_and_measures() -> None:
    """Each kind of entry fills its part of the incident."""
    incident = folded(
        (
            "incident.opened",
            {"title": "x", "measures": {"error_rate": 0.3, "bad": "y", "no": True}},
        ),
        ("field.set", {"name": "services", "value": ["a", "b"]}),
        ("field.set", {"name": "cause", "value": "disk"}),
        ("field.set", {"name": "", "value": "nothing"}),
        ("role.assigned", {"role": "scribe", "person": "Bo"}),
        ("role.assigned", {"role": "owner", "person": "Cy"}),
        ("role.assigned", {"role": "deputy", "person": "Di"}),
        ("role.released", {"role": "deputy"}),
        ("task.assigned", {"task": "t", "text": "look", "assignee": "Bo", "due_at": "soon"}),
        ("task.done", {"task": "t"}),
        ("task.done", {"task": "unknown"}),
    )
    assert incident.measures == {"error_rate": 0.3}
    assert incident.services == ("a", "b")
    assert incident.fields == {"cause": "disk"}
    assert incident.value("cause") == "disk"
    assert incident.value("owner") == "Cy"
    assert incident.roles == {"scribe": "Bo"}
    assert [(t.id, t.due_at, t.done_at) for t in incident.tasks] == [
        ("t", None, START + timedelta(minutes=10))
    ]


def test_ticks_are_read_from_the_log() -> None:
    """Who, when and through which face; unticking takes it back; unknown lists are ignored."""
    shown = {
        "list": "l",
        "title": "L",
        "items": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}],
    }
    incident = folded(
        OPENED,
        ("checklist.ticked", {"list": "l", "item": "a"}),
        ("checklist.shown", shown),
        ("checklist.ticked", {"list": "l", "item": "a"}),
        ("checklist.ticked", {"list": "l", "item": "b"}),
        ("checklist.unticked", {"list": "l", "item": "b"}),
        ("checklist.ticked", {"list": "l", "item": "zzz"}),
    )
    found = incident.checklist("l")
    assert found is not None
    assert [(i.id, i.by, i.via, i.at) for i in found.items] == [
        ("a", "Ann", "cli", START + timedelta(minutes=4)),
        ("b", "", "", None),
    ]


def test_a_run_is_told_step_by_step() -> None:
    """Steps keep their start when they end; ends without a beginning change nothing."""
    incident = folded(
        OPENED,
        ("run.finished", {"run": "ghost", "status": "completed"}),
        ("step.started", {"run": "ghost", "step": "s"}),
        ("run.started", {"run": "r", "runbook": "host", "parameters": {"a": 1}}),
        ("step.started", {"run": "r", "step": "s", "title": "Look", "index": 0}),
        ("step.finished", {"run": "r", "step": "s", "status": "failed", "error": "E"}),
        ("run.finished", {"run": "r", "status": "failed", "error": "E"}),
    )
    (run,) = incident.runs
    (step,) = run.steps
    assert (run.status, run.parameters, run.elapsed) == ("failed", {"a": 1}, timedelta(minutes=3))
    assert (step.status, step.title, step.index, step.error) == ("failed", "Look", 0, "E")
    assert (step.started_at, step.finished_at) == (
        START + timedelta(minutes=5),
        START + timedelta(minutes=6),
    )


def test_a_requested_run_is_queued_until_it_starts() -> None:
    """What the request said stays with the run that starts under its id; another changes nothing.

    Cancelled before its turn, it is over.
    """
    asked = {"run": "r1", "runbook": "disk", "title": "Disk", "parameters": {"host": "a"}}
    requested = ("run.requested", {**asked, "rule": "disk-full", "priority": 2})
    queued = folded(OPENED, requested, ("run.requested", {**asked, "title": "Other"})).runs
    assert [(run.status, run.title, run.rule) for run in queued] == [
        ("queued", "Disk", "disk-full")
    ]
    assert not queued[0].is_over
    assert queued[0].has_runner
    begun = folded(OPENED, requested, ("run.started", {"run": "r1", "runbook": "disk"})).runs[0]
    assert (begun.status, begun.rule, begun.title) == ("running", "disk-full", "Disk")
    assert begun.requested_at == queued[0].requested_at
    ended = ("run.finished", {"run": "r1", "status": "cancelled"})
    assert folded(OPENED, requested, ended).runs[0].is_over


def test_updates_and_alerts_are_told_by_their_ids() -> None:
    """A later entry of the same id goes on with the earlier one."""
    incident = folded(
        OPENED,
        ("update.requested", {"update": "u", "page": "p", "status": "investigating", "body": "b"}),
        ("update.failed", {"update": "u", "error": "503"}),
        ("update.published", {"update": "u", "remote_id": "7", "url": "https://example.org"}),
        ("alert.received", {"fingerprint": "f", "name": "Down"}),
        ("alert.received", {"fingerprint": "f", "name": "Down"}),
        ("alert.resolved", {"fingerprint": "f"}),
        ("alert.resolved", {"fingerprint": "other"}),
    )
    (update,) = incident.updates
    assert (update.state, update.remote_id, update.error, update.body) == (
        "published",
        "7",
        "",
        "b",
    )
    (alert,) = incident.alerts
    assert (alert.status, alert.count) == ("resolved", 2)
