"""The verbs of an incident: opened, moved on, written down, corrected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from clocks import NOON, FixedClock

from imtkit.contracts import Query
from imtkit.errors import (
    AuthorityError,
    IdentityError,
    ImtkitError,
    InputError,
    MissingFieldsError,
    NotFoundError,
    StateError,
)
from imtkit.kit import Desk, corrections, incidents
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening

HOUR = timedelta(hours=1)


def opened(desk: Desk, **told: object) -> str:
    return incidents.open_(desk, Opening("Orders fail", **told)).id  # type: ignore[arg-type]


def types(desk: Desk, incident_id: str) -> list[str]:
    return [entry.type for entry in desk.store.entries(incident_id)]


@pytest.fixture
def machine(desk: Desk) -> Desk:
    """The same desk with an automation at it."""
    return desk.acting_as("automation/alerts", "alert")


@pytest.fixture
def incident_id(desk: Desk) -> str:
    """A minor incident that Ann opened just now."""
    return opened(desk)


# Opening


def test_a_bare_opening_gets_the_defaults(desk: Desk) -> None:
    """Title, default severity, live, open, opened by whoever opened it."""
    incident = incidents.open_(desk, Opening("  Orders fail  "))
    assert (incident.id, incident.title) == ("INC-2026-0001", "Orders fail")
    assert (incident.severity, incident.status, incident.mode) == ("sev3", "open", "live")
    assert (incident.opened_by, incident.opened_at) == ("Ann Example", NOON)


def test_owner_and_tags_come_from_the_services(desk: Desk) -> None:
    """Of those in the catalogue; what is told wins, tags are not repeated."""
    from dataclasses import replace

    from imtkit.config import Service

    services = {
        "orders": Service("orders", "payments", ("checkout", "tier-1")),
        "mail": Service("mail", "platform", ("tier-1",)),
    }
    desk = replace(desk, settings=replace(desk.settings, services=services))
    incident = incidents.open_(
        desk, Opening("x", services=("unknown", "orders", "mail"), tags=("checkout", "eu"))
    )
    assert incident.owner == "payments"
    assert incident.tags == ("checkout", "eu", "tier-1")
    assert incidents.open_(desk, Opening("x", services=("mail",), owner="Bo")).owner == "Bo"


def test_measures_propose_a_severity_and_say_why(desk: Desk) -> None:
    """The proposal is logged with its grounds; what a person told wins."""
    proposed = incidents.open_(desk, Opening("x", measures={"error_rate": 0.3}))
    assert proposed.severity == "sev1"
    assert proposed.entries[-1].data == {"severity": "sev1", "grounds": ["error_rate 0.3 >= 25%"]}
    told = incidents.open_(desk, Opening("x", severity="SEV4", measures={"error_rate": 0.3}))
    assert told.severity == "sev4"
    assert types(desk, told.id) == ["incident.opened", "severity.proposed"]
    calm = incidents.open_(desk, Opening("x", measures={"error_rate": 0.001}))
    assert types(desk, calm.id) == ["incident.opened"]


def test_a_retried_opening_opens_once(desk: Desk) -> None:
    """The same key gives the first incident, proposal and all."""
    first = incidents.open_(desk, Opening("x", measures={"error_rate": 0.3}), key="k")
    assert incidents.open_(desk, Opening("y", measures={"error_rate": 0.3}), key="k") == first
    assert len(desk.store.incidents()) == 1


def test_an_unknown_severity_opens_nothing(desk: Desk) -> None:
    """It is refused before anything is stored."""
    with pytest.raises(NotFoundError, match="Severity 'sev9' not found"):
        opened(desk, severity="sev9")
    assert desk.store.incidents() == []


def test_nobody_opens_nothing(desk: Desk) -> None:
    """Without a name nothing is logged; reading needs none."""
    incident_id = opened(desk)
    nobody = desk.acting_as("")
    with pytest.raises(IdentityError):
        opened(nobody)
    assert incidents.get(nobody, incident_id.lower()).id == incident_id
    assert len(desk.store.incidents()) == 1


# The lifecycle


def live_through(desk: Desk, incident_id: str, clock: FixedClock) -> None:
    incidents.acknowledge(desk, incident_id)
    clock.move(minutes=5)
    incidents.mitigate(desk, incident_id, reason="traffic moved")
    clock.move(minutes=5)
    incidents.resolve(desk, incident_id, fields={"resolution": "restarted"})
    clock.move(minutes=5)
    incidents.move(desk, incident_id, "close", fields={"cause": "disk"})


def test_a_life_from_open_to_reviewed(desk: Desk, clock: FixedClock, incident_id: str) -> None:
    """Each verb leads on, sets its time, and closing builds the record."""
    live_through(desk, incident_id, clock)
    incident = incidents.move(desk, incident_id, "review")
    assert incident.status == "reviewed"
    assert incident.owner == "Ann Example"
    assert incident.mitigated_at == NOON + timedelta(minutes=5)
    assert incident.closed_at == NOON + timedelta(minutes=15)
    assert incident.fields == {"resolution": "restarted", "cause": "disk"}
    assert list(desk.folder(incident_id).rglob("index.html"))


def test_reopening_is_counted_and_needs_a_reason(
    desk: Desk, clock: FixedClock, incident_id: str
) -> None:
    """By either call; the times of what was over are taken back."""
    live_through(desk, incident_id, clock)
    for attempt in (
        lambda: incidents.reopen(desk, incident_id, reason=" "),
        lambda: incidents.move(desk, incident_id, "reopen"),
    ):
        with pytest.raises(InputError, match="needs a reason"):
            attempt()
    incident = incidents.reopen(desk, incident_id, reason="it is back")
    assert (incident.status, incident.reopened, incident.closed_at) == ("acknowledged", 1, None)
    assert incident.entries[-1].data == {"reason": "it is back"}


@pytest.mark.parametrize("verb", ["close", "review", "reopen"])
def test_wrong_states_are_refused_and_store_nothing(
    desk: Desk, incident_id: str, verb: str
) -> None:
    """The error says what may be done instead; fields given along are not set either."""
    with pytest.raises(StateError, match=f"{incident_id} is open; it cannot be") as caught:
        incidents.move(desk, incident_id, verb, fields={"cause": "x"}, reason="r")
    assert caught.value.hint == "From 'open' one can: acknowledge, mitigate, resolve."
    assert types(desk, incident_id) == ["incident.opened"]


def test_what_is_owed_can_be_given_with_the_verb(desk: Desk, incident_id: str) -> None:
    """Missing, a field stops the verb; given with it, both are stored."""
    with pytest.raises(MissingFieldsError, match="Still owed: resolution") as caught:
        incidents.resolve(desk, incident_id)
    assert caught.value.missing == ("resolution",)
    with pytest.raises(MissingFieldsError):
        incidents.resolve(desk, incident_id, fields={"resolution": "  "})
    assert types(desk, incident_id) == ["incident.opened"]
    incidents.resolve(desk, incident_id, fields={"resolution": "restarted"})
    assert types(desk, incident_id)[1:] == ["field.set", "incident.resolved"]


def test_machines_do_not_close_review_or_reopen(
    desk: Desk, machine: Desk, clock: FixedClock, incident_id: str
) -> None:
    """A person decides that; a machine may acknowledge, and owns nothing by it."""
    assert incidents.acknowledge(machine, incident_id).owner == ""
    for verb in ("close", "review", "reopen"):
        with pytest.raises(AuthorityError, match=f"automation/alerts may not {verb}"):
            incidents.move(machine, incident_id, verb, reason="r")


def test_an_unknown_verb_or_incident_is_named(desk: Desk, incident_id: str) -> None:
    """With the nearest that exists."""
    with pytest.raises(NotFoundError, match="State change 'resolv' not found"):
        incidents.move(desk, incident_id, "resolv")
    with pytest.raises(NotFoundError, match="Incident 'INC-2026-0011' not found") as caught:
        incidents.acknowledge(desk, "inc-2026-0011")
    assert caught.value.hint == f"Did you mean '{incident_id}'?"


# When it happened


def test_what_happened_earlier_is_told_with_its_zone(desk: Desk, incident_id: str) -> None:
    """The moment is kept in UTC, and the zone it was told in beside it."""
    at = datetime(2026, 11, 21, 12, 45, tzinfo=ZoneInfo("Europe/Zurich"))
    entry = incidents.note(desk, incident_id, "saw smoke", at=at)
    assert entry.occurred_at == NOON - timedelta(minutes=15)
    assert entry.recorded_at == NOON
    assert entry.zone == "Europe/Zurich"
    offset = incidents.note(desk, incident_id, "x", at=datetime.fromisoformat(at.isoformat()))
    assert offset.zone == "+0100"
    assert incidents.note(desk, incident_id, "x").zone == "UTC"


def test_times_to_come_or_without_a_zone_are_refused(desk: Desk, incident_id: str) -> None:
    """The log keeps what happened, and knows when."""
    with pytest.raises(InputError, match="is still to come"):
        incidents.note(desk, incident_id, "x", at=NOON + timedelta(seconds=1))
    with pytest.raises(InputError, match="has no time zone"):
        incidents.note(desk, incident_id, "x", at=NOON.replace(tzinfo=None))
    with pytest.raises(InputError, match="has no time zone"):
        incidents.ask(desk, incident_id, "x", assignee="Bo", due_at=NOON.replace(tzinfo=None))
    with pytest.raises(InputError, match="is still to come"):
        incidents.move(desk, incident_id, "acknowledge", at=NOON + HOUR)
    assert types(desk, incident_id) == ["incident.opened"]


# Writing down


def test_notes_and_decisions_are_logged(desk: Desk, incident_id: str) -> None:
    """With who, why and through which face; a note may be for the outside."""
    note = incidents.note(desk, incident_id, "x", visibility="external", key="k")
    assert (note.actor, note.source, note.visibility) == ("Ann Example", "cli", "external")
    assert incidents.note(desk, incident_id, "again", key="k") == note
    incidents.decide(desk, incident_id, "fail over", reason="disk is dying")
    (decision,) = incidents.get(desk, incident_id).decisions
    assert (decision.text, decision.reason, decision.actor) == (
        "fail over",
        "disk is dying",
        "Ann Example",
    )


Act = Callable[[Desk, str], object]
EMPTY: dict[str, Act] = {
    "a note": lambda desk, i: incidents.note(desk, i, " "),
    "a decision": lambda desk, i: incidents.decide(desk, i, "", reason="r"),
    "its reason": lambda desk, i: incidents.decide(desk, i, "x", reason="\n"),
    "a role": lambda desk, i: incidents.assign(desk, i, " ", "Bo"),
    "a person": lambda desk, i: incidents.assign(desk, i, "scribe", ""),
    "a task": lambda desk, i: incidents.ask(desk, i, "", assignee="Bo"),
    "an assignee": lambda desk, i: incidents.ask(desk, i, "x", assignee=""),
    "a correction": lambda desk, i: corrections.correct(desk, i, 1, {}, reason=""),
    "a withdrawal": lambda desk, i: corrections.withdraw(desk, i, 1, reason=""),
    "a title": lambda desk, i: incidents.set_fields(desk, i, {"title": " "}),
}


@pytest.mark.parametrize("act", EMPTY.values(), ids=list(EMPTY))
def test_empty_words_are_refused(desk: Desk, incident_id: str, act: Act) -> None:
    """Nothing is stored that says nothing."""
    with pytest.raises(InputError, match="is empty"):
        act(desk, incident_id)
    assert types(desk, incident_id) == ["incident.opened"]


# Fields, severity, roles, tasks


def test_fields_are_set_once(desk: Desk, incident_id: str) -> None:
    """Lists may come as text; what has its value already logs nothing."""
    values = {"services": "orders, web,", "cause": "disk", "category": "major", "count": 3}
    incident = incidents.set_fields(desk, incident_id, values, reason="seen in the logs")
    assert incident.services == ("orders", "web")
    assert (incident.category, incident.fields) == ("major", {"cause": "disk", "count": 3})
    length = len(incident.entries)
    same = incidents.set_fields(desk, incident_id, {"services": ["orders", "web"], "cause": "disk"})
    assert len(same.entries) == length
    assert desk.store.incidents(Query(service="web"))[0].category == "major"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"status": "closed"}, "'status' is not set by hand"),
        ({"mode": "drill"}, "'mode' is not set by hand"),
        ({"category": "huge"}, "Category 'huge' not found"),
        ({"severity": "sev9"}, "Severity 'sev9' not found"),
        ({"a b": "x"}, "'a b' is not a field's name"),
        ({"": "x"}, "'' is not a field's name"),
        ({"tags": 3}, "'tags' takes a list"),
        ({"cause": float("nan")}, "cannot be kept exactly"),
    ],
)
def test_wrong_fields_are_refused_together(
    desk: Desk, incident_id: str, values: dict[str, object], says: str
) -> None:
    """A right one beside a wrong one is not stored either."""
    with pytest.raises(ImtkitError, match=says):
        incidents.set_fields(desk, incident_id, {"cause": "disk", **values})
    assert types(desk, incident_id) == ["incident.opened"]


def test_only_a_person_lowers_a_severity(desk: Desk, machine: Desk, incident_id: str) -> None:
    """A machine raises it, and is refused when it would lower it."""
    raised = incidents.set_fields(machine, incident_id, {"severity": "SEV1"})
    assert raised.severity == "sev1"
    with pytest.raises(AuthorityError, match="may not lower the severity from sev1 to sev2"):
        incidents.set_fields(machine, incident_id, {"severity": "sev2"})
    lowered = incidents.set_fields(desk, incident_id, {"severity": "sev2"}, reason="few customers")
    assert lowered.entries[-1].data == {"from": "sev1", "to": "sev2", "reason": "few customers"}


def test_measuring_raises_and_never_lowers(machine: Desk, incident_id: str) -> None:
    """Each proposal is logged; the severity is taken when it is worse than now."""
    proposal = incidents.measure(machine, incident_id, {"error_rate": 0.3})
    assert proposal is not None
    assert proposal.grounds == ("error_rate 0.3 >= 25%",)
    assert incidents.get(machine, incident_id).severity == "sev1"
    assert incidents.measure(machine, incident_id, {"error_rate": 0.02}) is not None
    assert incidents.get(machine, incident_id).severity == "sev1"
    assert incidents.measure(machine, incident_id, {"error_rate": 0.0}) is None


def test_roles_are_given_and_taken_back(desk: Desk, incident_id: str) -> None:
    """'owner' is one; the same person again logs nothing."""
    incidents.assign(desk, incident_id, " scribe ", " Bo ")
    incidents.assign(desk, incident_id, "scribe", "Bo")
    incidents.assign(desk, incident_id, " owner", "Cy")
    incident = incidents.assign(desk, incident_id, "owner", "Cy")
    assert (incident.roles, incident.owner) == ({"scribe": "Bo"}, "Cy")
    assert types(desk, incident_id).count("role.assigned") == 2
    assert incidents.release(desk, incident_id, "scribe").roles == {}
    with pytest.raises(NotFoundError, match="Role 'scribe' not found on INC-2026-0001"):
        incidents.release(desk, incident_id, "scribe")


def test_tasks_are_asked_for_and_done_once(desk: Desk, incident_id: str) -> None:
    """With who asked whom, by when; done twice is once."""
    task = incidents.ask(desk, incident_id, "call the vendor", assignee="Bo", due_at=NOON + HOUR)
    assert (task.assignee, task.asked_by, task.due_at) == ("Bo", "Ann Example", NOON + HOUR)
    assert incidents.done(desk, incident_id, task.id).done_at == NOON
    incidents.done(desk, incident_id, task.id)
    assert types(desk, incident_id).count("task.done") == 1
    with pytest.raises(NotFoundError, match="Task 'nope' not found"):
        incidents.done(desk, incident_id, "nope")


# Corrections


def test_a_correction_replaces_and_keeps_the_old(desk: Desk, incident_id: str) -> None:
    """The new entry stands in the old one's place and time, with the reason; once only."""
    note = incidents.note(desk, incident_id, "disk ful", at=NOON - HOUR)
    entry = corrections.correct(desk, incident_id, note.n, {"text": "disk full"}, reason="typo")
    assert entry.data["text"] == "disk full"
    assert (entry.supersedes, entry.occurred_at) == (note.n, NOON - HOUR)
    assert entry.data["reason_for_correction"] == "typo"
    incident = incidents.get(desk, incident_id)
    assert incident.superseded == {note.n}
    assert incident.entries[note.n - 1] == note
    with pytest.raises(StateError, match="Entry 2 of INC-2026-0001 was corrected already"):
        corrections.correct(desk, incident_id, note.n, {"text": "x"}, reason="r")
    assert corrections.correct(desk, incident_id, entry.n, {"text": "y"}, reason="r").n == 4


def test_a_corrected_opening_leaves_the_state_alone(desk: Desk, incident_id: str) -> None:
    """The title is mended in lists too, and what happened since still counts."""
    incidents.acknowledge(desk, incident_id)
    corrections.correct(desk, incident_id, 1, {"title": "Orders are slow"}, reason="exact")
    incident = incidents.get(desk, incident_id)
    assert (incident.title, incident.status) == ("Orders are slow", "acknowledged")
    (row,) = incidents.list_(desk, Query())
    assert (row.title, row.status) == ("Orders are slow", "acknowledged")


def test_a_withdrawal_takes_an_entry_back(desk: Desk, incident_id: str) -> None:
    """It stays readable and counts no longer; openings and withdrawals stay."""
    incidents.decide(desk, incident_id, "Roll back", reason="errors")
    entry = corrections.withdraw(desk, incident_id, 2, reason="wrong incident")
    incident = incidents.get(desk, incident_id)
    assert incident.decisions == ()
    assert len(incident.entries) == 3
    for n, says in ((1, "is not withdrawn"), (2, "corrected already"), (entry.n, "not withdrawn")):
        with pytest.raises(StateError, match=says):
            corrections.withdraw(desk, incident_id, n, reason="r")


def test_corrections_are_no_way_round_the_rules(desk: Desk, incident_id: str) -> None:
    """States, severities and modes change by their verbs; parts and authors are checked."""
    incidents.set_fields(desk, incident_id, {"severity": "sev1"})
    incidents.acknowledge(desk, incident_id)
    for n in (2, 3):
        with pytest.raises(StateError, match="is not corrected"):
            corrections.correct(desk, incident_id, n, {"to": "sev4"}, reason="r")
        with pytest.raises(StateError, match="is not withdrawn"):
            corrections.withdraw(desk, incident_id, n, reason="r")
    for part in ("severity", "mode", "titel"):
        with pytest.raises(NotFoundError):
            corrections.correct(desk, incident_id, 1, {part: "live"}, reason="r")
    for data in ({}, {"title": ""}):
        with pytest.raises(InputError):
            corrections.correct(desk, incident_id, 1, data, reason="r")
    note = incidents.note(desk, incident_id, "by a person")
    robot = desk.acting_as("automation/alertmanager")
    with pytest.raises(AuthorityError, match="may not take back"):
        corrections.correct(robot, incident_id, note.n, {"text": "x"}, reason="r")
    corrections.correct(desk, incident_id, 1, {"title": "Orders are slow"}, reason="exact")
    assert incidents.get(desk, incident_id).opened_by == "Ann Example"


def test_what_was_owed_is_owed_again_after_a_reopening(desk: Desk, incident_id: str) -> None:
    """The old resolution and cause stay in the log, and are no answer to the new end."""
    incidents.resolve(desk, incident_id, fields={"resolution": "restarted"})
    incidents.move(desk, incident_id, "close", fields={"cause": "a full disk"})
    incidents.reopen(desk, incident_id, reason="errors are back")
    with pytest.raises(MissingFieldsError, match="resolution"):
        incidents.resolve(desk, incident_id)


def test_a_change_of_state_is_not_told_to_be_before_the_last(desk: Desk, incident_id: str) -> None:
    """Time to resolve cannot be negative."""
    with pytest.raises(InputError, match="cannot be earlier"):
        incidents.move(
            desk, incident_id, "resolve", fields={"resolution": "x"}, at=NOON - 24 * HOUR
        )


def test_nobody_is_no_actor_and_holds_no_role(desk: Desk, incident_id: str) -> None:
    """Anonymous is never in the log."""
    with pytest.raises(IdentityError):
        incidents.note(desk.acting_as("anonymous lynx"), incident_id, "x")
    with pytest.raises(InputError, match="nobody's name"):
        incidents.assign(desk, incident_id, "scribe", "Anonymous")


@pytest.mark.parametrize("n", [0, -1, 2, 10**9])
def test_an_entry_that_is_not_there_cannot_be_corrected(
    desk: Desk, incident_id: str, n: int
) -> None:
    """The error says how many there are."""
    with pytest.raises(NotFoundError, match=f"has no entry {n}; it has 1"):
        corrections.correct(desk, incident_id, n, {}, reason="r")


# Lists


def test_lists_refuse_names_that_do_not_exist(desk: Desk, incident_id: str) -> None:
    """A mistyped filter is an error, not an empty list."""
    assert [row.id for row in incidents.list_(desk, Query(statuses=("open",)))] == [incident_id]
    for query in (
        Query(severities=("sev9",)),
        Query(statuses=("opne",)),
        Query(modes=("lvie",)),
    ):
        with pytest.raises(NotFoundError):
            incidents.list_(desk, query)


def test_everything_a_person_did_verifies(desk: Desk, clock: FixedClock, incident_id: str) -> None:
    """After all of it the chain stands and the lists can be rebuilt as they are."""
    live_through(desk, incident_id, clock)
    incident: Incident = incidents.get(desk, incident_id)
    rows = desk.store.incidents()
    assert desk.store.verify() == []
    desk.store.rebuild()
    assert desk.store.incidents() == rows
    assert incidents.get(desk, incident_id) == incident


def test_what_was_measured_is_kept_whether_or_not_it_is_bad(desk: Desk) -> None:
    """A measure below every threshold is in the log too, and is what the incident shows."""
    opened = incidents.open_(desk, Opening("Checkout is slow"))
    assert incidents.measure(desk, opened.id, {"error_rate": 0.001}) is None
    incidents.measure(desk, opened.id, {"error_rate": 0.07})
    known = incidents.get(desk, opened.id)
    assert known.measures == {"error_rate": 0.07}
    assert known.severity == "sev2"
    types = [entry.type for entry in known.entries]
    assert types == [
        "incident.opened",
        "measure.taken",
        "measure.taken",
        "severity.proposed",
        "severity.changed",
    ]


@pytest.mark.parametrize(("slip", "meant"), [("titel", "title"), ("sevrity", "severity")])
def test_a_slip_of_a_fields_name_is_refused(desk: Desk, slip: str, meant: str):
    """A field nobody meant is not made; the one that was meant is named."""
    incident = incidents.open_(desk, Opening("Checkout fails"))
    with pytest.raises(InputError) as refused:
        incidents.set_fields(desk, incident.id, {slip: "sev1"})
    assert refused.value.hint == f"Did you mean '{meant}'?"
    assert incidents.set_fields(desk, incident.id, {"cause": "a lost index"}).value("cause")
