"""``POST /alerts/NAME`` under hostile requests: nothing is a 5xx, a traceback or a change."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import SECRET, message, with_sources

from imtkit.config import load_settings
from imtkit.web.app import application

SENDERS = "alertmanager grafana pagerduty datadog sentry opsgenie zabbix mapped".split()  # noqa: SIM905 # one line
ALLOWED = {202, 400, 401, 404, 405, 413}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    [
        "alerts",
        "status",
        "firing",
        "resolved",
        "labels",
        "annotations",
        "startsAt",
        "endsAt",
        "fingerprint",
        "version",
        "4",
        "event",
        "data",
        "id",
        "type",
        "title",
        "state",
        "Message",
        "TopicArn",
        "Type",
        "action",
        "alert",
        "alertId",
        "severity",
    ]
)
TELLING = st.recursive(
    WORDS | st.none() | st.text(max_size=5) | st.just("2026-11-21T10:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=8),
    max_leaves=20,
)


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """A sound message in which one value is another."""
    sound: dict[str, Any] = json.loads(message())
    place: dict[str, Any] = draw(st.sampled_from([sound, sound["alerts"][0]]))
    place[draw(st.sampled_from(sorted(place)))] = draw(JSON)
    return json.dumps(sound).encode()


BODIES = (
    st.binary(max_size=300)
    | JSON.map(lambda value: json.dumps(value).encode())
    | TELLING.map(lambda value: json.dumps(value).encode())
    | altered()
    | st.sampled_from(
        [b"[" * 100_000, b'{"a":' * 50_000, b"\xef\xbb\xbf{}", b'"\\ud800"', b"1e999"]
    )
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"authorization",
                b"content-type",
                b"content-length",
                b"x-request-id",
                b"x-pagerduty-signature",
                b"sentry-hook-signature",
                b"webhook-signature",
            ]
        )
        | st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True),
        st.binary(max_size=60) | st.just(f"Bearer {SECRET}".encode()),
    ),
    max_size=6,
)


class Caller:
    """Calls the application as uvicorn does, without sockets."""

    def __init__(self, workspace: Path) -> None:
        found = load_settings(workspace)
        self.app = application(replace(found, serve=replace(found.serve, most_body_mb=1)), "token")
        self._runner = asyncio.Runner()
        self._life = self.app.router.lifespan_context(self.app)
        self._runner.run(self._life.__aenter__())

    def close(self) -> None:
        self._runner.run(self._life.__aexit__(None, None, None))
        self._runner.close()

    def post(self, path: str, headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> int:
        """The status of the answer to one request, whose body comes in parts."""
        return self._runner.run(self._posted(path, headers, parts))

    async def _posted(
        self, path: str, headers: list[tuple[bytes, bytes]], parts: list[bytes]
    ) -> int:
        coming = [
            {"type": "http.request", "body": part, "more_body": number < len(parts)}
            for number, part in enumerate(parts, start=1)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(part: Any) -> None:
            sent.append(part)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1"), *headers],
            "client": ("127.0.0.1", 4),
            "server": ("127.0.0.1", 8787),
        }
        await self.app(scope, receive, send)
        return int(sent[0]["status"])


@pytest.fixture
def call(workspace: Path) -> Iterator[Caller]:
    """The application, with every kind of sender that needs no network, proof or not."""
    tables = [f'\n[alerts.sources.{kind}]\nkind = "{kind}"\nproof = "none"\n' for kind in SENDERS]
    secret = f'secrets = ["secret://file{workspace}/sender.secret"]\n'
    signing = [
        f'\n[alerts.sources.signed-{kind}]\nkind = "{kind}"\nproof = "signature"\n{secret}'
        for kind in ("pagerduty", "sentry", "grafana", "mapped", "zabbix")
    ]
    fields = '[alerts.sources.mapped.fields]\nname = "title"\nstatus = "state"\n'
    with_sources(workspace, "".join((*tables, fields, *signing)))
    one = Caller(workspace)
    yield one
    one.close()


KNOWN = st.sampled_from(["shop", *SENDERS, "signed-pagerduty", "signed-sentry", "signed-mapped"])


@settings(max_examples=250)
@given(source=KNOWN | st.text(max_size=8), headers=HEADERS, body=BODIES, cuts=st.integers(0, 3))
def test_no_request_is_a_fault_of_ours(
    call: Caller,
    caplog: pytest.LogCaptureFixture,
    source: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    cuts: int,
):
    """Whatever the name, headers and body: an answer that a sender can use, and no traceback."""
    size = len(body) // (cuts + 1) + 1
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    caplog.clear()
    assert call.post(f"/alerts/{source}", headers, parts) in ALLOWED
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7*7 }} ${x}",
        "'; import os",
        "$(reboot) `id`",
        "<script>",
        "\x1b[2J\x07",
        "\u202egnp",
        "\x00",
    ],
    ids="template python shell html ansi rtl nul".split(),  # noqa: SIM905 # a name each
)
def test_text_that_would_be_more_than_text_stays_text(call: Caller, text: str):
    """In names, labels and annotations it is taken as data, and handled."""
    told = {"labels": {"alertname": text, "service": text}, "annotations": {"summary": text}}
    assert call.post("/alerts/open", [], [message(**told)]) == 202
    assert call.post("/alerts/alertmanager", [], [message(2, **told)]) == 202


def test_a_label_of_ten_megabytes_is_too_large(call: Caller):
    """What is over the limit is refused however it comes."""
    big = message(labels={"alertname": "A", "big": "x" * 10_000_000})
    parts = [big[start : start + 65_536] for start in range(0, len(big), 65_536)]
    assert call.post("/alerts/open", [], parts) == 413
    assert call.post("/alerts/open", [(b"content-length", b"9" * 4000)], parts) == 413
