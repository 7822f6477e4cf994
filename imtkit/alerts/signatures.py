"""Whether a request comes from the sender that it says it does. Pure: bytes, secrets and a time.

What a sender gives is compared with what a secret makes of the raw body, as digests of one
length, in constant time, and with every secret. What Amazon SNS posts is proven in ``sns``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from imtkit.config.alerts import SourceSettings
from imtkit.errors import SignatureError

TOLERANCE = timedelta(minutes=5)
"""How far a signed time may be from ours: the figure of Standard Webhooks."""

GRAFANA_HEADER = "X-Grafana-Alerting-Signature"

_UNSIGNED = "Does the sender sign what it posts, and do proxies in between keep its headers?"
_UNTOLD = "Give the sender the secret as a bearer token, or as the password of any user."
_OTHER = "Compare the secret that imt.toml refers to with the sender's."
_MOST_SIGNATURES = 16
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class _Request:
    """What came, and when."""

    source: SourceSettings
    headers: Mapping[str, str]
    body: bytes
    now: datetime

    def header(self, name: str) -> str:
        """What a header says, whatever the case of its name; empty when it is not there.

        One that came more than once is told as a list (RFC 9110, section 5.3).
        """
        wanted = name.lower()
        found = [value for key, value in self.headers.items() if key.lower() == wanted]
        return ", ".join(found).strip()

    def required(self, name: str, hint: str = "") -> str:
        """What a header says; SignatureError when it says nothing."""
        value = self.header(name)
        if not value:
            raise self.refusal(f"the header {name} is missing", hint=hint or _UNSIGNED)
        return value

    def refusal(self, why: str, *, hint: str = "") -> SignatureError:
        """The error that says why this request is not believed."""
        return SignatureError(f"Alert source '{self.source.name}': {why}.", hint=hint)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Signatures that came in a header, as digests, and what they are of."""

    header: str
    digests: tuple[bytes, ...]
    signed: bytes


def check(
    source: SourceSettings,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> None:
    """Pass a request that proves its sender as ``source.proof`` asks; else SignatureError.

    ``secrets`` are values, not references; any one will do, an empty one never does. ``body``
    is what was received, byte for byte; ``now`` is aware. No message holds a secret or what
    the sender gave for one. A kind that is not named below signs by Standard Webhooks, or, with
    ``source.header``, as Grafana does; SNS is proven by ``sns.check_sns`` alone.
    """
    if source.proof == "none":
        return
    request = _Request(source, headers, body, now)
    usable = [secret for secret in secrets if secret.strip()]
    if not usable:
        raise request.refusal("it has no secret, so nothing can be proven")
    if source.proof == "bearer":
        _check_bearer(request, usable)
    else:
        _check_signature(request, usable)


def _check_bearer(request: _Request, secrets: Iterable[str]) -> None:
    """A bearer token (RFC 6750), or the password of any user (RFC 7617), is one of the secrets."""
    scheme, _, rest = request.required("Authorization", _UNTOLD).partition(" ")
    given = _received(rest.strip())
    if scheme.lower() == "basic":
        given = (_from_base64(given) or b"").partition(b":")[2]
    elif scheme.lower() != "bearer":
        raise request.refusal("its Authorization is neither Bearer nor Basic", hint=_UNTOLD)
    known = [_digest(_key(secret)) for secret in secrets]
    if not _is_any([_digest(given)], known):
        raise request.refusal("its Authorization holds none of the secrets", hint=_OTHER)


def _check_signature(request: _Request, secrets: Iterable[str]) -> None:
    keys = [_key(secret) for secret in secrets]
    kind = request.source.kind
    if kind == "pagerduty":
        claim = _pagerduty(request)
    elif kind == "sentry":
        claim = _sentry(request)
    elif kind == "grafana" or request.source.header:
        claim = _plain(request)
    else:
        claim = _standard(request)
        keys = [key for secret in keys for key in _standard_keys(secret)]
    if not claim.digests:
        raise request.refusal(f"the header {claim.header} holds no signature of the form we know")
    expected = [hmac.digest(key, claim.signed, "sha256") for key in keys]
    if not _is_any(claim.digests, expected):
        raise request.refusal(
            f"the signature in {claim.header} is not that of this body with any of the secrets",
            hint=f"{_OTHER} A proxy that rewrites bodies breaks signatures too.",
        )


def _pagerduty(request: _Request) -> _Claim:
    """PagerDuty's webhooks v3: ``v1=HEX`` for each of its secrets, told apart by commas.

    Source: PagerDuty developer documentation, "Verifying signatures".
    """
    header = "X-PagerDuty-Signature"
    given = _listed(request.required(header))
    hexes = (one.removeprefix("v1=") for one in given if one.startswith("v1="))
    return _Claim(header, _from_hex(hexes), request.body)


def _sentry(request: _Request) -> _Claim:
    """Sentry's integration platform: hex over the raw body; older ones named the header else.

    Source: Sentry documentation, "Integration platform: webhooks".
    """
    header = "Sentry-Hook-Signature"
    if not request.header(header) and request.header("Sentry-App-Signature"):
        header = "Sentry-App-Signature"
    return _Claim(header, _from_hex(_listed(request.required(header))), request.body)


def _plain(request: _Request) -> _Claim:
    """Hex over the body, or over ``TIME:BODY`` where a header for the time is set.

    Source: Grafana documentation, "Configure webhook notifications", HMAC signature. Others
    write ``sha256=`` before the hex.
    """
    header = request.source.header or GRAFANA_HEADER
    hexes = (one.removeprefix("sha256=") for one in _listed(request.required(header)))
    signed = request.body
    if request.source.timestamp_header:
        signed = _told_time(request, request.source.timestamp_header) + b":" + signed
    return _Claim(header, _from_hex(hexes), signed)


def _standard(request: _Request) -> _Claim:
    """Standard Webhooks 1.0: ``v1,BASE64`` over ``ID.TIME.BODY``, told apart by blanks.

    Source: the Standard Webhooks specification, "Signature scheme" (symmetric).
    """
    header = "webhook-signature"
    parts = request.required(header).split()[:_MOST_SIGNATURES]
    given = (part.removeprefix("v1,").rstrip(",") for part in parts if part.startswith("v1,"))
    decoded = (_from_base64(_received(text)) or b"" for text in given)
    digests = tuple(one for one in decoded if len(one) == hashlib.sha256().digest_size)
    id_ = _received(request.required("webhook-id"))
    told = _told_time(request, "webhook-timestamp")
    return _Claim(header, digests, b".".join((id_, told, request.body)))


def _standard_keys(secret: bytes) -> tuple[bytes, ...]:
    """The keys that a secret may stand for: itself, and the bytes that it is the base64 of."""
    decoded = _from_base64(secret.removeprefix(b"whsec_"))
    return (secret, decoded) if decoded else (secret,)


def _told_time(request: _Request, header: str) -> bytes:
    """The time in a header (Unix seconds), as it is signed; SignatureError when it is not now."""
    told = request.required(header)
    if not _UNIX_SECONDS.fullmatch(told):
        raise request.refusal(f"the header {header} holds no time in Unix seconds")
    away = request.now.timestamp() - int(told)
    if abs(away) > TOLERANCE.total_seconds():
        minutes = int(TOLERANCE.total_seconds() // 60)
        raise request.refusal(
            f"it was signed more than {minutes} minutes {'ago' if away > 0 else 'from now'}",
            hint="Compare the clocks of both machines.",
        )
    return told.encode()


def _is_any(given: Iterable[bytes], expected: Sequence[bytes]) -> bool:
    """Whether any digest is one of those expected; all are compared, whatever is found."""
    found = False
    for one in given:
        for other in expected:
            found |= hmac.compare_digest(one, other)
    return found


def _listed(value: str) -> list[str]:
    """The parts of a header that is a list."""
    return [part.strip() for part in value.split(",")][:_MOST_SIGNATURES]


def _from_hex(texts: Iterable[str]) -> tuple[bytes, ...]:
    """The SHA-256 digests among some texts."""
    return tuple(bytes.fromhex(text) for text in texts if _SHA256_HEX.fullmatch(text))


def _from_base64(text: bytes) -> bytes | None:
    """What a text is the base64 of; None when it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _received(text: str) -> bytes:
    """The octets of a header: servers hand over each as one character (Latin-1)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return _key(text)


def _key(text: str) -> bytes:
    """A secret's octets. A lone surrogate, from an odd environment, is no reason to fail."""
    return text.encode("utf-8", "surrogatepass")


def _digest(value: bytes) -> bytes:
    """A value made as long as every other: what a comparison takes tells nothing of its length."""
    return hashlib.sha256(value).digest()
