"""What a request asks for: from the person at the browser to the desk, and back as a page."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from imtkit.errors import AuthorityError, ImtkitError, StoreError
from imtkit.kit import Desk
from imtkit.model.words import one_line
from imtkit.web.drawing import page, status_of
from imtkit.web.entrance import form_of
from imtkit.web.visitors import Visitor, door_of, person_named, visitor_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Works(Protocol):
    """An office: it works at the desk, off the event loop."""

    def work(self, task: Callable[[Desk], Answer], *, actor: str) -> Awaitable[Answer]:
        """What the task answers."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and who made it; ``said`` are a posted form's fields."""

    request: Request
    visitor: Visitor
    office: Works
    said: Mapping[str, str]

    async def work(self, task: Callable[[Desk], Answer]) -> Answer:
        """What the task answers, with the visitor at the desk."""
        return await self.office.work(task, actor=self.visitor.name)

    async def work_as(self, person: str, task: Callable[[Desk], Answer]) -> Answer:
        """What the task answers, with this person at the desk; what they write says how they
        were known.
        """
        source = self.visitor.source
        return await self.office.work(
            lambda desk: task(desk.acting_as(person, source)), actor=person
        )

    def person(self) -> str:
        """Who acts: whom the door knows, else the name in the form."""
        return self.visitor.name or person_named(self.said.get("person", ""))

    def path(self, name: str) -> str:
        """A part of the address."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A value from behind the address's question mark."""
        return self.request.query_params.get(name, default)

    def page(self, template: str, *, status: int = 200, **values: object) -> Response:
        """A page, told who looks at it and where."""
        about = {
            "visitor": self.visitor,
            "here": self.request.url.path,
            "at": "",
            "after": None,
            "watched": "",
        }
        return page(template, status=status, **{**about, **values})

    def gone_to(self, to: str, person: str = "") -> Response:
        """A redirect after a post; a browser that gave a name is known by it from now on."""
        from dataclasses import replace

        from starlette.responses import RedirectResponse

        from imtkit.web.drawing import GUARDED

        response = RedirectResponse(to, 303, headers=dict(GUARDED))
        if person and self.visitor.way == "cookie" and not self.visitor.name:
            door_of(self.request).remember(response, replace(self.visitor, name=person))
        return response


Endpoint = Callable[[Asked], Awaitable["Response"]]


def route(office: Works, path: str, endpoint: Endpoint, *, is_post: bool = False) -> Route:
    """A route whose errors are told in words, and whose posts prove where they come from."""
    from starlette.routing import Route

    async def answer(request: Request) -> Response:
        visitor = visitor_of(request)
        asked = Asked(request, visitor, office, {})
        try:
            if is_post:
                asked = Asked(request, visitor, office, await _form(request, visitor))
            return await endpoint(asked)
        except ImtkitError as error:
            return trouble(asked, error)

    return Route(path, answer, methods=["POST"] if is_post else ["GET"])


def trouble(asked: Asked, error: ImtkitError) -> Response:
    """The page that tells an error: what is wrong, and what to do next."""
    status = status_of(error)
    if status == 500:
        log.error("%s: %s", asked.request.url.path, one_line(str(error)), exc_info=error)
    kept = {name: text for name, text in asked.said.items() if name != "csrf"}
    is_again = isinstance(error, StoreError) and bool(kept)
    response = asked.page(
        "trouble.html",
        status=status,
        error=str(error),
        hint=error.hint,
        is_post=asked.request.method == "POST",
        kept=kept if is_again else {},
    )
    if isinstance(error, StoreError):
        response.headers["Retry-After"] = "5"
    return response


async def _form(request: Request, visitor: Visitor) -> dict[str, str]:
    """A posted form's fields; AuthorityError when it is not one that we gave to this visitor."""
    from hmac import compare_digest

    said = await form_of(request)
    shown = said.get("csrf", "").encode("utf-8", "surrogatepass")
    if visitor.way != "bearer" and not compare_digest(shown, visitor.csrf.encode()):
        raise AuthorityError(
            "This page was too old; nothing was done.", hint="Go back, reload it and do it again."
        )
    return said
