"""The checklist as a widget, for front ends that have a kernel but not our labextension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Unicode

from imtkit.errors import ImtkitError
from imtkit.kit import Desk, checklists, live

_HERE = Path(__file__).parent
_DRAWING = _HERE.parent / "lab" / "labextension" / "static"
"""The labextension's own component: one list, one look, whichever way the log is reached."""

Words = Mapping[str, Any]


class ChecklistView(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget's types are skipped
    """Draws what ``answer`` says and hands it every click; it keeps no tick of its own."""

    _esm = "\n".join(
        path.read_text(encoding="utf-8") for path in (_DRAWING / "checklist.js", _HERE / "view.js")
    )
    _css = (_DRAWING / "checklist.css").read_text(encoding="utf-8")
    incident = Unicode().tag(sync=True)
    list_name = Unicode().tag(sync=True)

    def __init__(self, incident: str, list_name: str, answer: Callable[[Words], Words]) -> None:
        super().__init__(incident=incident, list_name=list_name)
        self.on_msg(lambda _widget, words, _buffers: self.send(dict(answer(words))))


def view_of(desk: Desk, incident_id: str, name: str) -> ChecklistView:
    """A widget on one checklist of the log; whoever sits at the kernel ticks."""
    return ChecklistView(incident_id, name, lambda words: answer(desk, incident_id, name, words))


def answer(desk: Desk, incident_id: str, name: str, words: Words) -> Words:
    """What a view is told: ``{"nonce", "list"}``, or ``{"nonce", "problem"}`` when refused.

    ``words``: ``{"kind": "read" | "click", "nonce"}`` and a click's own (``kit.live.click``).
    """
    nonce = words.get("nonce", "")
    try:
        if words.get("kind") == "click":
            found = live.click(desk, incident_id, name, words)
        else:
            found = checklists.get(desk, incident_id, name)
    except ImtkitError as error:
        return {"nonce": nonce, "problem": {"message": str(error), "hint": error.hint}}
    return {"nonce": nonce, "list": live.live_list(desk, incident_id, found)}
