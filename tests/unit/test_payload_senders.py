"""What each sender's messages mean: fires, is over, or says neither."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from alert_messages import (
    ARN,
    MAPPED,
    SOUND,
    TOPIC,
    body,
    datadog,
    mapped,
    opsgenie,
    pagerduty,
    sentry_event,
    sentry_issue,
    sentry_metric,
    sns,
    sns_subscription,
    source,
    zabbix,
)

from imtkit.alerts.payloads import Delivery, Notice, delivery_from
from imtkit.errors import PayloadError

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NINE = datetime(2026, 11, 21, 9, tzinfo=UTC)
HALF_PAST = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def read(kind: str, message: object) -> Delivery:
    """A message read as that sender's."""
    return delivery_from(source(kind), body(message), at=AT)


def one(kind: str, message: object) -> Notice:
    """The only alert of a message."""
    (notice,) = read(kind, message).notices
    return notice


@pytest.mark.parametrize("sound", SOUND, ids=lambda pair: pair[0].kind)
def test_every_alert_has_what_the_pipeline_needs(sound):
    """A fingerprint and an episode that can be keys, a name, a service, a title; the same twice."""
    settings, message = sound
    delivery = delivery_from(settings, body(message), at=AT)
    assert delivery == delivery_from(settings, body(message), at=AT)
    for notice in delivery.notices:
        assert notice.source == settings.name
        assert notice.status == "firing"
        assert notice.service == "orders"
        assert notice.episode.isascii()
        assert " " not in notice.episode
        assert notice.name
        assert notice.title


# PagerDuty


def test_a_triggered_incident_fires():
    """Its id is the fingerprint, its creation the start; priority goes before urgency."""
    notice = one("pagerduty", pagerduty())
    assert (notice.fingerprint, notice.started_at) == ("PQ1ORDERS", NINE)
    assert notice.labels["severity"] == "error"
    assert (notice.labels["priority"], notice.labels["urgency"]) == ("P2", "high")
    assert notice.labels["team"] == "shop"
    assert notice.url == "https://acme.example/incidents/PQ1ORDERS"
    assert notice.has_episode


@pytest.mark.parametrize(("urgency", "severity"), [("high", "critical"), ("low", "warning")])
def test_urgency_is_the_severity_where_there_is_no_priority(urgency: str, severity: str):
    """High urgency is what pages somebody."""
    notice = one("pagerduty", pagerduty(priority=None, urgency=urgency))
    assert notice.labels["severity"] == severity
    assert "priority" not in notice.labels


def test_an_incident_without_decorations_is_still_an_alert():
    """Only its id must be there; what is missing, null or of another shape is left out."""
    message = pagerduty(priority="P1", service=None, teams={}, created_at=None, html_url=7)
    notice = one("pagerduty", message)
    assert notice.service == ""
    assert notice.started_at == HALF_PAST.replace(microsecond=500_000)


def test_a_resolved_incident_is_over_whichever_episode_it_was():
    """One that was reopened begins anew; its resolution says the incident, not the episode."""
    reopened = one("pagerduty", pagerduty("incident.reopened"))
    over = one("pagerduty", pagerduty("incident.resolved"))
    assert reopened.episode != one("pagerduty", pagerduty()).episode
    assert (over.status, over.has_episode) == ("resolved", False)
    assert over.ended_at == HALF_PAST.replace(microsecond=500_000)
    assert over.fingerprint == reopened.fingerprint


@pytest.mark.parametrize(
    "kind",
    ["incident.acknowledged", "incident.annotated", "incident.responder.added", "service.updated"],
)
def test_other_events_of_pagerduty_are_no_alerts(kind: str):
    """They are read, and nothing is made of them."""
    assert read("pagerduty", pagerduty(kind)) == Delivery()


def test_pagerdutys_test_event_is_no_alert():
    """The button in its settings sends pagey.ping, which has no incident."""
    ping = {"event": {"event_type": "pagey.ping", "data": {"message": "Hello", "type": "ping"}}}
    assert read("pagerduty", ping) == Delivery()


# CloudWatch through SNS


def test_an_alarm_fires():
    """Its ARN names it, the change of state begins it, the function is the service."""
    notice = one("sns", sns())
    assert notice.fingerprint == ARN
    assert notice.started_at == NINE.replace(microsecond=250_000)
    assert notice.labels["metric"] == "5XXError"
    assert notice.labels["FunctionName"] == "orders"
    assert notice.annotations["reason"] == "Threshold crossed"
    assert read("sns", sns()).topic == TOPIC


def test_an_ok_ends_what_goes_on():
    """It says since when it is well, not since when it was not."""
    over = one("sns", sns(NewStateValue="OK", OldStateValue="ALARM"))
    assert (over.status, over.has_episode) == ("resolved", False)
    assert over.ended_at == NINE.replace(microsecond=250_000)
    assert over.fingerprint == one("sns", sns()).fingerprint


def test_insufficient_data_is_neither():
    """Nobody knows, so nothing begins and nothing ends."""
    assert read("sns", sns(NewStateValue="INSUFFICIENT_DATA")) == Delivery(topic=TOPIC)


def test_an_alarm_without_arn_trigger_or_time_is_read():
    """Composite alarms and old ones say less; account, region and name are the fingerprint."""
    notice = one("sns", sns(AlarmArn=None, Trigger=None, StateChangeTime=None))
    again = one("sns", sns(AlarmArn=None, AlarmName="other"))
    assert notice.fingerprint != again.fingerprint
    assert notice.started_at == datetime(2026, 11, 21, 9, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "told", ["Your budget is spent", "", "[]", '"text"', '{"AlarmName": "a"}', "[" * 1000]
)
def test_a_notification_that_is_no_alarm_is_no_alert(told: str):
    """Anything may be published to a topic."""
    assert read("sns", sns() | {"Message": told}) == Delivery(topic=TOPIC)


def test_an_alarm_with_an_unknown_state_is_refused():
    """It is an alarm, and what it says is not known."""
    with pytest.raises(PayloadError, match=r"Message\.NewStateValue"):
        read("sns", sns(NewStateValue="MAYBE"))


def test_a_subscription_is_to_be_confirmed():
    """The address is handed on with its topic, and there are no alerts."""
    delivery = read("sns", sns_subscription())
    assert delivery.notices == ()
    assert delivery.confirm == "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"
    assert delivery.topic == TOPIC


def test_the_end_of_a_subscription_confirms_nothing():
    """Its address would subscribe again."""
    gone = sns_subscription(Type="UnsubscribeConfirmation")
    assert read("sns", gone) == Delivery(topic=TOPIC)


@pytest.mark.parametrize("address", [None, "", "file:///etc/passwd", 7])
def test_a_subscription_without_an_address_is_refused(address: object):
    """There is nothing to confirm."""
    with pytest.raises(PayloadError, match="SubscribeURL"):
        read("sns", sns_subscription(SubscribeURL=address))


# Datadog


def test_a_monitor_that_triggers_fires():
    """The name is the monitor's without its state; tags are labels; the cycle is the episode."""
    notice = one("datadog", datadog())
    assert notice.name == "Orders fail"
    assert notice.fingerprint == "monitor/1234/host:shop-1"
    assert notice.occurrence == "5551112223334445556"
    assert notice.started_at == NINE
    assert notice.labels["team"] == "a,b"
    assert notice.labels["tags"] == "monitor"
    assert (notice.labels["severity"], notice.labels["priority"]) == ("error", "P2")


@pytest.mark.parametrize(
    ("transition", "status"),
    [
        ("Re-Triggered", "firing"),
        ("No Data", "firing"),
        ("Re-No Data", "firing"),
        ("Warn", "firing"),
        ("Renotify", "firing"),
        ("Recovered", "resolved"),
    ],
)
def test_a_cycle_is_one_episode(transition: str, status: str):
    """Whatever comes in between, and hours later, is of the alert that triggered."""
    title = f"[{transition} on {{host:shop-1}}] Orders fail"
    later = one("datadog", datadog(transition=transition, title=title, date="1795253400000"))
    assert later.status == status
    assert later.episode == one("datadog", datadog()).episode
    assert later.name == "Orders fail"
    assert later.ended_at == (HALF_PAST if status == "resolved" else None)


@pytest.mark.parametrize("transition", ["", "null", "$ALERT_TRANSITION", None, "Imported"])
def test_an_event_that_is_no_monitors_is_no_alert(transition: object):
    """The webhook may be named in any event of Datadog's."""
    assert read("datadog", datadog(transition=transition)) == Delivery()


def test_variables_that_datadog_did_not_fill_say_nothing():
    """They are left as they were written, or say null."""
    message = datadog(cycle="$ALERT_CYCLE_KEY", priority="null", type="warning")
    assert one("datadog", message | {"priority": "normal"}).labels["severity"] == "warning"
    notice = one("datadog", message)
    assert notice.occurrence == ""
    assert notice.has_episode
    assert notice.labels["severity"] == "warning"
    recovered = one("datadog", message | {"transition": "Recovered"})
    assert not recovered.has_episode


def test_a_message_with_raw_line_breaks_is_read():
    """Datadog's text may stand in the template as it is."""
    posted = body(datadog(body="BODY")).replace(b"BODY", b"two\nlines\tand \x01")
    (notice,) = delivery_from(source("datadog"), posted).notices
    assert notice.annotations["description"] == "two lines and  "


def test_another_template_is_refused_with_the_way_out():
    """Datadog's own default does not say what became of the alert."""
    with pytest.raises(PayloadError, match="transition") as caught:
        read("datadog", {"body": "x", "title": "y"})
    assert "$ALERT_TRANSITION" in caught.value.hint


# Sentry


def test_an_issue_fires_since_it_was_first_seen():
    """Its level is the severity, its project the service."""
    notice = one("sentry", sentry_issue())
    assert notice.fingerprint == "issue/900100"
    assert notice.started_at == NINE.replace(microsecond=250_000)
    assert (notice.labels["severity"], notice.labels["level"]) == ("critical", "fatal")
    assert notice.labels["short_id"] == "ORDERS-7"
    assert notice.annotations["description"] == "orders.views in pay"


def test_an_issue_that_comes_back_is_another_episode():
    """It begins when it was seen last; what resolves it ends whichever goes on."""
    back = one("sentry", sentry_issue("unresolved"))
    over = one("sentry", sentry_issue("resolved"))
    assert back.started_at == HALF_PAST
    assert (over.status, over.ended_at, over.has_episode) == ("resolved", AT, False)
    assert back.fingerprint == over.fingerprint


@pytest.mark.parametrize("action", ["assigned", "ignored", "archived"])
def test_what_people_do_with_an_issue_is_no_alert(action: str):
    """It goes on, or nobody says that it is over."""
    assert read("sentry", sentry_issue(action)) == Delivery()


@pytest.mark.parametrize("kind", ["event", "error"])
def test_an_event_fires_for_its_issue(kind: str):
    """The issue's fingerprint is its own, so that the issue's end is the alert's."""
    notice = one("sentry", sentry_event(kind))
    assert notice.fingerprint == one("sentry", sentry_issue()).fingerprint
    assert not notice.has_episode
    assert notice.labels["environment"] == "production"
    assert notice.title == "KeyError: 'price'"


def test_an_issue_alert_has_its_rules_name():
    """Rules match on the alert's name: that is what the team called it."""
    assert one("sentry", sentry_event()).name == "Payment is broken"
    assert one("sentry", sentry_event("error")).name == "KeyError: 'price'"


def test_a_metric_alert_fires_and_is_over():
    """Warning and critical are one episode."""
    critical = one("sentry", sentry_metric())
    warning = one("sentry", sentry_metric("warning"))
    over = one("sentry", sentry_metric("resolved", date_closed="2026-11-21T09:30:00Z"))
    assert critical.episode == warning.episode == over.episode
    assert (critical.labels["severity"], warning.labels["severity"]) == ("critical", "warning")
    assert (over.status, over.ended_at) == ("resolved", HALF_PAST)
    assert critical.name == "Errors of orders"


@pytest.mark.parametrize(
    "message",
    [
        {"action": "created", "data": {"installation": {"status": "pending"}}},
        {"action": "created", "data": {"comment": "Looking", "issue_id": 1, "issue": {}}},
        sentry_metric("open"),
    ],
)
def test_other_resources_of_sentry_are_no_alerts(message: object):
    """Installations and comments are read, and nothing is made of them."""
    assert read("sentry", message) == Delivery()


def test_sentrys_older_plugin_is_read():
    """It posts an event with its project at the top."""
    message = {
        "project_slug": "orders",
        "message": "KeyError: 'price'",
        "id": "900100",
        "level": "error",
        "url": "https://acme.sentry.example/issues/900100/",
        "event": {"timestamp": 1795251600.25, "tags": [["release", "7"], "odd"]},
    }
    notice = one("sentry", message)
    assert (notice.service, notice.labels["release"]) == ("orders", "7")
    assert notice.started_at == NINE.replace(microsecond=250_000)


def test_an_issue_without_an_id_is_refused():
    """There would be nothing to end."""
    with pytest.raises(PayloadError, match=r"data\.issue\.id"):
        read("sentry", sentry_issue(id=None))


# Opsgenie


def test_an_opsgenie_alert_fires_and_is_over():
    """Create begins it; Close and Delete end it, at the time of the update."""
    notice = one("opsgenie", opsgenie())
    assert notice.started_at == NINE.replace(microsecond=250_000)
    assert (notice.labels["severity"], notice.labels["priority"]) == ("critical", "P1")
    assert (notice.labels["attempts"], notice.labels["tags"]) == ("3", "shop,eu")
    for action in ("Close", "Delete"):
        over = one("opsgenie", opsgenie(action))
        assert over.episode == notice.episode
        assert over.ended_at == HALF_PAST.replace(microsecond=250_000)


@pytest.mark.parametrize(
    ("priority", "severity"), [("P2", "error"), (3, "warning"), ("P4", "info"), ("P5", "info")]
)
def test_opsgenies_priorities_are_severities(priority: object, severity: str):
    """As text or as the number that older integrations send."""
    assert one("opsgenie", opsgenie(priority=priority)).labels["severity"] == severity


@pytest.mark.parametrize("action", ["Acknowledge", "AddNote", "Escalate", "AssignOwnership"])
def test_other_actions_of_opsgenie_are_no_alerts(action: str):
    """Even where they say nothing of the alert."""
    assert read("opsgenie", {"action": action}) == Delivery()


# Zabbix


def test_a_problem_fires_and_is_over():
    """Its event is the episode; Zabbix's severities are ours, and its word stays."""
    notice = one("zabbix", zabbix())
    over = one("zabbix", zabbix(status="RESOLVED", ended_at="1795253400"))
    assert (notice.fingerprint, notice.occurrence) == ("trigger/14032", "event/10528")
    assert notice.started_at == NINE
    assert notice.labels["severity"] == "critical"
    assert notice.labels["sender_severity"] == "Disaster"
    assert notice.labels["scope"] == "availability"
    assert (over.episode, over.ended_at) == (notice.episode, HALF_PAST)


def test_a_zabbix_message_of_common_names_is_read():
    """Host and trigger by other names; the event and the trigger are in the link."""
    message = {
        "hostname": "shop-1",
        "trigger": "Orders fail",
        "status": "OK",
        "severity": "Average",
        "item": "5xx",
        "link": "https://zabbix.example/tr_events.php?triggerid=14032&eventid=10528",
    }
    over = one("zabbix", message)
    assert over.episode == one("zabbix", zabbix()).episode
    assert (over.service, over.title) == ("shop-1", "shop-1: Orders fail")
    assert over.labels["severity"] == "warning"


def test_macros_that_zabbix_does_not_know_say_nothing():
    """They come as they were written, or as *UNKNOWN*."""
    message = zabbix(
        event_id="{EVENT.ID}", link="", started_at="*UNKNOWN*", tags="{EVENT.TAGSJSON}"
    )
    notice = one("zabbix", message)
    assert (notice.occurrence, notice.has_episode, notice.started_at) == ("", False, AT)
    assert notice.service == "shop-1"


@pytest.mark.parametrize("changed", [{"update": "1"}, {"update": 1}, {"status": "UPDATED"}])
def test_an_update_of_a_problem_is_no_alert(changed: dict):
    """Somebody commented on it."""
    assert read("zabbix", zabbix(**changed)) == Delivery()


# Anybody, by paths


def test_paths_lead_to_what_an_alert_says():
    """Names, positions in lists, and what stands around the alert."""
    (notice,) = delivery_from(MAPPED, body(mapped()), at=AT).notices
    assert notice.fingerprint == "17"
    assert notice.started_at == NINE
    assert notice.title == notice.name == "Orders fail"
    assert notice.annotations["description"] == "More than 5 % fail"
    assert notice.labels["severity"] == "critical"
    assert notice.labels["sender_severity"] == "CRIT"
    assert (notice.labels["region"], notice.labels["team"]) == ("eu", "shop")
    assert (notice.url, notice.group) == ("https://monitor.example/17", "shop")
    assert notice.has_episode


def test_a_status_among_those_of_the_end_is_over():
    """In whatever case; one that tells both times tells its episode, of one time nobody knows."""
    told = mapped(state="Closed", closed_at="2026-11-21T09:30:00Z")
    (over,) = delivery_from(MAPPED, body(told), at=AT).notices
    (firing,) = delivery_from(MAPPED, body(mapped()), at=AT).notices
    assert (over.status, over.ended_at, over.has_episode) == ("resolved", HALF_PAST, True)
    assert over.episode == firing.episode
    (untimed,) = delivery_from(MAPPED, body(mapped(state="ok")), at=AT).notices
    assert (untimed.ended_at, untimed.has_episode) == (AT, False)


def test_without_paths_the_body_is_one_alert_that_fires():
    """Its labels are the fingerprint; the severity is not part of it."""
    plain = source("mapped", labels={"host": "host"}, fields={"severity": "level", "name": "what"})
    first, worse, other = (
        delivery_from(plain, body(message), at=AT).notices[0]
        for message in (
            {"host": "a", "what": "Disk", "level": "warn"},
            {"host": "a", "what": "Disk", "level": "crit"},
            {"host": "b", "what": "Disk", "level": "crit"},
        )
    )
    assert first.fingerprint == worse.fingerprint != other.fingerprint
    assert (first.status, first.started_at, first.has_episode) == ("firing", AT, False)


def test_a_body_that_is_a_list_is_its_alerts():
    """The path of a body itself is a dot."""
    settings = replace(MAPPED, fields={**MAPPED.fields, "alerts": "."})
    delivery = delivery_from(settings, body(mapped()["items"] * 2), at=AT)
    assert [notice.fingerprint for notice in delivery.notices] == ["17", "17"]


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"items": {}}, "items"),
        ({}, "items"),
        (mapped(id=None), "id"),
        (mapped(state=None), "state"),
        (mapped(opened_at="soon"), "opened_at"),
        ({"items": ["text"]}, "state"),
        ("text", "the body"),
    ],
)
def test_what_is_not_where_it_should_be_is_refused(message: object, place: str):
    """The refusal names the path, and the hint the table of imt.toml."""
    with pytest.raises(PayloadError, match=place) as caught:
        delivery_from(MAPPED, body(message))
    assert "[alerts.sources.our-mapped.fields]" in caught.value.hint


def test_a_fingerprint_is_never_taken_from_around_the_alert():
    """The id of a whole message would make one alert of all in it."""
    message = mapped(id=None) | {"id": "message"}
    with pytest.raises(PayloadError, match="fingerprint"):
        delivery_from(MAPPED, body(message))


def test_a_word_that_is_not_in_common_use_stays():
    """It may be one of the team's own levels."""
    (notice,) = delivery_from(MAPPED, body(mapped(level="SEV1"))).notices
    assert notice.labels["severity"] == "sev1"


def test_a_fingerprint_that_cannot_be_a_key_is_digested():
    """Names in any script are told apart, and the key stays short."""
    marks = {
        delivery_from(MAPPED, body(mapped(id=told))).notices[0].fingerprint
        for told in ("Bücher", "Bucher", "a b", "a  b", "x" * 500, "x" * 501)
    }
    assert len(marks) == 6
    assert all(len(told) <= 200 and told.isascii() for told in marks)


def test_a_message_within_a_message_is_read_with_the_same_care():
    """CloudWatch's alarm is JSON in a text of JSON; a broken character in it costs no alarm."""
    inner = json.loads(sns()["Message"])
    told = json.dumps(inner).replace("orders-5xx", "orders\\ud800")
    assert one("sns", sns() | {"Message": told}).name == "orders\ufffd"
