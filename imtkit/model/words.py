"""What the log says in plain words: times, spans, and one sentence for every type of entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imtkit.errors import InputError, NotFoundError
from imtkit.model.entries import Entry, utc_from_text
from imtkit.model.incident import Incident, Run

_UNSEEN: Mapping[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **{code: f"⟨U+{code:04X}⟩" for code in range(0x80, 0xA0)},
    # what turns the reading direction of a whole line, and so can make it say something else
    **{code: f"⟨U+{code:04X}⟩" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def visible(text: str) -> str:
    """The text with what nobody could see made visible: control characters and escapes as
    their pictures, overrides of the reading direction by number, half characters as U+FFFD.

    Tabs and newlines stay. What comes out is safe to encode and to print on a terminal.
    """
    return text.replace("\r\n", "\n").translate(_UNSEEN)


def one_line(text: str, *, most: int = 200) -> str:
    """The text on one line, cut with '…' where it is longer than ``most`` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def moment_text(moment: datetime | None) -> str:
    """``2026-11-21 20:16:46 UTC``; a dash where there is no time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "–"


def span_text(span: timedelta | None) -> str:
    """A duration in the two units that read best: '35 ms', '1.2 s', '4 min 12 s', '2 d 3 h'."""
    if span is None:
        return "–"
    seconds = span.total_seconds()
    if seconds < 0:
        return f"−{span_text(-span)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s"


def time_with_usual(took: timedelta, usual_seconds: float | None, *, is_over: bool = True) -> str:
    """How long something took, or takes so far, and how long it usually took where that is known.

    '12 s (usually 30 s)'. What still goes on is told in whole seconds.
    """
    text = span_text(took) if is_over else _whole_seconds(max(took, timedelta()).total_seconds())
    return text if usual_seconds is None else f"{text} (usually {usual_text(usual_seconds)})"


def usual_text(seconds: float) -> str:
    """About how long something usually takes: '350 ms', '2.4 s', '45 s', '4 min 12 s'."""
    return span_text(timedelta(seconds=seconds)) if seconds < 10 else _whole_seconds(seconds)


def _whole_seconds(seconds: float) -> str:
    return f"{int(seconds)} s" if seconds < 60 else span_text(timedelta(seconds=seconds))


def counted(count: int, thing: str, things: str = "") -> str:
    """A number of things: '1 session', '2 sessions'; ``things`` where an s is not enough."""
    return f"{count} {thing if count == 1 else things or f'{thing}s'}"


def size_text(size: int) -> str:
    """A number of bytes in the unit that reads best: '512 B', '3.4 KiB'."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def value_text(value: object) -> str:
    """A value of an entry's data as people write it: texts bare, lists with commas, else JSON."""
    match value:
        case None:
            return ""
        case str():
            return visible(value)
        case bool():
            return "yes" if value else "no"
        case list() | tuple() if all(isinstance(one, (str, int, float)) for one in value):
            return ", ".join(value_text(one) for one in value)
    return visible(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))


def sentence(entry: Entry, incident: Incident | None = None) -> str:
    """What an entry says, in plain words, without its time and its actor.

    With the incident, ids are told by name: an item by its text, a run by its title. Types that
    are not in the catalogue are told by their name and data. The words are ``visible``.
    """
    told = _Told(entry, incident)
    tell = _SENTENCES.get(entry.type)
    said = tell(told) if tell else f"{visible(entry.type)}: {value_text(dict(entry.data))}"
    if entry.supersedes is not None and entry.type != "entry.withdrawn":
        said = f"{said} (Corrects entry {entry.supersedes}.)"
    return said


def cell_name(index: object) -> str:
    """A cell by its place in the notebook, counted from 1: 'cell 5'; 'a cell' when unknown."""
    if isinstance(index, int) and not isinstance(index, bool):
        return f"cell {index + 1}"
    return "a cell"


def run_name(run: Run) -> str:
    """What people call a run: the title of its runbook, else the runbook's name, else its id."""
    return visible(run.title or run.runbook or run.id)


@dataclass(frozen=True, slots=True)
class _Told:
    """An entry, and the incident that explains the ids in it."""

    entry: Entry
    incident: Incident | None

    def get(self, name: str) -> str:
        return value_text(self.entry.data.get(name))

    def after(self, mark: str, name: str) -> str:
        """The value led by a mark, such as ``: …``; empty where there is none."""
        value = self.get(name)
        return f"{mark}{value}" if value else ""

    def time(self, name: str) -> str:
        try:
            return moment_text(utc_from_text(str(self.entry.data.get(name))))
        except (ValueError, InputError):
            return ""

    def list_title(self) -> str:
        name = self.get("list")
        known = self.incident.checklist(name) if self.incident else None
        return visible(known.title) if known else self.get("title") or name

    def item(self) -> str:
        known = self.incident.checklist(self.get("list")) if self.incident else None
        try:
            item = known.item(str(self.entry.data.get("item"))) if known else None
        except NotFoundError:
            item = None
        return visible(item.text) if item else self.get("text") or self.get("item")

    def task(self) -> str:
        tasks = self.incident.tasks if self.incident else ()
        known = next((one for one in tasks if one.id == self.get("task")), None)
        return visible(known.text) if known else self.get("text") or f"task {self.get('task')}"

    def run(self) -> str:
        known = self.incident.run(self.get("run")) if self.incident else None
        if known:
            return run_name(known)
        return self.get("title") or self.get("runbook") or self.get("run")

    def step(self) -> str:
        title = self.get("title")
        named = f"'{title}'" if title else cell_name(self.entry.data.get("index"))
        return f"Step {named} in {self.run()}"

    def gate(self) -> str:
        known = self.incident.gate(self.get("gate")) if self.incident else None
        return visible(known.question) if known else self.get("question") or self.get("gate")

    def change(self) -> str:
        known = self.incident.change(self.get("change")) if self.incident else None
        return visible(known.title) if known else self.get("title") or self.get("change")

    def update(self) -> str:
        updates = self.incident.updates if self.incident else ()
        known = next((one for one in updates if one.id == self.get("update")), None)
        status = known.status if known else self.get("status")
        page = known.page if known else self.get("page")
        return f"'{visible(status)}' for the page {visible(page)}"


def _opened(told: _Told) -> str:
    services, severity = told.get("services"), told.get("severity")
    mode = told.get("mode")
    details = [
        severity,
        f"{mode}, not live" if mode not in ("", "live") else "",
        f"services: {services}" if services else "",
    ]
    inside = "; ".join(one for one in details if one)
    return f"Incident opened: {told.get('title')}" + (f" ({inside})" if inside else "")


def _severity_changed(told: _Told) -> str:
    before = told.after(" from ", "from")
    return f"Severity changed{before} to {told.get('to')}{told.after(': ', 'reason')}"


def _task_assigned(told: _Told) -> str:
    due = told.time("due_at")
    by = f", by {due}" if due else ""
    return f"{told.get('assignee') or 'Somebody'} was asked: {told.get('text')}{by}"


def _checklist_shown(told: _Told) -> str:
    items = told.entry.data.get("items")
    count = len(items) if isinstance(items, (list, tuple)) else 0
    title = told.get("title") or told.get("list")
    return f"Checklist shown: {title} ({counted(count, 'item')})"


def _gate_opened(told: _Told) -> str:
    answers = told.entry.data.get("answers")
    offered = " or ".join(map(value_text, answers)) if isinstance(answers, (list, tuple)) else ""
    parts = (
        f"Gate: {told.get('question')}",
        f" ({offered})" if offered else "",
        told.after(" – asked of ", "who"),
        f" – until {told.time('expires_at')}" if told.time("expires_at") else "",
    )
    return "".join(parts)


def _change_asked(told: _Told) -> str:
    until = f" – until {told.time('expires_at')}" if told.time("expires_at") else ""
    return (
        f"Approval asked: {told.get('title')}{told.after(' – because ', 'why')}"
        f"{told.after(' – asked of ', 'who')}{until}"
    )


def _change_failed(told: _Told) -> str:
    known = told.incident.change(told.get("change")) if told.incident else None
    undo = visible(known.rollback) if known else ""
    back = f" – rollback: {undo}" if undo else ""
    return f"Change failed: {told.change()}{told.after(': ', 'error')}{back}"


def _run_started(told: _Told) -> str:
    if told.entry.data.get("by_hand") is True:
        return f"Work by hand began in {told.run()}"
    name, runbook = told.run(), told.get("runbook")
    return f"Run started: {name}" + (f" ({runbook})" if runbook not in ("", name) else "")


def _on_which_kernel(told: _Told) -> str:
    kernel = told.get("kernel")
    return f", on {kernel} kernel" if kernel else ""


def _step_finished(told: _Told) -> str:
    status = told.get("status") or "ended"
    return f"{told.step()} – {status}{told.after(': ', 'error')}"


def _evidence(told: _Told) -> str:
    size = told.entry.data.get("size")
    amount = size_text(size) if isinstance(size, int) and not isinstance(size, bool) else ""
    kind = ", ".join(one for one in (told.get("media_type"), amount) if one)
    return f"Evidence kept: {told.get('title')}" + (f" ({kind})" if kind else "")


def _record_built(told: _Told) -> str:
    count = told.entry.data.get("entries") or told.entry.data.get("count")
    if not isinstance(count, int) or isinstance(count, bool):
        return "The record was built"
    return f"The record was built from {counted(count, 'entry', 'entries')}"


_SENTENCES: Mapping[str, Callable[[_Told], str]] = {
    "note.added": lambda told: told.get("text"),
    "decision.made": lambda told: (
        f"Decided: {told.get('text')}{told.after(' – because ', 'reason')}"
    ),
    "evidence.added": _evidence,
    "task.assigned": _task_assigned,
    "task.done": lambda told: f"Done: {told.task()}",
    "checklist.shown": _checklist_shown,
    "checklist.ticked": lambda told: f"Ticked: {told.item()} ({told.list_title()})",
    "checklist.unticked": lambda told: f"Tick taken back: {told.item()} ({told.list_title()})",
    "gate.opened": _gate_opened,
    "gate.answered": lambda told: (
        f"Gate answered: {told.gate()} – {told.get('answer')}{told.after(' – because ', 'reason')}"
    ),
    "gate.expired": lambda told: f"Gate expired, nobody answered: {told.gate()}",
    "change.asked": _change_asked,
    "change.approved": lambda told: (
        f"Change approved: {told.change()}{told.after(' – because ', 'reason')}"
    ),
    "change.denied": lambda told: (
        f"Change denied: {told.change()}{told.after(' – because ', 'reason')}"
    ),
    "change.begun": lambda told: f"Change begun: {told.change()}",
    "change.executed": lambda told: f"Change executed: {told.change()}",
    "change.verified": lambda told: f"Change verified: {told.change()}",
    "change.failed": _change_failed,
    "change.settled": lambda told: (
        f"Change settled as {told.get('outcome')}: {told.change()}"
        f"{told.after(' – because ', 'reason')}"
    ),
    "rule.counted": lambda told: (
        f"One of its runs of this hour taken by the rule {told.get('rule')}"
    ),
    "run.requested": lambda told: (
        f"Run asked for: {told.run()}{told.after(' – by the rule ', 'rule')}"
    ),
    "run.started": _run_started,
    "run.parked": lambda told: f"Run waits for a person: {told.run()}{told.after(': ', 'error')}",
    "run.cancel-requested": lambda told: f"Asked to end: {told.run()}{told.after(': ', 'reason')}",
    "run.resumed": lambda told: (
        f"Run goes on: {told.run()}{told.after(', with ', 'parameters')}"
        f"{told.after('; changed meanwhile: ', 'edited')}{_on_which_kernel(told)}"
        f"{told.after('; what earlier steps printed is on ', 'left_on')}"
    ),
    "run.taken": lambda told: f"Taken over from the machine: {told.run()}",
    "run.given": lambda told: f"Given back to the machine: {told.run()}",
    "run.finished": lambda told: (
        f"Run ended: {told.run()} – {told.get('status')}{told.after(': ', 'error')}"
    ),
    "step.started": lambda told: f"{told.step()} – started",
    "step.finished": _step_finished,
    "update.requested": lambda told: (
        f"Status update {told.update()} asked for{told.after(': ', 'body')}"
    ),
    "update.published": lambda told: (
        f"Status update {told.update()} published"
        f"{told.after(' at ', 'url') if '://' in told.get('url') else ''}"
    ),
    "update.failed": lambda told: (
        f"Status update {told.update()} not taken{told.after(': ', 'error')}"
    ),
    "update.withheld": lambda told: (
        f"Status update {told.update()} kept here: this is not a live incident"
    ),
    "delivery.received": lambda told: f"Delivery kept{told.after(', from ', 'source')}",
    "delivery.refused": lambda told: (
        f"Delivery {told.get('delivery')} set aside{told.after(': ', 'reason')}"
    ),
    "delivery.retried": lambda told: (
        f"Delivery {told.get('delivery')} became alerts after all{told.after(': ', 'incidents')}"
    ),
    "deliveries.handled": lambda told: (
        f"Deliveries became alerts{told.after(', up to ', 'through')}"
    ),
    "alert.silenced": lambda told: (
        f"Alert held back: {told.get('name')}{told.after(' – ', 'silence')}"
    ),
    "alert.received": lambda told: f"Alert firing: {told.get('name')}",
    "alert.resolved": lambda told: f"Alert over{told.after(': ', 'name')}",
    "resolution.proposed": lambda told: (
        f"The incident may be resolved: {told.get('reason') or 'every alert of it is over'}"
    ),
    "runbook.proposed": lambda told: (
        f"Runbook proposed: {told.get('runbook')}{told.after(' – ', 'reason')}"
    ),
    "measure.taken": lambda told: f"Measured{told.after(': ', 'measures')}",
    "severity.proposed": lambda told: (
        f"{'An alert asks' if told.get('alert') else 'Measurements ask'} for severity "
        f"{told.get('severity')}{told.after(': ', 'grounds')}"
    ),
    "record.built": _record_built,
    "notebook.sent": lambda told: f"Notebook sent: {told.get('notebook')}",
    "entry.withdrawn": lambda told: (
        f"Entry {told.get('supersedes')} was withdrawn{told.after(': ', 'reason')}"
    ),
    "incident.opened": _opened,
    "incident.acknowledged": lambda told: f"Acknowledged{told.after(': ', 'reason')}",
    "incident.mitigated": lambda told: (
        f"Mitigated, the damage is contained{told.after(': ', 'reason')}"
    ),
    "incident.resolved": lambda told: f"Resolved, service is restored{told.after(': ', 'reason')}",
    "incident.closed": lambda told: (
        f"Closed{told.after(': ', 'reason')}{told.after('; unfinished: ', 'unfinished')}"
    ),
    "incident.reviewed": lambda told: f"Review held{told.after(': ', 'reason')}",
    "incident.reopened": lambda told: f"Reopened{told.after(': ', 'reason')}",
    "severity.changed": _severity_changed,
    "field.set": lambda told: f"{told.get('name').capitalize()} set to: {told.get('value')}",
    "role.assigned": lambda told: f"{told.get('person')} is now {told.get('role')}",
    "role.released": lambda told: f"The role {told.get('role')} was released",
}


_TOLD_WHOLE = frozenset(
    name
    for name in _SENTENCES
    if not name.startswith(("alert.", "change.", "run.", "update.", "severity."))
)


def more_data(entry: Entry) -> Mapping[str, Any]:
    """The entry's data where its sentence does not tell all of it; else nothing."""
    return {} if entry.type in _TOLD_WHOLE else dict(entry.data)
