"""What JupyterLab may ask, under ``<base url>imtkit/api/``: JSON in, JSON out.

Every request is authenticated and carries Jupyter's XSRF header. Errors are
``{"message", "hint"}`` with the status that says whose fault it is.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.client import responses
from pathlib import Path
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from imtkit.config import is_somebody
from imtkit.contracts import Query
from imtkit.errors import (
    AuthorityError,
    ImtkitError,
    InputError,
    NotFoundError,
    StateError,
    StoreBusyError,
    WorkspaceError,
)
from imtkit.kit import Desk, checklists, incidents, live, runbooks
from imtkit.lab.office import Office
from imtkit.model.incident import Incident, Summary
from imtkit.model.lifecycle import GOING_ON
from imtkit.model.opening import Opening

Answer = TypeVar("Answer")
Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_STATUS_CODES: tuple[tuple[type[ImtkitError], int], ...] = (
    # the first that fits
    (NotFoundError, 404),
    (InputError, 400),
    (StateError, 409),
    (WorkspaceError, 409),
    (AuthorityError, 403),
    (StoreBusyError, 503),
)


def status_code(error: ImtkitError) -> int:
    """The HTTP status of an error: whose fault it is, and whether to try again."""
    return next((code for kind, code in _STATUS_CODES if isinstance(error, kind)), 500)


def guarded(method: Method) -> Method:
    """Answered only to somebody who is logged in, and whom the server's authorizer lets in."""
    checked: Method = authenticated(authorized(method))
    return checked


class ImtHandler(APIHandler):  # type: ignore[misc]  # jupyter_server's types are skipped
    """One request: who asks, off the event loop, and the one place errors are worded."""

    auth_resource = "imtkit"

    def initialize(self, office: Office, **parts: Any) -> None:
        self.office = office

    @property
    def identity(self) -> str:
        """Whom the server's login names; empty for a mere token, which is nobody's name."""
        name = str(getattr(self.current_user, "name", ""))
        return name.strip() if is_somebody(name) else ""

    async def work(self, task: Callable[[Desk], Answer]) -> Answer:
        """What the task answers; our errors become HTTP's, with their hint."""
        with self.errors():
            return await self.office.work(task, actor=self.identity)

    @staticmethod
    @contextmanager
    def errors() -> Iterator[None]:
        """Our errors become HTTP's, with their hint."""
        try:
            yield
        except ImtkitError as error:
            raise HTTPError(status_code(error), str(error)) from error

    def body(self, *names: str) -> list[Any]:
        """The values of these names in the request's JSON object; None where one is missing."""
        body = self.get_json_body()
        if not isinstance(body, dict):
            raise HTTPError(400, "The request's body is not a JSON object.")
        return [body.get(name) for name in names]

    def write_error(self, status_code: int, **about: Any) -> None:
        """``{"message", "hint", "kind"}``; a fault of ours is in the server's log."""
        error = about.get("exc_info", (None, None))[1]
        cause = getattr(error, "__cause__", None)
        if isinstance(cause, ImtkitError):
            message = str(cause)
        elif isinstance(error, HTTPError):
            message = error.log_message or error.reason or responses.get(status_code, "")
        else:
            message = "imtkit failed; the Jupyter server's log says why."
        self.set_header("Content-Type", "application/json")
        kind = type(cause).__name__ if isinstance(cause, ImtkitError) else ""
        hint = getattr(cause, "hint", "")
        self.finish(json.dumps({"message": message, "hint": hint, "kind": kind}))


class MeHandler(ImtHandler):
    """Who is acting."""

    @guarded
    async def get(self) -> None:
        """``{"person"}``; empty when nobody is known."""
        self.finish({"person": await self.work(lambda desk: desk.actor)})

    @guarded
    async def post(self) -> None:
        """Remember ``{"name"}``; where the server's login knows the person, that name stays."""
        (name,) = self.body("name")
        with self.errors():
            known = self.identity or await self.office.remember(str(name or ""))
        self.finish({"person": known})


class WorkspaceHandler(ImtHandler):
    """What the dialogs offer."""

    @guarded
    async def get(self) -> None:
        """Severities, services, and where incidents' folders are (null: not shown here)."""
        self.finish(await self.work(self._workspace))

    def _workspace(self, desk: Desk) -> dict[str, Any]:
        settings = desk.settings
        levels = settings.severities.levels
        return {
            "name": settings.name,
            "outputs": self._shown(settings.outputs),
            "severities": [{"name": level.name, "title": level.title} for level in levels],
            "services": sorted(settings.services),
        }

    def _shown(self, folder: Path) -> str | None:
        try:
            return self.office.path_in_browser(folder)
        except InputError:
            return None


class IncidentsHandler(ImtHandler):
    """The incidents that are not over, and new ones."""

    @guarded
    async def get(self) -> None:
        """``{"incidents": [...]}``, newest first."""
        found = await self.work(lambda desk: incidents.list_(desk, Query(statuses=GOING_ON)))
        self.finish({"incidents": [_in_short(one) for one in found]})

    @guarded
    async def post(self) -> None:
        """Open an incident: ``{"title", "severity", "service"}``."""
        title, severity, service = (str(value or "") for value in self.body(*_OPENING))
        services = (service.strip(),) if service.strip() else ()

        def open_incident(desk: Desk) -> Incident:
            return incidents.open_(desk, Opening(title, severity=severity, services=services))

        opened = await self.work(open_incident)
        self.set_status(201)
        self.finish(_in_short(opened))


_OPENING = ("title", "severity", "service")


class IncidentHandler(ImtHandler):
    """One incident, in a line."""

    @guarded
    async def get(self, incident_id: str) -> None:
        """What the status bar says."""
        self.finish(_in_short(await self.work(lambda desk: incidents.get(desk, incident_id))))


class ChecklistHandler(ImtHandler):
    """One checklist: what the log says, and a click."""

    @guarded
    async def get(self, incident_id: str, name: str) -> None:
        """The list as the log has it (``kit.live``)."""

        def read(desk: Desk) -> dict[str, Any]:
            return live.live_list(desk, incident_id, checklists.get(desk, incident_id, name))

        self.finish(await self.work(read))

    @guarded
    async def post(self, incident_id: str, name: str) -> None:
        """Record ``{"item", "checked", "nonce", "not_after"}``; the list as it is then."""
        given = zip(_CLICK, self.body(*_CLICK), strict=True)
        said = {word: value for word, value in given if value is not None}

        def record(desk: Desk) -> dict[str, Any]:
            return live.live_list(desk, incident_id, live.click(desk, incident_id, name, said))

        self.finish(await self.work(record))


_CLICK = ("item", "checked", "nonce", "not_after")


class GateHandler(ImtHandler):
    """One gate, or a change to be approved: what the log says, and an answer."""

    @guarded
    async def get(self, incident_id: str, gate: str) -> None:
        """The gate as the log has it (``kit.live``); one whose time is over has expired."""
        self.finish(await self.work(lambda desk: live.live_gate(desk, incident_id, gate)))

    @guarded
    async def post(self, incident_id: str, gate: str) -> None:
        """Record ``{"answer", "reason", "not_after"}``; the gate as it is then."""
        given = zip(_ANSWER, self.body(*_ANSWER), strict=True)
        said = {word: value for word, value in given if value is not None}

        def record(desk: Desk) -> dict[str, Any]:
            live.give_answer(desk, incident_id, gate, said)
            return live.live_gate(desk, incident_id, gate)

        self.finish(await self.work(record))


_ANSWER = ("answer", "reason", "not_after")


class RunbooksHandler(ImtHandler):
    """The runbooks of the workspace."""

    @guarded
    async def get(self) -> None:
        """``{"runbooks": [{"name", "title"}]}``."""
        found = await self.work(lambda desk: runbooks.list_(desk.settings))
        self.finish({"runbooks": [{"name": one.name, "title": one.title} for one in found]})


class CopiesHandler(ImtHandler):
    """Fresh copies of runbooks, to work in by hand."""

    @guarded
    async def post(self) -> None:
        """Copy ``{"runbook"}`` into the folder of ``{"incident"}``; ``{"path"}`` to open."""
        name, incident_id = (str(value or "") for value in self.body("runbook", "incident"))

        def copy(desk: Desk) -> str:
            found = runbooks.find(desk.settings, name)
            return self.office.path_in_browser(runbooks.copy_for(desk, found, incident_id))

        self.set_status(201)
        self.finish({"path": await self.work(copy)})


def _in_short(incident: Incident | Summary) -> dict[str, Any]:
    return {
        "id": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "status": incident.status,
        "mode": incident.mode,
        "owner": incident.owner,
        "is_over": incident.status not in GOING_ON,
    }


Routes = list[tuple[str, type[ImtHandler], dict[str, Any]]]


def routes(office: Office) -> Routes:
    """The addresses, as patterns under ``imtkit/api``, and who answers there."""
    answering: list[tuple[str, type[ImtHandler]]] = [
        ("/me", MeHandler),
        ("/workspace", WorkspaceHandler),
        ("/incidents", IncidentsHandler),
        (f"/incidents/({ID})", IncidentHandler),
        (f"/incidents/({ID})/checklists/({ID})", ChecklistHandler),
        (f"/incidents/({ID})/gates/({ID})", GateHandler),
        ("/runbooks", RunbooksHandler),
        ("/copies", CopiesHandler),
    ]
    return [(path, handler, {"office": office}) for path, handler in answering]
