"""Answers to gates and to changes, given in a page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from imtkit.errors import (
    AuthorityError,
    InputError,
    NotFoundError,
    StateError,
)
from imtkit.kit import Desk, gates
from imtkit.kit.desk import id_of
from imtkit.model.gates import Gate
from imtkit.model.words import visible
from imtkit.web import incidents
from imtkit.web.asked import Asked
from imtkit.web.live import Tail
from imtkit.web.shelf import Shelf

if TYPE_CHECKING:
    from starlette.responses import Response

_MOST_REASON = 2000


async def answered(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """Record the answer in the posted form, then show the incident as the log has it.

    The same click again changes nothing. Why an answer was not taken (somebody was first, its
    time is over, this person may not) is told beside the gate.
    """
    incident, gate = id_of(asked.path("incident")), asked.path("gate")
    try:
        person = asked.person()
        chosen, reason = _words(asked)

        def take(desk: Desk) -> Gate:
            meant = _meant(gates.get(desk, incident, gate), chosen)
            return gates.answer(desk, incident, gate, meant, reason=reason)

        taken = await asked.work_as(person, take)
    except NotFoundError:
        raise
    except (InputError, StateError, AuthorityError) as error:
        return await incidents.shown(asked, tail, shelf, problem=(gate, error))
    query = urlencode({"answered": taken.id})
    return asked.gone_to(f"/incidents/{incident}?{query}#answered", person)


def _meant(gate: Gate, chosen: str) -> str:
    """The answer whose button was pressed: pages show, and so post, what is unseen made visible."""
    return next((one for one in gate.answers if visible(one) == visible(chosen)), chosen)


def _words(asked: Asked) -> tuple[str, str]:
    chosen, reason = asked.said.get("answer", ""), asked.said.get("reason", "")
    if len(reason) > _MOST_REASON:
        raise InputError(f"A reason has at most {_MOST_REASON} characters.")
    return chosen, reason
