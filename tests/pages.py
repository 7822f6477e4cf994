"""Loopback services that behave like Statuspage and Cachet, defaults and limits included."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from page_server import Answer, Service

from imtkit.contracts import Message

TOKEN = "canary-token-7a3f"
STATES = (
    "operational",
    "under_maintenance",
    "degraded_performance",
    "partial_outage",
    "major_outage",
)

MESSAGE = Message(
    marker="one",
    incident="INC-2026-0042",
    title="Orders are slow",
    status="investigating",
    body="We are looking into it.",
    at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    components={"orders": "partial_outage"},
)
LATER = replace(MESSAGE, marker="two", status="identified", body="Found it.")

_MISSING: Answer = (404, {"error": "Not found"})


class Statuspage(Service):
    """Atlassian Statuspage v1: one request a second, notifications on by default."""

    prefix = "/v1"
    limited = True

    def is_allowed(self, headers: Any) -> bool:
        return headers.get("Authorization") == f"OAuth {TOKEN}"

    def answer(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Answer:
        if path[:2] != ["pages", "page1"]:
            return _MISSING
        if self.limited and len(self.arrivals) > 1 and self.arrivals[-1] - self.arrivals[-2] < 1.0:
            return 420, {"error": "Your request has been rate limited"}
        reply = _MISSING
        match method, path[2:]:
            case "GET", ["components"]:
                rows = [{"id": i, "name": f"Part {i}", "status": s} for i, s in self._parts()]
                reply = 200, rows
            case "GET", ["incidents", "unresolved"]:
                reply = 200, [one for one in self.incidents[::-1] if one["status"] != "resolved"]
            case "GET", ["incidents"]:
                start = (int(query["page"]) - 1) * int(query["limit"])
                reply = 200, self.incidents[::-1][start : start + int(query["limit"])]
            case "GET", ["incidents", id_]:
                found = self._find(id_)
                reply = (200, found) if found else _MISSING
            case "POST", ["incidents"]:
                new = {"id": f"inc{len(self.incidents)}", "incident_updates": [], "components": []}
                reply = self._take(new, body, is_new=True)
            case "PATCH", ["incidents", id_]:
                found = self._find(id_)
                reply = self._take(found, body) if found else _MISSING
        return reply

    def _parts(self) -> list[tuple[str, str]]:
        return list(self.components.items())

    def _find(self, id_: str) -> dict[str, Any] | None:
        return next((one for one in self.incidents if one["id"] == id_), None)

    def _take(self, incident: dict[str, Any], body: Any, *, is_new: bool = False) -> Answer:
        sent = body.get("incident") if isinstance(body, dict) else None
        wrong = self._wrong(sent, is_new=is_new)
        if wrong:
            return 422, {"error": wrong}
        if sent.get("deliver_notifications", True):
            self.notified.append(sent["name"])
        if is_new:
            self.incidents.append(incident)
        components = sent.get("components", {})
        incident.update(
            name=sent.get("name", incident.get("name")),
            status=sent.get("status", "investigating"),
            impact=sent.get("impact_override", "none"),
            metadata=sent.get("metadata", incident.get("metadata", {})),
            shortlink=f"https://stspg.example/{incident['id']}",
            updated_at="2026-11-21T20:16:46.123Z",
        )
        self.components.update(components)
        ids = sent.get("component_ids", [one["id"] for one in incident["components"]])
        incident["components"] = [{"id": id_, "status": self.components[id_]} for id_ in ids]
        if sent.get("body"):
            incident["incident_updates"].insert(
                0, {"status": incident["status"], "body": sent["body"]}
            )
        return (201 if is_new else 200), incident

    def _wrong(self, sent: Any, *, is_new: bool) -> list[str]:
        if not isinstance(sent, dict):
            return ["incident is missing"]
        wrong = []
        if is_new and not sent.get("name"):
            wrong.append("Name can't be blank")
        if len(sent.get("name", "")) > 255 or len(sent.get("body", "")) > 25_000:
            wrong.append("Name or body is too long")
        if sent.get("status") not in ("investigating", "identified", "monitoring", "resolved"):
            wrong.append("Status is not included in the list")
        if sent.get("impact_override") not in ("none", "minor", "major", "critical", None):
            wrong.append("Impact override is not included in the list")
        if any(not isinstance(one, dict) for one in sent.get("metadata", {}).values()):
            wrong.append("Metadata top-level values must be objects")
        for id_, state in sent.get("components", {}).items():
            if id_ not in self.components or state not in STATES:
                wrong.append("Components are invalid")
        return wrong

    def shown(self) -> list[dict[str, Any]]:
        return [
            {
                "title": one["name"],
                "status": one["status"],
                "texts": [update["body"] for update in one["incident_updates"]],
            }
            for one in self.incidents
        ]


class _Cachet(Service):
    numbers: dict[int, str]

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.incidents = []

    def _find(self, id_: str) -> dict[str, Any] | None:
        return next((one for one in self.incidents if str(one["id"]) == id_), None)

    def _status(self, incident: dict[str, Any]) -> int:
        return incident["updates"][-1]["status"] if incident["updates"] else incident["status"]

    @staticmethod
    def _page(rows: list[Any], query: dict[str, str], default: int) -> list[Any]:
        size = int(query.get("per_page", default))
        start = (int(query.get("page", 1)) - 1) * size
        return rows[start : start + size]

    def _number(self, state: str) -> int:
        return next(number for number, name in self.numbers.items() if name == state)

    def shown(self) -> list[dict[str, Any]]:
        names = {1: "investigating", 2: "identified", 3: "monitoring", 4: "resolved"}
        return [
            {
                "title": one["name"],
                "status": names[self._status(one)],
                "texts": [up["message"] for up in reversed(one["updates"])] + [one["message"]],
            }
            for one in self.incidents
            if one["visible"]
        ]

    def answer(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Answer:
        match method, path:
            case "GET", ["components"]:
                rows = [self.part(id_) for id_ in self.components]
                return 200, {"data": self._page(rows, query, 15)}
            case "PUT", ["components", id_] if id_ in self.components:
                return self.set_part(id_, body)
            case "GET", ["incidents"]:
                rows = [self.row(one) for one in self.incidents[::-1]]
                return 200, {"data": self._page(rows, query, 15)}
            case "POST", ["incidents"]:
                return self.create(body)
            case _, ["incidents", id_, *rest] if self._find(id_):
                return self._within(method, self._find(id_) or {}, rest, query, body)
        return _MISSING

    def _within(
        self, method: str, one: dict[str, Any], rest: list[str], query: dict[str, str], body: Any
    ) -> Answer:
        reply = _MISSING
        match method, rest:
            case "GET", []:
                reply = 200, {"data": self.row(one)}
            case "PUT", []:
                self.change(one, body)
                reply = 200, {"data": self.row(one)}
            case "GET", ["updates"]:
                rows = [self.update_row(up) for up in reversed(one["updates"])]
                reply = 200, {"data": self._page(rows, query, 15)}
            case "POST", ["updates"]:
                reply = self._add_update(one, body)
            case "PUT", ["updates", number]:
                update = one["updates"][int(number) - 1]
                update.update(body)
                reply = 200, {"data": self.update_row(update)}
        return reply

    def _add_update(self, one: dict[str, Any], body: Any) -> Answer:
        if not body.get("message") or body.get("status") not in (1, 2, 3, 4):
            return 422, {"errors": {"status": ["The status field is required."]}}
        update = {"id": len(one["updates"]) + 1, **body}
        one["updates"].append(update)
        self.after_update(one)
        return 200, {"data": self.update_row(update)}

    def part(self, id_: str) -> Any:
        raise NotImplementedError

    def set_part(self, id_: str, body: Any) -> Answer:
        raise NotImplementedError

    def row(self, one: dict[str, Any]) -> Any:
        raise NotImplementedError

    def update_row(self, update: dict[str, Any]) -> Any:
        raise NotImplementedError

    def create(self, body: Any) -> Answer:
        raise NotImplementedError

    def change(self, one: dict[str, Any], body: Any) -> None:
        raise NotImplementedError

    def after_update(self, one: dict[str, Any]) -> None:
        raise NotImplementedError


class Cachet3(_Cachet):
    """Cachet 3: hidden by default, JSON:API rows, notifications are the incident's."""

    prefix = "/api"
    numbers = {  # noqa: RUF012 - never changed
        1: "operational",
        2: "degraded_performance",
        3: "partial_outage",
        4: "major_outage",
        6: "under_maintenance",
    }
    may_set_components = True

    def is_allowed(self, headers: Any) -> bool:
        return headers.get("Authorization") == f"Bearer {TOKEN}"

    def part(self, id_: str) -> Any:
        number = self._number(self.shown_components()[id_])
        return {"id": id_, "type": "components", "attributes": {"name": f"Part {id_}",
                "status": {"human": "", "value": number}}}  # fmt: skip

    def shown_components(self) -> dict[str, str]:
        """As the dashboard does: unresolved incidents' states win over a component's own."""
        held = {
            str(part["id"]): self.numbers[part["status"]]
            for one in self.incidents
            if self._status(one) != 4
            for part in one["components"]
        }
        return {**self.components, **held}

    def set_part(self, id_: str, body: Any) -> Answer:
        if not self.may_set_components:
            return 403, {"message": "Invalid ability provided."}
        self.components[id_] = self.numbers[body["status"]]
        return 200, {"data": self.part(id_)}

    def row(self, one: dict[str, Any]) -> Any:
        fields = {k: one[k] for k in ("name", "message", "visible", "notifications")}
        fields["status"] = {"human": "", "value": self._status(one)}
        fields["updated"] = {"human": "now", "string": "2026-11-21 20:16:46"}
        return {"id": str(one["id"]), "type": "incidents", "attributes": fields}

    def update_row(self, update: dict[str, Any]) -> Any:
        return {"id": str(update["id"]), "type": "updates", "attributes": dict(update)}

    def create(self, body: Any) -> Answer:
        if not body.get("name") or len(body["name"]) > 255 or not body.get("message"):
            return 422, {"message": "The name field is required.", "errors": {"name": ["…"]}}
        if body.get("status") not in (0, 1, 2, 3, 4):
            return 422, {"message": "The selected status is invalid."}
        if any(str(one["id"]) not in self.components for one in body.get("components", ())):
            return 422, {"message": "The selected components.0.id is invalid."}
        one = {
            "id": len(self.incidents) + 1,
            "visible": False,
            "notifications": False,
            "components": [],
            **body,
            "updates": [],
        }
        self.incidents.append(one)
        if one["notifications"]:
            self.notified.append(one["name"])
        return 201, {"data": self.row(one)}

    def change(self, one: dict[str, Any], body: Any) -> None:
        one.update(body)

    def after_update(self, one: dict[str, Any]) -> None:
        if one["notifications"]:
            self.notified.append(one["name"])


class Cachet2(_Cachet):
    """Cachet 2.4: notifies by default, always for updates and for components changed aloud."""

    prefix = "/api/v1"
    numbers = {  # noqa: RUF012 - never changed
        1: "operational",
        2: "degraded_performance",
        3: "partial_outage",
        4: "major_outage",
    }

    def is_allowed(self, headers: Any) -> bool:
        return headers.get("X-Cachet-Token") == TOKEN

    def part(self, id_: str) -> Any:
        number = self._number(self.components[id_])
        return {"id": int(id_), "name": f"Part {id_}", "status": number}

    def set_part(self, id_: str, body: Any) -> Answer:
        if not body.get("silent", False) and body["status"] != self._number(self.components[id_]):
            self.notified.append(f"component {id_}")
        self.components[id_] = self.numbers[body["status"]]
        return 200, {"data": self.part(id_)}

    def row(self, one: dict[str, Any]) -> Any:
        fields = {k: one[k] for k in ("id", "name", "message", "visible", "status", "stickied")}
        return {**fields, "latest_status": self._status(one), "updated_at": "2026-11-21 20:16:46"}

    def update_row(self, update: dict[str, Any]) -> Any:
        return dict(update)

    def create(self, body: Any) -> Answer:
        if not body.get("name") or not body.get("message") or "status" not in body:
            return 400, {"errors": [{"title": "Bad Request"}]}
        if body.get("notify", True):
            self.notified.append(body["name"])
        if body.get("component_id"):
            self.notified.append(f"component {body['component_id']}")
        one = {"id": len(self.incidents) + 1, "visible": 1, "stickied": False, **body}
        self.incidents.append({**one, "updates": []})
        return 200, {"data": self.row(self.incidents[-1])}

    def change(self, one: dict[str, Any], body: Any) -> None:
        one.update(body)

    def after_update(self, one: dict[str, Any]) -> None:
        one["status"] = self._status(one)
        self.notified.append(one["name"])


def address_of(service: Service, host: str) -> str:
    """The url of imt.toml for a service that is served at this host."""
    if isinstance(service, Statuspage):
        return f"statuspage+http://{host}/v1?page=page1"
    if isinstance(service, Cachet3):
        return f"cachet+http://{host}/api?version=3"
    return f"cachet+http://{host}/api/v1?version=2"
