"""What HTTP samples, certificates and health documents mean, without a network."""

from __future__ import annotations

import http.client
import socket
import ssl
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.errors import InputError
from imtkit.probes import health, tls
from imtkit.probes import http as http_probe
from imtkit.probes.failures import failure_of
from imtkit.probes.wire import Sample, Target, place_of

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
TARGET = Target("http://shop.example/")


def sample(total: float = 0.01, **facts: object) -> Sample:
    """A request that went well unless told otherwise; its time went into the first byte."""
    given_facts = {"status": 200, "first_byte_seconds": total, "total_seconds": total, **facts}
    return Sample(NOW, TARGET.url, **given_facts)  # type: ignore[arg-type]


def samples(*taken: Sample) -> http_probe.Samples:
    return http_probe.Samples(TARGET, taken)


def test_a_well_service_is_called_well() -> None:
    """Fast answers without failures give one finding, 'ok', with the times as its grounds."""
    found = http_probe.diagnose(samples(*[sample()] * 20))
    assert [one.level for one in found] == ["ok"]
    assert "20 of 20 requests" in found[0].grounds


def test_few_failures_below_the_limit_are_told_as_what_they_are() -> None:
    """One failure in 200 is under the default limit, and the grounds do not hide it."""
    found = http_probe.diagnose(samples(*[sample()] * 199, sample(status=500)))
    assert found.worst == "ok"
    assert "199 of 200" in found[0].grounds


@pytest.mark.parametrize(
    ("bad", "level"), [(2, "warning"), (6, "critical")], ids=["two percent", "six percent"]
)
def test_the_error_rate_decides_the_level(bad: int, level: str) -> None:
    """Two failures in a hundred warn, six are critical, and both name the kind."""
    found = http_probe.diagnose(samples(*[sample()] * (100 - bad), *[sample(status=503)] * bad))
    assert found.worst == level
    assert "5xx" in found[0].what


def test_each_kind_of_failure_is_named_with_its_count() -> None:
    """A mix of failures is told kind by kind, most frequent first."""
    taken = [sample(status=None, error="timeout", phase="connect", reason="late")] * 3
    taken += [sample(status=404)] + [sample()] * 6
    found = http_probe.diagnose(samples(*taken))
    assert [one.what.split(" requests")[0] for one in found] == ["3 of 10", "1 of 10"]
    assert samples(*taken).errors == {"timeout": 3, "4xx": 1}


def test_slowness_names_the_phase_it_arises_in() -> None:
    """When name resolution takes the time, the finding says so and what to look at."""
    slow = sample(2.0, first_byte_seconds=0.1, dns_seconds=1.9)
    found = http_probe.diagnose(samples(*[slow] * 10))
    assert found.worst == "warning"
    assert "resolving the name" in found[0].grounds
    assert samples(slow).slowest_phase == "dns"


def test_limits_are_the_callers() -> None:
    """The same times are well or critical, as the limits say."""
    taken = samples(*[sample(0.5)] * 10)
    strict = http_probe.Limits(slow_seconds=0.1, very_slow_seconds=0.3)
    assert http_probe.diagnose(taken).worst == "ok"
    assert http_probe.diagnose(taken, strict).worst == "critical"


def test_an_expected_status_is_no_failure() -> None:
    """A 401 that the caller expects counts as an answer."""
    assert sample(status=401, is_expected=True).kind == "ok"
    assert sample(status=401).kind == "4xx"


def test_redirects_are_reported() -> None:
    """An answer that points elsewhere is a warning with the address."""
    found = http_probe.diagnose(samples(*[sample(status=302, location="https://new/")] * 4))
    assert found.worst == "warning"
    assert "https://new/" in found[0].grounds


def test_measures_leave_out_what_was_not_measured() -> None:
    """Without one whole answer there is an error rate, and no made-up percentile."""
    dead = samples(sample(status=None, error="refused"))
    assert dead.measures == {"error_rate": 1.0}
    assert samples(sample(0.2)).measures == {"error_rate": 0.0, "latency_p95_seconds": 0.2}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_lie_in_order_between_the_extremes(values: list[float]) -> None:
    """Whatever the values, min <= p50 <= p90 <= p95 <= p99 <= longest = max."""
    got = http_probe.percentiles_of(values)
    row = [min(values), got.p50, got.p90, got.p95, got.p99, got.longest]
    slack = 1e-9 * (1 + max(values))
    assert all(a <= b + slack for a, b in pairwise(row))
    assert got.longest == max(values)


def test_tables_have_their_columns_even_when_empty() -> None:
    """Frames carry one row a sample, and a row for every phase."""
    table = samples(sample(), sample(status=500)).frame()
    assert list(table["kind"]) == ["ok", "5xx"]
    assert "body_seconds" in samples().frame().columns
    assert list(samples(sample()).phase_frame().index)[-1] == "total"


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "shop.example", "http://", "http://x:99999/", "http://a b/", "http://x/\n", ""],
)
def test_what_cannot_be_probed_is_refused(url: str) -> None:
    """An address that is no http(s) URL is an InputError before anything is sent."""
    with pytest.raises(InputError):
        Target(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    """URLs are logged, so one with a password is refused, in words that do not hold it."""
    with pytest.raises(InputError) as refused:
        Target("https://me:hunter2@shop.example/")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "numbers", [{"count": 0}, {"timeout_seconds": 0}, {"concurrency": 99}, {"interval_seconds": -1}]
)
def test_numbers_that_cannot_be_meant_are_refused(numbers: dict[str, float]) -> None:
    """A count of nothing, a time of nothing or a load test is an InputError."""
    with pytest.raises(InputError):
        http_probe.probe("http://127.0.0.1:1/", **numbers)  # type: ignore[arg-type]


def test_headers_that_cannot_be_sent_are_refused() -> None:
    """A header with a line break would smuggle another one; it is refused."""
    with pytest.raises(InputError):
        Target("http://x/", headers={"A": "b\r\nEvil: yes"})


def test_places_know_their_ports() -> None:
    """The scheme's port is used where none is given, and international names are encoded."""
    assert place_of("https://x/a?b=c").port == 443
    assert place_of("http://[::1]:8080/").host == "::1"
    assert place_of("http://bücher.example/").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (socket.gaierror(-2, "Name or service not known"), "dns", "dns"),
        (TimeoutError(), "connect", "timeout"),
        (ConnectionRefusedError(), "connect", "refused"),
        (OSError(113, "No route to host"), "connect", "unreachable"),
        (ssl.SSLEOFError(8, "EOF"), "tls", "tls"),
        (ConnectionResetError(), "tls", "tls"),
        (ConnectionResetError(), "first_byte", "torn"),
        (http.client.RemoteDisconnected("x"), "first_byte", "torn"),
        (http.client.IncompleteRead(b"", 3), "body", "torn"),
        (http.client.BadStatusLine("SSH-2.0"), "first_byte", "protocol"),
    ],
)
def test_errors_are_told_apart(error: Exception, phase: str, kind: str) -> None:
    """Every way in which an exchange can end early has its own kind, and a reason in words."""
    got, reason = failure_of(error, phase)
    assert got == kind
    assert reason


def certificate(days: float = 90, **facts: object) -> tls.Certificate:
    given_facts: dict[str, object] = {
        "subject": "CN=shop",
        "issuer": "CN=CA",
        "names": ("shop.example", "*.shop.example", "10.0.0.1"),
        "not_before": NOW - timedelta(days=30),
        "not_after": NOW + timedelta(days=days),
        "serial": "1",
        "sha256": "00",
        "is_self_signed": False,
    }
    return tls.Certificate(**{**given_facts, **facts})  # type: ignore[arg-type]


def shown(host: str = "shop.example", reason: str = "", **facts: object) -> tls.Tls:
    trusted = not reason
    held = certificate(**facts)  # type: ignore[arg-type]
    return tls.Tls(host, 443, NOW, held, "TLSv1.3", "x", trusted, reason)


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("shop.example", True),
        ("SHOP.example.", True),
        ("a.shop.example", True),
        ("a.b.shop.example", False),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("example", False),
    ],
)
def test_names_cover_hosts_as_the_standard_says(host: str, covered: bool) -> None:
    """A wildcard stands for exactly one first label; addresses compare as addresses."""
    assert certificate().covers(host) is covered


@pytest.mark.parametrize(
    ("days", "level"), [(90, "ok"), (14, "warning"), (1, "critical"), (-3, "critical")]
)
def test_expiry_is_judged_by_the_days_left(days: float, level: str) -> None:
    """Far off is well, near warns, tomorrow and yesterday are critical."""
    assert tls.diagnose(shown(days=days)).worst == level


def test_what_is_wrong_with_a_certificate_is_said_one_by_one() -> None:
    """Expired, for another host and from nobody known: three findings, not the first only."""
    bad = shown("pay.example", "unable to get local issuer certificate", days=-3)
    words = " ".join(one.what for one in tls.diagnose(bad))
    assert "expired 3.0 days ago" in words
    assert "not for pay.example" in words
    assert "not trusted here" in words


def test_a_certificate_from_the_future_points_at_the_clocks() -> None:
    """A certificate that begins tomorrow is critical, and the next step names the clocks."""
    early = shown(not_before=NOW + timedelta(days=1), reason="certificate is not yet valid")
    assert [one.next_step for one in tls.diagnose(early)] == ["Check the clocks."]


def test_bytes_that_are_no_certificate_give_none() -> None:
    """What cannot be read is said to be unreadable, not raised."""
    assert tls.certificate_from_der(b"nonsense") is None
    assert tls.diagnose(tls.Tls("x", 1, NOW)).worst == "critical"


DRAFT = b"""{"status": "degraded", "checks": {
  "database": {"status": "fail", "reason": "disk is full"},
  "cache:hits": [{"status": "pass"}, {"status": "warn", "output": "cold"}],
  "fine": "ok"}}"""
SPRING = b"""{"status":"DOWN","components":{"db":{"status":"DOWN","details":{"error":"gone"}},
  "disk":{"status":"UP","details":{"free":1}},
  "all":{"status":"UP","components":{"inner":{"status":"DOWN"}}}}}"""
LISTED = b'{"status":"UP","checks":[{"name":"queue","status":"DOWN"}]}'


@pytest.mark.parametrize(
    ("body", "failing"),
    [
        (DRAFT, [("critical", "database"), ("warning", "cache:hits")]),
        (SPRING, [("critical", "db"), ("critical", "all.inner")]),
        (LISTED, [("critical", "queue")]),
    ],
    ids=["draft", "components", "list"],
)
def test_health_documents_name_what_fails(body: bytes, failing: list[tuple[str, str]]) -> None:
    """In each of the common shapes the failing checks are found, by name and level."""
    found = health.diagnose(health.health_from_body("u", 503, body))
    assert [(one.level, one.what.split("'")[1]) for one in found] == failing


def test_a_reason_is_carried_to_the_grounds() -> None:
    """What the service says about a check is the ground of the finding."""
    found = health.diagnose(health.health_from_body("u", 200, DRAFT))
    assert found[0].grounds == "disk is full"


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, b'{"status": "pass"}', "ok"),
        (200, b'{"status": "pass", "checks": {"db": {"status": "pass"}}}', "ok"),
        (200, b'{"status": "fail"}', "critical"),
        (503, b'{"status": "shutting down"}', "critical"),
        (200, b"<html>", "warning"),
        (200, b"[]", "warning"),
        (404, b'{"detail": "Not Found"}', "warning"),
        (200, b"[" * 100_000, "warning"),
    ],
)
def test_health_is_read_and_not_assumed(status: int, body: bytes, level: str) -> None:
    """Well is said only when the document says it; what is no document is said to be none."""
    assert health.diagnose(health.health_from_body("u", status, body)).worst == level


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["status", "checks", "components", "details", "x", "error"]), inner
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_health_document_or_not(document: object) -> None:
    """Whatever JSON arrives, reading and judging it does not fail."""
    import json

    health.diagnose(health.health_from_body("u", 200, json.dumps(document).encode()))
