"""Amazon SNS: whether a message is Amazon's, and the two requests that this may take.

An SNS message is signed inside its body, with a key whose certificate lies on Amazon's own
hosts. The certificate is believed because it comes from such a host over TLS that holds; who
could name another host could sign anything. So addresses are matched whole: region, path, no
query. (A bucket called ``sns`` once had an address that looser patterns take for Amazon SNS.)
"""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPException, HTTPSConnection
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import Any, Literal

from imtkit.config.alerts import SourceSettings
from imtkit.errors import ServiceDownError, ServiceError, SignatureError

OLDEST = timedelta(hours=1)
"""How old a message may be: Amazon tries for an hour at most to deliver one."""

AHEAD = timedelta(minutes=15)
"""How far a message may be in our future, as clocks differ."""

TIMEOUT_SECONDS = 5.0
MOST_BYTES = 65_536

Kind = Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
Resolve = Callable[[str], Sequence[tuple[str, int]]]
"""Gives the addresses and ports at which a host is to be asked; refuses those that may not be."""

_CONFIRMING = (
    "Message",
    "MessageId",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
_SIGNED: Mapping[Kind, tuple[str, ...]] = {
    "Notification": tuple(name for name in _CONFIRMING if name != "Token"),
    "SubscriptionConfirmation": _CONFIRMING,
    "UnsubscribeConfirmation": _CONFIRMING,
}
_OPTIONAL = {"Notification": ("Subject", "SubscribeURL")}

_HOST = r"(?P<host>sns\.[a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?)"
_CERTIFICATE_URL = re.compile(rf"https://{_HOST}(?P<path>/[A-Za-z0-9_-]{{1,200}}\.pem)")
_SUBSCRIBE_URL = re.compile(
    rf"https://{_HOST}(?P<path>/\?Action=ConfirmSubscription&[A-Za-z0-9%&=:_.~*+-]{{1,2000}})"
)
_TOPIC = re.compile(r"arn:aws[a-z-]{0,20}:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """What Amazon signed, of a message that was believed. ``sent_at`` is aware UTC.

    ``subscribe_url`` is there only where a subscription waits to be confirmed (``confirm``).
    """

    kind: Kind
    id: str
    topic: str
    sent_at: datetime
    subscribe_url: str = ""


def check_sns(
    source: SourceSettings, body: bytes, certificate: Callable[[str], bytes], now: datetime
) -> SnsMessage:
    """The message in a body that Amazon signed for one of ``source.topics``; else SignatureError.

    ``certificate`` gives the PEM at an address of Amazon's (``Certificates``); what it raises
    is passed on: a ServiceError means that nothing is known of the message yet. It is asked
    only for a message whose topic and time will do. ``now`` is aware.

    Of the fields only those in the signed string are Amazon's word: MessageAttributes are not.
    Source: Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS messages".
    """
    if not source.topics:
        raise _refusal(
            source,
            "it names no topics, so no message is believed",
            hint=f'Name them: topics = ["arn:aws:sns:…"] in [alerts.sources.{source.name}].',
        )
    fields = _fields(source, body)
    kind = _kind(source, fields)
    signed = _signed(source, fields, kind)
    _check_topic(source, fields["TopicArn"])
    sent_at = _check_time(source, fields["Timestamp"], now)
    url = fields.get("SigningCertURL")
    if not isinstance(url, str) or not _CERTIFICATE_URL.fullmatch(url):
        raise _refusal(source, "its SigningCertURL is not one of Amazon SNS's own addresses")
    _check_signature(source, fields, signed, _Proof(certificate(url), now))
    waiting = fields["SubscribeURL"] if kind == "SubscriptionConfirmation" else ""
    return SnsMessage(kind, fields["MessageId"], fields["TopicArn"], sent_at, waiting)


def _fields(source: SourceSettings, body: bytes) -> dict[str, Any]:
    """The message's fields. Each is there once: readers differ in which of two they take."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice")
        return found

    try:
        found = json.loads(body.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as exc:
        raise _refusal(source, "what came is not a message of Amazon SNS's") from exc
    if not isinstance(found, dict):
        raise _refusal(source, "what came is not a message of Amazon SNS's")
    return found


def _kind(source: SourceSettings, fields: Mapping[str, Any]) -> Kind:
    for kind in _SIGNED:
        if fields.get("Type") == kind:
            return kind
    raise _refusal(
        source,
        "what came is of no Type that Amazon SNS signs",
        hint="Switch raw message delivery off: raw messages have no signature.",
    )


def _signed(source: SourceSettings, fields: Mapping[str, Any], kind: Kind) -> bytes:
    """The string that Amazon signs: names and values, a line each, in the order of the names.

    Only Message may hold line breaks. In others they could make one string of two messages.
    """
    lines = []
    for name in _SIGNED[kind]:
        value = fields.get(name)
        if value is None and name in _OPTIONAL.get(kind, ("Subject",)):
            continue
        if not isinstance(value, str) or ("\n" in value and name != "Message"):
            raise _refusal(source, f"its {name} is missing or no line of text")
        lines += [name, value]
    try:
        return "".join(f"{line}\n" for line in lines).encode()
    except UnicodeEncodeError as exc:
        raise _refusal(source, "it holds what is no text") from exc


def _check_topic(source: SourceSettings, topic: str) -> None:
    if topic in source.topics:
        return
    if not _TOPIC.fullmatch(topic):
        raise _refusal(source, "its TopicArn is not the name of a topic")
    raise _refusal(
        source,
        f"{topic} is not among its topics",
        hint=f"If it is yours, add it to topics in [alerts.sources.{source.name}].",
    )


def _check_time(source: SourceSettings, told: str, now: datetime) -> datetime:
    try:
        sent_at = datetime.fromisoformat(told) if _TIME.fullmatch(told) else None
    except ValueError:
        sent_at = None
    if sent_at is None:
        raise _refusal(source, "its Timestamp is not a time")
    if now - sent_at > OLDEST:
        raise _refusal(source, "it was sent more than an hour ago", hint="Is this clock right?")
    if sent_at - now > AHEAD:
        raise _refusal(source, "it was sent in the future", hint="Is this clock right?")
    return sent_at


@dataclass(frozen=True, slots=True)
class _Proof:
    """A certificate (PEM), and when it has to hold."""

    certificate: bytes
    now: datetime


def _check_signature(
    source: SourceSettings, fields: Mapping[str, Any], signed: bytes, proof: _Proof
) -> None:
    """SignatureVersion 1 is RSA (PKCS #1 v1.5) with SHA-1, 2 with SHA-256."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    made: dict[object, hashes.HashAlgorithm] = {
        "1": hashes.SHA1(),  # noqa: S303 - what Amazon signs with unless a topic says otherwise
        "2": hashes.SHA256(),
    }
    version, given = fields.get("SignatureVersion"), fields.get("Signature")
    if not isinstance(version, str) or version not in made:
        raise _refusal(source, "its SignatureVersion is neither 1 nor 2")
    try:
        found = x509.load_pem_x509_certificate(proof.certificate)
        key = found.public_key()
        is_valid = found.not_valid_before_utc <= proof.now <= found.not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _refusal(source, "what its SigningCertURL holds is not a certificate") from exc
    if not is_valid:
        raise _refusal(source, "its certificate is not valid now", hint="Is this clock right?")
    if not isinstance(key, rsa.RSAPublicKey):
        raise _refusal(source, "its certificate's key is not one that Amazon SNS signs with")
    try:
        signature = base64.b64decode(given if isinstance(given, str) else "", validate=True)
        key.verify(signature, signed, padding.PKCS1v15(), made[version])
    except (ValueError, InvalidSignature) as exc:
        raise _refusal(source, "its signature is not that of this message") from exc
    except UnsupportedAlgorithm as exc:
        hint = "Set the topic's SignatureVersion to 2."
        raise _refusal(source, "this machine does not allow SHA-1", hint=hint) from exc


class Certificates:
    """Amazon's signing certificates by their address, each fetched once. Threads may share it.

    At most ``most`` are kept; those longest unused go first. What failed is not kept. Two who
    miss the same one at the same time both fetch it, so that nobody waits for a slow other one.
    """

    def __init__(self, fetch: Callable[[str], bytes] | None = None, *, most: int = 16) -> None:
        self._fetch = fetch or fetch_certificate
        self._most = most
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def __call__(self, url: str) -> bytes:
        """The certificate at an address, as PEM; raises as ``fetch_certificate``."""
        with self._lock:
            if url in self._kept:
                self._kept.move_to_end(url)
                return self._kept[url]
        found = self._fetch(url)
        with self._lock:
            self._kept[url] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found


def public_addresses(host: str) -> list[tuple[str, int]]:
    """Where a host listens for HTTPS; ServiceError when one of its addresses is not public."""
    try:
        found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise ServiceDownError(f"{host} is not known (DNS).", retryable=True) from exc
    return [(checked_public(str(entry[4][0]), host), 443) for entry in found]


def checked_public(address: str, host: str) -> str:
    """The address again; ServiceError when it is private, loopback, link-local or reserved."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if not parsed.is_global or parsed.is_multicast:
        raise ServiceError(
            f"{host} leads to {parsed}, which is not a public address.",
            hint="Look at what resolves names here; a VPC endpoint for SNS is not supported.",
        )
    return address


def fetch_certificate(
    url: str, *, resolve: Resolve = public_addresses, context: ssl.SSLContext | None = None
) -> bytes:
    """What lies at a SigningCertURL, at most 64 kB; no redirect is followed, no proxy used.

    SignatureError when the address is not Amazon's or holds nothing; ServiceError when Amazon
    cannot be asked, which says nothing about the message. No wait is longer than 5 seconds.
    """
    place = _CERTIFICATE_URL.fullmatch(url)
    if place is None:
        raise SignatureError("A SigningCertURL is not one of Amazon SNS's own addresses.")
    status, body = _get(place, resolve, context)
    if status != 200:
        raise SignatureError(f"{place['host']} holds no such certificate (status {status}).")
    return body


def confirm(
    url: str, *, resolve: Resolve = public_addresses, context: ssl.SSLContext | None = None
) -> None:
    """Tell Amazon that we want a subscription, by the ``subscribe_url`` of a checked message.

    SignatureError when the address is not Amazon's; ServiceError when Amazon cannot be asked or
    refuses. Confirming twice does no harm.
    """
    place = _SUBSCRIBE_URL.fullmatch(url)
    if place is None:
        raise SignatureError("A SubscribeURL is not one of Amazon SNS's own addresses.")
    status, _ = _get(place, resolve, context)
    if status != 200:
        raise ServiceError(
            f"{place['host']} did not confirm the subscription (status {status}).",
            hint="A confirmation can be used for three days; after that, subscribe anew.",
        )


def _get(
    place: re.Match[str], resolve: Resolve, context: ssl.SSLContext | None
) -> tuple[int, bytes]:
    """Status and body at a place; ServiceDownError when nothing of use came."""
    host, deadline = place["host"], time.monotonic() + TIMEOUT_SECONDS
    addresses = resolve(host)
    try:
        with _connected(addresses, deadline) as sock:
            secured = (context or ssl.create_default_context()).wrap_socket(
                sock, server_hostname=host
            )
            with secured:
                status, body = _answer(secured, place, deadline)
    except ssl.SSLCertVerificationError as exc:
        raise ServiceError(
            f"Who answers as {host} does not prove it: {exc.verify_message}.",
            hint="Look at the proxies and the certificates of this machine.",
        ) from exc
    except (OSError, HTTPException) as exc:
        raise ServiceDownError(
            f"{host} gave no whole answer ({type(exc).__name__}).", retryable=True
        ) from exc
    if status >= 500 or status == 429:
        raise ServiceDownError(f"{host} fails (status {status}).", retryable=True)
    return status, body


def _connected(addresses: Sequence[tuple[str, int]], deadline: float) -> socket.socket:
    """A connection to the first address that takes one."""
    trouble = OSError("no address")
    for address in addresses:
        try:
            sock = socket.create_connection(address, timeout=_left(deadline))
        except OSError as exc:
            trouble = exc
            continue
        return sock
    raise trouble


def _answer(sock: ssl.SSLSocket, place: re.Match[str], deadline: float) -> tuple[int, bytes]:
    connection = HTTPSConnection(place["host"])
    connection.sock = sock  # the one to the address that was checked
    sock.settimeout(_left(deadline))
    connection.request("GET", place["path"], headers={"User-Agent": "imtkit"})
    body = b""
    with connection.getresponse() as response:
        while chunk := response.read1(16_384):
            body += chunk
            if len(body) > MOST_BYTES:
                raise HTTPException("the answer is too large")
            sock.settimeout(_left(deadline))
        if response.length:
            raise HTTPException("the answer broke off")
        return response.status, body


def _left(deadline: float) -> float:
    """Seconds until then; TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _refusal(source: SourceSettings, why: str, *, hint: str = "") -> SignatureError:
    return SignatureError(f"Alert source '{source.name}': {why}.", hint=hint)
