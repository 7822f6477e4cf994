"""Incidents and notebooks for the record's tests: a chained log without a store, cells by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rfc8785

from imtkit.model.checklist import MIME_TYPE
from imtkit.model.entries import Entry, utc_text
from imtkit.model.fold import fold
from imtkit.model.incident import Incident
from imtkit.record import Pages, Record, build_record
from imtkit.store.chain import line_of

START = datetime(2026, 11, 21, 20, 16, 46, tzinfo=UTC)
BUILT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ID = "INC-2026-0042"

__all__ = ["BUILT", "ID", "START", "Log", "built", "example_log", "line_of", "notebook", "png"]


class Log:
    """A log in memory, hashed and linked as the store does it; 40 s between entries."""

    def __init__(self, incident: str = ID) -> None:
        self.id = incident
        self.entries: list[Entry] = []

    def add(
        self,
        type_: str,
        data: dict[str, Any] | None = None,
        *,
        actor: str = "Ada Lovelace",
        source: str = "lab",
        at: datetime | None = None,
        external: bool = False,
    ) -> Entry:
        """Append an entry; told late when ``at`` is given."""
        n = len(self.entries) + 1
        now = START + timedelta(seconds=40 * (n - 1))
        entry = Entry(
            seq=n,
            incident=self.id,
            n=n,
            type=type_,
            occurred_at=at or now,
            zone="Europe/Berlin" if at else "UTC",
            recorded_at=now,
            actor=actor,
            source=source,
            visibility="external" if external else "internal",
            data=data or {},
            key=None,
            prev=self.entries[-1].hash if self.entries else "",
            hash="",
        )
        row = {field.name: getattr(entry, field.name) for field in fields(entry)}
        row["occurred_at"], row["recorded_at"] = utc_text(entry.occurred_at), utc_text(now)
        del row["hash"]
        hash_ = hashlib.sha256(rfc8785.dumps(row)).hexdigest()
        self.entries.append(replace(entry, hash=hash_))
        return self.entries[-1]

    @property
    def incident(self) -> Incident:
        """The incident as the entries so far describe it."""
        return fold(self.id, self.entries)

    @property
    def now(self) -> str:
        """The time of the next entry, as text."""
        return utc_text(START + timedelta(seconds=40 * len(self.entries)))


def png(colour: tuple[int, int, int] = (11, 87, 164)) -> bytes:
    """A small real PNG image of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    size = 48
    row = b"\0" + bytes(colour) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * size)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A notebook of format 4 made of ``code`` and ``markdown`` cells."""
    language = {"name": "python", "pygments_lexer": "ipython3"}
    about = {"language_info": language, **metadata}
    return {"cells": list(cells), "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def code(
    id_: str, source: str, *outputs: dict[str, Any], count: int | None = 1, **metadata: Any
) -> dict[str, Any]:
    """A code cell with its outputs."""
    return {
        "cell_type": "code",
        "id": id_,
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
    }


def markdown(id_: str, source: str) -> dict[str, Any]:
    """A Markdown cell."""
    return {"cell_type": "markdown", "id": id_, "metadata": {}, "source": source}


def shown(data: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A displayed output."""
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def printed(text: str, name: str = "stdout") -> dict[str, Any]:
    """A printed output."""
    return {"output_type": "stream", "name": name, "text": text}


def failed(name: str, value: str, *lines: str) -> dict[str, Any]:
    """An error output."""
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": list(lines)}


def diagnosis() -> dict[str, Any]:
    """An executed notebook with what runbooks have: text, table, figure, checklist, a failure."""
    table = (
        '<table border="1" class="dataframe"><thead><tr><th></th><th>phase</th><th>p95</th></tr>'
        "</thead><tbody><tr><th>0</th><td>dns</td><td>2.2</td></tr>"
        "<tr><th>1</th><td>first byte</td><td>1210.4</td></tr></tbody></table>"
    )
    stale = '<div class="imt-checklist"><p>0 of 2 done</p></div>'
    checklist = {MIME_TYPE: {"incident": ID, "list": "make-safe"}, "text/html": stale}
    figure = {
        "image/png": base64.b64encode(png()).decode(),
        "text/plain": "<Figure size 480x480 with 1 Axes>",
    }
    return notebook(
        markdown("intro", "# Orders API is slow\n\nDiagnose **first**, then act.\n\n- a\n- b\n"),
        code("p", "service = 'orders'", tags=["parameters"]),
        code("look", "phases(service)", shown({"text/html": table, "text/plain": "phase p95"})),
        code("plot", "plot(latency)", shown(figure)),
        code("say", "print(state)", printed("\x1b[32mok\x1b[0m dns\n\x1b[1;31mFAIL\x1b[0m pool\n")),
        code("list", "inc.checklist('make-safe')", shown(checklist)),
        code(
            "act",
            "1 / 0",
            failed("ZeroDivisionError", "division by zero", "\x1b[31mZeroDivisionError\x1b[0m: 0"),
        ),
        code("after", "verify()", count=None),
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {}}},
    )


def example_log(folder: Path) -> Log:
    """An incident with everything an incident can have; its files are written to the folder."""
    log = Log()
    opening = {
        "title": "Orders API answers slowly",
        "severity": "sev2",
        "services": ["orders", "payments"],
        "tags": ["checkout"],
        "mode": "live",
        "summary": "Checkout takes more than five seconds for one customer in three.",
        "measures": {"latency_p95_seconds": 5.2},
    }
    log.add("incident.opened", opening, actor="automation/alertmanager", source="alert")
    labels = {"alertname": "OrdersSlow", "service": "orders", "severity": "critical"}
    alert = {
        "fingerprint": "f00d",
        "name": "OrdersSlow",
        "started_at": utc_text(START - timedelta(minutes=3)),
        "labels": labels,
        "annotations": {"summary": "p95 latency of orders is above 5 s"},
    }
    log.add("alert.received", alert, actor="automation/alertmanager", source="alert")
    _runs(log, folder)
    log.add("incident.acknowledged")
    log.add("role.assigned", {"role": "commander", "person": "Ada Lovelace"})
    log.add("role.assigned", {"role": "scribe", "person": "Grace Hopper"})
    log.add("note.added", {"text": "The pool seems full.\nAsking the database team."})
    log.add("note.added", {"text": "The pool is full: 100 of 100.", "supersedes": len(log.entries)})
    log.add("note.added", {"text": "A customer rang."}, at=START - timedelta(minutes=2))
    log.add("task.assigned", {"task": "t1", "text": "Raise the limit", "assignee": "Grace Hopper"})
    items = [{"id": "a", "text": "Tell the team"}, {"id": "b", "text": "Stop the batch job"}]
    shown_list = {"list": "make-safe", "title": "Make it safe", "items": items, "required": True}
    log.add("checklist.shown", shown_list)
    log.add("checklist.ticked", {"list": "make-safe", "item": "a"}, actor="Grace Hopper")
    decision = {"text": "Restart the pool", "reason": "Sessions leak; a restart frees them."}
    log.add("decision.made", decision)
    _evidence(log, folder, "latency.png", "Latency, last hour", "image/png", png())
    csv = b"phase,p50,p95\ndns,1.2,2.2\nfirst byte,220.5,1210.4\n"
    _evidence(log, folder, "phases.csv", "Phases of a request", "text/csv", csv)
    update = {"update": "u1", "page": "public", "status": "identified", "body": "We found it."}
    log.add("update.requested", update, external=True)
    published = {"update": "u1", "remote_id": "77", "url": "https://status.example.org/77"}
    log.add("update.published", published, external=True)
    log.add("severity.changed", {"from": "sev2", "to": "sev3", "reason": "The batch job stopped."})
    log.add("field.set", {"name": "cause", "value": "A leak of sessions in release 4.2."})
    log.add("field.set", {"name": "resolution", "value": "Pool restarted, release rolled back."})
    log.add("task.done", {"task": "t1"}, actor="Grace Hopper")
    log.add("incident.resolved", {"reason": "p95 is 0.3 s again"})
    log.add("incident.closed")
    return log


def _runs(log: Log, folder: Path) -> None:
    path = folder / "20261121T201726Z-http-service.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(diagnosis()), encoding="utf-8")
    start = {
        "run": "r1",
        "runbook": "http-service",
        "title": "An HTTP service is slow or failing",
        "parameters": {"service": "orders", "threshold": 0.5},
        "output": path.name,
        "runbook_sha256": hashlib.sha256(b"runbook").hexdigest(),
    }
    log.add("run.started", start, actor="automation/alertmanager", source="alert")
    for index, (id_, title) in enumerate((("look", "Time the phases"), ("act", "Restart"))):
        step = {"run": "r1", "step": id_, "index": index, "title": title}
        log.add("step.started", step, actor="automation/alertmanager", source="alert")
        status = "failed" if id_ == "act" else "completed"
        done = {**step, "status": status, "error": "division by zero" if id_ == "act" else ""}
        log.add("step.finished", done, actor="automation/alertmanager", source="alert")
    ended = {"run": "r1", "status": "failed", "error": "Step 2 failed: division by zero"}
    log.add("run.finished", ended, actor="automation/alertmanager", source="alert")


def _evidence(log: Log, folder: Path, name: str, title: str, kind: str, content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / "evidence" / f"{sha256[:12]}-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    kept = {
        "title": title,
        "path": f"evidence/{path.name}",
        "sha256": sha256,
        "media_type": kind,
        "size": len(content),
    }
    log.add("evidence.added", kept)


def built(log: Log, folder: Path, pages: Pages | None = None) -> Record:
    """The record of a log whose files lie in the folder; ``pages`` draws its notebooks."""
    incident = log.incident
    return build_record(
        incident,
        folder,
        notebooks=notebooks_of(incident, folder),
        line_of=line_of,
        built_at=BUILT,
        pages=pages,
    )


def notebooks_of(incident: Incident, folder: Path) -> dict[str, Path]:
    """The notebooks of the incident's runs, by run id."""
    return {run.id: folder / run.output_path for run in incident.runs if run.output_path}
