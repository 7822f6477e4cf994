"""Gates and changes as HTML that stands alone, and as plain text: who, when, what."""

from __future__ import annotations

from html import escape

from imtkit.model.gates import Change, Gate
from imtkit.model.incident import Incident
from imtkit.model.words import moment_text, visible

_QUIET = "color:var(--jp-content-font-color2,#59636e)"
_LINE = "1px solid var(--jp-border-color2,#d5dae0)"
_LEFT = "text-align:left;vertical-align:top;padding:0.2em 0.9em 0.2em 0"

Facts = tuple[tuple[str, str], ...]


def gate_title(gate: Gate, change: Change | None = None) -> str:
    """What people call it: the question, or the change's title."""
    return visible(f"Change: {change.title}" if change else gate.question)


def gate_state(gate: Gate, change: Change | None = None) -> str:
    """Where it stands, in a word: waiting, the answer, expired; for a change, its state."""
    if gate.state == "expired":
        return "expired"
    if change is None:
        return visible(f"answered: {gate.answer}") if gate.answer else "waiting"
    return "waiting for approval" if change.state == "asked" else change.state


def gate_state_in(incident: Incident, gate: Gate) -> str:
    """Where it stands, in a word, also where the run that asked is over and says no more."""
    run, change = incident.run(gate.run), incident.change(gate.id)
    if run is not None and run.is_over:
        if gate.is_waiting:
            return "not answered"
        if change is not None and change.state == "begun":
            return "begun, end unknown"
    return gate_state(gate, change)


def gate_facts(gate: Gate, change: Change | None = None) -> Facts:
    """What there is to know, by name: the plan, who asked whom, the answer, how it ended."""
    facts = (
        *(change.plan if change else ()),
        ("Answers", " or ".join(gate.answers)),
        ("Asked by", f"{gate.opened_by}, {moment_text(gate.opened_at)}"),
        ("Who may answer", " or ".join(gate.who) or "any person"),
        ("Until", moment_text(gate.expires_at) if gate.expires_at else ""),
        ("Answered", _answered(gate)),
        ("Because", gate.reason if gate.answer else ""),
        ("Executed", _executed(change)),
        ("Ended", _ended(change)),
        ("Settled", _settled(change)),
    )
    return tuple((name, visible(text)) for name, text in facts if text)


def gate_html(gate: Gate, change: Change | None = None) -> str:
    """A gate or a change as HTML."""
    title, state = escape(gate_title(gate, change)), escape(gate_state(gate, change))
    rows = "".join(
        f'<tr><th scope="row" style="{_LEFT};font-weight:normal;{_QUIET}">{escape(name)}</th>'
        f'<td style="{_LEFT}">{escape(text)}</td></tr>'
        for name, text in gate_facts(gate, change)
    )
    return (
        f'<div class="imt-gate" role="group" aria-label="{title}" '
        f'style="border-left:{_LINE};padding-left:1em">'
        f'<p class="imt-title"><strong>{title}</strong> '
        f'<span class="imt-state">{state}</span></p><table>{rows}</table></div>'
    )


def gate_text(gate: Gate, change: Change | None = None, *, state: str = "") -> str:
    """A gate or a change as plain text; ``state`` where more is known of it than it tells."""
    facts = gate_facts(gate, change)
    width = max(len(name) for name, _ in facts)
    lines = [f"{gate_title(gate, change)} – {state or gate_state(gate, change)}"]
    lines += [f"  {name:<{width}}  {text}" for name, text in facts]
    return "\n".join(lines)


def _answered(gate: Gate) -> str:
    if gate.is_waiting:
        return ""
    if not gate.answer:
        return f"by nobody; it expired, written down {moment_text(gate.at)}"
    via = f", {gate.via}" if gate.via else ""
    return f"{gate.answer}, by {gate.by}, {moment_text(gate.at)}{via}"


def _executed(change: Change | None) -> str:
    if change is None or change.executed_at is None:
        return ""
    return f"by {change.executed_by}, {moment_text(change.executed_at)}"


def _ended(change: Change | None) -> str:
    if change is None or change.ended_at is None:
        return ""
    error = f": {change.error}" if change.error else ""
    return f"{change.state}, {moment_text(change.ended_at)}{error}"


def _settled(change: Change | None) -> str:
    if change is None or change.settled_at is None:
        return ""
    because = f": {change.settled_because}" if change.settled_because else ""
    return (
        f"as {change.settled_as}, by {change.settled_by}, {moment_text(change.settled_at)}{because}"
    )
