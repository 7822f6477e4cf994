"""The index page of an incident: everything the log says, in the order a reader asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from imtkit.model.drawing import corrections, count_text, ticked_text
from imtkit.model.entries import Entry
from imtkit.model.gate_drawing import Facts, gate_facts, gate_state_in, gate_title
from imtkit.model.incident import Incident, Run
from imtkit.model.words import more_data, run_name, sentence, span_text
from imtkit.record._templates import environment, style
from imtkit.record.page import MODE_WORDS, page_title
from imtkit.record.shown import Shown
from imtkit.record.wholes import WholeOutput

TOLD_LATE = timedelta(seconds=1)
_LONG = 120
_STEPS = ("step.started", "step.finished")
_MAJOR = ("incident.", "decision.", "severity.changed")

CHECK = """\
import hashlib, json
from pathlib import Path

for file in json.loads(Path("manifest.json").read_text())["files"]:
    assert hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() == file["sha256"], file
before = ""
for line in Path("log.jsonl").read_bytes().splitlines():
    entry = json.loads(line)
    rest = line.replace(b'"hash":"%s",' % entry["hash"].encode(), b"", 1)
    assert hashlib.sha256(rest).hexdigest() == entry["hash"] and entry["prev"] == before, entry["n"]
    before = entry["hash"]
print("whole:", entry["n"], "entries, head", before)
"""
"""Verifies a record with nothing but Python; printed in every index, and run by a test."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run and the page that its notebook became; ``problem`` says why there is none, or what
    that page lacks; ``note`` what is no problem.
    """

    run: Run
    href: str = ""
    problem: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        return run_name(self.run)


@dataclass(frozen=True, slots=True)
class _Line:
    """One entry of the timeline, ready to be read."""

    n: int
    at: datetime
    words: str
    entry: Entry
    corrected_by: int | None
    recorded_at: datetime | None
    more: str

    @property
    def class_(self) -> str:
        if self.entry.type in _STEPS:
            return "rec-minor"
        return "rec-major" if self.entry.type.startswith(_MAJOR) else ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the index is made of besides the incident itself."""

    runs: Sequence[RunPage] = ()
    evidence: Sequence[Shown] = ()
    problems: Sequence[str] = ()
    built_at: datetime | None = None
    version: str = ""
    fields: Sequence[str] = field(default=("summary", "cause", "resolution"))
    wholes: Sequence[WholeOutput] = ()


def index_html(incident: Incident, contents: Contents) -> str:
    """The index page: one self-contained HTML text, without script or request."""
    first = [(name, incident.value(name)) for name in contents.fields]
    others = [(name, value) for name, value in incident.fields.items() if name not in dict(first)]
    template = environment().get_template("incident.html.j2")
    return template.render(
        incident=incident,
        contents=contents,
        title=page_title(incident, incident.title or "Incident"),
        mode_words=MODE_WORDS.get(incident.mode, "not a live incident."),
        style=style(),
        clocks=_clocks(incident),
        fields=[(name, value) for name, value in (*first, *others) if value not in (None, "", ())],
        days=[(day, list(lines)) for day, lines in groupby(_lines(incident), _day)],
        open_items=[
            (one.title, [item.text for item in one.open_items])
            for one in incident.checklists
            if one.open_items
        ],
        count_text=count_text,
        ticked_text=ticked_text,
        gates=_gates(incident),
        check=CHECK,
    )


def _clocks(incident: Incident) -> list[tuple[str, str, datetime | None]]:
    """Time to acknowledge, mitigate and resolve, from the opening on."""
    names = (
        ("Time to acknowledge", incident.acknowledged_at),
        ("Time to mitigate", incident.mitigated_at),
        ("Time to resolve", incident.resolved_at),
    )
    opened = incident.opened_at
    return [(name, span_text(at - opened) if at and opened else "–", at) for name, at in names]


def _gates(incident: Incident) -> list[tuple[str, str, Facts]]:
    """Each gate and change: what was asked, where it stands, and who, when, what."""
    asked = [(gate, None) for gate in incident.gates]
    both = [*asked, *((change.gate, change) for change in incident.changes)]
    both.sort(key=lambda one: one[0].opened_at)
    return [(gate_title(*one), gate_state_in(incident, one[0]), gate_facts(*one)) for one in both]


def _lines(incident: Incident) -> list[_Line]:
    by = corrections(incident.entries)
    return [
        _Line(
            entry.n,
            entry.occurred_at,
            sentence(entry, incident),
            entry,
            by.get(entry.n),
            entry.recorded_at if abs(entry.recorded_at - entry.occurred_at) >= TOLD_LATE else None,
            _more(entry),
        )
        for entry in incident.entries
    ]


def _more(entry: Entry) -> str:
    """The entry's data in full, where its sentence leaves some of it untold and it is long."""
    data = more_data(entry)
    text = json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True, default=str)
    return text if len(text) > _LONG else ""


def _day(line: _Line) -> str:
    return line.at.strftime("%-d %B %Y")
