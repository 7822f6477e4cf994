"""Amazon SNS: whose messages are believed, and how certificates are had; from loopback servers."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from amazon import (
    CERTIFICATE_URL,
    HOST,
    NOW,
    SUBSCRIBE_URL,
    TOPIC,
    Fields,
    Signer,
    confirmation,
    notification,
    to_sign,
    told,
)
from certificates import Authority
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import Behave, answer, closed_port, site

from imtkit.alerts import sns
from imtkit.alerts.sns import (
    Certificates,
    check_sns,
    checked_public,
    confirm,
    fetch_certificate,
    public_addresses,
)
from imtkit.config.alerts import SourceSettings
from imtkit.errors import ServiceDownError, ServiceError, SignatureError

PAYLOADS = os.environ.get("IMT_PAYLOADS", "")
SOURCE = SourceSettings("cloudwatch", "sns", proof="signature", topics=("arn:x", TOPIC))


@pytest.fixture(scope="module")
def signer() -> Signer:
    """Who signs as Amazon does."""
    return Signer()


def posted(fields: Fields) -> bytes:
    """A message as it is posted."""
    return json.dumps(fields).encode()


def believed(
    body: bytes, signer: Signer, source: SourceSettings = SOURCE, now: datetime = NOW
) -> sns.SnsMessage:
    """The message, when the certificate at its address is that signer's."""

    def certificate(url: str) -> bytes:
        assert url == CERTIFICATE_URL
        return signer.pem

    return check_sns(source, body, certificate, now)


def refused(body: bytes | Fields, signer: Signer, source: SourceSettings = SOURCE) -> str:
    """The words in which a message is refused."""
    with pytest.raises(SignatureError) as caught:
        believed(posted(body) if isinstance(body, dict) else body, signer, source)
    words = f"{caught.value} {caught.value.hint}"
    assert words.startswith("Alert source 'cloudwatch': ")
    return words


def unasked(_url: str) -> bytes:
    """Where no certificate may be fetched."""
    raise AssertionError("a certificate was fetched")


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_message_is_believed(signer: Signer, version: str):
    """A notification and a confirmation that Amazon signed, by either algorithm."""
    told_ = believed(posted(signer.signed(notification(), version)), signer)
    assert (told_.kind, told_.topic, told_.sent_at) == ("Notification", TOPIC, NOW)
    assert told_.id == "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"
    assert told_.subscribe_url == ""
    asked = believed(posted(signer.signed(confirmation(), version)), signer)
    assert (asked.kind, asked.subscribe_url) == ("SubscriptionConfirmation", SUBSCRIBE_URL)


def test_the_subject_is_signed_only_where_there_is_one(signer: Signer):
    """A message without a subject is believed; one that lost it, or was given one, is not."""
    bare = signer.signed(notification(Subject=None))
    believed(posted(bare), signer)
    believed(posted({**bare, "Subject": None}), signer)
    assert refused({**bare, "Subject": "added"}, signer)
    lost = signer.signed(notification())
    del lost["Subject"]
    assert refused(lost, signer)


def test_an_end_of_a_subscription_gives_no_address_to_confirm(signer: Signer):
    """Who unsubscribed is not subscribed anew by the address that Amazon sends along."""
    ended = confirmation() | {"Type": "UnsubscribeConfirmation"}
    found = believed(posted(signer.signed(ended)), signer)
    assert (found.kind, found.subscribe_url) == ("UnsubscribeConfirmation", "")


@pytest.mark.parametrize("version", ["1", "2"])
def test_openssl_agrees(tmp_path: Path, version: str):
    """What OpenSSL's own program signs, with a certificate that it made, is believed."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    key, pem, text, made = (tmp_path / name for name in ("key", "pem", "text", "signature"))
    now = datetime.now(UTC)
    fields = notification(Timestamp=told(now))
    text.write_text(to_sign(fields), encoding="utf-8")
    new_key = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sns.amazonaws.com"]
    digest = "-sha1" if version == "1" else "-sha256"
    for command in (
        ["req", "-x509", *new_key, "-keyout", str(key), "-out", str(pem)],
        ["dgst", digest, "-sign", str(key), "-out", str(made), str(text)],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    added = {
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        "Signature": base64.b64encode(made.read_bytes()).decode(),
    }
    now = datetime.now(UTC)  # the certificate's first second may have begun meanwhile
    assert check_sns(SOURCE, posted(fields | added), lambda _: pem.read_bytes(), now)


@pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "TopicArn", "Timestamp"])
def test_a_changed_field_of_a_notification_is_refused(signer: Signer, name: str):
    """Every field that is signed is as it was signed, or the message is not believed."""
    fields = signer.signed(notification())
    other = {"TopicArn": "arn:x", "Timestamp": told(NOW - timedelta(minutes=1))}
    changed = {**fields, name: other.get(name, fields[name] + "x")}
    assert "its signature is not that of this message" in refused(changed, signer)


@pytest.mark.parametrize("name", ["Token", "SubscribeURL", "Message", "Type"])
def test_a_changed_field_of_a_confirmation_is_refused(signer: Signer, name: str):
    """No address is confirmed that Amazon did not sign."""
    fields = signer.signed(confirmation())
    other = {"Type": "UnsubscribeConfirmation"}
    assert refused({**fields, name: other.get(name, fields[name] + "x")}, signer)
    assert refused({**fields, "Type": "Notification"}, signer)


def test_another_key_and_another_algorithm_are_refused(signer: Signer):
    """A signature holds for one key and one version."""
    fields = signer.signed(notification())
    assert "its signature is not" in refused(fields, Signer())
    assert "its signature is not" in refused({**fields, "SignatureVersion": "1"}, signer)
    for version in ("3", "", 2, None, ["2"]):
        assert "neither 1 nor 2" in refused({**fields, "SignatureVersion": version}, signer)


def test_a_signature_that_is_none_is_refused(signer: Signer):
    """Short, long, no base64, no text: refused, and never shown."""
    fields = signer.signed(notification())
    sound = fields["Signature"]
    for odd in ("", "====", sound[:-4], sound + "AAAA", "ü", "\ud800", None, 5, [sound]):
        assert "signature" in refused({**fields, "Signature": odd}, signer)
    flipped = sound.swapcase()
    assert flipped not in refused({**fields, "Signature": flipped}, signer)


@pytest.mark.parametrize(
    ("begins", "ends"), [(timedelta(days=1), timedelta(days=9)), (timedelta(-9), timedelta(-1))]
)
def test_a_certificate_is_believed_only_while_it_holds(begins: timedelta, ends: timedelta):
    """An expired certificate, or one of tomorrow, proves nothing."""
    past = Signer(begins=begins, ends=ends)
    assert "not valid now" in refused(past.signed(notification()), past)


def test_what_is_no_rsa_certificate_is_refused(signer: Signer):
    """Another kind of key, half a certificate, or something else altogether."""
    fields = signer.signed(notification())
    elliptic = Signer(ec.generate_private_key(ec.SECP256R1()))
    assert "its certificate's key" in refused(fields, elliptic)
    for pem in (b"", b"nothing", signer.pem[:200], b"\xff" * 90):
        with pytest.raises(SignatureError, match="is not a certificate"):
            check_sns(SOURCE, posted(fields), lambda _, pem=pem: pem, NOW)


def test_only_named_topics_are_heard(signer: Signer):
    """Anybody can have Amazon sign for a topic of theirs: only ours count."""
    theirs = "arn:aws:sns:eu-west-1:999999999999:alarms"
    words = refused(signer.signed(notification(TopicArn=theirs)), signer)
    assert f"{theirs} is not among its topics" in words
    assert "[alerts.sources.cloudwatch]" in words
    hostile = "<script>" + "x" * 5000
    assert "script" not in refused(signer.signed(notification(TopicArn=hostile)), signer)
    none = refused(signer.signed(notification()), signer, replace(SOURCE, topics=()))
    assert 'topics = ["arn:aws:sns:…"]' in none


@pytest.mark.parametrize("minutes", [-60, -59, 0, 15])
def test_a_message_may_be_an_hour_old(signer: Signer, minutes: int):
    """So long Amazon tries to deliver one; and clocks differ."""
    moment = told(NOW + timedelta(minutes=minutes))
    believed(posted(signer.signed(notification(Timestamp=moment))), signer)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (told(NOW - timedelta(minutes=60, seconds=1)), "more than an hour ago"),
        (told(NOW + timedelta(minutes=15, seconds=1)), "in the future"),
        ("2026-11-21", "is not a time"),
        ("2026-11-21T10:00:00", "is not a time"),
        ("2026-13-41T10:00:00Z", "is not a time"),
        ("２０２６-11-21T10:00:00Z", "is not a time"),
        ("", "is not a time"),
    ],
)
def test_an_old_message_is_refused(signer: Signer, moment: str, words: str):
    """Who kept a message cannot post it again later; nor is a time guessed at."""
    assert words in refused(signer.signed(notification(Timestamp=moment)), signer)


LOOK_ALIKES = [
    "http://sns.us-east-1.amazonaws.com/a.pem",
    "https://sns.evil.com/a.pem",
    "https://sns.us-east-1.amazonaws.com.evil.com/a.pem",
    "https://evil.com/sns.us-east-1.amazonaws.com/a.pem",
    "https://sns.us-east-1.amazonaws.com@evil.com/a.pem",
    "https://evil.com@sns.us-east-1.amazonaws.com/a.pem",
    "https://user:pass@sns.us-east-1.amazonaws.com/a.pem",
    "https://sns.us-east-1.amazonaws.com:443/a.pem",
    "https://sns.us-east-1.amazonaws.com:8443/a.pem",
    "https://sns.us-east-1.amazonaws.com\\@evil.com/a.pem",
    "https://sns.us-east-1.amazonaws.com\n.evil.com/a.pem",
    "https://sns.us-east-1.amazonaws.com/a.pem\n",
    " https://sns.us-east-1.amazonaws.com/a.pem",
    "https://sns.us-east-1.amazonaws.comevil/a.pem",
    "https://sns.us-east-1xamazonaws.com/a.pem",
    "https://xsns.us-east-1.amazonaws.com/a.pem",
    "https://sns.us-east-1.amazonaws.com./a.pem",
    "https://sns.us-east-1.amazonaws.com.cn.evil/a.pem",
    "https://sns.s3.amazonaws.com/a.pem",
    "https://sns.s3-us-west-2.amazonaws.com/a.pem",
    "https://sns.s3-website-us-east-1.amazonaws.com/a.pem",
    "https://s3.amazonaws.com/sns.us-east-1.amazonaws.com/a.pem",
    "https://sns.us-east-1.amazonaws.com/a.pem?Action=GetEndpointAttributes",
    "https://sns.us-east-1.amazonaws.com/?Action=x&y=.pem",
    "https://sns.us-east-1.amazonaws.com/a#.pem",
    "https://sns.us-east-1.amazonaws.com/../a.pem",
    "https://sns.us-east-1.amazonaws.com/a%2epem",
    "https://sns.us-east-1.amazonaws.com/a.crt",
    "https://sns.us-east-１.amazonaws.com/a.pem",
    "https://127.0.0.1/a.pem",
    "file:///etc/a.pem",
    "",
]


@pytest.mark.parametrize("url", LOOK_ALIKES)
def test_no_other_host_is_taken_for_amazon(signer: Signer, url: str):
    """A certificate of a look-alike is refused without a single question to it."""
    fields = {**signer.signed(notification()), "SigningCertURL": url}
    with pytest.raises(SignatureError, match="SigningCertURL"):
        check_sns(SOURCE, posted(fields), unasked, NOW)
    for ask in (fetch_certificate, confirm):
        with pytest.raises(SignatureError, match="own addresses"):
            ask(url, resolve=unasked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/?Action=Unsubscribe&SubscriptionArn=x",
        f"https://{HOST}/?Action=ConfirmSubscription",
        f"https://{HOST}/?Action=ConfirmSubscription&Token=a b",
        f"https://{HOST}/?Action=ConfirmSubscription&Token=a\r\nHost: evil.com",
        f"https://{HOST}/other?Action=ConfirmSubscription&Token=a",
        f"http://{HOST}/?Action=ConfirmSubscription&Token=a",
        "https://evil.com/?Action=ConfirmSubscription&Token=a",
        CERTIFICATE_URL,
    ],
)
def test_nothing_but_a_confirmation_is_confirmed(url: str):
    """The one request that is sent on a message's word can do only one thing."""
    with pytest.raises(SignatureError, match="SubscribeURL"):
        confirm(url, resolve=unasked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "region", ["us-east-1", "ap-southeast-3", "us-gov-west-1", "cn-north-1", "mx-central-1"]
)
def test_every_region_is_amazons(signer: Signer, region: str):
    """Regions of all partitions that Amazon hosts under these names."""
    ending = ".cn" if region.startswith("cn-") else ""
    url = f"https://sns.{region}.amazonaws.com{ending}/SimpleNotificationService-0a.pem"
    fields = {**signer.signed(notification()), "SigningCertURL": url}
    assert check_sns(SOURCE, posted(fields), lambda _: signer.pem, NOW).topic == TOPIC


def test_strangers_do_not_make_us_fetch_certificates(signer: Signer):
    """Topic and time are looked at first: what fails there costs no request."""
    for changed in ({"TopicArn": TOPIC + "x"}, {"Timestamp": told(NOW - timedelta(days=1))}):
        with pytest.raises(SignatureError):
            check_sns(SOURCE, posted(signer.signed(notification(**changed))), unasked, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"Notification"',
        b"{}",
        b'{"AlarmName": "raw message delivery"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"Type": "Notification", "Type": "SubscriptionConfirmation"}',
        b"9" * 10_000,
    ],
)
def test_what_is_no_message_is_refused(signer: Signer, body: bytes):
    """Whatever is posted leads to a refusal, without a traceback."""
    assert "what came is" in refused(body, signer)


def test_a_name_that_stands_twice_is_refused(signer: Signer):
    """One reader takes the first of two, another the last: neither was meant by Amazon."""
    body = posted(signer.signed(notification()))
    doubled = b'{"Message": "forged", ' + body[1:]
    assert "not a message" in refused(doubled, signer)


def test_line_breaks_cannot_move_the_bounds_of_fields(signer: Signer):
    """Two messages whose signed strings are equal are not both believed."""
    fields = signer.signed(notification(Subject=None, Message="a\nMessageId\nb", MessageId="c"))
    believed(posted(fields), signer)
    moved = {**fields, "Message": "a", "MessageId": "b\nMessageId\nc"}
    assert to_sign(moved) == to_sign(fields)
    assert "its MessageId is missing or no line" in refused(moved, signer)


@pytest.mark.parametrize("name", ["Message", "MessageId", "TopicArn", "Timestamp"])
def test_a_field_that_is_missing_is_named(signer: Signer, name: str):
    """What must be signed must be there, as text."""
    fields = signer.signed(notification())
    for odd in (None, 5, ["x"], {"x": 1}):
        assert f"its {name} is missing" in refused({**fields, name: odd}, signer)
    del fields[name]
    assert f"its {name} is missing" in refused(fields, signer)
    assert "holds what is no text" in refused({**notification(), "Message": "\ud800"}, signer)


field_names = st.sampled_from([*confirmation(), "Subject", "Signature", "SigningCertURL", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changed=st.dictionaries(field_names, json_values, max_size=3),
    pem=st.one_of(st.none(), st.binary(max_size=50)),
    body=st.one_of(st.none(), st.binary(max_size=50), json_values.map(json.dumps)),
)
def test_whatever_is_posted_is_believed_or_refused(
    signer: Signer, changed: Fields, pem: bytes | None, body: bytes | str | None
):
    """No message and no certificate leads to anything but a message or a SignatureError."""
    sound = signer.signed(confirmation())
    raw = posted(sound | changed) if body is None else body
    with suppress(SignatureError):
        raw = raw.encode() if isinstance(raw, str) else raw
        check_sns(SOURCE, raw, lambda _: signer.pem if pem is None else pem, NOW)


@pytest.mark.skipif(not PAYLOADS, reason="IMT_PAYLOADS names no folder of real payloads")
def test_real_messages_come_as_far_as_their_signature(signer: Signer):
    """All but the key is right in what Amazon itself once posted, at the time it did."""
    paths = sorted(Path(PAYLOADS).glob("sns/*.json"))
    assert paths
    for path in paths:
        fields = json.loads(path.read_bytes())
        source = replace(SOURCE, topics=(fields["TopicArn"],))
        sent_at = datetime.fromisoformat(fields["Timestamp"])
        valid = Signer(signer.key, begins=sent_at - NOW, ends=timedelta(days=1))
        with pytest.raises(SignatureError, match="its signature is not that of this message"):
            check_sns(source, posted(fields), lambda _, pem=valid.pem: pem, sent_at)
        if "SubscribeURL" in fields:
            with pytest.raises(ServiceDownError):
                confirm(fields["SubscribeURL"], resolve=lambda _: [])


# --- Fetching ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for hosts in these tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def amazon(authority: Authority) -> ssl.SSLContext:
    """The context of a server that proves to be Amazon SNS."""
    return authority.issue("amazon", hosts=(HOST,)).context()


@pytest.fixture
def trust(authority: Authority) -> ssl.SSLContext:
    """A client's context that believes this authority alone."""
    return ssl.create_default_context(cafile=str(authority.ca_file))


def at(*ports: int) -> Callable[[str], list[tuple[str, int]]]:
    """A resolver that knows one host, on loopback."""

    def resolve(host: str) -> list[tuple[str, int]]:
        assert host == HOST
        return [("127.0.0.1", port) for port in ports]

    return resolve


def test_a_certificate_is_fetched_from_the_host_itself(
    amazon: ssl.SSLContext, trust: ssl.SSLContext, signer: Signer
):
    """One request over TLS, for that path, to the address that was resolved and by that name."""
    with site(answer(signer.pem), context=amazon) as here:
        assert (
            fetch_certificate(CERTIFICATE_URL, resolve=at(here.port), context=trust) == signer.pem
        )
    (head,) = here.seen
    assert head.startswith("GET /SimpleNotificationService-0123456789abcdef.pem HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}\r\n" in head


def test_the_next_address_is_tried_where_one_does_not_answer(
    amazon: ssl.SSLContext, trust: ssl.SSLContext
):
    """A host has several addresses, and one of them may be down."""
    with site(answer(b"pem"), context=amazon) as here:
        resolve = at(closed_port(), here.port)
        assert fetch_certificate(CERTIFICATE_URL, resolve=resolve, context=trust) == b"pem"


@pytest.mark.parametrize("close", [True, False])
def test_an_answer_may_be_in_pieces(amazon: ssl.SSLContext, trust: ssl.SSLContext, close: bool):
    """Chunks, and answers that end with the connection, are read to their end."""
    ending = b"Connection: close\r\n" if close else b""

    def chunked(sock: Any, _path: str) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + ending + b"\r\n")
        sock.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    def until_closed(sock: Any, _path: str) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + ending + b"\r\n")
        sock.sendall(b"abc")
        sock.sendall(b"de")
        sock.unwrap()

    for behave in (chunked, until_closed):
        with site(behave, context=amazon) as here:
            found = fetch_certificate(CERTIFICATE_URL, resolve=at(here.port), context=trust)
        assert found == b"abcde"


def _garbage(sock: Any, _path: str) -> None:
    sock.sendall(b"garbage\r\n\r\n")


def _endless(sock: Any, _path: str) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    with suppress(OSError):
        while True:
            sock.sendall(b"x" * 10_000)


def _torn_chunk(sock: Any, _path: str) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc")


@pytest.mark.parametrize(
    "behave",
    [
        answer(b"pem", missing=5),
        answer(b"x" * (sns.MOST_BYTES + 1)),
        answer(b"", status=500),
        answer(b"", status=503),
        answer(b"", status=429),
        _garbage,
        _endless,
        _torn_chunk,
        lambda _sock, _path: None,
    ],
    ids=["torn", "large", "500", "503", "429", "garbage", "endless", "torn chunk", "silent"],
)
def test_an_answer_that_is_not_whole_may_be_asked_for_again(
    amazon: ssl.SSLContext, trust: ssl.SSLContext, behave: Behave
):
    """Trouble at the host says nothing of the message: the sender is to try again."""
    for url, ask in ((CERTIFICATE_URL, fetch_certificate), (SUBSCRIBE_URL, confirm)):
        with site(behave, context=amazon) as here, pytest.raises(ServiceDownError) as caught:
            ask(url, resolve=at(here.port), context=trust)  # type: ignore[operator]
        assert caught.value.retryable


def test_redirects_are_not_followed(amazon: ssl.SSLContext, trust: ssl.SSLContext):
    """Where a host points elsewhere, nobody goes there."""
    with site(answer(b"evil"), context=amazon) as evil:
        elsewhere = {"Location": f"https://127.0.0.1:{evil.port}/a.pem"}
        with site(answer(b"", status=302, headers=elsewhere), context=amazon) as here:
            with pytest.raises(SignatureError, match="status 302"):
                fetch_certificate(CERTIFICATE_URL, resolve=at(here.port), context=trust)
            with pytest.raises(ServiceError, match="status 302"):
                confirm(SUBSCRIBE_URL, resolve=at(here.port), context=trust)
    assert evil.seen == []


@pytest.mark.parametrize("status", [204, 403, 404])
def test_a_certificate_that_is_not_there_proves_nothing(
    amazon: ssl.SSLContext, trust: ssl.SSLContext, status: int
):
    """Amazon has no such certificate: the message is nobody's."""
    with (
        site(answer(b"", status=status), context=amazon) as here,
        pytest.raises(SignatureError, match=f"status {status}"),
    ):
        fetch_certificate(CERTIFICATE_URL, resolve=at(here.port), context=trust)


def test_a_host_that_does_not_prove_itself_is_not_asked(
    authority: Authority, amazon: ssl.SSLContext, trust: ssl.SSLContext
):
    """A certificate for another name, or of an authority that nobody trusts, ends it."""
    other = authority.issue("other", hosts=("evil.example",)).context()
    with site(answer(b"pem"), context=other) as here:
        with pytest.raises(ServiceError, match="does not prove it"):
            fetch_certificate(CERTIFICATE_URL, resolve=at(here.port), context=trust)
        assert here.seen == []
    with (
        site(answer(b"pem"), context=amazon) as here,
        pytest.raises(ServiceError, match="does not prove it"),
    ):
        fetch_certificate(CERTIFICATE_URL, resolve=at(here.port))
    with site(answer(b"pem")) as plain, pytest.raises(ServiceDownError):
        fetch_certificate(CERTIFICATE_URL, resolve=at(plain.port), context=trust)


def test_no_host_is_waited_for_long(amazon: ssl.SSLContext, trust: ssl.SSLContext):
    """A host that trickles for ever is left after five seconds; one that is not there at once."""

    def trickle(sock: Any, _path: str) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with suppress(OSError):
            for _ in range(100):
                sock.sendall(b"x")
                time.sleep(0.2)

    began_at = time.monotonic()
    with pytest.raises(ServiceDownError, match="no whole answer"):
        fetch_certificate(CERTIFICATE_URL, resolve=at(closed_port()), context=trust)
    assert time.monotonic() - began_at < 2
    with site(trickle, context=amazon) as here, pytest.raises(ServiceDownError):
        fetch_certificate(CERTIFICATE_URL, resolve=at(here.port), context=trust)
    assert time.monotonic() - began_at < 15


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.8",
        "172.16.5.5",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str):
    """A resolver that was lied to does not lead us into our own network."""
    with pytest.raises(ServiceError, match="not a public address"):
        checked_public(address, HOST)


def test_public_addresses_pass():
    """What Amazon has is public, in both families."""
    for address in ("54.239.99.1", "2600:1f18::1"):
        assert checked_public(address, HOST) == address


def test_the_own_resolver_refuses_loopback():
    """The resolver that is used by default looks at what it found."""
    with pytest.raises(ServiceError, match="not a public address"):
        public_addresses("localhost")


def test_a_subscription_is_confirmed_by_one_request(amazon: ssl.SSLContext, trust: ssl.SSLContext):
    """Amazon is asked for the very address that it gave."""
    with site(answer(b"<ConfirmSubscriptionResponse/>"), context=amazon) as here:
        confirm(SUBSCRIBE_URL, resolve=at(here.port), context=trust)
    (head,) = here.seen
    asked = SUBSCRIBE_URL.removeprefix(f"https://{HOST}")
    assert head.startswith(f"GET {asked} HTTP/1.1\r\n")
    with site(answer(b"", status=403), context=amazon) as here:
        with pytest.raises(ServiceError, match="did not confirm") as caught:
            confirm(SUBSCRIBE_URL, resolve=at(here.port), context=trust)
        assert "subscribe anew" in caught.value.hint
        assert "2336412f" not in str(caught.value)


def test_a_certificate_is_fetched_once(
    amazon: ssl.SSLContext, trust: ssl.SSLContext, signer: Signer
):
    """A storm of messages asks Amazon for one certificate."""
    body = posted(signer.signed(notification()))
    with site(answer(signer.pem), context=amazon) as here:
        certificates = Certificates(
            lambda url: fetch_certificate(url, resolve=at(here.port), context=trust)
        )
        for _ in range(5):
            assert check_sns(SOURCE, body, certificates, NOW).topic == TOPIC
    assert len(here.seen) == 1


def test_few_certificates_are_kept_and_no_failures():
    """What is longest unused goes first; what failed is asked for again."""
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        if url == "down":
            raise ServiceDownError("It is down.")
        return url.encode()

    certificates = Certificates(fetch, most=2)
    for url in ("a", "b", "a", "c", "a", "b"):
        assert certificates(url) == url.encode()
    assert asked == ["a", "b", "c", "b"]
    for _ in range(2):
        with pytest.raises(ServiceDownError):
            certificates("down")
    assert asked[4:] == ["down", "down"]


def test_threads_share_certificates():
    """Many who need one at once all get it, and what is kept stays bounded."""
    certificates = Certificates(lambda url: url.encode(), most=3)
    wrong: list[str] = []

    def need(number: int) -> None:
        for step in range(200):
            url = str((number + step) % 5)
            if certificates(url) != url.encode():
                wrong.append(url)

    threads = [threading.Thread(target=need, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_amazon_that_cannot_be_asked_says_nothing_of_the_message(signer: Signer):
    """A message whose certificate cannot be had now is neither believed nor refused."""

    def down(_url: str) -> bytes:
        raise ServiceDownError("It is down.", retryable=True)

    with pytest.raises(ServiceDownError):
        check_sns(SOURCE, posted(signer.signed(notification())), down, NOW)
