"""The demo's watcher and what it reads out of a diagnosis, without the processes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imtkit.alerts.payloads import delivery_from
from imtkit.config.alerts import SourceSettings
from imtkit.demo.diagnosis import blamed_parts, findings_from_table
from imtkit.demo.watcher import ALERT, SERVICE, Watcher, fingerprint_of
from imtkit.errors import RecordError
from imtkit.kit import Desk, runbooks
from imtkit.probes.findings import Finding, Findings
from imtkit.probes.http import Samples, Target
from imtkit.probes.wire import Sample

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
URL = "http://127.0.0.1:1234/orders"
ALERTMANAGER = SourceSettings("alertmanager", "alertmanager")
PARTS = ("inventory", "orders")


def samples(*statuses: int) -> Samples:
    taken = tuple(Sample(AT, URL, status=one, total_seconds=0.8) for one in statuses)
    return Samples(Target(URL), taken)


def watcher_after(*looks: Samples) -> Watcher:
    return Watcher(URL, "http://127.0.0.1:1234/health", looks=list(looks))


def test_fingerprints_are_those_of_prometheus() -> None:
    """FNV-1a over sorted labels: no labels give the offset basis, and order is no matter."""
    assert fingerprint_of({}) == "cbf29ce484222325"
    one, two = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert fingerprint_of(one) == fingerprint_of(two)
    assert fingerprint_of({"a": "1b", "c": ""}) != fingerprint_of({"a": "1", "bc": ""})


@pytest.mark.parametrize(
    ("looks", "fires"),
    [
        ((), False),
        ((samples(503, 503),), False),
        ((samples(200, 200), samples(503, 200)), False),
        ((samples(503, 200), samples(503, 503)), True),
        ((samples(503, 503), samples(503, 503), samples(200, 200)), False),
    ],
)
def test_the_alert_fires_when_two_looks_in_a_row_are_bad(
    looks: tuple[Samples, ...], fires: bool
) -> None:
    """One bad look is no alert, and a good one ends it."""
    assert watcher_after(*looks).is_firing is fires


def test_the_payload_is_one_that_alertmanager_could_have_posted() -> None:
    """It is read as such, and says what was measured; so does the one that ends it."""
    watcher = watcher_after(samples(503, 503, 503, 200))
    (notice,) = delivery_from(ALERTMANAGER, watcher.payload(AT, is_over=False)).notices
    assert (notice.name, notice.service, notice.status) == (ALERT, SERVICE, "firing")
    assert notice.started_at == AT
    assert notice.measures["error_rate"] == 0.75
    assert notice.title == f"75% of the requests to {SERVICE} fail"
    assert "3 5xx" in notice.annotations["description"]
    (over,) = delivery_from(ALERTMANAGER, watcher.payload(AT, is_over=True)).notices
    assert over.status == "resolved"
    assert over.episode == notice.episode
    assert over.ended_at is not None


def test_the_runbook_for_http_answers_the_alert(desk: Desk) -> None:
    """The runbook is chosen by its metadata, as for anybody's alert."""
    assert "http-service" in [one.name for one in runbooks.answering(desk.settings, ALERT)]


def test_only_parts_that_a_problem_names_are_blamed() -> None:
    """What is well, what is not ours and what is not quoted is not blamed."""
    findings = Findings(
        [
            Finding("ok", "'orders' is well."),
            Finding("critical", "Its check 'inventory:responseTime' fails."),
            Finding("warning", "The check 'cache:hits' warns; inventory is mentioned."),
        ]
    )
    assert blamed_parts(findings, PARTS) == ("inventory",)
    assert blamed_parts(Findings([Finding("ok", "'inventory' is well.")]), PARTS) == ()


def test_findings_come_back_from_the_table_that_was_kept() -> None:
    """Levels, words and order survive; a level that is none is refused."""
    table = 'level,what,grounds,next_step\nok,Fine.,,\ncritical,"Broken, badly.",Saw it.,Mend it.\n'
    findings = findings_from_table(table)
    assert findings[0] == Finding("critical", "Broken, badly.", "Saw it.", "Mend it.")
    assert findings.problems == (findings[0],)
    with pytest.raises(RecordError, match="fatal"):
        findings_from_table("level,what,grounds,next_step\nfatal,x,,\n")
