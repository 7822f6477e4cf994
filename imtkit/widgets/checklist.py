"""One checklist, three lives: clicked by a person, answered by a robot, read in the archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from imtkit.errors import InputError
from imtkit.kit import Desk, checklists
from imtkit.model import drawing
from imtkit.model.checklist import MIME_TYPE, Checklist, Item
from imtkit.model.words import visible
from imtkit.widgets import notebook

if TYPE_CHECKING:
    from imtkit.widgets.view import ChecklistView

Answers = Mapping[str, bool] | Iterable[str]


class LiveChecklist:
    """A checklist of the log in a notebook. It keeps no tick itself: it asks the log.

    As the last line of a cell it is drawn by JupyterLab's extension, else by a widget, else as
    HTML or text; where nobody looks, only as the latter two.
    """

    def __init__(self, desk: Desk, incident_id: str, name: str) -> None:
        self._desk = desk
        self._incident_id = incident_id
        self._view: ChecklistView | None = None
        self.name = name

    @property
    def state(self) -> Checklist:
        """The list as the log has it now."""
        return checklists.get(self._desk, self._incident_id, self.name)

    @property
    def open_items(self) -> tuple[Item, ...]:
        """Items nobody has ticked yet."""
        return self.state.open_items

    @property
    def is_done(self) -> bool:
        """Whether every item is ticked."""
        return not self.open_items

    def tick(self, item: str) -> LiveChecklist:
        """Tick an item, by id or text; what is ticked stays as it is."""
        checklists.tick(self._desk, self._incident_id, self.name, item)
        return self

    def untick(self, item: str) -> LiveChecklist:
        """Take a tick back."""
        checklists.untick(self._desk, self._incident_id, self.name, item)
        return self

    def answer(self, answers: Answers) -> LiveChecklist:
        """Tick what ``answers`` names: ids or texts, or a table of them with True or False.

        Each answer counts once for its incident: a run repeated ticks nothing twice, and what
        a person has taken back since stays back.
        """
        for item in _named(answers):
            found = self.state.item(item)
            nonce = f"answer/{self.name}/{found.id}"
            checklists.tick(self._desk, self._incident_id, self.name, found.id, nonce=nonce)
        return self

    def __repr__(self) -> str:
        return _text(self.state)

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> Mapping[str, object]:
        state = self.state
        shown: dict[str, Any] = {
            "text/plain": _text(state),
            "text/html": drawing.checklist_html(state) + _open_html(state),
            MIME_TYPE: {"incident": self._incident_id, "list": self.name},
        }
        if notebook.has_front_end(notebook.shell()):
            shown.update(self._widget_mimes())
        return shown

    def _widget_mimes(self) -> Mapping[str, object]:
        if self._view is None:
            from imtkit.widgets.view import view_of

            self._view = view_of(self._desk, self._incident_id, self.name)
        bundle = self._view._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        kind = "application/vnd.jupyter.widget-view+json"
        return {kind: data[kind]} if data and kind in data else {}


def _named(answers: Answers) -> list[str]:
    if isinstance(answers, str):
        raise InputError(
            f"answers={answers!r} is one text.", hint="Give a list: answers=['first-item']."
        )
    if isinstance(answers, Mapping):
        return [str(item) for item, is_done in answers.items() if is_done is True]
    return [str(item) for item in answers]


def _still_open(state: Checklist) -> str:
    return "; ".join(visible(item.text) for item in state.open_items)


def _text(state: Checklist) -> str:
    still = _still_open(state)
    return drawing.checklist_text(state) + (f"\nStill open: {still}" if still else "")


def _open_html(state: Checklist) -> str:
    still = _still_open(state)
    return f"<p><small>Still open: {escape(still)}</small></p>" if still else ""
