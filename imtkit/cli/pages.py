"""How incidents look on a terminal: the list, and one incident's page.

All that comes from the log is made ``visible`` first and printed as ``Text``: it is never
markup, and it cannot steer the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from imtkit.model.drawing import corrections, count_text, milestones, ticked_text
from imtkit.model.entries import Entry
from imtkit.model.gate_drawing import gate_state_in, gate_title
from imtkit.model.incident import Incident, Run, Summary
from imtkit.model.words import (
    counted,
    moment_text,
    one_line,
    run_name,
    sentence,
    size_text,
    span_text,
    value_text,
    visible,
)

if TYPE_CHECKING:
    from imtkit.model.severity import Severities

QUIET = "dim"
_RANK_STYLES = {1: "bold red", 2: "bold yellow"}
_STATUS_STYLES = {
    "open": "bold red",
    "acknowledged": "yellow",
    "mitigated": "cyan",
    "resolved": "green",
    "completed": "green",
    "running": "yellow",
    "failed": "bold red",
    "timed-out": "bold red",
    "kernel-died": "bold red",
    "published": "green",
    "firing": "bold red",
}
_LATE = timedelta(minutes=1)
"""What happened so long before an entry above it was told later: the timeline is the log's."""

_NARROW, _VERY_NARROW = 90, 56
UNWRAPPED = 10_000
_WIDTHS = {
    # the least and the most that a column takes; what is longer ends in '…'
    "ID": (13, None),
    "Severity": (8, None),
    "Status": (12, None),
    "Age": (6, None),
    "Services": (8, 24),
    "Owner": (5, 18),
    "Title": (16, None),
}


def word(text: str) -> Text:
    """A status in its colour."""
    return Text(visible(text), style=_STATUS_STYLES.get(text, ""))


def grid(rows: Iterable[Sequence[RenderableType]]) -> Table:
    """Columns without lines; the first column keeps its width, the last takes the rest."""
    table = Table.grid(padding=(0, 2))
    made = [tuple(row) for row in rows]
    for place in range(max((len(row) for row in made), default=0)):
        table.add_column(no_wrap=place == 0, overflow="fold")
    for row in made:
        table.add_row(*row)
    return table


def incident_table(
    rows: Sequence[Summary], severities: Severities, *, now: datetime, width: int
) -> Table:
    """Incidents, one a line; a narrow terminal gets the columns that matter most."""
    names = ["ID", "Severity", "Status", "Age", "Services", "Owner", "Title"]
    if width < _NARROW:
        names = ["ID", "Severity", "Status", "Title"]
    if width < _VERY_NARROW:
        names = ["ID", "Severity", "Title"]
    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)
    table.expand = width < UNWRAPPED
    for name in names:
        least, most = _WIDTHS[name]
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=least, max_width=most)
    table.columns[-1].ratio = 1 if table.expand else None
    for row in rows:
        cells = _cells(row, severities, now)
        table.add_row(*(cells[name] for name in names))
    return table


def _cells(row: Summary, severities: Severities, now: datetime) -> dict[str, Text]:
    title = one_line(row.title, most=300)
    return {
        "ID": Text(row.id),
        "Severity": Text(visible(row.severity), _severity_style(row.severity, severities)),
        "Status": word(row.status),
        "Age": Text(" ".join(span_text(now - (row.opened_at or now)).split()[:2])),
        "Services": Text(one_line(", ".join(row.services))),
        "Owner": Text(one_line(row.owner)),
        "Title": Text(title if row.mode == "live" else f"[{row.mode}] {title}"),
    }


def _severity_style(severity: str, severities: Severities) -> str:
    return _RANK_STYLES.get(severities.rank(severity), "")


def incident_page(incident: Incident, severities: Severities) -> Group:
    """An incident's page: head, people, checklists, decisions, runs, timeline."""
    parts: list[RenderableType] = [_title(incident, severities), _head(incident)]
    for title, rows in _sections(incident):
        if rows:
            parts += [Text(), Text(title, style="bold"), Padding.indent(grid(rows), 2)]
    return Group(*parts)


def _title(incident: Incident, severities: Severities) -> Text:
    mode = "" if incident.mode == "live" else f" · {incident.mode.upper()}"
    return Text.assemble(
        (incident.id, "bold"),
        " · ",
        (visible(incident.severity), _severity_style(incident.severity, severities)),
        " · ",
        word(incident.status),
        (visible(mode), "bold magenta"),
        "\n",
        (visible(incident.title), "bold"),
    )


def _head(incident: Incident) -> Padding:
    known = (
        ("Services", ", ".join(incident.services)),
        ("Category", incident.category),
        ("Tags", ", ".join(incident.tags)),
        ("Summary", incident.summary),
        *milestones(incident),
        ("Reopened", f"{incident.reopened} ×" if incident.reopened else ""),
        *((name.capitalize(), value_text(value)) for name, value in incident.fields.items()),
        ("Measured", ", ".join(f"{n} {value:g}" for n, value in incident.measures.items())),
    )
    rows = [(Text(visible(name), QUIET), Text(visible(said))) for name, said in known if said]
    return Padding.indent(grid(rows), 2)


Rows = list[Sequence[RenderableType]]


def _sections(incident: Incident) -> Iterator[tuple[str, Rows]]:
    yield "People", _people(incident)
    alerts: Rows = [
        (word(a.status), _said(a.name), _said(value_text(a.annotations.get("summary"))))
        for a in incident.alerts
    ]
    yield "Alerts", alerts
    for one in incident.checklists:
        required = " · required" if one.is_required else ""
        title = f"Checklist {one.name} · {one.title} · {count_text(one)}{required}"
        yield visible(title), _items(one.items)
    yield "Gates and changes", _gates(incident)
    tasks: Rows = [
        (word("done" if t.done_at else "open"), _said(t.text), _said(t.assignee))
        for t in incident.tasks
    ]
    yield "Tasks", tasks
    decisions: Rows = [
        (Text(moment_text(d.at), QUIET), _said(d.text, f"because {d.reason}"), _said(d.actor))
        for d in incident.decisions
    ]
    yield "Decisions", decisions
    yield "Runs", [row for run in incident.runs for row in run_rows(run)]
    evidence: Rows = [
        (_said(e.title), Text(f"{e.media_type}, {size_text(e.size)}", QUIET), _said(e.path))
        for e in incident.evidence
    ]
    yield "Evidence", evidence
    updates: Rows = [
        (word(u.state), _said(u.page), _said(u.status), _said(u.body)) for u in incident.updates
    ]
    yield "Status updates", updates
    yield "Timeline", _timeline(incident)


def _said(*lines: str) -> Text:
    return Text(visible("\n".join(line for line in lines if line)))


def _people(incident: Incident) -> Rows:
    people = {"owner": incident.owner, **incident.roles, "opened by": incident.opened_by}
    return [(Text(visible(role), QUIET), _said(name)) for role, name in people.items() if name]


def _gates(incident: Incident) -> Rows:
    asked = [(gate, None) for gate in incident.gates]
    both = [*asked, *((change.gate, change) for change in incident.changes)]
    return [
        (
            word(gate_state_in(incident, gate)),
            # In one column: beside others an id, which is there to be copied, would be broken.
            _said(gate_title(gate, change), gate.id, gate.reason).append(
                visible(f"\n{gate.by}, {moment_text(gate.at)}") if gate.by else "", QUIET
            ),
        )
        for gate, change in both
    ]


def _items(items: Iterable[object]) -> Rows:
    from imtkit.model.checklist import Item

    rows: Rows = []
    for item in items:
        if isinstance(item, Item):
            mark = Text("[x]", "green") if item.is_ticked else Text("[ ]")
            who = Text(ticked_text(item), QUIET) if item.is_ticked else Text("")
            rows.append((mark, _said(item.id), _said(item.text), who))
    return rows


def run_rows(run: Run) -> Iterator[Sequence[RenderableType]]:
    """A run in lines: itself, what went wrong, where its notebook is, the steps that did not."""
    ended = span_text(run.elapsed) if run.elapsed else ""
    kind = " (by hand)" if run.by_hand else ""
    lines = [f"{run_name(run)}{kind}", run.id, run.error, run.output_path]
    lines += [
        f"step {step.title or step.id}: {step.status}{f', {step.error}' if step.error else ''}"
        for step in run.steps
        if step.status not in ("completed", "running")
    ]
    done = sum(step.status == "completed" for step in run.steps)
    yield (
        word(run.status),
        _said(*(one_line(line, most=300) for line in lines if line)),
        Text(f"{done} of {counted(len(run.steps), 'step')} {ended}".rstrip(), QUIET),
    )


def _timeline(incident: Incident) -> Rows:
    by = corrections(incident.entries)
    told = [entry for entry in incident.entries if not _is_routine(entry)]
    rows: Rows = []
    last_day = ""
    latest = None
    for entry in told:
        said = _said(sentence(entry, incident))
        if entry.n in by:
            said.stylize("strike dim")
            said.append(f" (see entry {by[entry.n]})", QUIET)
        if latest is not None and entry.occurred_at < latest - _LATE:
            said.append(" (told later)", QUIET)
        latest = max(latest or entry.occurred_at, entry.occurred_at)
        who = f"{entry.actor}, {entry.source}" if entry.source else entry.actor
        said.append(f"  {visible(who)}", QUIET)
        day, _, time = moment_text(entry.occurred_at).removesuffix(" UTC").partition(" ")
        rows.append((Text("" if day == last_day else day, QUIET), Text(time, QUIET), said))
        last_day = day
    left_out = len(incident.entries) - len(told)
    if left_out:
        entries = counted(left_out, "entry", "entries")
        more = f"Left out: {entries} about steps that went well; --json has them."
        rows.append((Text(), Text(), Text(more, QUIET)))
    return rows


def _is_routine(entry: Entry) -> bool:
    """Whether the runs above tell it already: a step began, or ended well."""
    if entry.type == "step.finished":
        return entry.data.get("status") == "completed"
    return entry.type == "step.started"
