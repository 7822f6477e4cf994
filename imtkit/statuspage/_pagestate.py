"""What the embedded page knows, and what follows from it: pure, no files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from imtkit.contracts import COMPONENT_STATES, UPDATE_STATUSES, Message
from imtkit.model.entries import utc_from_text, utc_text
from imtkit.statuspage._wording import IMPACTS, STATE_OF_IMPACT, worst

VERSION = 1

_INDICATORS: Mapping[str, tuple[str, str]] = {
    "operational": ("none", "All systems operational"),
    "under_maintenance": ("maintenance", "Under maintenance"),
    "degraded_performance": ("minor", "Degraded performance"),
    "partial_outage": ("major", "Partial outage"),
    "major_outage": ("critical", "Major outage"),
}


@dataclass(frozen=True, slots=True)
class Update:
    """One update as it was published: said of ``at``, put on the page at ``posted_at``."""

    marker: str
    status: str
    body: str
    at: datetime
    posted_at: datetime
    components: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublicIncident:
    """One incident with its updates, in the order of the times they speak of."""

    id: str
    title: str
    impact: str
    updates: tuple[Update, ...]

    @property
    def status(self) -> str:
        return self.updates[-1].status

    @property
    def is_resolved(self) -> bool:
        return self.status == "resolved"

    @property
    def started_at(self) -> datetime:
        return self.updates[0].at

    @property
    def resolved_at(self) -> datetime | None:
        return self.updates[-1].at if self.is_resolved else None

    @property
    def lasted(self) -> timedelta | None:
        """How long it lasted, once it is resolved."""
        return self.updates[-1].at - self.updates[0].at if self.is_resolved else None

    @property
    def updated_at(self) -> datetime:
        return max(update.posted_at for update in self.updates)

    @property
    def components(self) -> Mapping[str, str]:
        """The state that its updates last gave each component."""
        return {name: state for one in self.updates for name, state in one.components.items()}


@dataclass(frozen=True, slots=True)
class PublicPage:
    """Everything the page shows. Its id names the feed for ever."""

    id: UUID
    title: str
    created_at: datetime
    known: tuple[str, ...] = ()
    incidents: tuple[PublicIncident, ...] = ()

    @property
    def unresolved(self) -> tuple[PublicIncident, ...]:
        """Incidents not resolved, newest first."""
        return _newest_first(one for one in self.incidents if not one.is_resolved)

    @property
    def resolved(self) -> tuple[PublicIncident, ...]:
        """Incidents that are over, newest first."""
        return _newest_first(one for one in self.incidents if one.is_resolved)

    @property
    def newest(self) -> tuple[PublicIncident, ...]:
        """All incidents, newest first."""
        return _newest_first(self.incidents)

    @property
    def updated_at(self) -> datetime:
        return max((one.updated_at for one in self.incidents), default=self.created_at)

    @property
    def components(self) -> Mapping[str, str]:
        """Each component's state: the worst that an unresolved incident gives it.

        A component that no unresolved incident names is operational, so resolving resets it.
        """
        names = dict.fromkeys(self.known)
        names |= dict.fromkeys(name for one in self.incidents for name in one.components)
        return {
            name: worst(one.components[name] for one in self.unresolved if name in one.components)
            for name in names
        }

    @property
    def status(self) -> str:
        """The worst of the components' states and of the unresolved incidents' impact."""
        impacts = (STATE_OF_IMPACT[one.impact] for one in self.unresolved)
        return worst([*self.components.values(), *impacts])

    @property
    def indicator(self) -> str:
        return _INDICATORS[self.status][0]

    @property
    def description(self) -> str:
        return _INDICATORS[self.status][1]

    def incident(self, id_: str) -> PublicIncident | None:
        """The incident of this id, if the page has it."""
        return next((one for one in self.incidents if one.id == id_), None)


def with_message(page: PublicPage, said: Message, posted_at: datetime) -> PublicPage:
    """The page with the message on it; the same page when it has the marker already."""
    old = page.incident(said.incident)
    if old and any(update.marker == said.marker for update in old.updates):
        return page
    update = Update(said.marker, said.status, said.body, said.at, posted_at, dict(said.components))
    updates = sorted((*(old.updates if old else ()), update), key=lambda one: one.at)
    new = PublicIncident(said.incident, said.title, said.impact, tuple(updates))
    others = tuple(one for one in page.incidents if one.id != said.incident)
    return replace(page, incidents=(*others, new))


def page_as_data(page: PublicPage) -> dict[str, Any]:
    """The page as JSON, from which ``page_from_data`` makes it again."""
    return {
        "version": VERSION,
        "id": str(page.id),
        "created_at": utc_text(page.created_at),
        "incidents": [
            {
                "id": one.id,
                "title": one.title,
                "impact": one.impact,
                "updates": [
                    {
                        "marker": update.marker,
                        "status": update.status,
                        "body": update.body,
                        "at": utc_text(update.at),
                        "posted_at": utc_text(update.posted_at),
                        "components": dict(update.components),
                    }
                    for update in one.updates
                ],
            }
            for one in page.incidents
        ],
    }


def page_from_data(data: Mapping[str, Any], title: str, known: Iterable[str]) -> PublicPage:
    """The page from its JSON; ValueError, KeyError or TypeError when it is not one."""
    return PublicPage(
        id=UUID(data["id"]),
        title=title,
        created_at=utc_from_text(data["created_at"]),
        known=tuple(known),
        incidents=tuple(_incident_from_data(one) for one in data["incidents"]),
    )


def summary(page: PublicPage) -> dict[str, Any]:
    """``summary.json`` in the shape of Statuspage's public API v2, which many tools read."""
    return {
        **status(page),
        "components": [
            _component(page, position, name, state)
            for position, (name, state) in enumerate(page.components.items(), start=1)
        ],
        "incidents": [_incident(page, one) for one in page.unresolved],
        "scheduled_maintenances": [],
    }


def status(page: PublicPage) -> dict[str, Any]:
    """``status.json`` in the same shape."""
    return {
        "page": _head(page),
        "status": {"indicator": page.indicator, "description": page.description},
    }


def incidents(page: PublicPage) -> dict[str, Any]:
    """``incidents.json`` in the same shape: the newest 50, resolved or not."""
    return {"page": _head(page), "incidents": [_incident(page, one) for one in page.newest[:50]]}


def _newest_first(some: Iterable[PublicIncident]) -> tuple[PublicIncident, ...]:
    return tuple(sorted(some, key=lambda one: (one.started_at, one.id), reverse=True))


def _incident_from_data(data: Mapping[str, Any]) -> PublicIncident:
    updates = tuple(
        Update(
            str(one["marker"]),
            _one_of(one["status"], UPDATE_STATUSES),
            str(one["body"]),
            utc_from_text(one["at"]),
            utc_from_text(one["posted_at"]),
            {str(k): _one_of(v, COMPONENT_STATES) for k, v in one["components"].items()},
        )
        for one in data["updates"]
    )
    if not updates:
        raise ValueError("an incident has no updates")
    return PublicIncident(
        str(data["id"]), str(data["title"]), _one_of(data["impact"], IMPACTS), updates
    )


def _one_of(value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return str(value)


def _head(page: PublicPage) -> dict[str, Any]:
    return {
        "id": str(page.id),
        "name": page.title,
        "url": "",
        "time_zone": "Etc/UTC",
        "updated_at": _time(page.updated_at),
    }


def component_id(page: PublicPage, name: str) -> str:
    """A component's id on this page, the same as long as its name is."""
    return uuid5(page.id, f"component {name}").hex[:12]


def _component(page: PublicPage, position: int, name: str, state: str) -> dict[str, Any]:
    return {
        "id": component_id(page, name),
        "name": name,
        "status": state,
        "created_at": _time(page.created_at),
        "updated_at": _time(page.updated_at),
        "position": position,
        "description": None,
        "showcase": True,
        "start_date": None,
        "group_id": None,
        "page_id": str(page.id),
        "group": False,
        "only_show_if_degraded": False,
    }


def _incident(page: PublicPage, one: PublicIncident) -> dict[str, Any]:
    monitoring = [update.at for update in one.updates if update.status == "monitoring"]
    now = page.components
    return {
        "id": one.id,
        "name": one.title,
        "status": one.status,
        "created_at": _time(one.started_at),
        "updated_at": _time(one.updated_at),
        "monitoring_at": _time(monitoring[-1]) if monitoring else None,
        "resolved_at": _time(one.resolved_at) if one.resolved_at else None,
        "impact": one.impact,
        "shortlink": f"history.html#{one.id}",
        "started_at": _time(one.started_at),
        "page_id": str(page.id),
        "incident_updates": [
            {
                "id": update_id(page, one, update).hex[:12],
                "status": update.status,
                "body": update.body,
                "incident_id": one.id,
                "created_at": _time(update.posted_at),
                "updated_at": _time(update.posted_at),
                "display_at": _time(update.at),
                "affected_components": [
                    {"code": component_id(page, name), "name": name, "new_status": state}
                    for name, state in update.components.items()
                ],
                "deliver_notifications": False,
                "custom_tweet": None,
                "tweet_id": None,
            }
            for update in reversed(one.updates)
        ],
        "components": [
            _component(page, position, name, now[name])
            for position, name in enumerate(one.components, start=1)
        ],
        "reminder_intervals": None,
    }


def update_id(page: PublicPage, incident: PublicIncident, update: Update) -> UUID:
    """An update's id for ever: made of the page's, the incident's and its marker."""
    return uuid5(page.id, f"update {incident.id} {update.marker}")


def _time(moment: datetime) -> str:
    return f"{utc_text(moment)[:23]}Z"
