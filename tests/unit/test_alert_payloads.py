"""Alert payloads: what Alertmanager posts, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.alerts.payloads import delivery_from
from imtkit.errors import NotFoundError, PayloadError

PAYLOADS = os.environ.get("IMT_PAYLOADS", "")


def alertmanager(**changed):
    """A message as Alertmanager 0.34 documents it, with one alert."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "OrdersFailing", "service": "orders", "severity": "critical"},
        "annotations": {"summary": "Orders fail", "measure_error_rate": "0.3"},
        "startsAt": "2026-11-21T10:00:00+01:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "0d451372052d4ee0",
    }
    message = {"version": "4", "status": "firing", "receiver": "imt", "alerts": [alert | changed]}
    return json.dumps(message).encode()


def test_a_firing_alert_is_read():
    """Labels, annotations and the start are taken; year 1 is no end."""
    (notice,) = delivery_from("alertmanager", alertmanager()).notices
    assert notice.name == "OrdersFailing"
    assert notice.service == "orders"
    assert notice.title == "Orders fail"
    assert notice.measures == {"error_rate": 0.3}
    assert notice.started_at == datetime(2026, 11, 21, 9, tzinfo=UTC)
    assert notice.ended_at is None


def test_a_resolved_alert_has_an_end():
    """An alert that is over says when it ended."""
    body = alertmanager(status="resolved", endsAt="2026-11-21T09:30:00Z")
    (notice,) = delivery_from("alertmanager", body).notices
    assert notice.ended_at == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def test_an_episode_is_the_same_in_every_message_about_it():
    """Redelivery and resolution carry the key of the first message."""
    first = delivery_from("alertmanager", alertmanager()).notices[0]
    over = delivery_from(
        "alertmanager", alertmanager(status="resolved", startsAt="2026-11-21T09:00:00Z")
    ).notices[0]
    assert first.episode == over.episode


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"version": "3", "alerts": []}',
        b'{"version": "4"}',
        alertmanager(startsAt="yesterday"),
        alertmanager(startsAt="2026-11-21T10:00:00"),
        alertmanager(fingerprint="a b\n"),
        alertmanager(fingerprint=""),
        alertmanager(labels={"a": {"b": 1}}),
        alertmanager(status="perhaps"),
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_refused(body):
    """A clear PayloadError, whatever came."""
    with pytest.raises(PayloadError, match="not an Alertmanager message"):
        delivery_from("alertmanager", body)


def test_an_unknown_sender_is_named():
    """The nearest known sender is suggested."""
    with pytest.raises(NotFoundError) as caught:
        delivery_from("alertmanger", b"{}")
    assert "alertmanager" in caught.value.hint


@given(st.binary(max_size=300))
def test_no_bytes_give_anything_but_a_payload_error(body):
    """Fuzzed bodies are read or refused; nothing else happens."""
    with contextlib.suppress(PayloadError):
        delivery_from("alertmanager", body)


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=4),
    st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=4),
)
def test_hostile_labels_stay_text(labels, annotations):
    """Whatever stands in labels and annotations, a one-line title comes out."""
    body = alertmanager(labels=labels, annotations=annotations)
    try:
        (notice,) = delivery_from("alertmanager", body).notices
    except PayloadError:
        return  # lone surrogates are not JSON text
    assert notice.title
    assert "\n" not in notice.title


@pytest.mark.skipif(not PAYLOADS, reason="IMT_PAYLOADS names no folder of real payloads")
def test_real_traffic_is_understood():
    """Every captured request of Alertmanager parses, and repeats are recognised as such."""
    bodies = sorted(Path(PAYLOADS).glob("alertmanager-captured/*.body.json"))
    assert bodies
    for path in bodies:
        delivery = delivery_from("alertmanager", path.read_bytes())
        assert delivery.notices
        assert all(notice.title and notice.episode for notice in delivery.notices)
