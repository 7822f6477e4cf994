"""The only door to requests: sends one request, safely, and says truly what became of it."""

from __future__ import annotations

import ipaddress
import random
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from imtkit.errors import ConfigError

_MOST_ANSWER_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes out; ``headers`` hold the token."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WireError(Exception):
    """No answer came. ``is_unclear`` when the service may have taken the request all the same."""

    def __init__(self, words: str, *, is_unclear: bool, is_passing: bool = True) -> None:
        super().__init__(words)
        self.is_unclear = is_unclear
        self.is_passing = is_passing


Send = Callable[[Request, "Wire"], Reply]
"""Sends one request, follows no redirect, and raises WireError when no answer comes."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a page is reached. ``state`` is the folder by which processes keep pace together.

    ``allow_private`` lets a page live on a private or loopback address. It is on by default:
    the address comes from the operator's own imt.toml, and an own Cachet usually is inside.
    Link-local addresses (a cloud's metadata service) are refused whatever it says.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    attempts: int = 4
    pace_seconds: float | None = None
    allow_private: bool = True
    state: Path | None = None
    send: Send | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


def sender() -> Send:
    """The way by the requests library, loaded and ready."""
    import requests  # noqa: F401 - loaded here, used below

    return _send_by_requests


def _send_by_requests(request: Request, wire: Wire) -> Reply:
    """The request by way of the requests library; its errors become WireError here."""
    import requests
    from requests import exceptions as trouble

    _check_address(request.url, wire)
    try:
        with requests.request(
            request.method,
            request.url,
            data=request.body,
            # Headers set by an auth callable win over a ~/.netrc, which would replace the token.
            auth=lambda prepared: (prepared.headers.update(request.headers), prepared)[1],
            timeout=(wire.connect_seconds, wire.read_seconds),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = _body(response.iter_content(65_536), wire)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, headers, body)
    except trouble.ConnectTimeout as error:
        words = f"no connection within {wire.connect_seconds:g} s"
        raise WireError(words, is_unclear=False) from error
    except trouble.ReadTimeout as error:
        raise WireError(f"no answer within {wire.read_seconds:g} s", is_unclear=True) from error
    except trouble.SSLError as error:
        words = f"TLS does not hold: {_innermost(error)}"
        raise WireError(words, is_unclear=False, is_passing=False) from error
    except trouble.ConnectionError as error:
        raise _torn(error) from error
    except (trouble.ChunkedEncodingError, trouble.ContentDecodingError) as error:
        raise WireError("the answer broke off", is_unclear=True) from error
    except trouble.RequestException as error:
        words = f"the request cannot be made ({type(error).__name__})"
        raise WireError(words, is_unclear=False, is_passing=False) from error


def _torn(error: Exception) -> WireError:
    """Told apart: never connected (nothing was sent), and torn while connected (who knows)."""
    from urllib3.exceptions import NameResolutionError, NewConnectionError, ReadTimeoutError

    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    if isinstance(reason, NameResolutionError):
        return WireError("the host's name is not known (DNS)", is_unclear=False)
    if isinstance(reason, NewConnectionError):
        return WireError("the connection was refused", is_unclear=False)
    if isinstance(reason, ReadTimeoutError):
        return WireError("the answer stopped half-way", is_unclear=True)
    return WireError("the connection was torn", is_unclear=True)


def _body(chunks: Iterable[bytes], wire: Wire) -> bytes:
    """The whole answer, if it comes within bounds of size and time."""
    started, body = time.monotonic(), b""
    for chunk in chunks:
        body += chunk
        if len(body) > _MOST_ANSWER_BYTES:
            raise WireError("the answer is too large to be one", is_unclear=True, is_passing=False)
        if time.monotonic() - started > 3 * wire.read_seconds:
            raise WireError("the answer trickles without end", is_unclear=True)
    return body


def _check_address(url: str, wire: Wire) -> None:
    """ConfigError when the host is at an address that no status page should be at."""
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # requests will say that better, or a proxy may know the name
    for entry in found:
        address = ipaddress.ip_address(str(entry[4][0]).partition("%")[0])
        is_private = address.is_private or address.is_loopback
        is_never = address.is_link_local or address.is_multicast or address.is_unspecified
        if is_never or (is_private and not wire.allow_private):
            raise ConfigError(
                f"The status page's host {host} is at {address}, which is not allowed.",
                hint="Check the page's url in imt.toml.",
            )


def _innermost(error: BaseException) -> str:
    """The certificate's own complaint, without addresses of objects around it."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    inner = reason.args[0] if getattr(reason, "args", ()) else reason
    return " ".join(str(inner).split())[:200]
