"""Status pages when the service, the network or the machine fails."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from page_server import FakeTime, Fault, Service, serving
from pages import LATER, MESSAGE, TOKEN, Cachet2, Cachet3, Statuspage, address_of

from imtkit.contracts import StatusPage
from imtkit.errors import ConfigError, ServiceDownError, ServiceError
from imtkit.statuspage import Reply, Request, Wire, WireError, open_statuspage

WRITES = ("POST", "PATCH")

Open = Callable[..., StatusPage]


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture(params=[Statuspage, Cachet2, Cachet3], ids=lambda kind: kind.__name__.lower())
def service(request: pytest.FixtureRequest, fake_time: FakeTime) -> Service:
    """Each service in turn."""
    made: Service = request.param(fake_time.clock)
    return made


@pytest.fixture
def page(service: Service, fake_time: FakeTime, tmp_path: Path) -> Iterator[StatusPage]:
    """The page at that service, which waits in no time."""
    with serving(service) as host:
        yield opened(service, host, tmp_path, fake_time)


def opened(service: Service, host: str, root: Path, fake: FakeTime, **wire: Any) -> StatusPage:
    return open_statuspage(
        address_of(service, host),
        name="public",
        token=TOKEN,
        components={"orders": "101"},
        root=root,
        wire=Wire(read_seconds=0.4, sleep=fake.sleep, clock=fake.clock, chance=lambda: 0.5, **wire),
    )


def seen_once(service: Service, *texts: str) -> bool:
    """Whether the service shows one incident, with each of these texts exactly once."""
    [one] = service.shown()
    told = "\n".join(one["texts"])
    return all(told.count(text) == 1 for text in texts)


@pytest.mark.parametrize("status", [420, 429])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_rate_limit_is_waited_out(
    service: Service, page: StatusPage, fake_time: FakeTime, status: int, form: str
) -> None:
    """420 and 429 both mean: wait as long as Retry-After says, then try again."""
    later = datetime.fromtimestamp(fake_time.now + 12, UTC)
    value = "12" if form == "seconds" else format_datetime(later, usegmt=True)
    service.faults.append(Fault("answer", status, "", {"Retry-After": value}, WRITES))
    page.publish(MESSAGE)
    assert seen_once(service, "We are looking into it.")
    assert max(fake_time.slept) >= (12 if form == "seconds" else 8)


def test_a_long_wait_is_not_waited(service: Service, page: StatusPage, fake_time: FakeTime) -> None:
    """Asked to come back in an hour, the page says so at once and may be tried again."""
    service.faults.append(Fault("answer", 429, "", {"Retry-After": "3600"}, WRITES, 99))
    with pytest.raises(ServiceDownError) as caught:
        page.publish(MESSAGE)
    assert caught.value.retryable
    assert "3600 s" in caught.value.hint
    assert sum(fake_time.slept) < 60
    assert service.count("POST") == 1


@pytest.mark.parametrize("how", ["answer", "then-answer"])
def test_500_then_fine(service: Service, page: StatusPage, how: str) -> None:
    """After a 500 the page looks before it posts again: done or not, it is done once."""
    for message in (MESSAGE, LATER):
        service.faults.append(Fault(how, 500, methods=WRITES))
        page.publish(message)
    assert seen_once(service, "We are looking into it.", "Found it.")


def test_500_for_ever(service: Service, page: StatusPage) -> None:
    """A service that only fails is given up after four tries, with an error to try again on."""
    service.faults.append(Fault("answer", 503, "<html>down</html>", times=999))
    with pytest.raises(ServiceDownError) as caught:
        page.publish(MESSAGE)
    assert caught.value.retryable
    assert len(service.seen) == 4
    assert "'public'" in str(caught.value)
    assert "503" in str(caught.value)
    assert caught.value.hint
    assert service.shown() == []


@pytest.mark.parametrize("how", ["silent", "torn"])
def test_accepted_without_an_answer(service: Service, page: StatusPage, how: str) -> None:
    """Stored and then silence, or a cut connection: still one incident and one update."""
    for message in (MESSAGE, LATER):
        service.faults.append(Fault(how, methods=(*WRITES, "PUT")))
        page.publish(message)
    assert seen_once(service, "We are looking into it.", "Found it.")


def test_accepted_without_an_answer_and_then_down(service: Service, page: StatusPage) -> None:
    """When not even looking is possible it is an error to try again on; trying finds it."""
    service.faults.append(Fault("torn", methods=("POST",), then_down=True))
    with pytest.raises(ServiceDownError) as caught:
        page.publish(MESSAGE)
    assert caught.value.retryable
    assert "Whether it was taken could not be seen" in str(caught.value)
    service.faults.clear()
    page.publish(MESSAGE)
    assert seen_once(service, "We are looking into it.")


def test_torn_before_it_was_taken(service: Service, page: StatusPage) -> None:
    """A connection cut before the service did anything: it is looked for, then posted again."""
    service.faults.append(Fault("torn-before", methods=WRITES))
    page.publish(MESSAGE)
    assert seen_once(service, "We are looking into it.")
    assert service.count("POST") == 2


def test_html_instead_of_json(service: Service, page: StatusPage) -> None:
    """A web page for an answer is a clear error that is not tried again."""
    service.faults.append(Fault("answer", 200, "<!doctype html><p>Log in", times=99))
    with pytest.raises(ServiceError) as caught:
        page.publish(MESSAGE)
    assert not caught.value.retryable
    assert "web page that is not JSON" in str(caught.value)
    assert "imt.toml" in caught.value.hint
    assert len(service.seen) == 1


def test_html_after_it_was_taken(service: Service, page: StatusPage) -> None:
    """A proxy's page in place of the answer does not make a second incident."""
    service.faults.append(Fault("then-answer", 200, "<html>hello</html>", methods=WRITES))
    page.publish(MESSAGE)
    assert seen_once(service, "We are looking into it.")
    assert service.count("POST") == 1


@pytest.mark.parametrize("body", ['"text"', "[[1]]", '{"data": 3}', '{"data": [7]}', "null", "7"])
def test_json_of_another_shape(service: Service, page: StatusPage, body: str) -> None:
    """JSON that is not what the service says is an error; nothing is posted on its strength."""
    service.faults.append(Fault("answer", 200, body, methods=("GET",), times=99))
    for ask in (page.show, lambda: page.publish(MESSAGE)):
        with pytest.raises(ServiceError, match="another shape"):
            ask()
    assert service.count("POST") == 0


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, '{"error": "Could not authenticate"}', "token"),
        (403, '{"message": "Invalid ability provided."}', "right"),
        (404, '{"error": "Not found"}', "component ids"),
        (422, '{"error": ["Name is too long", "Status is wrong"]}', "Name is too long"),
        (400, f'{{"error": "no {TOKEN} \\u001b[31m here"}}', "[token]"),
    ],
)
def test_refusals_are_final(
    service: Service, page: StatusPage, status: int, body: str, words: str
) -> None:
    """What the service refuses is not tried again; its words are told, our token never."""
    service.faults.append(Fault("answer", status, body, times=99))
    with pytest.raises(ServiceError) as caught:
        page.publish(MESSAGE)
    told = f"{caught.value} {caught.value.hint}"
    assert not caught.value.retryable
    assert not isinstance(caught.value, ServiceDownError)
    assert str(status) in told
    assert words in told
    assert TOKEN not in told
    assert "\x1b" not in told
    assert len(service.seen) == 1


def test_wrong_token(service: Service, fake_time: FakeTime, tmp_path: Path) -> None:
    """A token that is not accepted is named as what to mend, and is not repeated."""
    with serving(service) as host:
        page = open_statuspage(address_of(service, host), token="wrong-canary", root=tmp_path)
        with pytest.raises(ServiceError) as caught:
            page.show()
    assert "401" in str(caught.value)
    assert "wrong-canary" not in f"{caught.value!r} {caught.value.hint}"


def test_token_is_not_taken_from_netrc(
    service: Service, page: StatusPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library lets a ~/.netrc replace an Authorization header; ours stays."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(stat.S_IRUSR | stat.S_IWUSR)
    monkeypatch.setenv("NETRC", str(netrc))
    page.publish(MESSAGE)
    assert seen_once(service, "We are looking into it.")


def test_redirects_are_not_followed(service: Service, page: StatusPage) -> None:
    """A redirect to another host gets no token; the error says where it leads."""
    other = Statuspage()
    with serving(other) as elsewhere:
        headers = {"Location": f"http://{elsewhere}/v1/pages/page1/incidents"}
        service.faults.append(Fault("answer", 302, "", headers, times=99))
        with pytest.raises(ServiceError) as caught:
            page.publish(MESSAGE)
    assert elsewhere in caught.value.hint
    assert other.seen == []


def test_connection_refused(fake_time: FakeTime, tmp_path: Path) -> None:
    """Nobody listens: an error to try again on, after a bounded number of tries."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        page = opened(Statuspage(), host, tmp_path, fake_time)
        with pytest.raises(ServiceDownError) as caught:
            page.publish(MESSAGE)
    assert "refused" in str(caught.value)
    assert host in caught.value.hint
    assert caught.value.__cause__ is not None


def test_name_that_does_not_resolve(fake_time: FakeTime, tmp_path: Path) -> None:
    """A host without an address is told apart: it is the name."""
    page = open_statuspage(
        "statuspage+https://no-such-host.invalid/v1?page=page1",
        token=TOKEN,
        root=tmp_path,
        wire=Wire(attempts=2, sleep=fake_time.sleep, clock=fake_time.clock),
    )
    with pytest.raises(ServiceDownError) as caught:
        page.show()
    assert "DNS" in str(caught.value)
    assert "no-such-host.invalid" in caught.value.hint


def test_an_answer_that_stops_half_way(fake_time: FakeTime, tmp_path: Path) -> None:
    """Fewer bytes than were promised are no answer."""

    def answer_half(server: socket.socket) -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n[{")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_half, args=(server,), daemon=True)
        thread.start()
        host = f"127.0.0.1:{server.getsockname()[1]}"
        page = opened(Statuspage(), host, tmp_path, fake_time, attempts=2)
        with pytest.raises(ServiceDownError, match="broke off"):
            page.show()
        thread.join(5)


@pytest.mark.parametrize(
    ("url", "allow_private"),
    [
        ("statuspage+https://169.254.169.254/v1?page=page1", True),
        ("statuspage+https://[fe80::1]/v1?page=page1", True),
        ("statuspage+http://127.0.0.1:9/v1?page=page1", False),
        ("cachet+https://10.0.0.1/api", False),
    ],
)
def test_addresses_that_are_never_called(url: str, allow_private: bool, tmp_path: Path) -> None:
    """Link-local addresses are refused always, private ones where they are not allowed."""
    page = open_statuspage(url, token=TOKEN, root=tmp_path, wire=Wire(allow_private=allow_private))
    with pytest.raises(ConfigError, match="not allowed"):
        page.show()


def test_another_transport_may_be_given(tmp_path: Path) -> None:
    """A plain function stands in for the network, and its failures count as the network's."""
    asked: list[Request] = []

    def send(request: Request, _: Wire) -> Reply:
        asked.append(request)
        if len(asked) == 1:
            raise WireError("the cable is out", is_unclear=False)
        return Reply(200, {}, b"[]")

    wire = Wire(send=send, sleep=lambda _: None, pace_seconds=0)
    page = open_statuspage("statuspage+https://x.example/v1?page=p", token=TOKEN, wire=wire)
    assert page.show().status == "operational"
    assert asked[0].url == "https://x.example/v1/pages/p/components?per_page=100"
    assert TOKEN not in repr(asked[0])


def test_a_component_that_may_not_be_set(fake_time: FakeTime, tmp_path: Path) -> None:
    """A token without the right to set components still gets the word out, and that is told."""
    service = Cachet3(fake_time.clock)
    service.may_set_components = False
    with serving(service) as host:
        receipt = opened(service, host, tmp_path, fake_time).publish(MESSAGE)
    assert "component 101 was not set" in receipt.answer
    assert seen_once(service, "We are looking into it.")


def test_cachet_shows_tags_and_script_links_as_text(fake_time: FakeTime, tmp_path: Path) -> None:
    """Cachet renders Markdown with HTML let through, so it gets neither tags nor such links."""
    body = (
        "<img src=x onerror=alert(1)> 3 < 5 [a](javascript:alert(1)) [b]( &#106;avascript:x)\n\n"
        "[c]: javascript:alert(1)\n\n<javascript:alert(1)> [docs](https://example.org/a)"
    )
    service = Cachet3(fake_time.clock)
    with serving(service) as host:
        opened(service, host, tmp_path, fake_time).publish(replace(MESSAGE, body=body))
    [text] = service.shown()[0]["texts"]
    for harmless in ("&lt;img", "3 < 5", "[a\\](java", "[b\\]( &", "[c]\\: java", "&lt;javascript"):
        assert harmless in text
    assert "[docs](https://example.org/a)" in text
