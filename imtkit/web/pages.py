"""Every page, by its address."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imtkit.errors import NotFoundError
from imtkit.web import archive, deeds, gates, incidents, runs, silenced
from imtkit.web.asked import Works, route
from imtkit.web.drawing import static
from imtkit.web.live import Tail, news
from imtkit.web.shelf import Shelf

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


def routes(office: Works) -> list[Route]:
    """The pages' routes, for an app that stands behind an ``Entrance``."""
    from starlette.routing import Route

    tail = Tail(office)
    shelf = Shelf(tail.changed)
    held = silenced.Silenced()
    one = "/incidents/{incident}"
    return [
        Route("/static/{name}", _static, methods=["GET"]),
        route(office, "/", partial(incidents.listed, tail=tail, shelf=shelf, silenced=held)),
        route(office, "/silenced", partial(silenced.listed, tail=tail, silenced=held)),
        route(office, one, partial(incidents.shown, tail=tail, shelf=shelf)),
        *(
            route(office, f"{one}/{rest}", partial(do, tail=tail, shelf=shelf), is_post=True)
            for rest, do in (
                ("gates/{gate}", gates.answered),
                ("moves/{verb}", deeds.moved),
                ("notes", deeds.noted),
                ("checklists/{list}", deeds.ticked),
            )
        ),
        route(office, "/runs", partial(runs.listed, tail=tail, shelf=shelf)),
        route(office, "/runs/{run}", partial(runs.shown, tail=tail, shelf=shelf)),
        route(office, "/runs/{run}/cancel", runs.cancelled, is_post=True),
        route(office, "/archive", archive.listed),
        route(
            office,
            "/archive/{incident}/{file:path}",
            partial(archive.file, elsewhere=archive.Elsewhere()),
        ),
        route(office, "/news", partial(news, tail=tail)),
    ]


async def _static(request: Request) -> Response:
    from starlette.responses import PlainTextResponse
    from starlette.responses import Response as Plain

    try:
        content, kind = static(str(request.path_params["name"]))
    except NotFoundError as error:
        return PlainTextResponse(f"{error}\n", 404)
    is_named = bool(request.query_params.get("v"))
    kept = "public, max-age=31536000, immutable" if is_named else "no-cache"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Plain(content, media_type=kind, headers=headers)
