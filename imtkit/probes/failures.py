"""What stopped an exchange, in the words that responders use."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Mapping

_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)

_WAITED: Mapping[str, str] = {
    "dns": "the name was not resolved in time",
    "connect": "the connection was not accepted in time",
    "tls": "the TLS handshake did not finish in time",
    "first_byte": "connected, but no answer began in time",
    "body": "the answer began, but did not end in time",
}


def failure_of(exc: Exception, phase: str) -> tuple[str, str]:
    """The kind and the reason of what stopped an exchange in one of its phases.

    The kinds are dns, refused, unreachable, timeout, tls, torn and protocol.
    """
    if isinstance(exc, socket.gaierror):
        return "dns", f"the name does not resolve: {exc.strerror or exc}"
    if isinstance(exc, TimeoutError):
        return "timeout", _WAITED.get(phase, "out of time")
    if isinstance(exc, ConnectionRefusedError):
        return "refused", "nothing accepts connections there"
    if phase == "tls":
        return "tls", _tls_reason(exc)
    return _torn(exc, phase) or _odd(exc)


def _tls_reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {exc.verify_message}"
    if not isinstance(exc, ssl.SSLError) or isinstance(exc, ssl.SSLEOFError):
        return "the connection was closed in the middle of the handshake"
    if "WRONG_VERSION_NUMBER" in (exc.reason or ""):
        return "the port does not speak TLS"
    return f"the handshake failed: {exc.reason or exc}"


def _torn(exc: Exception, phase: str) -> tuple[str, str] | None:
    if isinstance(exc, http.client.IncompleteRead):
        return "torn", f"the body ended {exc.expected or 'some'} bytes too early"
    if isinstance(exc, (ConnectionError, ssl.SSLError)):
        where = "before it answered" if phase == "first_byte" else f"in the phase '{phase}'"
        return "torn", f"the other side closed the connection {where}"
    return None


def _odd(exc: Exception) -> tuple[str, str]:
    if isinstance(exc, http.client.HTTPException):
        return "protocol", f"the answer is not HTTP: {type(exc).__name__} {exc}".strip()
    if isinstance(exc, OSError) and exc.errno in _NO_ROUTE:
        return "unreachable", "no route to the host"
    return "unreachable", str(exc)
