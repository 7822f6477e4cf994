"""Atlassian Statuspage, API v1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from imtkit.contracts import COMPONENT_STATES, Message, PageIncident, PageState, Receipt
from imtkit.errors import ServiceError
from imtkit.model.entries import utc_from_text
from imtkit.statuspage._client import Account, Client, Fields
from imtkit.statuspage._http import Wire
from imtkit.statuspage._wording import STATE_OF_IMPACT, checked, worst

_NAMESPACE = "imtkit"
_MOST_MARKERS = 100
_ROWS, _MOST_PAGES = 100, 3
_SECONDS_BETWEEN = 1.05
"""The service allows one request a second for each token; a little more keeps clear of it."""


class AtlassianPage:
    """One page at Statuspage, as its own OpenAPI document (2023-06) describes the service.

    What we made is known by the incident's ``metadata``: ``{"imtkit": {"incident": …,
    "marker": …, "markers": […]}}``, written by the same request that posts the update.
    """

    def __init__(
        self,
        base: str,
        page: str,
        *,
        name: str,
        token: str,
        components: Mapping[str, str],
        wire: Wire,
    ) -> None:
        self.name = name
        self._path = f"/pages/{page}"
        self._components = components
        account = Account(
            label=f"'{name}' (Statuspage)",
            base=base,
            token=token,
            headers={"Authorization": f"OAuth {token}"},
            pace_seconds=_SECONDS_BETWEEN,
        )
        self._client = Client(account, wire)

    def find(self, incident: str) -> str | None:
        """The service's id of the incident, among those open and the newest 300."""
        found = self._search(incident)
        return str(found["id"]) if found else None

    def publish(self, message: Message, *, remote_id: str | None = None) -> Receipt:
        """Make the incident or add to it; what has our marker already is not posted again."""
        said = checked(message)
        with self._client.alone():
            found = self._get(remote_id) if remote_id else self._search(said.incident)
            if found is None:
                found = self._create(said)
            was_there = said.marker in _markers(found)
            if not was_there:
                found = self._update(found, said)
        unknown = sorted(set(said.components) - set(self._components))
        words = f"incident {found.get('status', said.status)}"
        if unknown:
            words += f"; not shown, as imt.toml names no component for: {', '.join(unknown)}"
        return Receipt(str(found.get("id", "")), str(found.get("shortlink") or ""), words)

    def show(self) -> PageState:
        """Components and unresolved incidents as the service answers them now."""
        rows = self._client.rows(
            f"{self._path}/components", {"per_page": _ROWS}, doing="reading the components"
        )
        ours = {id_: service for service, id_ in self._components.items()}
        components = {
            ours.get(str(row.get("id")), str(row.get("name", ""))): str(row.get("status", ""))
            for row in rows
            if not row.get("group")
        }
        incidents = self._unresolved()
        known = [state for state in components.values() if state in COMPONENT_STATES]
        impacts = [STATE_OF_IMPACT.get(str(one.get("impact")), "operational") for one in incidents]
        return PageState(
            worst([*known, *impacts]), components, tuple(_page_incident(one) for one in incidents)
        )

    def _get(self, remote_id: str) -> Fields:
        return self._client.read(
            f"{self._path}/incidents/{_plain(remote_id)}", doing=f"reading incident {remote_id}"
        )

    def _unresolved(self) -> list[Fields]:
        return self._client.rows(
            f"{self._path}/incidents/unresolved", doing="reading the open incidents"
        )

    def _search(self, incident: str) -> Fields | None:
        for row in self._rows():
            if _ours(row).get("incident") == incident:
                return row
        return None

    def _rows(self) -> Iterator[Fields]:
        """Open incidents, then the newest of all; pages are asked for as they are needed."""
        yield from self._unresolved()
        for page in range(1, _MOST_PAGES + 1):
            rows = self._client.rows(
                f"{self._path}/incidents",
                {"limit": _ROWS, "page": page},
                doing="looking for what is there already",
            )
            yield from rows
            if len(rows) < _ROWS:
                return

    def _create(self, said: Message) -> Fields:
        body = self._body(said, {})
        made = self._client.add(
            "POST",
            f"{self._path}/incidents",
            {"incident": body},
            doing=f"publishing {said.incident}",
            landed=lambda: self._search(said.incident),
        )
        # What was found has metadata; an answer without is of the incident just sent.
        return made if made.get("metadata") else made | {"metadata": body["metadata"]}

    def _update(self, found: Fields, said: Message) -> Fields:
        remote_id = _plain(str(found.get("id", "")))

        def landed() -> Fields | None:
            now = self._get(remote_id)
            return now if said.marker in _markers(now) else None

        return self._client.add(
            "PATCH",
            f"{self._path}/incidents/{remote_id}",
            {"incident": self._body(said, found)},
            doing=f"updating {said.incident}",
            landed=landed,
        )

    def _body(self, said: Message, found: Fields) -> Fields:
        """The incident as it is sent; ``found`` is how the page has it, empty when it has not."""
        metadata = found.get("metadata") or {}
        ours = {
            "incident": said.incident,
            "marker": said.marker,
            "markers": [*_markers(found), said.marker][-_MOST_MARKERS:],
        }
        body: Fields = {
            "name": said.title,
            "status": said.status,
            "impact_override": said.impact,
            "body": said.body,
            "deliver_notifications": said.notify,
            "metadata": {**metadata, _NAMESPACE: ours},
        }
        states = self._states(said, found)
        if states:
            body["components"] = states
            body["component_ids"] = sorted(_component_ids(found) | set(states))
        return body

    def _states(self, said: Message, found: Fields) -> dict[str, str]:
        """Component states by the service's ids.

        Once resolved all that the incident names are operational, but for those that another
        open incident names too.
        """
        states = {
            self._components[service]: state
            for service, state in said.components.items()
            if service in self._components
        }
        if said.status != "resolved":
            return states
        named = _component_ids(found) | set(states)
        if not named:
            return {}
        others = (one for one in self._unresolved() if one.get("id") != found.get("id"))
        held = {id_ for other in others for id_ in _component_ids(other)}
        return dict.fromkeys(sorted(named - held), "operational")


def _ours(row: Fields) -> Fields:
    metadata = row.get("metadata")
    ours = metadata.get(_NAMESPACE) if isinstance(metadata, dict) else None
    return ours if isinstance(ours, dict) else {}


def _markers(row: Fields) -> list[str]:
    ours = _ours(row)
    markers = ours.get("markers")
    return [str(one) for one in markers] if isinstance(markers, list) else []


def _component_ids(row: Fields) -> set[str]:
    return {str(one.get("id")) for one in row.get("components") or () if isinstance(one, dict)}


def _page_incident(row: Fields) -> PageIncident:
    return PageIncident(
        str(row.get("id", "")),
        str(row.get("name", "")),
        str(row.get("status", "")),
        _moment(row.get("updated_at")),
        str(row.get("shortlink") or ""),
    )


def _moment(text: object) -> datetime | None:
    try:
        return utc_from_text(str(text)) if text else None
    except ValueError:
        return None


def _plain(remote_id: str) -> str:
    """The id, once it is known that it cannot lead to another path."""
    if not remote_id.isascii() or not remote_id.replace("-", "").replace("_", "").isalnum():
        raise ServiceError(
            f"{remote_id!r} is not an id of an incident at a status page.",
            hint="Publish without it: the incident is looked for.",
        )
    return remote_id
