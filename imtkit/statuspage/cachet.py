"""Cachet, versions 3 and 2.4, which differ in headers, numbers and answers.

Cachet keeps nothing of ours beside the text, so every message ends with a line
``Reference: INC-2026-0042 / 3f9c1a2b7d`` by which it is found again: the incident's id, and
ten digits that stand for the update's marker.

The rules below were read in the sources of cachethq/core (3) and of the 2.4 line:

- 3: an update notifies when the *incident's* ``notifications`` is set, so that is set first.
- 2.4: ``POST …/updates`` mails every subscriber and has no switch for it. A quiet update
  therefore rewrites the text that is shown, newest part first, which mails nobody.
- 2.4: a component changed by way of an incident mails its subscribers; changed by itself it
  can be told to be silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from imtkit.contracts import Message, PageIncident, PageState, Receipt
from imtkit.errors import ServiceDownError, ServiceError
from imtkit.statuspage._client import Account, Client, Fields
from imtkit.statuspage._http import Wire
from imtkit.statuspage._wording import (
    MOST_BODY,
    as_markdown,
    checked,
    reference,
    shortened,
    worst,
)

_STATUS_NUMBERS = {"investigating": 1, "identified": 2, "monitoring": 3, "resolved": 4}
_STATUS_NAMES = {number: name for name, number in _STATUS_NUMBERS.items()}
_ROWS, _MOST_PAGES = 50, 6
_MOST_REWRITTEN = 60_000


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What differs between the versions in words and numbers."""

    component_numbers: Mapping[str, int]
    newest_first: Mapping[str, str]
    updates_newest_first: Mapping[str, str]


_THREE = _Dialect(
    {
        "operational": 1,
        "degraded_performance": 2,
        "partial_outage": 3,
        "major_outage": 4,
        "under_maintenance": 6,
    },
    {"sort": "-id"},
    {"sort": "-created_at"},
)
_TWO = _Dialect(
    # Version 2 knows no maintenance of a component; "performance issues" is the mildest it has.
    {
        "operational": 1,
        "under_maintenance": 2,
        "degraded_performance": 2,
        "partial_outage": 3,
        "major_outage": 4,
    },
    {"sort": "id", "order": "desc"},
    {"sort": "id", "order": "desc"},
)


class CachetPage:
    """One Cachet installation."""

    def __init__(
        self,
        base: str,
        *,
        version: Literal[2, 3],
        name: str,
        token: str,
        components: Mapping[str, str],
        wire: Wire,
    ) -> None:
        self.name = name
        self._version = version
        self._dialect = _THREE if version == 3 else _TWO
        self._components = components
        self._site = base.removesuffix("/api/v1").removesuffix("/api")
        bearer = {"Authorization": f"Bearer {token}"}
        headers = bearer if version == 3 else {"X-Cachet-Token": token}
        account = Account(f"'{name}' (Cachet {version})", base, token, headers)
        self._client = Client(account, wire)

    def find(self, incident: str) -> str | None:
        """The service's id of the incident, among the newest 300."""
        found = self._search(incident)
        return _id(found) if found else None

    def publish(self, message: Message, *, remote_id: str | None = None) -> Receipt:
        """Make the incident or add to it; what has our reference already is not posted again."""
        said = checked(message)
        with self._client.alone():
            known = _number(remote_id) if remote_id else self.find(said.incident)
            if known is None:
                known = _id(self._create(said))
            if not self._has(known, said):
                self._update(known, said)
            words = self._set_components(said)
        address = f"{self._site}/incidents/{known}"
        return Receipt(known, address, "; ".join([f"incident {said.status}", *words]))

    def show(self) -> PageState:
        """Components and unresolved incidents as the service answers them now."""
        ours = {id_: service for service, id_ in self._components.items()}
        states = {number: state for state, number in self._dialect.component_numbers.items()}
        components = {}
        for row in self._listed("/components", {}, "reading the components"):
            fields = _attributes(row)
            state = states.get(_value(fields.get("status")), "operational")
            components[ours.get(_id(row), str(fields.get("name", "")))] = state
        open_ones = tuple(
            _page_incident(row, self._site)
            for row in self._listed(
                "/incidents", self._dialect.newest_first, "reading the incidents"
            )
            if _status(row) in (1, 2, 3)
        )
        seen = [*components.values(), *(["degraded_performance"] if open_ones else [])]
        return PageState(worst(seen), components, open_ones)

    def _search(self, incident: str) -> Fields | None:
        wanted = reference(incident)
        rows = self._listed(
            "/incidents", self._dialect.newest_first, "looking for what is there already"
        )
        for row in rows:
            if wanted in str(_attributes(row).get("message", "")):
                return row
        return None

    def _updates(self, remote_id: str) -> Iterator[Fields]:
        return self._listed(
            f"/incidents/{remote_id}/updates",
            self._dialect.updates_newest_first,
            "reading the updates",
        )

    def _has(self, remote_id: str, said: Message) -> bool:
        wanted = reference(said.incident, said.marker)
        incident = self._get(remote_id)
        if wanted in str(_attributes(incident).get("message", "")):
            return True
        updates = self._updates(remote_id)
        return any(wanted in str(_attributes(row).get("message", "")) for row in updates)

    def _get(self, remote_id: str) -> Fields:
        answer = self._client.read(f"/incidents/{remote_id}", doing=f"reading {remote_id}")
        return _data(answer)

    def _listed(self, path: str, query: Mapping[str, str], doing: str) -> Iterator[Fields]:
        """Rows of a list; its pages are asked for as they are needed."""
        for page in range(1, _MOST_PAGES + 1):
            answer = self._client.read(
                path, {**query, "per_page": _ROWS, "page": page}, doing=doing
            )
            rows = answer.get("data")
            # Taken for an empty list, a stranger's answer would make a second incident.
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise self._client.surprise(doing)
            yield from rows
            if len(rows) < _ROWS:
                return

    def _create(self, said: Message) -> Fields:
        body: Fields = {
            "name": said.title,
            "message": _text(said),
            "status": _STATUS_NUMBERS[said.status],
            "visible": True if self._version == 3 else 1,
            "stickied": False,
        }
        if self._version == 3:
            body["notifications"] = said.notify
            ids, _ = self._ids(said)
            body["components"] = [{"id": id_, "status": number} for id_, number in ids.items()]
        else:
            body["notify"] = said.notify
        answer = self._client.add(
            "POST",
            "/incidents",
            body,
            doing=f"publishing {said.incident}",
            landed=lambda: self._search(said.incident),
        )
        return _data(answer)

    def _update(self, remote_id: str, said: Message) -> None:
        if self._version == 3:
            notifies = _attributes(self._get(remote_id)).get("notifications")
            if notifies is None or bool(notifies) is not said.notify:
                self._put(f"/incidents/{remote_id}", {"notifications": said.notify}, said)
        elif not said.notify:
            self._rewrite(remote_id, said)
            return

        def landed() -> Fields | None:
            return {} if self._has(remote_id, said) else None

        self._client.add(
            "POST",
            f"/incidents/{remote_id}/updates",
            {"status": _STATUS_NUMBERS[said.status], "message": _text(said)},
            doing=f"updating {said.incident}",
            landed=landed,
        )

    def _rewrite(self, remote_id: str, said: Message) -> None:
        """Version 2: put the new text before what is shown, in the newest update if there is one.

        The page takes its state from the newest update where there are updates.
        """
        incident = _attributes(self._get(remote_id))
        newest = next(self._updates(remote_id), None)
        before = str((_attributes(newest) if newest else incident).get("message", ""))
        text = shortened(f"{_text(said)}\n\n---\n\n{before}", _MOST_REWRITTEN)
        number = _STATUS_NUMBERS[said.status]
        if newest:
            path = f"/incidents/{remote_id}/updates/{_id(newest)}"
            self._put(path, {"status": number, "message": text}, said)
            text = str(incident.get("message", ""))
        body: Fields = {
            "name": said.title,
            "status": number,
            "message": text,
            "visible": 1,
            "notify": False,
            "stickied": bool(incident.get("stickied")),
        }
        self._put(f"/incidents/{remote_id}", body, said)

    def _put(self, path: str, body: Fields, said: Message) -> None:
        self._client.put("PUT", path, body, doing=f"updating {said.incident}")

    def _ids(self, said: Message) -> tuple[dict[int, int], list[str]]:
        """Component states in the service's numbers, and what cannot be told it, in words."""
        ids: dict[int, int] = {}
        unknown = []
        for service, state in said.components.items():
            id_ = self._components.get(service, "")
            if id_.isdecimal():
                shown = "operational" if said.status == "resolved" else state
                ids[int(id_)] = self._dialect.component_numbers[shown]
            else:
                unknown.append(service)
        words = f"not shown, as imt.toml names no component for: {', '.join(sorted(unknown))}"
        return ids, [words] if unknown else []

    def _set_components(self, said: Message) -> Iterable[str]:
        """Set their states, each by itself; a token without the right for it is no failure.

        By then the word is out; what could not be set is said in the receipt.
        """
        ids, words = self._ids(said)
        for id_, number in ids.items():
            body: Fields = {"status": number}
            if self._version == 2:
                body["silent"] = not said.notify
            try:
                self._put(f"/components/{id_}", body, said)
            except ServiceDownError:
                raise
            except ServiceError as error:
                words.append(f"component {id_} was not set: {error}")
        return words


def _text(said: Message) -> str:
    line = reference(said.incident, said.marker)
    return f"{shortened(as_markdown(said.body), MOST_BODY)}\n\n{line}"


def _data(answer: Fields) -> Fields:
    data = answer.get("data", answer)
    return data if isinstance(data, dict) else {}


def _attributes(row: Fields) -> Fields:
    """A row's fields: JSON:API puts them under ``attributes``, version 2 nowhere special."""
    attributes = row.get("attributes")
    return attributes if isinstance(attributes, dict) else row


def _id(row: Fields) -> str:
    return str(row.get("id", ""))


def _value(field: object) -> int:
    """A number that stands alone or as ``{"human": …, "value": …}``; 0 when there is none."""
    inner = field.get("value") if isinstance(field, dict) else field
    try:
        return int(str(inner))
    except ValueError:
        return 0


def _status(row: Fields) -> int:
    fields = _attributes(row)
    return _value(fields.get("latest_status") or fields.get("status"))


def _page_incident(row: Fields, site: str) -> PageIncident:
    fields = _attributes(row)
    updated = fields.get("updated")
    text = updated.get("string") if isinstance(updated, dict) else fields.get("updated_at")
    return PageIncident(
        _id(row),
        str(fields.get("name", "")),
        _STATUS_NAMES.get(_status(row), "investigating"),
        _moment(text),
        f"{site}/incidents/{_id(row)}",
    )


def _moment(text: object) -> datetime | None:
    """Cachet writes times without a zone, in the installation's own; UTC is its default."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(remote_id: str) -> str:
    """The id, once it is known to be one of Cachet's, which are numbers."""
    if not remote_id.isdecimal():
        raise ServiceError(
            f"{remote_id!r} is not an id of an incident at Cachet.",
            hint="Publish without it: the incident is looked for.",
        )
    return remote_id
