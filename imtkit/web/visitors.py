"""Who is at the door: what a visitor's cookie says, and what their posts must prove."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from imtkit import config
from imtkit.errors import InputError
from imtkit.model.entries import is_automation

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

KEPT_SECONDS = 14 * 24 * 3600
"""How long a browser is known."""

_VISITOR, _DOOR = "imtkit.visitor", "imtkit.door"
Way = Literal["cookie", "proxy", "bearer"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may come in. ``name`` is empty where only the token was shown.

    ``way`` is how they are known; ``said_by`` the header in which a proxy named them. ``id`` is
    the browser's, in its cookie; the ``csrf`` token is made from it and stays the same while the
    browser is known.
    """

    name: str = ""
    way: Way = "cookie"
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    csrf: str = ""
    said_by: str = ""

    @property
    def is_self_named(self) -> bool:
        """Whether nobody but they themselves says who they are."""
        return self.way != "proxy"

    @property
    def source(self) -> str:
        """What entries of theirs have as their source: the log tells how the name was known."""
        return "web, self-named" if self.is_self_named else "web"


class Keys:
    """Compares tokens in constant time, and signs cookies with a key made from the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._key = hashlib.sha256(b"imtkit entrance\0" + self._token).digest()

    def opens(self, shown: str) -> bool:
        """Whether this is the token; an empty one never is."""
        known = hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), self._token)
        return known and bool(self._token)

    def admitted(self, visitor: Visitor) -> Visitor:
        """The visitor with the CSRF token that their posts must carry."""
        return replace(visitor, csrf=self._mac(f"csrf\0{visitor.way}\0{visitor.id}"))

    def cookie(self, visitor: Visitor, now: float) -> str:
        """A signed cookie that says who the visitor is, from now on."""
        said = json.dumps([visitor.id, visitor.name, int(now)], ensure_ascii=True)
        packed = base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")
        return f"{packed}.{self._mac('cookie' + packed)}"

    def visitor(self, cookie: str, now: float) -> Visitor | None:
        """Whom a cookie names; None for one that is not ours, altered or too old."""
        packed, _, signature = cookie.partition(".")
        if not packed.isascii() or not hmac.compare_digest(
            signature.encode("utf-8", "surrogatepass"), self._mac("cookie" + packed).encode()
        ):
            return None
        try:
            padded = packed + "=" * (-len(packed) % 4)
            id_, name, since = json.loads(base64.urlsafe_b64decode(padded))
        except (ValueError, TypeError, binascii.Error):
            return None
        if not 0 <= now - since <= KEPT_SECONDS:
            return None
        return self.admitted(Visitor(name=name, id=id_))

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Door:
    """How one request came in: its keys, its cookie's name, whether over TLS."""

    keys: Keys
    cookie: str
    is_secure: bool

    def remember(self, response: Response, visitor: Visitor) -> None:
        """Have the browser keep who it is."""
        response.set_cookie(
            self.cookie,
            self.keys.cookie(visitor, time.time()),
            max_age=KEPT_SECONDS,
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(
            self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="lax"
        )


def let_in(request: Request, visitor: Visitor, door: Door) -> None:
    """Keep with the request who came, and how."""
    request.scope[_VISITOR] = visitor
    request.scope[_DOOR] = door


def visitor_of(request: Request) -> Visitor:
    """Who came in with this request."""
    found = request.scope[_VISITOR]
    if not isinstance(found, Visitor):
        raise TypeError(f"{found!r} is no visitor.")
    return found


def door_of(request: Request) -> Door:
    """The door that this request came in by."""
    found = request.scope[_DOOR]
    if not isinstance(found, Door):
        raise TypeError(f"{found!r} is no door.")
    return found


def person_named(text: str) -> str:
    """A person's name, trimmed; InputError for what is none, a machine's for one."""
    name = " ".join(text.split())
    if not config.is_somebody(name) or len(name) > 100 or is_automation(name):
        raise InputError(
            f"{name[:100]!r} is nobody's name." if name else "Somebody must say who they are.",
            hint="Give the name colleagues know you by.",
        )
    return name
