"""Status pages: the embedded one, Atlassian Statuspage and Cachet, all told in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from imtkit.contracts import StatusPage
from imtkit.errors import ConfigError, suggestion
from imtkit.statuspage._http import Reply, Request, Send, Wire, WireError
from imtkit.statuspage.atlassian import AtlassianPage
from imtkit.statuspage.cachet import CachetPage
from imtkit.statuspage.embedded import EmbeddedPage

__all__ = ["EmbeddedPage", "Reply", "Request", "Send", "Wire", "WireError", "open_statuspage"]

_SHAPES = {
    "embedded": "embedded:outputs/status",
    "statuspage+https": "statuspage+https://api.statuspage.io/v1?page=PAGE_ID",
    "cachet+https": "cachet+https://status.example.org/api?version=3",
}
_EXAMPLES = " or ".join(_SHAPES.values())


def open_statuspage(  # noqa: PLR0913 - each is one key of [status_pages.NAME] in imt.toml
    url: str,
    *,
    name: str = "",
    token: str = "",
    components: Mapping[str, str] | None = None,
    root: Path | None = None,
    title: str = "",
    wire: Wire | None = None,
) -> StatusPage:
    """The status page at this address, ready to be told things; nothing is sent yet.

    ``embedded:PATH`` (within ``root``), ``statuspage+https://api.statuspage.io/v1?page=ID``,
    ``cachet+https://HOST/api?version=3`` (or ``/api/v1?version=2``). With ``+http`` instead,
    loopback addresses only: a token must not travel in the clear. ``components`` maps our
    services' names to the service's component ids (embedded: to the words shown). ``wire``
    says how it is reached. ConfigError when the address cannot be meant or the token lacks.
    """
    parts = urlsplit(url)
    called = name or parts.hostname or parts.path or "status page"
    at = root or Path()
    way = wire or Wire()
    if way.state is None and root is not None:
        way = replace(way, state=root / "outputs" / ".statuspage")
    known = dict(components or {})
    service, _, transport = parts.scheme.partition("+")
    if parts.scheme == "embedded":
        folder = at / _folder(url, called)
        return EmbeddedPage(folder, name=called, title=title, components=known, wire=way)
    if service not in ("statuspage", "cachet") or transport not in ("http", "https"):
        raise ConfigError(
            f"Status page '{called}': '{parts.scheme or url}' is no kind of page imtkit knows.",
            hint=f"{suggestion(parts.scheme, _SHAPES)} Write it like {_EXAMPLES}.",
        )
    base = _base(parts, called)
    if not token:
        raise ConfigError(
            f"Status page '{called}' has no token.",
            hint=f'Name the secret in imt.toml: token = "secret://env/{service.upper()}_TOKEN"',
        )
    if service == "statuspage":
        page = _query(parts, called, "page")
        return AtlassianPage(base, page, name=called, token=token, components=known, wire=way)
    version: Literal[2, 3] = 2 if _query(parts, called, "version") == "2" else 3
    return CachetPage(base, version=version, name=called, token=token, components=known, wire=way)


def _folder(url: str, called: str) -> str:
    path = url.partition(":")[2]
    if not path or path.startswith("//"):
        raise ConfigError(
            f"Status page '{called}': '{url}' names no folder.",
            hint=f"Write it like {_SHAPES['embedded']}",
        )
    return path


def _base(parts: SplitResult, called: str) -> str:
    """The API's address as plain http or https; ConfigError when a token should not go there."""
    transport = parts.scheme.partition("+")[2]
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise ConfigError(
            f"Status page '{called}': the url must be a host and a path, without user, "
            "password or fragment.",
            hint=f"Write it like {_EXAMPLES}.",
        )
    if transport == "http" and not _is_loopback(parts.hostname):
        raise ConfigError(
            f"Status page '{called}': plain http would send the token to {parts.hostname} "
            "for everybody to read.",
            hint=f"Write {parts.scheme}s instead.",
        )
    return f"{transport}://{parts.netloc}{parts.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _query(parts: SplitResult, called: str, wanted: str) -> str:
    """The one value that the url's query gives; ConfigError names what it should be."""
    given = dict(parse_qsl(parts.query))
    value = given.pop(wanted, "3" if wanted == "version" else "")
    if given:
        raise ConfigError(
            f"Status page '{called}': the url says '{min(given)}', which means nothing there.",
            hint=suggestion(min(given), [wanted]) or f"Only {wanted}=… may stand there.",
        )
    right = value in ("2", "3") if wanted == "version" else value.isascii() and value.isalnum()
    if not right:
        raise ConfigError(
            f"Status page '{called}': {wanted}={value!r} in the url is not usable.",
            hint=f"Write it like {_EXAMPLES}.",
        )
    return value
