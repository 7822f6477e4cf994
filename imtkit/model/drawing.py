"""An incident's parts as HTML that stands alone, and as plain text.

The HTML is for displays inside other people's pages (a notebook, an archived page): no style
sheet, only classes ``imt-…`` and the ``--jp-*`` colours with fallbacks, everything escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from imtkit.model.checklist import Checklist, Item
from imtkit.model.entries import Entry
from imtkit.model.incident import Incident
from imtkit.model.words import moment_text, run_name, sentence, span_text, visible

__all__ = [
    "checklist_html",
    "checklist_text",
    "incident_html",
    "incident_text",
    "sentence",
    "timeline_html",
    "timeline_text",
]

_QUIET = "color:var(--jp-content-font-color2,#59636e)"
_LINE = "1px solid var(--jp-border-color2,#d5dae0)"
_LEFT = "text-align:left;vertical-align:top;padding:0.2em 0.9em 0.2em 0"
_LOUD = "font-weight:bold;color:var(--jp-error-color1,#b42318)"


def _safe(text: str) -> str:
    return escape(visible(text))


def _tag(name: str, inner: str, *, class_: str = "", style: str = "") -> str:
    attributes = (f' class="{class_}"' if class_ else "") + (f' style="{style}"' if style else "")
    return f"<{name}{attributes}>{inner}</{name}>"


def count_text(checklist: Checklist) -> str:
    """How far a checklist is: '2 of 5 done'."""
    done = len(checklist.items) - len(checklist.open_items)
    return f"{done} of {len(checklist.items)} done"


def ticked_text(item: Item) -> str:
    """Who ticked an item, when and through which face; 'open' when nobody did."""
    if not item.is_ticked:
        return "open"
    via = f", {item.via}" if item.via else ""
    return visible(f"{item.by}, {moment_text(item.at)}{via}")


def checklist_html(checklist: Checklist) -> str:
    """A checklist as HTML: each item's state in words and as a mark, who ticked it and when."""
    required = " · required" if checklist.is_required else ""
    head = (
        f"<strong>{_safe(checklist.title)}</strong> "
        f'<span style="{_QUIET}">{count_text(checklist)}{required}</span>'
    )
    lines = "".join(_item_html(item) for item in checklist.items)
    return (
        f'<div class="imt-checklist" role="group" aria-label="Checklist {_safe(checklist.title)}">'
        f'<p class="imt-title">{head}</p>'
        f'<ul style="list-style:none;padding-left:0">{lines}</ul></div>'
    )


def _item_html(item: Item) -> str:
    mark, class_ = ("☑", "imt-item imt-done") if item.is_ticked else ("☐", "imt-item imt-open")
    who = f'<small class="imt-who" style="{_QUIET}">{_safe(ticked_text(item))}</small>'
    return (
        f'<li class="{class_}"><span aria-hidden="true">{mark}</span> {_safe(item.text)} {who}</li>'
    )


def checklist_text(checklist: Checklist) -> str:
    """A checklist as plain text, one line an item."""
    lines = [f"{visible(checklist.title)} ({count_text(checklist)})"]
    for item in checklist.items:
        mark = "x" if item.is_ticked else " "
        who = f"  – {ticked_text(item)}" if item.is_ticked else ""
        lines.append(f"  [{mark}] {visible(item.text)}{who}")
    return "\n".join(lines)


def corrections(entries: Iterable[Entry]) -> Mapping[int, int]:
    """For each corrected or withdrawn position, the position of the entry that did it."""
    return {
        entry.supersedes: entry.n
        for entry in entries
        if entry.supersedes is not None and entry.supersedes < entry.n
    }


def timeline_html(incident: Incident) -> str:
    """The timeline as an HTML table, oldest first; corrected entries are struck through."""
    by = corrections(incident.entries)
    rows = "".join(_row_html(entry, incident, by.get(entry.n)) for entry in incident.entries)
    head = "".join(
        f'<th scope="col" style="{_LEFT}">{one}</th>' for one in ("Time (UTC)", "What", "Who")
    )
    caption = _tag("caption", f"Timeline of {_safe(incident.id)}", style="text-align:left")
    return (
        f'<table class="imt-timeline">{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row_html(entry: Entry, incident: Incident, corrected_by: int | None) -> str:
    said = f'<span style="white-space:pre-line">{_safe(sentence(entry, incident))}</span>'
    if corrected_by is not None:
        said = f'<s>{said}</s> <small style="{_QUIET}">see entry {corrected_by}</small>'
    if entry.visibility == "external":
        said += f' <small style="{_QUIET}">(external)</small>'
    cells = (
        moment_text(entry.occurred_at).removesuffix(" UTC"),
        said,
        f'{_safe(entry.actor)} <small style="{_QUIET}">{_safe(entry.source)}</small>',
    )
    return "<tr>" + "".join(_tag("td", cell, style=_LEFT) for cell in cells) + "</tr>"


def timeline_text(incident: Incident) -> str:
    """The timeline as plain text, one line an entry (a note's own lines are indented)."""
    by = corrections(incident.entries)
    lines = []
    for entry in incident.entries:
        said = sentence(entry, incident).replace("\n", "\n    ")
        if entry.n in by:
            said = f"[no longer counts, see entry {by[entry.n]}] {said}"
        who = visible(f"{entry.actor} ({entry.source})" if entry.source else entry.actor)
        lines.append(f"{moment_text(entry.occurred_at)}  {said}  – {who}")
    return "\n".join(lines)


def milestones(incident: Incident) -> tuple[tuple[str, str], ...]:
    """The incident's times so far, each with how long after the opening it came."""
    opened = incident.opened_at
    times = (
        ("Acknowledged", incident.acknowledged_at),
        ("Mitigated", incident.mitigated_at),
        ("Resolved", incident.resolved_at),
        ("Closed", incident.closed_at),
        ("Reviewed", incident.reviewed_at),
    )
    told = [("Opened", moment_text(opened))] if opened else []
    for name, at in times:
        if at is not None:
            after = f", after {span_text(at - opened)}" if opened else ""
            told.append((name, f"{moment_text(at)}{after}"))
    return tuple(told)


def _facts(incident: Incident) -> list[tuple[str, str]]:
    open_tasks = sum(1 for task in incident.tasks if task.done_at is None)
    lists = ", ".join(f"{one.title}: {count_text(one)}" for one in incident.checklists)
    facts = [
        ("Severity", incident.severity),
        ("Category", incident.category),
        ("Services", ", ".join(incident.services)),
        ("Owner", incident.owner),
        *((role.capitalize(), person) for role, person in incident.roles.items()),
        *milestones(incident),
        ("Summary", incident.summary),
        ("Checklists", lists),
        ("Waiting for an answer", "; ".join(gate.question for gate in incident.waiting_gates)),
        ("Open tasks", str(open_tasks) if open_tasks else ""),
        ("Runs", ", ".join(f"{run_name(run)} – {run.status}" for run in incident.runs)),
    ]
    return [(name, value) for name, value in facts if value]


def incident_html(incident: Incident) -> str:
    """The incident's head as HTML: title, status, mode, and the facts people ask for first."""
    mode = ""
    if incident.mode != "live":
        mode = f' <span class="imt-mode" style="{_LOUD}">{_safe(incident.mode.upper())}</span>'
    head = (
        f"<strong>{_safe(incident.id)} · {_safe(incident.title)}</strong> "
        f'<span class="imt-status">{_safe(incident.status)}</span>{mode}'
    )
    rows = "".join(
        f'<tr><th scope="row" style="{_LEFT};font-weight:normal;{_QUIET}">{_safe(name)}</th>'
        f'<td style="{_LEFT}">{_safe(value)}</td></tr>'
        for name, value in _facts(incident)
    )
    return (
        f'<div class="imt-incident" style="border-left:{_LINE};padding-left:1em">'
        f'<p class="imt-title">{head}</p><table>{rows}</table></div>'
    )


def incident_text(incident: Incident) -> str:
    """The incident's head as plain text."""
    mode = "" if incident.mode == "live" else f" [{incident.mode.upper()}]"
    lines = [f"{incident.id} · {visible(incident.title)} – {incident.status}{visible(mode)}"]
    width = max((len(name) for name, _ in _facts(incident)), default=0)
    lines += [f"  {visible(name):<{width}}  {visible(text)}" for name, text in _facts(incident)]
    return "\n".join(lines)
