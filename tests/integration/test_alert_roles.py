"""Roles that alerts give: by rules, else by the service; never those that somebody has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from alert_bodies import delivery

from imtkit.config import Service, load_settings
from imtkit.config.alerts import RuleSettings
from imtkit.errors import ConfigError
from imtkit.kit import Desk, alerts, incidents
from imtkit.model.entries import Entry

ON_CALL = {"commander": "Cleo", "scribe": "Sam"}
FIRST = RuleSettings("first", ("severity=critical",), assign={"commander": "Ann Example"})
SECOND = RuleSettings("second", assign={"commander": "Bo", "lead": "Lea", "owner": "Olga"})


def staffed(desk: Desk, *rules: RuleSettings) -> Desk:
    """The desk in a workspace of these rules, whose service has people on call."""
    told = replace(desk.settings.alerts, rules=rules)
    services = {"orders": Service("orders", "payments", (), ON_CALL)}
    return replace(desk, settings=replace(desk.settings, alerts=told, services=services))


def given(desk: Desk, incident: str) -> list[Entry]:
    """The roles that were given in an incident."""
    found = desk.store.incident(incident).entries
    return [entry for entry in found if entry.type == "role.assigned"]


def another(number: int) -> bytes:
    """One more alert of the same service."""
    return delivery({"fingerprint": f"{number}"})


def test_the_first_rule_that_names_a_role_gives_it_then_the_service(desk: Desk) -> None:
    """Each role once, with its reason; the owner that a rule names stands before the service's."""
    desk = staffed(desk, FIRST, SECOND)
    (opened,) = alerts.receive(desk, another(1))
    incident = desk.store.incident(opened.incident)
    assert incident.roles == {"commander": "Ann Example", "lead": "Lea", "scribe": "Sam"}
    assert incident.owner == "Olga"
    entries = given(desk, opened.incident)
    assert [entry.data["reason"] for entry in entries] == [
        "the rule 'first' says so",
        "the rule 'second' says so",
        "on call for orders",
    ]
    assert {entry.actor for entry in entries} == {"automation/alertmanager"}
    assert (entries[0].key or "").endswith("/role/commander")


def test_nobody_loses_a_role(desk: Desk) -> None:
    """Later alerts and repeats give nothing anew, whatever case the role is written in."""
    (opened,) = alerts.receive(staffed(desk), another(1))
    incidents.assign(desk, opened.incident, "commander", "Dora")
    incidents.assign(desk, opened.incident, "Lead", "Dora")
    before = len(given(desk, opened.incident))
    for number in (1, 2, 3):
        alerts.receive(staffed(desk, FIRST, SECOND), another(number))
    assert len(given(desk, opened.incident)) == before
    incident = desk.store.incident(opened.incident)
    assert incident.roles == {"commander": "Dora", "scribe": "Sam", "Lead": "Dora"}
    assert incident.owner == "payments"


def test_an_alert_that_joins_gives_what_is_free(desk: Desk) -> None:
    """A role that was given back is given again by the next new alert, by no repeat."""
    (opened,) = alerts.receive(desk, another(1))
    desk = staffed(desk, FIRST)
    (joined,) = alerts.receive(desk, another(2))
    assert joined.incident == opened.incident
    assert len(given(desk, opened.incident)) == 2
    incidents.release(desk, opened.incident, "commander")
    alerts.receive(desk, another(2))
    assert "commander" not in desk.store.incident(opened.incident).roles
    alerts.receive(desk, another(3))
    assert desk.store.incident(opened.incident).roles["commander"] == "Ann Example"


def test_a_delivery_of_many_gives_each_role_once(desk: Desk) -> None:
    """The first alert of a storm gives the roles, though all name them."""
    storm = delivery(*({"fingerprint": f"{number}"} for number in range(20)))
    outcomes = alerts.receive(staffed(desk, FIRST, SECOND), storm)
    assert len({one.incident for one in outcomes}) == 1
    assert len(given(desk, outcomes[0].incident)) == 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            '[services.pay]\non_call = { commander = " " }',
            r"services.pay\] on_call .*person ' '",
        ),
        ('[[alerts.rules]]\nname = "a"\nassign = { "" = "Ann" }', "'a': assign names a role ''"),
        ('[[alerts.rules]]\nname = "a"\nassign = { x = "a\\u001b" }', "'a': assign names a person"),
        ('[[alerts.rules]]\nname = "a"\nassign = { x = 1 }', "assign.x' is wrong"),
    ],
)
def test_a_role_that_cannot_be_given_is_named(workspace: Path, text: str, what: str) -> None:
    """By its place in imt.toml, with a hint."""
    with (workspace / "imt.toml").open("a") as file:
        file.write(f"\n{text}\n")
    with pytest.raises(ConfigError, match=what) as refused:
        load_settings(workspace)
    assert refused.value.hint
