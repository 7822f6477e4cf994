"""What is done to an executed notebook before it is drawn: nothing live is left in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from html import escape
from typing import Any

from imtkit.model.checklist import MIME_TYPE
from imtkit.model.drawing import checklist_html
from imtkit.model.gate_drawing import gate_html
from imtkit.model.gates import MIME_TYPE as GATE_MIME_TYPE
from imtkit.model.incident import Incident
from imtkit.model.words import value_text, visible

_OURS = "application/vnd.imtkit."
_LIVE = {
    "application/vnd.jupyter.widget-view+json": "An interactive widget",
    "application/vnd.jupyter.widget-state+json": "The state of a widget",
    "application/javascript": "JavaScript",
    "text/javascript": "JavaScript",
    "text/vnd.mermaid": "A mermaid diagram",
}
SHOWN = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
)
"""The forms of an output that a record shows, best first."""

_AS_THEY_ARE = ("image/png", "image/jpeg", "text/plain")

Node = MutableMapping[str, Any]


def seal(notebook: Node, incident: Incident) -> None:
    """Make a notebook fit for the record, in place.

    Widget state and live outputs (widgets, JavaScript, mermaid) are dropped, in favour of
    another form where there is one, else of their source as text. A checklist and a gate are
    drawn as the log has them now, not as they were when they were displayed.
    """
    notebook["metadata"].pop("widgets", None)
    for output in _outputs(notebook):
        if output.get("output_type") in ("display_data", "execute_result"):
            output["data"] = _sealed(output.get("data", {}), incident)
            output["metadata"] = {}


def _outputs(notebook: Node) -> Iterator[Node]:
    for cell in notebook["cells"]:
        yield from cell.get("outputs", ())


def _sealed(data: Mapping[str, Any], incident: Incident) -> dict[str, str]:
    if MIME_TYPE in data:
        return {"text/html": _checklist(data, incident)}
    if GATE_MIME_TYPE in data:
        return {"text/html": _gate(data, incident)}
    forms = {
        name: value if name in _AS_THEY_ARE else visible(value)
        for name, value in data.items()
        if name in SHOWN and isinstance(value, str)
    }
    return forms or {"text/plain": _in_words(data)}


def _checklist(data: Mapping[str, Any], incident: Incident) -> str:
    name, other = _named(data[MIME_TYPE], "list", incident)
    if other:
        return f"<p>{_safe(f'A checklist of {other} was shown here; see its own record.')}</p>"
    found = incident.checklist(name)
    if found is None:
        return f"<p>{_safe(f'The log of {incident.id} has no checklist {name!r}.')}</p>"
    return checklist_html(found)


def _gate(data: Mapping[str, Any], incident: Incident) -> str:
    name, other = _named(data[GATE_MIME_TYPE], "gate", incident)
    if other:
        return f"<p>{_safe(f'A gate of {other} was shown here; see its own record.')}</p>"
    found = incident.gate(name)
    if found is None:
        return f"<p>{_safe(f'The log of {incident.id} has no gate {name!r}.')}</p>"
    return gate_html(found, incident.change(name))


def _named(about: object, what: str, incident: Incident) -> tuple[str, str]:
    """The name that an output gives, and the other incident that it belongs to, if to one."""
    named = about if isinstance(about, Mapping) else {}
    other = named.get("incident")
    is_ours = other in (None, "", incident.id)
    return value_text(named.get(what)), "" if is_ours else value_text(other)


def _safe(text: str) -> str:
    return escape(visible(text))


def _in_words(data: Mapping[str, Any]) -> str:
    """What stood here, for an output that has no form which a record shows."""
    lines = []
    for name, value in data.items():
        if name.startswith(_OURS):
            continue
        what = _LIVE.get(name, f"An output of the type {name}")
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        lines.append(f"[{what} stood here; a record keeps only its source.]\n{text}")
    return "\n".join(lines) or "[An output without a form that a record shows stood here.]"
