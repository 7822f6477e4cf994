"""``imt serve``: what senders are told, and that what they were promised holds."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from servers import until
from serving import SECRET, Served, message, serving, with_sources

from imtkit.kit import incidents, open_desk
from imtkit.model.entries import WORKSPACE, Entry
from imtkit.model.opening import Opening

BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
def served(workspace: Path) -> Iterator[Served]:
    """A server that knows the senders 'shop' (a token) and 'open' (nothing), and takes 1 MB."""
    with_sources(workspace, "\n[serve]\nmost_body_mb = 1\nmost_waiting = 200\n")
    with serving(workspace) as one:
        yield one


def kept(workspace: Path, type_: str = "delivery.received") -> list[Entry]:
    """The deliveries in the log, or other entries of the workspace's chain."""
    with open_desk(workspace) as desk:
        return [one for one in desk.store.entries(WORKSPACE) if one.type == type_]


def alert_names(workspace: Path) -> list[str]:
    """The fingerprints of all alerts in all incidents, each as often as it was received."""
    with open_desk(workspace) as desk:
        return [
            str(entry.data["fingerprint"])
            for entry in desk.store.entries()
            if entry.type == "alert.received"
        ]


def is_handled(one: Served) -> bool:
    """Whether all that was kept has become alerts."""
    return requests.get(f"{one.url}readyz", timeout=10).json()["unhandled"] == 0


@contextmanager
def held(workspace: Path) -> Iterator[None]:
    """Another writer holds the log meanwhile."""
    with closing(sqlite3.connect(workspace / "outputs/imt.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def connected(one: Served) -> socket.socket:
    """A plain connection to the server."""
    place = urlsplit(one.url)
    return socket.create_connection((place.hostname, place.port), timeout=30)


def test_what_is_posted_is_on_disk_when_it_is_answered(served: Served, workspace: Path):
    """202 names the entry that holds the body as it was, who sent it, and no proof of it."""
    answer = served.post("shop", message(), headers={**BEARER, "X-Request-Id": "r1"})
    assert answer.status_code == 202
    (entry,) = kept(workspace)
    assert answer.json() == {"delivery": entry.n}
    assert entry.data["body"].encode() == message()
    assert entry.data["source"] == "shop"
    assert entry.actor == "automation/shop"
    assert entry.data["headers"]["x-request-id"] == "r1"
    assert SECRET not in json.dumps(dict(entry.data))


def test_what_is_kept_becomes_an_incident(served: Served, workspace: Path):
    """Nobody asks for it, and it is there within a moment."""
    served.post("open", message())
    until(lambda: alert_names(workspace) == [f"{1:016x}"])
    until(lambda: len(kept(workspace, "deliveries.handled")) == 1)


def test_the_same_body_twice_is_kept_once(served: Served, workspace: Path):
    """A sender that did not hear the first answer gets it again."""
    first, second = (served.post("open", message()) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len(kept(workspace)) == 1
    until(lambda: is_handled(served))
    assert len(alert_names(workspace)) == 1


@pytest.mark.parametrize(
    ("source", "body", "headers", "told"),
    [
        ("nobody", message(), {}, (404, "Alert source 'nobody' not found.")),
        ("shop", message(), {}, (401, "the header Authorization is missing")),
        ("shop", message(), {"Authorization": "Bearer wrong"}, (401, "none of the secrets")),
        ("open", b"{", {}, (400, "not an Alertmanager message")),
        ("open", b'{"version":"4","alerts":[{}]}', {}, (400, "not an Alertmanager message")),
        ("open", b"\xff\xfe", {}, (400, "not UTF-8")),
        ("open", b"", {}, (400, "not an Alertmanager message")),
        ("open", b" " * 1_000_001, {}, (413, "larger than 1,000,000 bytes")),
        ("open", (b" " * 100_000 for _ in range(11)), {}, (413, "larger than 1,000,000 bytes")),
    ],
    ids="404 401 wrong malformed incomplete bytes empty declared chunked".split(),  # noqa: SIM905 # a name each
)
def test_what_will_not_do_is_refused_with_the_reason(
    served: Served, workspace: Path, source: str, body: object, headers: dict, told: tuple
):
    """Each refusal says what is wrong as JSON, and nothing of it is kept."""
    answer = served.post(source, body, headers=headers)
    assert answer.status_code == told[0]
    assert told[1] in answer.json()["error"]
    assert set(answer.json()) == {"error", "hint"}
    assert kept(workspace) == []


def test_a_source_is_only_posted_to(served: Served):
    """GET is 405, and says what is allowed."""
    answer = requests.get(f"{served.url}alerts/open", timeout=10)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_nothing_that_proves_a_sender_is_logged(
    served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    """A refusal is logged, once for a flood of them, without what was sent as proof."""
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            served.post("shop", message(), headers={"Authorization": "Bearer wrong-canary"})
        served.post("shop", message(), headers=BEARER)
    said = caplog.text + "".join(capfd.readouterr())
    assert said.count("/alerts/shop: 401") == 1
    assert "wrong-canary" not in said
    assert SECRET not in said


def test_many_at_once_are_kept_in_few_writes(served: Served, workspace: Path):
    """200 posts that come while another writer holds the log: all on disk, in a few appends."""
    served.post("open", message(1))
    until(lambda: is_handled(served))
    before = served.metric("imt_appends_total")

    def until_kept(number: int) -> int:
        while (answer := served.post("open", message(number))).status_code == 503:
            time.sleep(0.1)  # as senders do, and sooner
        return int(answer.json()["delivery"])

    with ThreadPoolExecutor(200) as pool:
        with held(workspace):
            answers = [pool.submit(until_kept, number) for number in range(2, 202)]
            until(lambda: served.metric("imt_deliveries_waiting") > 100)
        places = [one.result() for one in answers]
    assert len(set(places)) == 200
    assert {one.n for one in kept(workspace)} >= set(places)
    assert served.metric("imt_appends_total") - before <= 40
    until(lambda: is_handled(served), 60)
    assert sorted(alert_names(workspace)) == [f"{number:016x}" for number in range(1, 202)]


def test_a_log_that_is_held_is_told_as_later_and_then_is_fine(served: Served, workspace: Path):
    """503 with Retry-After within seconds, never a wait without end; then the same is taken."""
    assert served.post("open", message(1)).status_code == 202
    with held(workspace):
        began_at = time.monotonic()
        answer = served.post("open", message(2))
        assert time.monotonic() - began_at < 15
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["error"] == "The log takes too long."
    assert served.post("open", message(2)).status_code == 202
    assert len(kept(workspace)) == 2


def test_more_than_may_wait_are_told_to_come_later(workspace: Path):
    """What there is no room for is answered 503 at once, and what waits is kept."""
    with_sources(workspace, "\n[serve]\nmost_waiting = 1\n")
    with serving(workspace) as one, ThreadPoolExecutor(8) as pool:
        one.post("open", message(0))
        with held(workspace):
            answers = [pool.submit(one.post, "open", message(n)) for n in range(1, 9)]
            until(lambda: sum(answer.done() for answer in answers) >= 6)
        done = [answer.result() for answer in answers]
        assert {answer.status_code for answer in done} == {202, 503}
        full = [one for one in done if "Too many" in one.text]
        assert full
        assert all(answer.headers["Retry-After"] == "5" for answer in full)
        taken = sum(answer.status_code == 202 for answer in done)
    assert len(kept(workspace)) == 1 + taken


def test_slow_heads_and_bodies_are_given_up(served: Served):
    """Who sends a byte now and then holds no connection for ever: 503, or the line is cut.

    The alert comes again: it may have been us who were slow.
    """
    head = b"POST /alerts/open HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with connected(served) as silent, connected(served) as slow_head, connected(served) as slow:
        slow_head.sendall(head)
        slow.sendall(head + b"Content-Length: 100\r\n\r\n{")
        began_at = time.monotonic()
        for _ in range(3):
            time.sleep(0.5)
            slow_head.sendall(b"X-A: b\r\n")
            slow.sendall(b" ")
        answer = slow.recv(1000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5" in answer.lower()
        assert slow_head.recv(1000) == b""
        assert silent.recv(1000) == b""
        assert 5 < time.monotonic() - began_at < 30
    assert 'outcome="slow"' in served.get("metrics").text


def test_a_body_that_breaks_off_is_nobodys_fault(
    served: Served, workspace: Path, caplog: pytest.LogCaptureFixture
):
    """The sender is gone: nothing is kept, nothing is logged as our error."""
    with connected(served) as sender:
        sender.sendall(
            b"POST /alerts/open HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{"
        )
        time.sleep(0.1)
    until(lambda: 'outcome="unreadable"' in served.get("metrics").text)
    assert kept(workspace) == []
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_health_tells_what_is_wrong(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a log it lives and is not ready; alerts are told to come later, and then taken."""
    monkeypatch.setenv("IMT_STORE_URL", "sqlite:///data/imt.db")
    with_sources(workspace)
    (workspace / "data").write_text("a file where the folder should be")
    with serving(workspace) as one:
        assert one.get("healthz").json() == {"status": "ok"}
        ready = requests.get(f"{one.url}readyz", timeout=10)
        assert ready.status_code == 503
        assert ready.json()["store"] == "StoreError"
        answer = one.post("open", message())
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert str(workspace) not in answer.text + ready.text
        assert "NaN" in one.get("metrics").text
        (workspace / "data").unlink()
        assert one.post("open", message()).status_code == 202
        until(lambda: requests.get(f"{one.url}readyz", timeout=10).status_code == 200)


def test_metrics_are_openmetrics(served: Served):
    """The reference parser reads them; a stranger does not see them."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    served.post("open", message())
    served.post("open", b"{")
    until(lambda: is_handled(served))
    answer = served.get("metrics")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["imt_deliveries_total", "kept", "open"] == 1
    assert found["imt_deliveries_total", "open", "unreadable"] == 1
    assert found["imt_deliveries_handled_total",] == 1
    assert found["imt_incidents_open",] == 1
    assert found["imt_runs_queued",] == 0
    assert found["imt_delivery_seconds_count", "open"] == 2
    assert requests.get(f"{served.url}metrics", timeout=10).status_code == 401


def test_metrics_count_the_runs_of_every_open_incident(served: Served, workspace: Path):
    """Also of those that a storm's later incidents drive off the first page."""
    with open_desk(workspace, actor="Ann Example") as desk:
        for number in range(60):
            id_ = incidents.open_(desk, Opening(f"Disk {number} fills", severity="sev3")).id
            asked = {"run": f"20261121T2017{number:02d}Z-1a2b3c", "runbook": "disk"}
            desk.store.append(id_, desk.draft("run.requested", asked))
    assert served.metric("imt_runs_queued") == 60
    assert served.metric("imt_incidents_open") == 60


@pytest.mark.postgres
def test_it_serves_a_log_in_postgresql(
    workspace: Path, postgres_log: str, monkeypatch: pytest.MonkeyPatch
):
    """The same on the other database: kept, once, and handled."""
    monkeypatch.setenv("IMT_STORE_URL", postgres_log)
    with_sources(workspace)
    with serving(workspace) as one, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: one.post("open", message(n % 20)), range(40)))
        assert {answer.status_code for answer in answers} == {202}
        until(lambda: len(alert_names(workspace)) == 20, 60)
        until(lambda: is_handled(one))
    assert len(kept(workspace)) == 20


def test_what_waits_from_before_is_worked_through_at_the_start(workspace: Path):
    """What an earlier server kept and did not handle becomes alerts, in its order."""
    from imtkit.kit import intake

    with_sources(workspace)
    bodies = [message(number, service=f"s{number}").decode() for number in range(30)]
    with open_desk(workspace, actor="automation/serve") as desk:
        intake.keep(desk, [intake.Posted("open", body, body[-200:]) for body in bodies])
    with serving(workspace):
        until(lambda: len(alert_names(workspace)) == 30, 30)
    with open_desk(workspace) as desk:
        assert incidents.get(desk, alert_incidents(workspace)[0]).services == ("s0",)
        assert desk.store.verify() == []


def alert_incidents(workspace: Path) -> list[str]:
    """The incidents of alerts, in the order in which they were received."""
    with open_desk(workspace) as desk:
        return [one.incident for one in desk.store.entries() if one.type == "alert.received"]


def test_a_run_that_a_rule_asks_for_waits_in_the_queue_at_once(workspace: Path):
    """Workers find it without anybody asking; a log restored without its queue gets it back."""
    from notebook_files import SOUND, code, write_notebook

    from imtkit.config import load_settings
    from imtkit.runs.queue import open_queue

    write_notebook(workspace / "runbooks" / "trial.ipynb", [code("a", "1")], about=SOUND)
    rule = '\n[[alerts.rules]]\nname = "orders"\nmatch = ["service=orders"]\nrunbooks = ["trial"]\n'
    with_sources(workspace, rule)

    def asked_for() -> list[str]:
        with open_desk(workspace) as desk:
            found = [one for one in desk.store.entries() if one.type == "run.requested"]
            return [str(one.data["run"]) for one in found]

    with serving(workspace) as one, closing(open_queue(load_settings(workspace))) as queue:
        assert one.post("open", message(1)).status_code == 202
        until(lambda: len(asked_for()) == 1)
        until(lambda: queue.waiting(asked_for()) == set(asked_for()), 20)
        until(lambda: one.metric("imt_runs_queued") == 1)
    for path in (workspace / "outputs").glob("imt-queue.db*"):
        path.unlink()
    with serving(workspace), closing(open_queue(load_settings(workspace))) as queue:
        until(lambda: queue.waiting(asked_for()) == set(asked_for()), 20)
