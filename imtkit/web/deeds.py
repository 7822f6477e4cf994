"""What a person does on an incident from its page: take it, move it on, write, tick."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from imtkit.errors import AuthorityError, InputError, NotFoundError, StateError
from imtkit.kit import Desk, checklists
from imtkit.kit import incidents as kit
from imtkit.kit.desk import id_of
from imtkit.model.entries import Entry
from imtkit.model.incident import Incident
from imtkit.model.lifecycle import TRANSITIONS
from imtkit.model.words import moment_text
from imtkit.web import incidents
from imtkit.web.asked import Asked
from imtkit.web.live import Tail
from imtkit.web.moves import MOVES, Move
from imtkit.web.shelf import Shelf

if TYPE_CHECKING:
    from starlette.responses import Response

_MOST_NOTE = 8000
_MOST_REASON = 2000


async def moved(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """Move the incident on as the posted form says, then show it as the log has it.

    The same click again changes nothing; who comes second is told who was first.
    """
    verb = asked.path("verb")
    if verb not in MOVES:
        raise NotFoundError.of("State change", verb, MOVES)

    def move(desk: Desk, incident: str) -> Entry:
        fields = {
            name.removeprefix("field-"): _text(asked, name, _MOST_REASON)
            for name in asked.said
            if name.startswith("field-") and asked.said[name].strip()
        }
        reason = _text(asked, "reason", _MOST_REASON)
        return _moved(desk, incident, MOVES[verb], fields=fields, reason=reason)

    return await _done(asked, tail, shelf, what=verb, task=move)


async def noted(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """Write the posted note down, then show the incident. The same form again is the same note."""

    def note(desk: Desk, incident: str) -> Entry:
        text, nonce = _text(asked, "text", _MOST_NOTE), asked.said.get("nonce", "")
        kit.need_text("A note", text)
        kit.get(desk, incident)
        return kit.note(desk, incident, text, key=_key(incident, desk.who(), nonce, text))

    return await _done(asked, tail, shelf, what="note", task=note)


async def ticked(asked: Asked, tail: Tail, shelf: Shelf) -> Response:
    """Tick an item of a checklist, or take its tick back, then show the incident."""
    name, item = asked.path("list"), asked.said.get("item", "")
    do, type_ = checklists.tick, "checklist.ticked"
    if asked.said.get("take-back"):
        do, type_ = checklists.untick, "checklist.unticked"

    def tick(desk: Desk, incident: str) -> Entry:
        meant = do(desk, incident, name, item).item(item).id
        after = kit.get(desk, incident)
        return _last(after, lambda one: one.type == type_ and _is_of(one, name, meant))

    place = asked.said.get("place", "")
    what = f"list-{place}" if place.isalnum() else "list"
    return await _done(asked, tail, shelf, what=what, task=tick)


async def _done(
    asked: Asked, tail: Tail, shelf: Shelf, *, what: str, task: Callable[[Desk, str], Entry]
) -> Response:
    """Do it as the person who asks; where it was refused, the page says why, and keeps the words.

    A log that did not take it is told by ``trouble``: there is no page to show without it.
    """
    incident = id_of(asked.path("incident"))
    try:
        person = asked.person()
        entry = await asked.work_as(person, lambda desk: task(desk, incident))
    except NotFoundError:
        raise
    except (InputError, StateError, AuthorityError) as error:
        return await incidents.shown(asked, tail, shelf, problem=(what, error))
    place = what if what.startswith("list-") else "recorded"
    return asked.gone_to(f"/incidents/{entry.incident}?recorded={entry.n}#{quote(place)}", person)


def _moved(
    desk: Desk, incident_id: str, move: Move, *, fields: Mapping[str, str], reason: str
) -> Entry:
    """The entry that moved the incident on: a new one, or this person's of a moment ago."""
    before = kit.get(desk, incident_id)
    if before.status not in TRANSITIONS[move.verb]:
        first = _first(before, move, desk.who())
        if first is not None:
            return first
    after = kit.move(desk, incident_id, move.verb, fields=fields, reason=reason)
    return _last(after, lambda entry: entry.type == move.entry)


def _first(incident: Incident, move: Move, person: str) -> Entry | None:
    """What this person did already; StateError when somebody else was first, None if nobody."""
    done = [entry for entry in incident.entries if entry.type == move.entry]
    if not done or incident.status not in TRANSITIONS[move.verb].values():
        return None
    if done[-1].actor == person:
        return done[-1]
    word, at = move.entry.partition(".")[2], moment_text(done[-1].occurred_at)
    raise StateError(f"{incident.id} was {word} already, by {done[-1].actor}, {at}.")


def _last(incident: Incident, is_meant: Callable[[Entry], bool]) -> Entry:
    for entry in reversed(incident.entries):
        if is_meant(entry):
            return entry
    raise StateError("There is nothing to take back.", hint="Reload the page to see how it stands.")


def _is_of(entry: Entry, name: str, item: str) -> bool:
    return (entry.data.get("list"), entry.data.get("item")) == (name, item)


def _text(asked: Asked, name: str, most: int) -> str:
    text = asked.said.get(name, "").replace("\r\n", "\n").strip()
    if len(text) > most:
        raise InputError(f"At most {most} characters fit here; these are {len(text)}.")
    return text


def _key(incident: str, person: str, nonce: str, text: str) -> str | None:
    """What makes the same filled-in form one note; None where no form of ours was filled in."""
    if not nonce:
        return None
    said = "\0".join((person, nonce, text)).encode("utf-8", "surrogatepass")
    return f"{incident}/note/{hashlib.sha256(said).hexdigest()[:32]}"
