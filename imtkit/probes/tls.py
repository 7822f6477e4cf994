"""The certificate of a TLS service: whose it is, until when, and whether it is trusted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from time import perf_counter
from typing import TYPE_CHECKING

from imtkit.probes.failures import failure_of
from imtkit.probes.findings import Finding, Findings, Level
from imtkit.probes.sockets import Place, connect, context_of, left, place_of, resolve
from imtkit.probes.wire import Phase, Target

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server's certificate says. Times are aware UTC; names are its SANs."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: str
    sha256: str
    is_self_signed: bool

    def days_left(self, now: datetime) -> float:
        """Days until it expires; negative when it has."""
        return (self.not_after - now).total_seconds() / 86400

    def covers(self, host: str) -> bool:
        """Whether one of its names is this host (RFC 6125: '*' stands for one first label)."""
        wanted = host.lower().rstrip(".")
        return any(_is_name_of(name.lower(), wanted) for name in self.names)


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS side of a place. ``certificate`` is None when none could be fetched.

    ``is_trusted`` is what a client that verifies would say, and ``reason`` why not.
    ``error`` is why no handshake came about at all; 'not https' for a plain address.
    """

    host: str
    port: int
    at: datetime
    certificate: Certificate | None = None
    version: str = ""
    cipher: str = ""
    is_trusted: bool = False
    reason: str = ""
    error: str = ""


def inspect(target: str | Target, *, timeout_seconds: float = 5.0) -> Tls:
    """The certificate and whether it is trusted, from two handshakes.

    The first one does not verify, so that an expired, self-signed or misplaced certificate can
    be read too; the second one verifies. What fails is in the answer; nothing is raised.
    """
    target = target if isinstance(target, Target) else Target(target)
    place = place_of(target.url)
    if place.scheme != "https":
        return Tls(place.host, place.port, datetime.now(UTC), error="not https")
    at = datetime.now(UTC)
    der, version, cipher, error = _shake(place, context_of(verify=False), timeout_seconds)
    if error:
        return Tls(place.host, place.port, at, error=error)
    trusting = context_of(verify=True, ca_file=target.ca_file)
    reason = _shake(place, trusting, timeout_seconds)[3]
    return Tls(
        place.host,
        place.port,
        at,
        certificate=certificate_from_der(der),
        version=version,
        cipher=cipher,
        is_trusted=not reason,
        reason=reason,
    )


def _shake(
    place: Place, context: ssl.SSLContext, timeout_seconds: float
) -> tuple[bytes, str, str, str]:
    """Certificate (DER), version and cipher of one handshake; the fourth is why it failed."""
    deadline = perf_counter() + timeout_seconds
    phase: Phase = "dns"
    try:
        found = resolve(place, deadline)
        phase = "connect"
        sock, _ = connect(found, deadline)
        phase = "tls"
        with sock:
            sock.settimeout(left(deadline))
            with context.wrap_socket(sock, server_hostname=place.host) as secured:
                cipher = secured.cipher()
                return (
                    secured.getpeercert(binary_form=True) or b"",
                    secured.version() or "",
                    cipher[0] if cipher else "",
                    "",
                )
    except OSError as exc:
        return b"", "", "", failure_of(exc, phase)[1]


def certificate_from_der(der: bytes) -> Certificate | None:
    """The facts of a certificate in DER form; None when it cannot be read as one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            names=_names(found),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            serial=f"{found.serial_number:x}",
            sha256=found.fingerprint(hashes.SHA256()).hex(),
            is_self_signed=found.subject == found.issuer,
        )
    except ValueError:  # what is odd in a certificate shows only when that part is read
        return None


def _names(found: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *(str(one) for one in names.get_values_for_type(x509.IPAddress)))


def _is_name_of(name: str, host: str) -> bool:
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        pass  # not both are addresses; then they are compared as names
    first, _, rest = host.partition(".")
    return name == host or (name.startswith("*.") and bool(first) and name[2:] == rest)


def diagnose(tls: Tls, *, warning_days: float = 21.0, critical_days: float = 3.0) -> Findings:
    """What the certificate means for callers: expiry, names, trust; each is said apart.

    ``warning_days`` and ``critical_days`` are days before expiry. Of a plain http address
    nothing is said.
    """
    if tls.error == "not https":
        return Findings()
    if tls.certificate is None:
        why = tls.error or "what the server sent is not a certificate"
        return Findings(
            [
                Finding(
                    "critical",
                    f"No certificate can be had from {tls.host}:{tls.port}.",
                    why + ".",
                    "Look at the connection first; then at what listens on that port.",
                )
            ]
        )
    return Findings(_of_certificate(tls, tls.certificate, warning_days, critical_days))


def _of_certificate(
    tls: Tls, certificate: Certificate, warning_days: float, critical_days: float
) -> Iterator[Finding]:
    days = certificate.days_left(tls.at)
    until = f"valid until {certificate.not_after:%Y-%m-%d %H:%M} UTC, issued by {_issuer(tls)}"
    renew = "Renew it, and see why it was not renewed by itself. Restart what serves the old one."
    sound = True
    if days < 0:
        sound = False
        yield Finding("critical", f"The certificate expired {-days:.1f} days ago.", until, renew)
    elif days < warning_days:
        sound = False
        level: Level = "critical" if days < critical_days else "warning"
        yield Finding(level, f"The certificate expires in {days:.1f} days.", until, renew)
    if tls.at < certificate.not_before:
        sound = False
        start = f"valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC"
        yield Finding("critical", "The certificate is not valid yet.", start, "Check the clocks.")
    if not certificate.covers(tls.host):
        sound = False
        names = ", ".join(certificate.names[:8]) or "no name"
        what = f"The certificate is not for {tls.host}."
        yield Finding("critical", what, f"it names {names}", "Serve the one for this name.")
    explained = any(word in tls.reason for word in ("expired", "not yet valid", "mismatch"))
    if not tls.is_trusted and (sound or not explained):
        sound = False
        kind = "self-signed" if certificate.is_self_signed else "not trusted here"
        yield Finding(
            "critical",
            f"The certificate is {kind}.",
            f"{tls.reason}; issued by {_issuer(tls)}",
            "Serve the whole chain of a trusted authority, or trust this one (ca_file).",
        )
    if sound:
        grounds = f"{until}; {days:.0f} days left; {tls.version}"
        yield Finding("ok", f"The certificate of {tls.host} is trusted.", grounds)


def _issuer(tls: Tls) -> str:
    issuer = tls.certificate.issuer if tls.certificate else ""
    return issuer or "an issuer without a name"
