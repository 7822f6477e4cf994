"""Who may come in: the token, a name, or what a trusted proxy says; nobody else."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from imtkit import config
from imtkit.errors import ConfigError, InputError
from imtkit.web import astray
from imtkit.web.drawing import GUARDED, page
from imtkit.web.visitors import Door, Keys, Visitor, let_in, person_named

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from imtkit.config import Settings

LOGIN, LEAVE = "/login", "/leave"
_OPEN = ("/healthz", "/readyz", "/favicon.ico")
_OPEN_UNDER = ("/alerts/", "/static/")
_READING = ("GET", "HEAD", "OPTIONS")
_MOST_FORM = 64 * 1024
_PROXY = "Behind a proxy, name it in imt.toml: [serve] proxies"


class Entrance:
    """Lets in whoever shows the token or is named by a trusted proxy; asks the others.

    Alerts, health and the style sheet are open to all: senders of alerts prove themselves. On
    loopback the Host header must be this machine's, so that no web site reaches us by a name
    of its own that resolves to 127.0.0.1 (DNS rebinding). What is posted must come from one of
    our own pages, unless it carries the token as a bearer.
    """

    def __init__(self, app: ASGIApp, settings: Settings, token: str) -> None:
        self._app = app
        self._serve = settings.serve
        self._keys = Keys(token)
        self._networks = [network_of(one) for one in self._serve.proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = await self._answer(request)
        await (answer or self._app)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """What is said to whoever does not come in yet; None lets the request in."""
        is_proxied = self._is_proxied(request)
        if not is_proxied and not self._is_meant(request.headers):
            words = f"This is not the address of an imtkit: {_host(request.headers)!r}"
            return _refused(request, words, hint=_PROXY)
        door = self._door(request, is_proxied)
        visitor = self._visitor(request, door, is_proxied)
        is_post = request.method not in _READING
        is_bearer = visitor is not None and visitor.way == "bearer"
        own = _own_host(request.headers, is_proxied)
        if is_post and not is_bearer and not _is_same_origin(request.headers, own):
            words = "This was posted from another site; nothing was done."
            return _refused(request, words, hint="Open the page itself, and do it there.")
        is_named = is_proxied and bool(self._serve.user_header)
        answer = None if is_named else await self._self_told(request, door, visitor)
        if answer is not None:
            return answer
        if visitor is None:
            words = "The proxy did not say who you are."
            hint = f"It is to name you, once, in the header {self._serve.user_header}."
            unnamed = _refused(request, words, hint=hint, status=401)
            return unnamed if is_named else _asked_to_log_in(request)
        let_in(request, visitor, door)
        return None

    async def _self_told(
        self, request: Request, door: Door, visitor: Visitor | None
    ) -> Response | None:
        """What is said to those who say themselves who they are; None when they do not."""
        if request.url.path == LOGIN:
            return await self._login(request, door, visitor)
        if request.url.path == LEAVE and request.method == "POST":
            return _left(door)
        if request.method in _READING and "token" in request.query_params:
            return self._by_link(request, door, visitor)
        return None

    def _is_proxied(self, request: Request) -> bool:
        if request.client is None or not self._networks:
            return False
        try:
            peer = ipaddress.ip_address(request.client.host.partition("%")[0])
        except ValueError:
            return False
        return any(peer in network for network in self._networks)

    def _is_meant(self, headers: Headers) -> bool:
        """Whether the Host header names this machine, where only this machine is served."""
        return not _is_loopback(self._serve.host) or _is_loopback(_name_of(_host(headers)))

    def _door(self, request: Request, is_proxied: bool) -> Door:
        scheme = request.headers.get("x-forwarded-proto", "") if is_proxied else ""
        server = request.scope.get("server") or ("", 0)
        # Browsers keep one set of cookies for all ports of a host.
        cookie = f"imt-{server[1] or 0}"
        return Door(self._keys, cookie, "https" in (scheme, request.url.scheme))

    def _visitor(self, request: Request, door: Door, is_proxied: bool) -> Visitor | None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._keys.opens(shown.strip()):
            return self._keys.admitted(Visitor(way="bearer"))
        if is_proxied and self._serve.user_header:
            name = _header_name(request.headers, self._serve.user_header)
            known = Visitor(name, way="proxy", id=name, said_by=self._serve.user_header)
            return self._keys.admitted(known) if name else None
        return self._keys.visitor(request.cookies.get(door.cookie, ""), time.time())

    def _by_link(self, request: Request, door: Door, visitor: Visitor | None) -> Response:
        """The token in the address is taken out of it: it must not stay in the history."""
        from starlette.responses import RedirectResponse

        pairs = request.query_params.multi_items()
        shown = [value for name, value in pairs if name == "token"]
        if not any(self._keys.opens(one) for one in shown):
            return self._page(request, problem="That token is not the one this server has.")
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        to = local_path(f"{request.url.path}?{rest}" if rest else request.url.path)
        response = RedirectResponse(to, 303, headers=dict(GUARDED))
        door.remember(response, visitor or Visitor())
        return response

    def _page(self, request: Request, **told: Any) -> Response:
        return _login_page(request, is_made_up=not self._serve.token, **told)

    async def _login(self, request: Request, door: Door, visitor: Visitor | None) -> Response:
        from starlette.responses import RedirectResponse

        if request.method in _READING:
            return self._page(request, visitor=visitor, to=request.query_params.get("next", "/"))
        try:
            said = await form_of(request)
        except InputError as error:
            return _refused(request, str(error), status=400)
        to, shown, person = said.get("next", "/"), said.get("token", ""), said.get("person", "")
        if shown and not self._keys.opens(shown.strip()):
            problem = "That token is not the one this server has."
            return self._page(request, problem=problem, person=person, to=to)
        if not shown and (visitor is None or said.get("csrf") != visitor.csrf):
            problem = "The token is asked for as well."
            return self._page(request, problem=problem, person=person, to=to)
        try:
            known = replace(visitor or Visitor(), name=person_named(person))
        except InputError as error:
            problem = f"{error} {error.hint}"
            return self._page(request, visitor=visitor, problem=problem, to=to)
        response = RedirectResponse(local_path(to), 303, headers=dict(GUARDED))
        door.remember(response, known)
        return response


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form, the last of each name; InputError when it is none or too big."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InputError("A form is posted as application/x-www-form-urlencoded.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM:
            raise InputError(f"A form has at most {_MOST_FORM // 1024} KiB.")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise InputError("That is no form that a browser posts.") from error
    return dict(fields)


def local_path(to: str) -> str:
    """An address of ours to go on to; '/' for one that would lead anywhere else."""
    path = to if to.isprintable() and "\\" not in to else "/"
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    is_ours = path.startswith("/") and not path.startswith("//")
    return path if is_ours and not parts.scheme and not parts.netloc else "/"


def network_of(proxy: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The addresses that an entry of [serve] proxies means; ConfigError when it means none."""
    try:
        return ipaddress.ip_network(proxy, strict=False)
    except ValueError as error:
        raise ConfigError(
            f"[serve] proxies names {proxy!r}, which is no address.",
            hint='Write addresses or networks: ["127.0.0.1", "10.2.0.0/16"].',
        ) from error


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_UNDER)


def _host(headers: Headers) -> str:
    return headers.get("host", "").strip().lower()


def _own_host(headers: Headers, is_proxied: bool) -> str:
    """The host that browsers see: what a trusted proxy says it is, else the request's own."""
    forwarded = headers.get("x-forwarded-host", "") if is_proxied else ""
    return forwarded.strip().lower() or _host(headers)


def _name_of(host: str) -> str:
    """A Host header without its port; empty when it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_same_origin(headers: Headers, host: str) -> bool:
    """Whether one of our own pages sent it; a browser that says nothing of it is not believed."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    try:
        return bool(host) and urlsplit(headers.get("origin", "")).netloc.lower() == host
    except ValueError:
        return False


def _header_name(headers: Headers, header: str) -> str:
    """The one name that the proxy gives; none where it gives several, for one is forged then."""
    given = headers.getlist(header)
    if len(given) != 1:
        return ""
    try:
        name = given[0].encode("latin-1").decode("utf-8").strip()
    except UnicodeDecodeError:
        name = given[0].strip()
    return name if config.is_somebody(name) else ""


def _refused(request: Request, words: str, *, hint: str = "", status: int = 403) -> Response:
    return astray.answer(request, status, words, hint=hint)


def _asked_to_log_in(request: Request) -> Response:
    from starlette.responses import RedirectResponse

    is_browser = "text/html" in request.headers.get("accept", "")
    if request.method != "GET" or not is_browser:
        hint = "imt.toml sets it ([serve] token), or else 'imt serve' prints it at its start."
        words = "Show the token: Authorization: Bearer …"
        refused = _refused(request, words, hint=hint, status=401)
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': path})}", 303, headers=dict(GUARDED))


def _login_page(
    request: Request,
    *,
    visitor: Visitor | None = None,
    problem: str = "",
    person: str = "",
    to: str = "/",
    is_made_up: bool = False,
) -> Response:
    return page(
        "login.html",
        status=401 if problem else 200,
        problem=problem,
        person=person or (visitor.name if visitor else ""),
        is_known=visitor is not None,
        csrf=visitor.csrf if visitor else "",
        to=local_path(to),
        host=_host(request.headers),
        is_made_up=is_made_up,
    )


def _left(door: Door) -> Response:
    from starlette.responses import RedirectResponse

    response = RedirectResponse(LOGIN, 303, headers=dict(GUARDED))
    door.forget(response)
    return response
