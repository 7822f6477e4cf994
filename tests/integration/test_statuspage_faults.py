"""Status pages when the service, the network or the machine fails."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from page_server import FakeTime, Fault, Service, serving
from pages import TOKEN, Cachet2, Cachet3, Statuspage, address_of

from imtkit.contracts import Message, StatusPage
from imtkit.errors import ConfigError, ServiceDownError, ServiceError
from imtkit.statuspage import EmbeddedPage, Reply, Request, Wire, WireError, open_statuspage

MESSAGE = Message(
    marker="one",
    incident="INC-2026-0042",
    title="Orders are slow",
    status="investigating",
    body="We are looking into it.",
    at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    components={"orders": "partial_outage"},
)
LATER = replace(MESSAGE, marker="two", status="identified", body="Found it.")
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


# Across processes

PACED = """
import sys
from pathlib import Path
from imtkit.statuspage import Wire, open_statuspage
page = open_statuspage(sys.argv[1], token=sys.argv[2], root=Path(sys.argv[3]),
                       wire=Wire(pace_seconds=0.2))
for _ in range(2):
    page.show()
"""


def test_processes_keep_pace_together(tmp_path: Path) -> None:
    """Two processes with one token stay under its limit between them."""
    service = Statuspage()
    service.limited = False
    with serving(service) as host:
        args = [address_of(service, host), TOKEN, str(tmp_path)]
        run = [subprocess.Popen([sys.executable, "-c", PACED, *args]) for _ in range(2)]
        assert [process.wait(60) for process in run] == [0, 0]
    gaps = [b - a for a, b in zip(service.arrivals, service.arrivals[1:], strict=False)]
    assert len(gaps) == 7
    # A slow machine may deliver one late and the next on time, so the whole is what counts.
    assert service.arrivals[-1] - service.arrivals[0] >= 6 * 0.2


PUBLISHED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from imtkit.contracts import Message
from imtkit.statuspage import Wire, open_statuspage
url, token, root, name, many = sys.argv[1:]
page = open_statuspage(url, token=token, root=Path(root), wire=Wire(pace_seconds=0))
for number in range(int(many)):
    page.publish(Message(f"{name}-{number}", "INC-2026-0042", "Orders are slow", "investigating",
                         f"Said by {name}: {number}.", datetime.now(UTC)))
    print(number, flush=True)
"""


LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
"""


def publishing(url: str, root: Path, name: str, many: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHED, url, TOKEN, str(root), name, str(many)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_make_one_incident(service: Service, tmp_path: Path) -> None:
    """Two processes with the first word about the same incident make one, with both words."""
    service.clock = time.time
    if isinstance(service, Statuspage):
        service.limited = False
    with serving(service) as host:
        run = [publishing(address_of(service, host), tmp_path, name, 2) for name in "ab"]
        for process in run:
            process.communicate(timeout=60)
            assert process.returncode == 0
    expected = [f"Said by {name}: {number}." for name in "ab" for number in range(2)]
    assert seen_once(service, *expected)


def test_embedded_page_loses_no_update_of_two_processes(tmp_path: Path) -> None:
    """Two processes that publish at once leave every update on the page."""
    run = [publishing("embedded:status", tmp_path, name, 10) for name in "ab"]
    for process in run:
        process.communicate(timeout=60)
        assert process.returncode == 0
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    texts = sorted(update["body"] for update in told["incidents"][0]["incident_updates"])
    assert texts == sorted(f"Said by {name}: {number}." for name in "ab" for number in range(10))


def test_embedded_page_survives_kill_9(tmp_path: Path) -> None:
    """Killed in the middle, the page is whole and has everything it said was published."""
    process = publishing("embedded:status", tmp_path, "a", 500)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    said += process.communicate(timeout=60)[0].splitlines()
    page = open_statuspage("embedded:status", root=tmp_path)
    page.publish(MESSAGE)
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    texts = {update["body"] for update in told["incidents"][0]["incident_updates"]}
    assert {f"Said by a: {int(line)}." for line in said if line.strip()} <= texts
    ET.parse(tmp_path / "status" / "feed.atom")


# The embedded page's own troubles


def test_damaged_state_is_not_overwritten(tmp_path: Path) -> None:
    """A state file that is not ours, or of a newer version, is left as it is, and named."""
    page = open_statuspage("embedded:status", name="ours", root=tmp_path)
    page.publish(MESSAGE)
    state = tmp_path / "status" / "state.json"
    for text, words in (
        ("{", "not what imtkit wrote"),
        ("[]", "not what imtkit wrote"),
        ('{"version": 1}', "not what imtkit wrote"),
        ('{"version": 2}', "version 2"),
    ):
        state.write_text(text)
        with pytest.raises(ServiceError, match=words) as caught:
            page.publish(LATER)
        assert str(state) in str(caught.value)
        assert state.read_text() == text


def test_full_disk_leaves_the_old_page(tmp_path: Path) -> None:
    """When a file cannot be written whole, the old one stands and nothing else is left behind."""
    page = open_statuspage("embedded:status", root=tmp_path)
    page.publish(MESSAGE)
    before = {path: path.read_bytes() for path in (tmp_path / "status").rglob("*.*")}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED + PUBLISHED, "embedded:status", "", str(tmp_path), "a", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ServiceError: Status page 'status'" in done.stderr
    assert "could not be written (File too large)" in done.stderr
    after = {path: path.read_bytes() for path in (tmp_path / "status").rglob("*.*")}
    assert after == before


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be is named, with what to do."""
    (tmp_path / "file").write_text("")
    page = open_statuspage("embedded:file/status", name="ours", root=tmp_path)
    with pytest.raises(ServiceError) as caught:
        page.publish(MESSAGE)
    assert "file/status" in str(caught.value)
    assert caught.value.hint


def test_lock_held_for_too_long(tmp_path: Path, fake_time: FakeTime) -> None:
    """A process that hangs with the page in its hand stops others only for a while."""
    import fcntl

    page = open_statuspage("embedded:status", root=tmp_path, wire=Wire(sleep=fake_time.sleep))
    page.publish(MESSAGE)
    with (tmp_path / "status" / ".lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ServiceDownError, match="another process") as caught:
            page.publish(LATER)
    assert caught.value.retryable
    page.publish(LATER)


def test_repeated_publish_mends_the_files(tmp_path: Path) -> None:
    """A message published again writes the page anew, in case it was cut off the first time."""
    page = open_statuspage("embedded:status", root=tmp_path)
    page.publish(MESSAGE)
    front = tmp_path / "status" / "index.html"
    front.unlink()
    page.publish(MESSAGE)
    assert "We are looking into it." in front.read_text()


def test_build_makes_a_page_before_anything_happened(tmp_path: Path) -> None:
    """A page can stand before its first incident, and keeps its feed's id from then on."""
    page = EmbeddedPage(
        tmp_path / "status", name="ours", title="Ours", components={"a": "Part A"}, wire=Wire()
    )
    front = page.build()
    assert "All systems operational" in front.read_text()
    assert "Part A" in front.read_text()
    before = (tmp_path / "status" / "feed.atom").read_text()
    page.build()
    assert (tmp_path / "status" / "feed.atom").read_text() == before


class Seen(HTMLParser):
    """The tags and the addresses that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        assert not [name for name in named if name.startswith("on")]
        self.addresses += [named[name] or "" for name in ("href", "src") if name in named]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = (
    "</h3><script>alert(1)</script><img src=http://evil.example onerror=alert(1)> \"'& {{7*7}}"
)


def test_embedded_files_are_safe_and_well_formed(tmp_path: Path) -> None:
    """Hostile text stays text in HTML, feed and JSON; no script, and no address but our own."""
    page = open_statuspage(
        "embedded:status", root=tmp_path, title=HOSTILE, components={"orders": HOSTILE}
    )
    page.publish(replace(MESSAGE, title=HOSTILE, body=HOSTILE))
    folder = tmp_path / "status"
    for name in ("index.html", "history.html"):
        seen = Seen()
        seen.feed((folder / name).read_text(encoding="utf-8"))
        assert not {"script", "img", "iframe", "object"} & seen.tags
        assert not [a for a in seen.addresses if ":" in a and a != "data:,"]
        assert {"header", "main", "footer", "h1", "h2", "h3"} <= seen.tags
        assert HOSTILE in " ".join("".join(seen.texts).split())
        assert "default-src 'none'" in (folder / name).read_text().replace("&#39;", "'")
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ET.parse(folder / "feed.atom").getroot()
    entries = feed.findall(f"{atom}entry")
    for element in (feed, *entries):
        for needed in ("id", "title", "updated"):
            assert element.find(f"{atom}{needed}") is not None
    ids = [entry.findtext(f"{atom}id") for entry in entries]
    assert len(ids) == len(set(ids)) == 1
    assert entries[0].findtext(f"{atom}content") == HOSTILE


def test_summary_has_the_shape_that_tools_read(tmp_path: Path) -> None:
    """summary.json has the fields of Statuspage's public API v2."""
    page = open_statuspage("embedded:status", root=tmp_path, title="Ours")
    page.publish(MESSAGE)
    page.publish(LATER)
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    assert told == json.loads((tmp_path / "status" / "api/v2/summary.json").read_text())
    assert set(told) == {"page", "status", "components", "incidents", "scheduled_maintenances"}
    assert told["page"]["name"] == "Ours"
    assert told["status"] == {"indicator": "major", "description": "Partial outage"}
    [part] = told["components"]
    assert (part["name"], part["status"]) == ("orders", "partial_outage")
    [one] = told["incidents"]
    assert (one["name"], one["status"], one["impact"]) == ("Orders are slow", "identified", "minor")
    assert [update["status"] for update in one["incident_updates"]] == [
        "identified",
        "investigating",
    ]
    page.publish(replace(MESSAGE, marker="three", status="resolved"))
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    assert told["status"]["indicator"] == "none"
    assert told["incidents"] == []
