"""The lifecycle: every verb from every state, and what is owed before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rows import entry

from imtkit.errors import MissingFieldsError, NotFoundError, StateError
from imtkit.model.checklist import checklist_of, marked
from imtkit.model.entries import CATALOGUE, Draft
from imtkit.model.fold import fold
from imtkit.model.incident import Incident
from imtkit.model.lifecycle import STATUSES, TRANSITIONS, Owed, move

NOTHING = Owed()
TABLE = {
    # state: the verbs that may be said of it
    "open": {"acknowledge", "mitigate", "resolve"},
    "acknowledged": {"mitigate", "resolve"},
    "mitigated": {"resolve", "reopen"},
    "resolved": {"close", "reopen"},
    "closed": {"review", "reopen"},
    "reviewed": {"reopen"},
}


def incident(status: str, **rest: object) -> Incident:
    return replace(Incident("INC-2026-0001", status=status), **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", TRANSITIONS)
@pytest.mark.parametrize("state", STATUSES)
def test_each_verb_leads_from_each_state_where_the_table_says(state: str, verb: str) -> None:
    """What may not be is refused, and the error says what may."""
    if verb in TABLE[state]:
        assert move(incident(state), verb, NOTHING, Draft("x", actor="Ann")).actor == "Ann"
        return
    with pytest.raises(StateError, match=f"INC-2026-0001 is {state}; it cannot be ") as caught:
        move(incident(state), verb, NOTHING, Draft("x"))
    assert caught.value.hint == f"From '{state}' one can: {', '.join(_in_order(state))}."


def _in_order(state: str) -> list[str]:
    return [verb for verb in TRANSITIONS if verb in TABLE[state]]


@pytest.mark.parametrize("verb", TRANSITIONS)
def test_the_entry_of_a_verb_folds_to_the_state_it_promises(verb: str) -> None:
    """Table and fold say the same, and every entry type is in the catalogue."""
    for start, target in TRANSITIONS[verb].items():
        draft = move(incident(start), verb, NOTHING, Draft("x", {"a": 1}))
        assert draft.type in CATALOGUE
        assert draft.data == {"a": 1}
        rows = [
            entry(1, "incident.opened", {"title": "x"}),
            entry(2, "incident.acknowledged", {}),
            entry(3, draft.type, {}),
        ]
        assert fold("INC-1", rows).status == target


def test_an_unknown_verb_is_not_found() -> None:
    """It names the nearest."""
    with pytest.raises(NotFoundError, match="State change 'resolv' not found") as caught:
        move(incident("open"), "resolv", NOTHING, Draft("x"))
    assert caught.value.hint == "Did you mean 'resolve'?"


def test_what_was_never_opened_cannot_move() -> None:
    """An incident without entries has no state to leave."""
    with pytest.raises(StateError, match="was never opened"):
        move(incident(""), "resolve", NOTHING, Draft("x"))


OWED = Owed({"resolved": ("resolution", "services"), "closed": ("cause",)})


@pytest.mark.parametrize("empty", [None, "", "  \n", [], (), {}])
def test_an_empty_field_is_still_owed(empty: object) -> None:
    """Nothing, blanks and empty lists fill no field; the hint is a command that does."""
    stands = incident("open", fields={"resolution": empty})
    with pytest.raises(MissingFieldsError) as caught:
        move(stands, "resolve", OWED, Draft("x"))
    assert caught.value.missing == ("resolution", "services")
    assert "INC-2026-0001 cannot be resolved yet" in str(caught.value)
    assert caught.value.hint == "Give it: imt incident set INC-2026-0001 resolution=… services=…"


@pytest.mark.parametrize("value", ["restarted", 0, False, ["x"]])
def test_any_value_fills_a_field(value: object) -> None:
    """Zero and 'no' are answers."""
    stands = incident("open", services=("a",), fields={"resolution": value})
    assert move(stands, "resolve", OWED, Draft("x")).type == "incident.resolved"


def test_required_checklists_are_owed_before_closing_only() -> None:
    """An open required list keeps an incident from closing, nothing else does."""
    required = checklist_of("before-close", ["a"], required=True)
    lists = (required, checklist_of("nice", ["b"]))
    stands = incident("resolved", fields={"cause": "disk"}, checklists=lists)
    assert OWED.missing(stands, "resolved") == ("resolution", "services")
    with pytest.raises(MissingFieldsError) as caught:
        move(stands, "close", OWED, Draft("x"))
    assert caught.value.missing == ("checklist before-close",)
    assert "Tick" in caught.value.hint
    ticked = marked(required, "a", "Ann", None, "cli")
    assert move(replace(stands, checklists=(ticked,)), "close", OWED, Draft("x"))


def test_reopening_owes_nothing() -> None:
    """It was not over, whatever is filled in."""
    owed = Owed({"acknowledged": ("cause",)})
    assert move(incident("closed"), "reopen", owed, Draft("x")).type == "incident.reopened"
