"""The HTTP probe against real servers in real trouble, on loopback."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from certificates import Authority
from sites import answer, closed_port, site

from imtkit.errors import InputError
from imtkit.probes import health, tls
from imtkit.probes import http as http_probe
from imtkit.probes.wire import Target, exchange


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of this module's own."""
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_well_service_is_measured_and_called_well() -> None:
    """Every phase of a plain request is timed, the body counted, and nothing is wrong."""
    with site(answer(b"x" * 1000)) as here:
        taken = http_probe.probe(here.url, count=5, interval_seconds=0)
    assert http_probe.diagnose(taken).worst == "ok"
    one = taken.taken[0]
    assert (one.status, one.size, one.kind) == (200, 1000, "ok")
    assert one.address == f"127.0.0.1:{here.port}"
    assert one.tls_seconds is None
    assert None not in (one.dns_seconds, one.connect_seconds, one.first_byte_seconds)


def test_a_service_that_thinks_long_is_slow_at_the_first_byte() -> None:
    """The wait before the answer is in first_byte and nowhere else."""
    with site(answer(wait=0.3)) as here:
        taken = http_probe.probe(here.url, count=3, interval_seconds=0)
    one = taken.taken[0]
    assert one.first_byte_seconds == pytest.approx(0.3, abs=0.15)
    assert one.body_seconds is not None
    assert one.body_seconds < 0.15
    assert taken.slowest_phase == "first_byte"
    found = http_probe.diagnose(taken, http_probe.Limits(slow_seconds=0.2, very_slow_seconds=9))
    assert found.worst == "warning"


def test_a_body_that_comes_slowly_is_slow_in_the_body() -> None:
    """A pause in the middle of the body is in body."""
    with site(answer(b"x" * 4000, pause=0.3)) as here:
        taken = http_probe.probe(here.url, count=2, interval_seconds=0)
    assert taken.slowest_phase == "body"
    assert taken.taken[0].size == 4000


def test_a_full_backlog_is_slow_at_the_connection() -> None:
    """When the server does not accept, the client's SYN is sent again: connect takes the time."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        time.sleep(0.1)
        one = exchange(Target(f"http://127.0.0.1:{address[1]}/"), timeout_seconds=0.5).sample
        for sock in waiting:
            sock.close()
    assert (one.error, one.phase) == ("timeout", "connect")
    assert one.connect_seconds == pytest.approx(0.5, abs=0.2)


def test_a_slow_handshake_is_slow_in_tls(authority: Authority) -> None:
    """A server that is slow to begin its handshake is slow in tls."""
    pair = authority.issue("slow")
    with site(answer(), context=pair.context(), handshake_wait=0.3) as here:
        target = Target(here.url, ca_file=str(authority.ca_file))
        taken = http_probe.probe(target, count=2, interval_seconds=0)
    assert taken.errors == {}
    assert taken.slowest_phase == "tls"


def test_a_refused_port_is_refused() -> None:
    """Nobody listening is told at once, with what to look at."""
    taken = http_probe.probe(f"http://127.0.0.1:{closed_port()}/", count=3, interval_seconds=0)
    found = http_probe.diagnose(taken)
    assert taken.errors == {"refused": 3}
    assert found.worst == "critical"
    assert "3 of 3 requests failed: the connection is refused" in found.text


def test_a_name_that_does_not_exist_fails_in_dns() -> None:
    """'nonexistent.invalid' never resolves (RFC 6761), and that is what is said."""
    taken = http_probe.probe("http://nonexistent.invalid/", count=1)
    assert taken.errors == {"dns": 1}
    assert taken.taken[0].connect_seconds is None


@pytest.mark.parametrize(
    ("behave", "kind", "phase"),
    [
        (answer(missing=10), "torn", "body"),
        (lambda sock, path: None, "torn", "first_byte"),
        (lambda sock, path: sock.sendall(b"SSH-2.0-OpenSSH\r\n"), "protocol", "body"),
        (answer(wait=1.2), "timeout", "first_byte"),
        (answer(b"x" * 10, pause=1.2), "timeout", "body"),
        (answer(status=503), "5xx", ""),
        (answer(status=404), "4xx", ""),
        (answer(status=204, body=b""), "ok", ""),
    ],
    ids=["torn", "silent", "not http", "late", "late body", "503", "404", "204"],
)
def test_failures_are_told_apart(behave: object, kind: str, phase: str) -> None:
    """Each way of failing has its kind and the phase it happened in."""
    with site(behave) as here:  # type: ignore[arg-type]
        one = exchange(Target(here.url), timeout_seconds=0.6).sample
    assert (one.kind, one.phase) == (kind, phase)


def test_a_server_that_drips_cannot_hold_the_probe() -> None:
    """A byte now and then keeps every single read alive; the whole request still ends."""

    def drip(sock: socket.socket, _path: str) -> None:
        for _ in range(30):
            sock.sendall(b"H")
            time.sleep(0.1)

    with site(drip) as here:
        began = time.perf_counter()
        one = exchange(Target(here.url), timeout_seconds=0.5).sample
        assert time.perf_counter() - began < 1.5
    assert one.error == "timeout"


def test_chunked_and_endless_bodies_are_read_to_their_bound() -> None:
    """Chunks are joined; of a body without an end no more than most_bytes are read."""

    def chunks(sock: socket.socket, _path: str) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    def endless(sock: socket.socket, _path: str) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            sock.sendall(b"x" * 100_000)

    with site(chunks) as here:
        assert exchange(Target(here.url), timeout_seconds=2).body == b"abc"
    with site(endless) as here:
        one = exchange(Target(here.url, most_bytes=200_000), timeout_seconds=5).sample
    assert one.kind == "ok"
    assert one.size >= 200_000


def test_redirects_are_reported_and_followed_only_when_asked() -> None:
    """A redirect is shown as one; followed, the login header does not go to another host."""
    with site(answer()) as there:
        moved = answer(status=302, headers={"Location": f"http://localhost:{there.port}/new"})
        with site(moved) as here:
            target = Target(here.url, headers={"Authorization": "Bearer x", "X-Kept": "y"})
            assert exchange(target, timeout_seconds=2).sample.kind == "redirect"
            assert there.seen == []
            following = Target(here.url, headers=target.headers, follow=2)
            one = exchange(following, timeout_seconds=2).sample
    assert (one.kind, one.url) == ("ok", f"http://localhost:{there.port}/new")
    assert "Bearer" not in there.seen[0]
    assert "X-Kept: y" in there.seen[0]


def test_a_redirect_in_a_circle_ends() -> None:
    """After as many redirects as may be followed, the next one is reported."""
    with site(answer(status=302, headers={"Location": "/"})) as here:
        one = exchange(Target(here.url, follow=3), timeout_seconds=2).sample
        assert len(here.seen) == 4
    assert one.kind == "redirect"


def test_requests_under_way_together_take_less_time() -> None:
    """With a concurrency of 4, four slow requests take about as long as one."""
    with site(answer(wait=0.3)) as here:
        began = time.perf_counter()
        taken = http_probe.probe(here.url, count=4, interval_seconds=0, concurrency=4)
        assert time.perf_counter() - began < 0.9
    assert len(taken) == 4


def test_an_outage_in_the_middle_shows_as_an_error_rate() -> None:
    """When every second answer fails, half of the requests are counted as failed."""
    turn, lock = [0], threading.Lock()

    def flaky(sock: socket.socket, path: str) -> None:
        with lock:
            turn[0] += 1
            odd = turn[0] % 2
        answer(status=500 if odd else 200)(sock, path)

    with site(flaky) as here:
        taken = http_probe.probe(here.url, count=10, interval_seconds=0)
    assert taken.error_rate == 0.5
    assert taken.measures["error_rate"] == 0.5


def facts(authority: Authority, name: str, **how: object) -> tls.Tls:
    pair = authority.issue(name, **how)  # type: ignore[arg-type]
    with site(answer(), context=pair.context()) as here:
        return tls.inspect(Target(here.url, ca_file=str(authority.ca_file)))


def test_a_good_certificate_is_trusted(authority: Authority) -> None:
    """Subject, issuer, names and days are read, and the verifying client agrees."""
    got = facts(authority, "good")
    assert got.is_trusted, got.reason
    assert got.certificate is not None
    assert got.certificate.subject == "CN=good"
    assert got.certificate.issuer == "CN=Test Authority"
    assert got.certificate.names == ("localhost", "127.0.0.1")
    assert got.certificate.days_left(got.at) == pytest.approx(90, abs=0.1)
    assert tls.diagnose(got).worst == "ok"


@pytest.mark.parametrize(
    ("name", "how", "word"),
    [
        ("expired", {"begins": timedelta(-10), "ends": timedelta(-2)}, "expired 2.0 days ago"),
        ("mine", {"self_signed": True}, "self-signed"),
        ("other", {"hosts": ("elsewhere.example",)}, "not for 127.0.0.1"),
        ("future", {"begins": timedelta(2), "ends": timedelta(9)}, "not valid yet"),
        ("soon", {"ends": timedelta(days=1)}, "expires in 1.0 days"),
    ],
)
def test_bad_certificates_are_read_and_judged(
    authority: Authority, name: str, how: dict[str, object], word: str
) -> None:
    """A certificate that no client would accept is shown with its facts and what is wrong."""
    got = facts(authority, name, **how)
    found = tls.diagnose(got)
    assert got.certificate is not None
    assert found.worst == "critical"
    assert word in found.text


def test_an_unknown_authority_is_not_trusted(authority: Authority) -> None:
    """Without the authority's certificate the same server is not trusted, and nothing else."""
    pair = authority.issue("unknown")
    with site(answer(), context=pair.context()) as here:
        found = tls.diagnose(tls.inspect(here.url))
        taken = http_probe.probe(here.url, count=1)
    assert [one.what for one in found] == ["The certificate is not trusted here."]
    assert taken.errors == {"tls": 1}
    assert "certificate not trusted" in taken.taken[0].reason


def test_verification_can_be_left_out_to_look_behind_it(authority: Authority) -> None:
    """With verify off, the service behind an expired certificate is measured."""
    pair = authority.issue("behind", begins=timedelta(-9), ends=timedelta(-1))
    with site(answer(), context=pair.context()) as here:
        assert exchange(Target(here.url), timeout_seconds=2).sample.kind == "tls"
        assert exchange(Target(here.url, verify=False), timeout_seconds=2).sample.kind == "ok"


def test_a_port_without_tls_is_said_to_have_none() -> None:
    """Asked for https, a plain server is told apart from a bad certificate."""
    with site(answer()) as here:
        secure = f"https://127.0.0.1:{here.port}/"
        one = exchange(Target(secure), timeout_seconds=1).sample
        got = tls.inspect(secure, timeout_seconds=1)
    assert one.kind == "tls"
    assert got.certificate is None
    assert tls.diagnose(got).worst == "critical"


def test_plain_addresses_and_dead_ports_have_no_certificate() -> None:
    """Nothing is said of plain http, and https with nobody there is critical."""
    assert len(tls.diagnose(tls.inspect("http://127.0.0.1/"))) == 0
    dead = tls.inspect(f"https://127.0.0.1:{closed_port()}/")
    assert "nothing accepts connections" in tls.diagnose(dead).text


def test_a_client_certificate_that_is_asked_for_does_not_break_the_look(
    authority: Authority,
) -> None:
    """A server that asks for a client's certificate still shows its own."""
    context = authority.issue("mutual").context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    with site(answer(), context=context) as here:
        got = tls.inspect(Target(here.url, ca_file=str(authority.ca_file)))
        one = exchange(Target(here.url, ca_file=str(authority.ca_file)), timeout_seconds=2).sample
    assert got.certificate is not None
    assert one.is_failure


def test_a_file_that_holds_no_certificates_is_refused(tmp_path: Path) -> None:
    """A wrong ca_file is an InputError that names it."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("hello")
    with pytest.raises(InputError, match=r"wrong\.pem"):
        http_probe.probe(Target("https://127.0.0.1:1/", ca_file=str(wrong)), count=1)


def test_the_health_document_names_the_dependency() -> None:
    """A degraded service says which of its checks fails, and that is the finding."""
    document = {"status": "degraded", "checks": {"database": {"status": "fail", "reason": "gone"}}}
    with site(answer(json.dumps(document).encode(), status=503)) as here:
        got = health.read(here.url)
    found = health.diagnose(got)
    assert found.worst == "critical"
    assert "check 'database': fail" in found.text
    assert list(got.frame()["name"]) == ["database"]


def test_no_health_document_is_said_so() -> None:
    """A dead service and one that answers prose give a warning, not a guess."""
    with site(answer(b"hello")) as here:
        assert health.read(here.url).error == "the answer is not JSON"
    assert health.read(f"http://127.0.0.1:{closed_port()}/").error
