"""Rules at work: what alerts start, with which parameters, within which limits; silences."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_bodies import FIRING, OVER, delivery, nameless
from clocks import NOON, FixedClock
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_files import SOUND, code, write_notebook

from imtkit.alerts.payloads import delivery_from
from imtkit.alerts.pipeline import Surroundings, considered
from imtkit.alerts.values import given_values
from imtkit.config import Service, load_settings, shipped
from imtkit.config.alerts import RuleSettings, SilenceSettings, SourceSettings
from imtkit.contracts import Store
from imtkit.errors import StoreError
from imtkit.kit import Desk, alert_runs, alerts, incidents
from imtkit.model.entries import WORKSPACE, Entry
from imtkit.runs.runbook import read_runbook
from imtkit.store import open_store


def with_rules(
    desk: Desk, *rules: RuleSettings, silences: tuple[SilenceSettings, ...] = ()
) -> Desk:
    """The desk in a workspace of these rules and silences."""
    told = replace(desk.settings.alerts, rules=rules, silences=silences)
    return replace(desk, settings=replace(desk.settings, alerts=told))


def trial(workspace: Path, name: str = "trial", cell: str = "", **about: object) -> None:
    """A runbook that answers the alerts of orders, with this parameters cell."""
    cells = [code("p", cell, "parameters"), code("a", "1")]
    write_notebook(workspace / "runbooks" / f"{name}.ipynb", cells, about=SOUND | about)


def types(desk: Desk, incident_id: str) -> list[str]:
    return [entry.type for entry in incidents.get(desk, incident_id).entries]


def requests(desk: Desk, incident_id: str) -> list[Entry]:
    found = incidents.get(desk, incident_id).entries
    return [entry for entry in found if entry.type == "run.requested"]


ANY = RuleSettings("any", runbooks=("trial",))
ORDERS = RuleSettings("orders-fail", ('service=~"ord.*"', "severity=critical"))


def test_a_rule_requests_runs_of_what_answers_the_alert(desk: Desk, workspace: Path):
    """The request says what, why and how urgent; the run is queued under the id it names."""
    trial(workspace)
    desk = with_rules(desk, ORDERS)
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    (entry,) = requests(desk, outcome.incident)
    assert outcome.rules == ("orders-fail",)
    assert outcome.requested == (entry.data["run"],)
    assert {name: entry.data[name] for name in entry.data if name != "run"} == {
        "runbook": "trial",
        "title": "Trial",
        "parameters": {},
        "rule": "orders-fail",
        "alert": "OrdersFailing",
        "fingerprint": "0d451372052d4ee0",
        "priority": 2,
    }
    assert entry.key == (
        "alert/alertmanager/0d451372052d4ee0/2026-11-21T10:00:00+00:00/rule/orders-fail/trial"
    )
    assert entry.actor == "automation/alertmanager"
    (run,) = incidents.get(desk, outcome.incident).runs
    assert (run.id, run.status, run.rule) == (entry.data["run"], "queued", "orders-fail")
    assert "runbook.proposed" not in types(desk, outcome.incident)


def test_without_a_rule_runbooks_are_proposed_and_none_is_run(desk: Desk, workspace: Path):
    """A rule that does not speak of the alert is as none."""
    trial(workspace)
    for rules in ((), (replace(ORDERS, match=("severity=info",)),)):
        changed = {"fingerprint": f"{len(rules)}"}
        (outcome,) = alerts.receive(with_rules(desk, *rules), delivery(changed))
        assert (outcome.runbooks, outcome.requested) == (("trial",), ())
        assert requests(desk, outcome.incident) == []


def test_a_redelivery_requests_nothing_twice(desk: Desk, workspace: Path):
    """Neither known alerts nor the same delivery done again by somebody who died."""
    trial(workspace)
    desk = with_rules(desk, replace(ORDERS, per_hour=3, at_once=3))
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    before = len(list(desk.store.entries()))
    alerts.receive(desk, delivery(FIRING))
    around = Surroundings(desk.store, desk.settings, alerts.playbook(desk.settings), NOON)
    (notice,) = delivery_from(alerts.ALERTMANAGER, delivery(FIRING)).notices
    machine = desk.acting_as("automation/alertmanager")
    stale = replace(considered(notice, around), action="join", incident=outcome.incident)
    received = desk.draft("alert.received", {}, key=f"{notice.episode}/firing")
    word = alert_runs.Word(machine, stale, outcome.incident, received)
    alert_runs.write_all(desk.store, [word], alerts.playbook(desk.settings), {})
    assert len(list(desk.store.entries())) == before


def test_rules_choose_from_first_to_last(desk: Desk, workspace: Path):
    """A runbook that two rules want is the first's; what else answers is proposed."""
    for name in ("trial", "other", "third"):
        trial(workspace, name, alerts=["Orders*"] if name == "third" else [])
    desk = with_rules(
        desk,
        RuleSettings("a", ("service=orders",), ("other", "gone"), run=False),
        RuleSettings("b", runbooks=("trial", "other")),
    )
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    assert outcome.runbooks == ("other", "gone", "trial", "third")
    assert [entry.data["runbook"] for entry in requests(desk, outcome.incident)] == ["trial"]
    proposed = {
        entry.data["runbook"]: entry.data.get("reason")
        for entry in incidents.get(desk, outcome.incident).entries
        if entry.type == "runbook.proposed"
    }
    assert proposed == {
        "other": "the rule 'a' only proposes it",
        "gone": "there is no runbook of this name",
        "third": None,
    }


def test_a_rules_severity_wins_over_the_labels(desk: Desk):
    """What is measured may make it worse; what joins raises the incident, and never lowers it."""
    desk = with_rules(
        desk,
        RuleSettings("one", ("severity=critical",), severity="sev3"),
        RuleSettings("two", ("severity=page",), severity="SEV2"),
    )
    (first,) = alerts.receive(desk, delivery(FIRING))
    assert incidents.get(desk, first.incident).severity == "sev3"
    labels = {"alertname": "Worse", "service": "orders", "severity": "page"}
    for _ in range(2):
        alerts.receive(desk, delivery({"labels": labels, "fingerprint": "1"}))
    incident = incidents.get(desk, first.incident)
    assert incident.severity == "sev2"
    changed = [entry.data for entry in incident.entries if entry.type == "severity.changed"]
    assert changed == [{"from": "sev3", "to": "sev2", "reason": "the rule 'two' says so"}]
    alerts.receive(desk, delivery({"fingerprint": "2"}))
    assert incidents.get(desk, first.incident).severity == "sev2"
    labels = {"alertname": "Measured", "service": "web", "severity": "page"}
    annotations = {"measure_error_rate": "0.4"}
    measured = {"labels": labels, "annotations": annotations, "fingerprint": "3"}
    (other,) = alerts.receive(desk, delivery(measured))
    assert incidents.get(desk, other.incident).severity == "sev1"


def test_an_incident_has_the_owner_and_the_tags_of_its_service(desk: Desk):
    """They come from the catalogue."""
    services = {"orders": Service("orders", "payments", ("checkout",))}
    desk = replace(desk, settings=replace(desk.settings, services=services))
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    incident = incidents.get(desk, outcome.incident)
    assert (incident.owner, incident.tags) == ("payments", ("checkout",))


# Parameters

PARAMETERS = 'url: str = ...\ncount: int = 5\nhow: Literal["a", "b"] = "a"\nmore: list = []'


def test_a_rule_says_where_parameters_come_from(desk: Desk, workspace: Path):
    """Values and places in the alert, as data of the declared type."""
    trial(workspace, cell=PARAMETERS)
    said = {"url": "annotation:dashboard", "count": "label:count", "how": "b", "more": "label:no"}
    desk = with_rules(desk, replace(ORDERS, parameters=said | {"unknown": 1}))
    labels = {"service": "orders", "severity": "critical", "alertname": "OrdersFailing"}
    alert = {
        "labels": labels | {"count": "7", "url": "http://not-this.example/"},
        "annotations": {"dashboard": "http://x.example/{{ 1 }}'; import os"},
    }
    (outcome,) = alerts.receive(desk, delivery(alert))
    (entry,) = requests(desk, outcome.incident)
    wanted = {"url": "http://x.example/{{ 1 }}'; import os", "count": 7, "how": "b"}
    assert entry.data["parameters"] == wanted


@pytest.mark.parametrize(
    "said",
    [
        "secret://env/PD_TOKEN",
        "",
        "postgresql://ann:hunter2@db/orders",
        "x" * 1_100_000,
        "\ud800",
    ],
    ids=["reference", "empty", "password", "too long", "half a character"],
)
def test_a_run_whose_parameters_are_not_said_is_proposed(desk: Desk, workspace: Path, said: str):
    """What does not fit is left out; without a value that is required nothing is run."""
    trial(workspace, cell=PARAMETERS)
    desk = with_rules(desk, replace(ORDERS, parameters={"url": "label:address"}))
    (notice,) = delivery_from(alerts.ALERTMANAGER, delivery(FIRING)).notices
    notice = replace(notice, labels={**notice.labels, "address": said})
    around = Surroundings(desk.store, desk.settings, alerts.playbook(desk.settings), NOON)
    (plan,) = considered(notice, around).plans
    assert not plan.is_run
    assert plan.reason == "nothing says what url is to be"
    assert plan.left_out
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    assert requests(desk, outcome.incident) == []
    proposed = [e for e in incidents.get(desk, outcome.incident).entries if "reason" in e.data]
    assert [e.data["reason"] for e in proposed] == ["nothing says what url is to be"]


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("int", "1152921504606846976"),
        ("int", "5.5"),
        ("int", "__import__('os')"),
        ("float", "NaN"),
        ("bool", "maybe"),
        ("list", "[" * 100_000 + "]" * 100_000),
        ("dict", '{"a": "secret://env/TOKEN"}'),
        ("list", '["secret://env/TOKEN"]'),
        ("Any", '"secret://env/TOKEN"'),
        ('Literal["a"]', "b"),
    ],
)
def test_what_is_not_of_a_parameters_type_is_left_out(workspace: Path, type_: str, said: str):
    """Neither used nor in the way of the alert: the default stands, and the reason is told."""
    trial(workspace, cell=f"x: {type_} = None", alert_parameters=["x"])
    book = read_runbook(workspace / "runbooks" / "trial.ipynb")
    for wanted, labels in (({}, {"x": said}), ({"x": "label:y"}, {"y": said})):
        values, left_out = given_values(book, wanted, labels, {})
        assert values == {}
        assert len(left_out) == 1
        assert len(left_out[0]) < 300


def test_no_alert_says_which_incident_a_run_is_of(workspace: Path):
    """Not even where the runbook's metadata would let it."""
    trial(workspace, cell='incident_id: str = ""', alert_parameters=["incident_id"])
    book = read_runbook(workspace / "runbooks" / "trial.ipynb")
    assert given_values(book, {}, {"incident_id": "INC-2026-0001"}, {})[0] == {}


# Limits


def many(count: int, **labels: str) -> list[dict]:
    """Alerts of one service, each with a fingerprint of its own."""
    own = {"alertname": "OrdersFailing", "service": "orders", "severity": "critical"}
    return [
        {"labels": {**own, **labels, "instance": f"n{n}"}, "fingerprint": f"{n:016x}"}
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("limits", "allowed"), [({"per_hour": 7}, 7), ({"at_once": 3}, 3), ({}, 400)]
)
def test_a_storm_is_one_incident_and_starts_what_its_rule_may(
    desk: Desk, workspace: Path, limits: dict, allowed: int
):
    """400 alerts of one group, twice: one incident, and no run more than is allowed."""
    trial(workspace)
    desk = with_rules(desk, RuleSettings("storm", runbooks=("trial",), **limits))
    storm = delivery(*map(nameless, range(400)), group='{}:{alertname="DiskFull"}')
    outcomes = [*alerts.receive(desk, storm), *alerts.receive(desk, storm)]
    (incident_id,) = {one.incident for one in outcomes}
    asked = [run for one in outcomes for run in one.requested]
    assert len(asked) == len(set(asked)) == len(requests(desk, incident_id)) == allowed
    assert len(incidents.get(desk, incident_id).alerts) == 400
    assert desk.store.verify() == []


def test_the_hours_runs_are_counted_over_all_incidents(desk: Desk, workspace: Path, clock):
    """The rule's next hour begins with the clock's; what is over the limit says so."""
    trial(workspace)
    desk = with_rules(desk, replace(ORDERS, match=(), per_hour=2))
    labels = [{"alertname": "OrdersFailing", "service": f"s{n}"} for n in range(4)]
    body = delivery(*({"labels": one, "fingerprint": f"{n}"} for n, one in enumerate(labels)))
    outcomes = alerts.receive(desk, body)
    assert [len(one.requested) for one in outcomes] == [1, 1, 0, 0]
    (proposed,) = (
        entry
        for entry in incidents.get(desk, outcomes[2].incident).entries
        if entry.type == "runbook.proposed"
    )
    assert proposed.data["reason"] == "the rule 'orders-fail' has begun its 2 of this hour"
    clock.move(hours=1)
    (later,) = alerts.receive(desk, delivery({"labels": labels[0], "fingerprint": "9"}))
    assert len(later.requested) == 1


def test_a_rule_may_run_again_once_its_runs_are_over(desk: Desk, workspace: Path):
    """A queued run counts as going; one that ended does not."""
    trial(workspace)
    desk = with_rules(desk, replace(ORDERS, at_once=1))
    first, second, third = many(3)
    (begun,) = alerts.receive(desk, delivery(first))
    (over,) = alerts.receive(desk, delivery(second))
    assert (len(begun.requested), over.requested) == (1, ())
    ended = desk.draft("run.finished", {"run": begun.requested[0], "status": "completed"})
    desk.store.append(begun.incident, ended)
    (again,) = alerts.receive(desk, delivery(third))
    assert len(again.requested) == 1


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def log_url(request: pytest.FixtureRequest, workspace: Path) -> str:
    """The URL of a new log, on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{workspace / 'outputs' / 'imt.db'}"
    return str(request.getfixturevalue("postgres_log"))


def test_receivers_never_pass_a_limit_together(workspace: Path, clock, log_url: str):
    """Eight at once, each with alerts of its own and all with some that are the same."""
    trial(workspace)
    url = log_url
    storm = many(24)
    bodies = [delivery(*storm[n * 3 : n * 3 + 3], storm[0]) for n in range(8)]
    rule = replace(ORDERS, per_hour=5, at_once=4)

    def take(body: bytes) -> list[alerts.Outcome]:
        store = open_store(url, clock=clock)
        desk = with_rules(Desk(load_settings(workspace), store, clock, "Ann"), rule)
        try:
            return alerts.receive(desk, body)
        finally:
            store.close()

    open_store(url, clock=clock).close()
    with ThreadPoolExecutor(8) as several:
        outcomes = [one for found in several.map(take, bodies) for one in found]
    store = open_store(url, clock=clock)
    entries = list(store.entries())
    store.close()
    assert len({one.incident for one in outcomes}) == 1
    asked = [entry for entry in entries if entry.type == "run.requested"]
    assert 1 <= len(asked) <= 4
    assert sum(entry.type == "alert.received" for entry in entries) == 24


WRITES = ("append", "append_each", "change", "open_with")


class FailingStore:
    """A log that is down at its nth write: before it, or after it is on disk."""

    def __init__(self, store: Store, at: int, *, is_after: bool):
        self.store, self.left, self.is_after = store, at, is_after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        return self._failing(method) if name in WRITES else method

    def _failing(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*given: object) -> Any:
            self.left -= 1
            written = write(*given) if self.left or self.is_after else None
            if not self.left:
                raise StoreError("The log is down.")
            return written

        return fail


def kept(desk: Desk) -> Counter[str]:
    return Counter(f"{entry.type} {entry.key}" for entry in desk.store.entries())


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", range(1, 13))
def test_what_failed_half_way_is_whole_when_done_again(
    workspace: Path, clock, at: int, is_after: bool
):
    """Whichever write fails: nothing is lost or requested twice, and no limit is wasted."""
    trial(workspace)
    silence = SilenceSettings("", ("instance=n0",), NOON, NOON + timedelta(hours=1))
    measured = {"annotations": {"measure_error_rate": "0.4"}, "fingerprint": "m"}
    body = delivery(*many(4), measured)
    found = []
    for failing in (False, True):
        with closing(open_store("sqlite://", clock=clock)) as store:
            desk = Desk(load_settings(workspace), store, clock, "Ann Example")
            desk = with_rules(desk, replace(ORDERS, per_hour=3, at_once=2), silences=(silence,))
            if failing:
                down = FailingStore(store, at, is_after=is_after)
                with suppress(StoreError):
                    alerts.receive(replace(desk, store=down), body)
            alerts.receive(desk, body)
            found.append(kept(desk))
    assert found[0] == found[1]


TOLD = st.builds(
    lambda which, hour, status, service: {
        "fingerprint": which,
        "startsAt": f"2026-11-21T{hour:02}:00:00Z",
        "status": status,
        "endsAt": "2026-11-21T11:59:00Z",
        "labels": {"alertname": "OrdersFailing", "service": service, "severity": "critical"},
    },
    st.sampled_from("abc"),
    st.sampled_from([9, 10]),
    st.sampled_from(["firing", "resolved"]),
    st.sampled_from(["orders", "web", ""]),
)


@settings(max_examples=40)
@given(st.lists(st.lists(TOLD, max_size=3), max_size=6), st.sampled_from(["", "g"]), st.data())
def test_whatever_comes_however_often_each_alert_starts_one_thing(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[list[dict]],
    group: str,
    data: st.DataObject,
):
    """Deliveries in any order, repeated: an episode is in one incident, and runs a runbook once."""
    root = tmp_path_factory.mktemp("workspace")
    shutil.copy(shipped("templates") / "imt.toml", root)
    trial(root)
    bodies = [delivery(*one, group=group) for one in told]
    with closing(open_store("sqlite://", clock=FixedClock())) as store:
        desk = with_rules(Desk(load_settings(root), store, FixedClock(), "Ann"), ANY)
        for body in [*data.draw(st.permutations([*bodies, *bodies])), *bodies]:
            alerts.receive(desk, body)
        before = kept(desk)
        for body in data.draw(st.permutations(bodies)):
            alerts.receive(desk, body)
        assert kept(desk) == before
        firing = {
            (one["fingerprint"], one["startsAt"])
            for some in told
            for one in some
            if one["status"] == "firing"
        }
        started = [name for name in before if name.startswith("alert.received ")]
        asked = [name for name in before if name.startswith("run.requested ")]
        assert len(started) == len(asked) == len(firing)
        assert all(before[name] == 1 for name in (*started, *asked))
        assert store.verify() == []


# Silences


def test_a_silenced_alert_is_written_down_and_starts_nothing(desk: Desk, workspace: Path, clock):
    """It is no secret: the workspace's chain has it, once. After the silence it counts."""
    trial(workspace)
    ends_at = clock.now() + timedelta(hours=1)
    silence = SilenceSettings("disks are moved", ("service=orders",), clock.now(), ends_at)
    desk = with_rules(desk, ORDERS, silences=(silence,))
    for _ in range(2):
        (outcome,) = alerts.receive(desk, delivery(FIRING))
        assert (outcome.action, outcome.incident) == ("silenced", "")
        assert outcome.silenced == "disks are moved"
    (entry,) = desk.store.entries()
    assert (entry.type, entry.incident) == ("alert.silenced", WORKSPACE)
    assert entry.data["silence"] == "disks are moved"
    assert entry.data["until"] == "2026-11-21T13:00:00.000000Z"
    clock.move(hours=1)
    (outcome,) = alerts.receive(desk, delivery(FIRING))
    assert outcome.action == "opened"
    assert len(outcome.requested) == 1


def test_a_silence_does_not_hide_that_a_known_alert_is_over(desk: Desk, clock):
    """What fired before the silence is resolved in it."""
    alerts.receive(desk, delivery(FIRING))
    silence = SilenceSettings("", ("alertname=~.*",), NOON, NOON + timedelta(hours=1))
    desk = with_rules(desk, silences=(silence,))
    assert alerts.receive(desk, delivery(FIRING))[0].action == "known"
    assert alerts.receive(desk, delivery(OVER))[0].action == "resolved"


# Groups


def test_a_service_opens_anew_when_its_incident_was_long_quiet(desk: Desk, clock):
    """Within group_minutes of anything written it is the same incident."""
    first, second, third, fourth = many(4)
    (opened,) = alerts.receive(desk, delivery(first))
    clock.move(hours=23)
    assert alerts.receive(desk, delivery(second))[0].incident == opened.incident
    clock.move(hours=23)
    assert alerts.receive(desk, delivery(third))[0].incident == opened.incident
    clock.move(hours=25)
    (anew,) = alerts.receive(desk, delivery(fourth))
    assert (anew.action, anew.incident == opened.incident) == ("opened", False)


def test_a_service_that_lost_its_incident_opens_another(desk: Desk):
    """An incident that was given to another service is not found by the first one's alerts."""
    first, second, third = many(3)
    (opened,) = alerts.receive(desk, delivery(first))
    incidents.set_fields(desk, opened.incident, {"services": "web"})
    (anew,) = alerts.receive(desk, delivery(second))
    assert anew.action == "opened"
    assert anew.incident != opened.incident
    assert alerts.receive(desk, delivery(third))[0].incident == anew.incident


def test_the_end_of_an_alarm_that_tells_no_start_finds_its_episode(desk: Desk):
    """CloudWatch's OK; said again after the next ALARM it ends nothing."""
    source = SourceSettings("aws", "sns", proof="none")

    def alarm(state: str, at: str) -> bytes:
        told = {"AlarmName": "Orders", "NewStateValue": state, "StateChangeTime": at}
        message = {"Type": "Notification", "TopicArn": "arn:t", "Message": json.dumps(told)}
        return json.dumps(message).encode()

    said = [
        alarm("ALARM", "2026-11-21T10:00:00.000+0000"),
        alarm("OK", "2026-11-21T10:10:00.000+0000"),
        alarm("ALARM", "2026-11-21T10:20:00.000+0000"),
    ]
    actions = [alerts.receive(desk, body, source=source)[0].action for body in said]
    assert actions == ["opened", "resolved", "joined"]
    again = [alerts.receive(desk, body, source=source)[0].action for body in said]
    assert again == ["known", "known", "known"]
