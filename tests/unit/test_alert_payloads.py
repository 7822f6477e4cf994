"""Alert payloads: what Alertmanager and Grafana post, what is refused, how text and times read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from alert_messages import alertmanager, body, grafana, grafana_legacy, source

from imtkit.alerts.payloads import Notice, delivery_from
from imtkit.alerts.payloads.reading import EPOCH, link, moment, text
from imtkit.config.alerts import KINDS
from imtkit.errors import NotFoundError, PayloadError

AM = source("alertmanager")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NINE = datetime(2026, 11, 21, 9, tzinfo=UTC)


def one(**changed) -> Notice:
    """The alert of an Alertmanager message in which this is changed."""
    (notice,) = delivery_from(AM, body(alertmanager(**changed)), at=AT).notices
    return notice


def test_a_firing_alert_is_read():
    """Labels, annotations and the start are taken; year 1 is no end; the source is ours."""
    notice = one()
    assert notice.source == "our-alertmanager"
    assert notice.name == "OrdersFailing"
    assert notice.service == "orders"
    assert notice.title == "Orders fail"
    assert notice.group == '{}:{alertname="OrdersFailing"}'
    assert notice.url == "http://127.0.0.1:9090/graph"
    assert notice.measures == {"error_rate": 0.3}
    assert notice.started_at == NINE
    assert notice.ended_at is None
    assert notice.has_episode


def test_a_resolved_alert_has_an_end():
    """An alert that is over says when it ended."""
    notice = one(status="resolved", endsAt="2026-11-21T09:30:00Z")
    assert notice.ended_at == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_an_episode_is_the_same_in_every_message_about_it():
    """Redelivery and resolution carry the key of the first message."""
    assert one().episode == one(status="resolved", startsAt="2026-11-21T09:00:00Z").episode


def test_alerts_that_were_left_out_are_counted():
    """Alertmanager's max_alerts hides some and says how many; a negative count is none."""
    for told, heard in ((2, 2), (-1, 0), (None, 0), (10**30, 1_000_000_000)):
        message = alertmanager() | {"truncatedAlerts": told}
        assert delivery_from(AM, body(message)).left_out == heard


def test_grafana_says_what_alertmanager_says_and_more():
    """Its links and values become annotations; the panel is the link where the rule has none."""
    (notice,) = delivery_from(source("grafana"), body(grafana())).notices
    assert notice.source == "our-grafana"
    assert notice.url == notice.annotations["panel_url"]
    assert notice.annotations["values"] == "[ var='B' labels={} value=0.3 ]"
    assert "dashboard_url" not in notice.annotations
    assert notice.episode == one().episode.replace("our-alertmanager", "our-grafana")


def test_what_the_rule_says_stands_before_what_grafana_adds():
    """An annotation that is called like one of ours is the author's."""
    message = body(grafana(annotations={"values": "the author's"}))
    (notice,) = delivery_from(source("grafana"), message).notices
    assert notice.annotations["values"] == "the author's"


@pytest.mark.parametrize(
    ("state", "status"),
    [("alerting", "firing"), ("no_data", "firing"), ("ok", "resolved"), ("paused", None)],
)
def test_grafanas_older_notifications_are_read(state: str, status: str | None):
    """They tell no time: it is when they came, and which episode is meant is open."""
    message = body(grafana_legacy(state=state))
    notices = delivery_from(source("grafana"), message, at=AT).notices
    assert [notice.status for notice in notices] == ([status] if status else [])
    for notice in notices:
        assert (notice.name, notice.service, notice.started_at) == ("Orders fail", "orders", AT)
        assert not notice.has_episode


@pytest.mark.parametrize(
    "posted",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"version": "3", "alerts": []}',
        b'{"version": "4"}',
        b'{"version": "4", "alerts": [7]}',
        body(alertmanager(startsAt="yesterday")),
        body(alertmanager(startsAt="2026-11-21T10:00:00")),
        body(alertmanager(startsAt={"a": 1})),
        body(alertmanager(startsAt=True)),
        body(alertmanager(endsAt="soon")),
        body(alertmanager(fingerprint="a b\n")),
        body(alertmanager(fingerprint="")),
        body(alertmanager(fingerprint=7)),
        body(alertmanager(labels={"a": {"b": 1}})),
        body(alertmanager(labels=[1])),
        body(alertmanager(status="perhaps")),
        b"[" * 100_000,
        b'{"version": "4", "alerts": [' + b'{"labels":' * 50_000,
    ],
)
def test_what_is_no_message_is_refused(posted: bytes):
    """A clear PayloadError, whatever came; its hint says what the sender posts."""
    with pytest.raises(PayloadError, match="not an Alertmanager message") as caught:
        delivery_from(AM, posted)
    assert "Alertmanager posts" in caught.value.hint


def test_a_refusal_names_the_place():
    """Of many alerts, the one that is wrong is named by its position."""
    message = alertmanager()
    message["alerts"].append(message["alerts"][0] | {"status": "perhaps"})
    with pytest.raises(PayloadError, match=r"alerts\.1\.status"):
        delivery_from(AM, body(message))


def test_a_million_wrong_alerts_are_one_refusal():
    """The first is told, and the others are not looked at."""
    with pytest.raises(PayloadError, match=r"alerts\.0"):
        delivery_from(AM, b'{"version":"4","alerts":[' + b"1," * 1_000_000 + b"1]}")


def test_an_unknown_kind_is_named():
    """The nearest known kind is suggested."""
    with pytest.raises(NotFoundError) as caught:
        delivery_from(source("alertmanger"), b"{}")
    assert "alertmanager" in caught.value.hint


def test_every_kind_that_imt_toml_may_name_is_read():
    """What the settings accept, the payloads do: each refuses an empty body as its own."""
    for kind in KINDS:
        with pytest.raises(PayloadError, match="This is not a"):
            delivery_from(source(kind), b"")


def test_labels_that_are_no_texts_become_texts():
    """Numbers and truth values are written out; what says nothing is no label."""
    labels = {"alertname": 5, "up": True, "ratio": 0.5, "none": None, "empty": ""}
    assert one(labels=labels).labels == {"alertname": "5", "up": "true", "ratio": "0.5"}


def test_long_texts_are_cut_and_say_so():
    """A label of ten megabytes keeps its beginning and ends in an ellipsis."""
    notice = one(labels={"alertname": "A" * 10_000_000}, annotations={"summary": "s" * 20_000})
    assert len(notice.labels["alertname"]) == 1_000
    assert notice.labels["alertname"].endswith("A…")
    assert len(notice.annotations["summary"]) == 10_000


def test_too_many_labels_are_cut_and_counted():
    """The label of an ellipsis says how many are missing."""
    labels = one(labels={f"label{number}": "x" for number in range(1_000)}).labels
    assert len(labels) == 201
    assert labels["…"] == "800 more were left out"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\udc00\ud83d\ude00\ud83d", "\ufffd😀\ufffd"),
        (r"C:\\ud800", r"C:\ud800"),
        (r"nul\u0000", "nul\ufffd"),
        (r"\u001b[2Jclear\u009b", "\ufffd[2Jclear\ufffd"),
        (r"one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("raw\nbreak", "raw break"),
        ("\u202eturned", "\u202eturned"),
    ],
)
def test_broken_characters_cost_no_alert(written: str, kept: str):
    """What cannot be stored or shown is replaced, never the alert refused; marks of direction
    are data.
    """
    marked = body(alertmanager(labels={"alertname": "HERE"}))
    posted = marked.replace(b"HERE", written.encode("utf-8"))
    (notice,) = delivery_from(AM, posted).notices
    assert notice.name == kept
    notice.name.encode("utf-8")


def test_a_byte_order_mark_and_bad_utf8_are_read_over():
    """Some senders write the one, and some the other."""
    posted = b"\xef\xbb\xbf" + body(alertmanager()).replace(b"Orders fail", b"Orders \xff fail")
    (notice,) = delivery_from(AM, posted).notices
    assert notice.title == "Orders \ufffd fail"


@pytest.mark.parametrize("told", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "", None, 0])
def test_a_start_that_means_none_is_when_it_came(told: object):
    """Such an alert says no episode of its own; without a time of arrival it is 1970."""
    notice = one(startsAt=told)
    assert (notice.started_at, notice.has_episode) == (AT, False)
    (unheard,) = delivery_from(AM, body(alertmanager(startsAt=told))).notices
    assert unheard.started_at == EPOCH


@pytest.mark.parametrize(
    "told",
    [
        1795251600,
        1795251600.0,
        "1795251600",
        1795251600000,
        "1795251600000",
        1795251600000000,
        1795251600000000000,
        "2026-11-21T09:00:00Z",
        "2026-11-21T10:00:00.000+0100",
        "2026-11-21T09:00:00.0000000Z",
        "2026-11-21 09:00:00",
    ],
)
def test_times_are_read_as_senders_write_them(told: object):
    """Seconds to nanoseconds, ISO with and without colons; without a zone it is UTC."""
    assert moment(told) == NINE


@pytest.mark.parametrize(
    "told", [True, [], {}, "soon", float("nan"), float("inf"), 10**400, "9" * 10**6]
)
def test_what_is_no_time_is_said_to_be_none(told: object):
    """It raises rather than guess."""
    with pytest.raises((TypeError, ValueError)):
        moment(told)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("https://a.example/x?y=1#z", True),
        (" http://10.0.0.1:9090/graph ", True),
        ("javascript:alert(1)", False),
        ("HTTPS://a.example/", True),
        ("data:text/html,x", False),
        ("https://", False),
        ("https://[::1", False),
        ("https://a.example/\u202egnp.exe", False),
        ("https://a.example/a b", False),
        ("//a.example/", False),
        ("https://a.example/" + "a" * 2000, False),
        (7, False),
        (None, False),
    ],
)
def test_only_addresses_of_the_web_are_links(told: object, kept: bool):
    """Everything else is no link at all."""
    assert link(told) == (str(told).strip() if kept else "")


def test_tables_and_lists_are_texts_of_json():
    """Where a sender may nest, what it nests stays readable."""
    assert text({"a": [1, None]}) == '{"a": [1, null]}'


def test_time_of_arrival_is_told_in_utc():
    """An aware time of any zone will do."""
    message = body(alertmanager(startsAt=None))
    (notice,) = delivery_from(AM, message, at=AT.astimezone(tz=None)).notices
    assert notice.started_at.utcoffset() == timedelta(0)


def test_a_title_is_one_line():
    """Whatever stands in the summary."""
    assert one(annotations={"summary": "a\n\n  b"}).title == "a b"
    assert one(annotations={}).title == "OrdersFailing: orders"
    assert one(annotations={}, labels={}).title == "alert without a name"


def test_a_message_of_ten_megabytes_is_read():
    """Alertmanager sends 400 alerts in 193 kB; fifty times that is read too."""
    message = alertmanager()
    message["alerts"] *= 20_000
    assert len(delivery_from(AM, json.dumps(message).encode()).notices) == 20_000
