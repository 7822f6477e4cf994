"""The checklist object of a notebook, and what its widget is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clocks import FixedClock

from imtkit.errors import InputError, NotFoundError
from imtkit.kit import Desk, checklists, incidents
from imtkit.model.checklist import MIME_TYPE
from imtkit.model.entries import utc_text
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening
from imtkit.widgets.joined import JoinedIncident
from imtkit.widgets.view import answer

NAME = "before-failover"
ITEMS = ("Check the lag", ("dash", "Look at the dashboards"), "Tell <b>everybody</b>")


@pytest.fixture
def incident(desk: Desk) -> Incident:
    """A new incident."""
    return incidents.open_(desk, Opening("Checkout answers 502"))


@pytest.fixture
def joined(desk: Desk, incident: Incident) -> JoinedIncident:
    """The incident as a notebook holds it."""
    return JoinedIncident(desk, incident.id)


def ticks(desk: Desk, incident: Incident) -> list[str]:
    """The types and items of the entries about ticks, in order."""
    return [
        f"{entry.type.partition('.')[2]} {entry.data['item']}"
        for entry in incidents.get(desk, incident.id).entries
        if entry.type in ("checklist.ticked", "checklist.unticked")
    ]


def test_answers_tick_what_they_name(
    desk: Desk, incident: Incident, joined: JoinedIncident
) -> None:
    """Ids and texts, as a list or a table, are ticked; the rest stays open and is said to be."""
    shown = joined.checklist(NAME, ITEMS, answers={"dash": True, "Check the lag": False})
    assert ticks(desk, incident) == ["ticked dash"]
    assert [item.id for item in shown.open_items] == ["check-the-lag", "tell-b-everybody-b"]
    assert "Still open: Check the lag; Tell <b>everybody</b>" in repr(shown)
    shown.answer(["Check the lag", "tell-b-everybody-b"])
    assert shown.is_done
    assert "Still open" not in repr(shown)


def test_answers_count_once(desk: Desk, incident: Incident, joined: JoinedIncident) -> None:
    """A run repeated ticks nothing twice, and leaves alone what a person took back."""
    joined.checklist(NAME, ITEMS, answers=["dash"])
    joined.checklist(NAME, ITEMS, answers=["dash"])
    assert ticks(desk, incident) == ["ticked dash"]
    shown = joined.checklist(NAME).untick("dash")
    joined.checklist(NAME, ITEMS, answers=["dash"])
    assert ticks(desk, incident) == ["ticked dash", "unticked dash"]
    assert shown.tick("dash").state.item("dash").by == "Ann Example"


@pytest.mark.parametrize(
    ("answers", "error"),
    [("dash", InputError), (["dsh"], NotFoundError), ({"x": True}, InputError)],
)
def test_answers_that_name_nothing_are_refused(
    desk: Desk, incident: Incident, joined: JoinedIncident, answers: object, error: type[Exception]
) -> None:
    """A text instead of a list, and an item that is not there, tick nothing."""
    with pytest.raises(error):
        joined.checklist(NAME, ITEMS, answers=answers)  # type: ignore[arg-type]
    assert ticks(desk, incident) == []


def test_without_a_front_end_there_is_no_widget(incident: Incident, joined: JoinedIncident) -> None:
    """A headless display has our MIME type, HTML and text, and costs no widget."""
    bundle = joined.checklist(NAME, ITEMS)._repr_mimebundle_()
    assert set(bundle) == {MIME_TYPE, "text/html", "text/plain"}
    assert bundle[MIME_TYPE] == {"incident": incident.id, "list": NAME}
    assert "<b>everybody" not in str(bundle["text/html"])
    assert "Tell &lt;b&gt;everybody" in str(bundle["text/html"])


def test_a_list_that_was_never_shown_is_not_found(joined: JoinedIncident) -> None:
    """Asking for a checklist without items names those there are."""
    joined.checklist(NAME, ITEMS)
    with pytest.raises(NotFoundError) as caught:
        joined.checklist("before-failovr")
    assert caught.value.hint == f"Did you mean '{NAME}'?"


def test_a_view_is_told_of_its_click(
    desk: Desk, incident: Incident, joined: JoinedIncident
) -> None:
    """A click answers with its nonce and the list as recorded; the same click again is one."""
    joined.checklist(NAME, ITEMS)
    click = {"kind": "click", "nonce": "n1", "item": "dash", "checked": True}
    for _ in range(2):
        told = answer(desk, incident.id, NAME, click)
        assert told["nonce"] == "n1"
        (item,) = [one for one in told["list"]["items"] if one["id"] == "dash"]
        assert (item["by"], item["via"]) == ("Ann Example", "cli")
    assert told["list"]["person"] == "Ann Example"
    assert ticks(desk, incident) == ["ticked dash"]


def test_a_late_click_is_refused(
    desk: Desk, clock: FixedClock, incident: Incident, joined: JoinedIncident
) -> None:
    """After its deadline a click records nothing: its sender was told already that it did not."""
    joined.checklist(NAME, ITEMS)
    deadline = utc_text(clock.now() - timedelta(seconds=1))
    click = {"kind": "click", "nonce": "n", "item": "dash", "checked": True, "not_after": deadline}
    told = answer(desk, incident.id, NAME, click)
    assert "too late" in told["problem"]["message"]
    assert "list" not in told
    assert ticks(desk, incident) == []


@pytest.mark.parametrize(
    "words",
    [
        {"item": "dash"},
        {"item": 3, "checked": True},
        {"item": "dash", "checked": "yes"},
        {"item": "dash", "checked": True, "not_after": "soon"},
        {"item": "dash", "checked": True, "nonce": "n" * 101},
        {"item": "nothing", "checked": True},
    ],
)
def test_a_click_in_wrong_words_is_a_problem_and_no_tick(
    desk: Desk, incident: Incident, joined: JoinedIncident, words: dict[str, object]
) -> None:
    """Whatever a front end sends, the answer is a problem in words and the log is untouched."""
    joined.checklist(NAME, ITEMS)
    told = answer(desk, incident.id, NAME, {"kind": "click", **words})
    assert told["problem"]["message"]
    assert ticks(desk, incident) == []


def test_reading_is_not_recorded(desk: Desk, incident: Incident, joined: JoinedIncident) -> None:
    """A view that asks changes nothing, and is told the recorder's time."""
    joined.checklist(NAME, ITEMS, title="Before the failover", required=True)
    before = len(incidents.get(desk, incident.id).entries)
    told = answer(desk, incident.id, NAME, {"kind": "read", "nonce": "r"})
    assert told["list"]["title"] == "Before the failover"
    assert told["list"]["required"] is True
    assert told["list"]["now"] == utc_text(desk.clock.now())
    assert len(incidents.get(desk, incident.id).entries) == before
    assert checklists.get(desk, incident.id, NAME).open_items
