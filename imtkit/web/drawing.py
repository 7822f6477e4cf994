"""The pages' templates: the door to Jinja2, with escaping on, and what every answer carries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imtkit.config import shipped
from imtkit.errors import (
    AuthorityError,
    ImtkitError,
    InputError,
    NotFoundError,
    StateError,
    StoreError,
)
from imtkit.model.words import (
    moment_text,
    one_line,
    run_name,
    size_text,
    span_text,
    value_text,
    visible,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.responses import Response

STATIC: Mapping[str, str] = {
    "style.css": "text/css; charset=utf-8",
    "web.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
GUARDED: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers then post forms with 'Origin: null', which we refuse.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every page's answer carries: only our own script and style, no frames, no cache."""

_STATUSES: tuple[tuple[type[ImtkitError], int], ...] = (
    (NotFoundError, 404),
    (InputError, 400),
    (StateError, 409),
    (AuthorityError, 403),
    (StoreError, 503),
)


def status_of(error: ImtkitError) -> int:
    """The HTTP status that says whose fault it was."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def page(template: str, *, status: int = 200, **values: object) -> Response:
    """A page drawn from a template of ``templates/web``; every value is escaped."""
    from starlette.responses import HTMLResponse

    text = environment().get_template(template).render(**values)
    return HTMLResponse(text, status_code=status, headers=dict(GUARDED))


def static(name: str) -> tuple[bytes, str]:
    """The style sheet or the script, and its type; NotFoundError for anything else."""
    if name not in STATIC:
        raise NotFoundError.of("File", name, STATIC)
    return (shipped("templates") / "web" / name).read_bytes(), STATIC[name]


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates; what a template does not know is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(shipped("templates") / "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    filters: dict[str, Callable[..., Any]] = {
        "iso": iso_text,
        "moment": moment_text,
        "one_line": one_line,
        "part": path_part,
        "run_name": run_name,
        "size": size_text,
        "span": span_text,
        "state": state_class,
        "value_text": value_text,
    }
    made.filters.update(filters)
    made.globals["static_url"] = _static_urls()
    return made


def iso_text(moment: datetime) -> str:
    """A time as <time datetime> has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def path_part(text: str) -> str:
    """A text as one part of an address's path."""
    return quote(text, safe="")


def state_class(word: object) -> str:
    """The class of a state's colours; a word that is no state's gets none."""
    return f"is-{word}" if re.fullmatch(r"[a-z-]{1,20}", str(word)) else ""


def _static_urls() -> dict[str, str]:
    """Their addresses change with their content, so that browsers may keep them."""
    urls = {}
    for name in STATIC:
        content, _ = static(name)
        urls[name] = f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
    return urls


def _finalize(value: object) -> object:
    """Every text that reaches a page is made visible first, whoever forgot to."""
    return visible(value) if type(value) is str else value
