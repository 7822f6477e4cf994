"""Tell the outside: post updates to status pages, and see what they show.

What was asked for is in the log before anything is sent. What could not be delivered stays in
the outbox (updates that failed or were never answered) until ``deliver`` gets it through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from imtkit.config import PageSettings, Settings, page_settings, resolve_secret
from imtkit.contracts import COMPONENT_STATES, UPDATE_STATUSES, Message, PageState, StatusPage
from imtkit.errors import (
    AuthorityError,
    ConfigError,
    InputError,
    NotFoundError,
    ServiceError,
    StateError,
)
from imtkit.kit import incidents
from imtkit.kit.desk import Desk
from imtkit.model.entries import is_automation
from imtkit.model.incident import Incident, Update
from imtkit.model.opening import one_of
from imtkit.statuspage import EmbeddedPage, open_statuspage

_BY_RANK = {1: ("critical", "major_outage"), 2: ("major", "partial_outage")}
_OTHERWISE = ("minor", "degraded_performance")


@dataclass(frozen=True, slots=True)
class Words:
    """What an update says. ``components`` are states by service; left out, the severity's.

    ``notify`` mails a service's subscribers, and is never on by itself.
    """

    status: str
    body: str
    title: str = ""
    components: Mapping[str, str] = field(default_factory=dict)
    notify: bool = False


def post(desk: Desk, incident_id: str, words: Words, *, page: str = "") -> Update:
    """Post an update to a page (the first of imt.toml when none is named).

    Only a person posts (AuthorityError). Drills, tests and retrospectives reach no page: the
    update is logged as withheld. When the page fails, the update stays in the outbox and the
    page's own error is raised.
    """
    one_of("status", words.status, UPDATE_STATUSES)
    for state in words.components.values():
        one_of("component state", state, COMPONENT_STATES)
    if not words.body.strip():
        raise InputError(
            "A status update needs words.", hint="Say what people outside should know."
        )
    if is_automation(desk.who()):
        raise AuthorityError(
            f"{desk.who()} may not publish: a person answers for what is said outside.",
            hint="Post it yourself: imt status post",
        )
    incident = incidents.get(desk, incident_id)
    if not incident.status:
        raise StateError(f"{incident.id} was never opened.")
    settings = _page(desk.settings, page)
    data = _as_data(desk, incident, words, settings.name)
    asked = "update.requested" if incident.mode == "live" else "update.withheld"
    desk.store.append(incident.id, desk.draft(asked, data, visibility="external"))
    if incident.mode == "live":
        _send(desk, incident.id, str(data["update"]))
    return _update(incidents.get(desk, incident.id), str(data["update"]))


def deliver(desk: Desk, incident_id: str) -> list[Update]:
    """Try again what an incident's outbox holds, oldest first; what was delivered now.

    The first page that fails again ends it, with that page's error.
    """
    waiting = outbox(incidents.get(desk, incident_id))
    for update in waiting:
        _send(desk, incident_id, update.id)
    after = incidents.get(desk, incident_id)
    return [_update(after, update.id) for update in waiting]


def outbox(incident: Incident) -> list[Update]:
    """Updates asked for and not yet known to be on their page, oldest first."""
    return [update for update in incident.updates if update.state in ("requested", "failed")]


def address(settings: Settings, update: Update) -> str:
    """Where people read an update: at its service, or in this file of the embedded page; empty
    where it is on no page.
    """
    if not update.url or urlsplit(update.url).scheme:
        return update.url
    page = open_page(settings, update.page)
    file = urlsplit(update.url).path
    return str(page.folder / file) if isinstance(page, EmbeddedPage) else update.url


def show(desk: Desk, page: str = "") -> PageState:
    """What a page shows now; an embedded page whose files were lost, what the log says it took."""
    opened = open_page(desk.settings, page)
    if isinstance(opened, EmbeddedPage) and opened.is_lost:
        return opened.show(_told(desk, opened.name))
    return opened.show()


def build(desk: Desk, page: str = "") -> Path:
    """Write the embedded page anew from what the log says was published; its index page.

    ConfigError when the page is a service's.
    """
    settings = _page(desk.settings, page)
    opened = open_page(desk.settings, settings.name)
    if not isinstance(opened, EmbeddedPage):
        raise ConfigError(
            f"Status page '{settings.name}' is a service's; only an embedded page is built here."
        )
    return opened.build(_told(desk, opened.name))


def _told(desk: Desk, page: str) -> list[tuple[Message, datetime]]:
    """What the log says this page took, and when, in that order."""
    took = [entry for entry in desk.store.entries() if entry.type == "update.published"]
    known = {id_: incidents.get(desk, id_) for id_ in {entry.incident for entry in took}}
    told = []
    for entry in took:
        incident = known[entry.incident]
        update = next((u for u in incident.updates if u.id == entry.data.get("update")), None)
        if update is not None and update.page == page and update.state == "published":
            told.append((_message(incident, update), entry.recorded_at))
    return told


def open_page(settings: Settings, page: str = "") -> StatusPage:
    """The status page of this name, ready to be told things."""
    wanted = _page(settings, page)
    return open_statuspage(
        wanted.url,
        name=wanted.name,
        token=resolve_secret(wanted.token),
        components=wanted.components,
        root=settings.root,
        title=wanted.title or settings.name,
    )


def _page(settings: Settings, name: str) -> PageSettings:
    if name:
        return page_settings(settings, name)
    if not settings.status_pages:
        raise ConfigError("No status page is set up.", hint="Add [status_pages.NAME] to imt.toml.")
    return next(iter(settings.status_pages.values()))


def _as_data(desk: Desk, incident: Incident, words: Words, page: str) -> dict[str, object]:
    rank = desk.settings.severities.rank(incident.severity)
    impact, state = _BY_RANK.get(rank, _OTHERWISE)
    if words.status == "resolved":
        state = "operational"
    return {
        "update": uuid4().hex[:12],
        "page": page,
        "status": words.status,
        "title": words.title.strip() or incident.title,
        "body": words.body.strip(),
        "impact": impact,
        "components": dict(words.components) or dict.fromkeys(incident.services, state),
        "notify": words.notify,
    }


def _send(desk: Desk, incident_id: str, update_id: str) -> None:
    incident = incidents.get(desk, incident_id)
    update = _update(incident, update_id)
    about = {"update": update.id, "page": update.page}
    try:
        page = open_page(desk.settings, update.page)
        if isinstance(page, EmbeddedPage) and page.is_lost:
            page.build(_told(desk, page.name))  # or what was told before would be gone from it
        receipt = page.publish(_message(incident, update), remote_id=_remote_id(incident, update))
    except (ServiceError, ConfigError) as error:
        failed = {**about, "error": str(error), "retryable": error.retryable}
        desk.store.append(incident.id, desk.draft("update.failed", failed))
        error.hint = (
            f"{error.hint} It waits in the outbox: imt status deliver {incident.id}".strip()
        )
        raise
    told = {
        **about,
        "remote_id": receipt.remote_id,
        "url": receipt.url,
        "answer": receipt.answer[:2000],
    }
    key = f"{incident.id}/update/{update.id}/published"
    published = desk.draft("update.published", told, key=key, visibility="external")
    desk.store.append(incident.id, published)


def _message(incident: Incident, update: Update) -> Message:
    return Message(
        marker=f"{incident.id}/{update.id}",
        incident=incident.id,
        title=update.title,
        status=update.status,
        body=update.body,
        at=update.at,
        impact=update.impact,
        components={str(name): str(state) for name, state in update.components.items()},
        notify=update.is_notifying,
    )


def _remote_id(incident: Incident, update: Update) -> str | None:
    """The page's id of this incident, from an earlier update that it took."""
    known = (u.remote_id for u in incident.updates if u.page == update.page and u.remote_id)
    return next(known, None)


def _update(incident: Incident, update_id: str) -> Update:
    for update in incident.updates:
        if update.id == update_id:
            return update
    raise NotFoundError.of("Update", update_id, (u.id for u in incident.updates))
