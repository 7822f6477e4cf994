"""Where a URL leads, and a connection to it: addresses, TCP, trust."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import SplitResult, urlsplit

from imtkit.errors import InputError
from imtkit.probes.patience import within

Found = tuple[Any, Any, int, str, tuple[Any, ...]]
"""One answer of the resolver: family, kind, protocol, canonical name, address."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads: host, port, and the path with its query."""

    scheme: str
    host: str
    port: int
    path: str


def place_of(url: str) -> Place:
    """The parts of a URL that a connection needs; InputError when it cannot be probed."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    except (ValueError, UnicodeError) as exc:
        raise InputError(f"{url!r} is not a usable URL: {exc}") from exc
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise InputError(
            f"{url!r} is not an address to probe.", hint="Write http://host/ or https://host/."
        )
    if parts.username or parts.password:
        raise InputError(
            f"The URL for {host} holds credentials, and URLs are logged.",
            hint="Take them out and give an Authorization header instead.",
        )
    return Place(parts.scheme, host, port or _port(parts), _path(parts))


def _port(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def resolve(place: Place, deadline: float) -> list[Found]:
    """The addresses of a place; gaierror when there are none, TimeoutError when it hangs."""
    return within(
        left(deadline),
        lambda: socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM),
    )


def connect(found: list[Found], deadline: float) -> tuple[socket.socket, str]:
    """A connection to the first address that takes one, and that address.

    Each address gets its share of the time that is left, so that a dead one does not use up
    what the next would need. OSError when none takes one.
    """
    failure: OSError = TimeoutError("no address to connect to")
    for tried, one in enumerate(found):
        sock = socket.socket(*one[:3])
        try:
            sock.settimeout(left(deadline) / (len(found) - tried))
            sock.connect(one[4])
        except OSError as exc:
            sock.close()
            failure = exc
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock, address_text(one)
    raise failure


def address_text(found: Found) -> str:
    """``127.0.0.1:80`` or ``[::1]:80``."""
    host, port = found[4][:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def context_of(*, verify: bool, ca_file: str = "") -> ssl.SSLContext:
    """A TLS context that trusts the system's authorities, and those in ``ca_file``.

    InputError when the file cannot be read as PEM certificates.
    """
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise InputError(
                f"'{ca_file}' cannot be read as a file of certificates: {exc}",
                hint="It must hold PEM blocks that begin with -----BEGIN CERTIFICATE-----.",
            ) from exc
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def left(deadline: float) -> float:
    """Seconds until a deadline of ``perf_counter``; TimeoutError when it has passed."""
    seconds = deadline - perf_counter()
    if seconds <= 0:
        raise TimeoutError("out of time")
    return seconds
