"""What is answered where there is no page: wrong addresses, wrong methods, our own faults.

To a browser a page, to a sender of alerts JSON as all its answers are, to others a line of text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imtkit.web.drawing import GUARDED, page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

_SAID: Mapping[int, tuple[str, str]] = {
    404: ("There is nothing at this address.", "It may be mistyped; the incidents are at /"),
    405: ("Nothing can be done with this address in that way.", ""),
    500: (
        "imtkit itself failed here.",
        "Try again; what it says in the terminal of 'imt serve' tells why.",
    ),
}


def handlers() -> dict[Any, Any]:
    """What the application does with errors that no page of its own tells."""
    from starlette.exceptions import HTTPException

    return {HTTPException: _refused, Exception: _broken}


def answer(
    request: Request,
    status: int,
    words: str,
    *,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer in words to whoever asked, in the form that they can read."""
    from starlette.responses import JSONResponse, PlainTextResponse

    told = {**GUARDED, **(headers or {})}
    if request.url.path.startswith("/alerts/"):
        return JSONResponse({"error": words, "hint": hint}, status, headers=told)
    if "text/html" in request.headers.get("accept", ""):
        drawn = page("astray.html", status=status, words=words, hint=hint)
        drawn.headers.update(headers or {})
        return drawn
    return PlainTextResponse(f"{words} {hint}".strip() + "\n", status, headers=told)


async def _refused(request: Request, error: Exception) -> Response:
    """An address that there is not, or a method that it does not take."""
    status = getattr(error, "status_code", 500)
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    words, hint = _SAID.get(status, (str(getattr(error, "detail", "")), ""))
    if status == 405:
        allowed = headers.get("Allow", "")
        if request.url.path.startswith("/alerts/"):
            hint = "Alerts are posted here: POST."
        elif "GET" not in allowed:
            hint = "It takes what one of our pages posts."
    elif status == 404 and request.url.path.startswith("/alerts/"):
        hint = "Alerts are posted to /alerts/NAME, NAME being one of [alerts.sources] in imt.toml."
    return answer(request, status, words, hint=hint, headers=headers)


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours; the server logs the error itself, with where it came from."""
    log.error("%s %s failed: %r", request.method, request.url.path, type(error).__name__)
    words, hint = _SAID[500]
    return answer(request, 500, words, hint=hint, headers={"Retry-After": "5"})
