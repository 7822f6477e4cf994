"""Entries, times and spans in plain words; displays as HTML and text."""

from __future__ import annotations

import html.parser
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.model.drawing import (
    checklist_html,
    checklist_text,
    incident_html,
    incident_text,
    timeline_html,
    timeline_text,
)
from imtkit.model.entries import CATALOGUE, Entry
from imtkit.model.fold import fold
from imtkit.model.words import counted, sentence, size_text, span_text, visible

AT = datetime(2026, 11, 21, 20, 16, 46, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202eevil\ud800"


def entry(n: int, type_: str, **data: Any) -> Entry:
    """An entry as a store would give it, with links that nobody follows here."""
    return Entry(
        n, "INC-2026-0001", n, type_, AT, "UTC", AT, "Ada", "cli", "internal", data, None, "", ""
    )


@pytest.mark.parametrize("type_", sorted(CATALOGUE))
def test_every_type_of_the_catalogue_has_a_sentence(type_):
    """Each known type is told in words, even when its data is empty or not what it should be."""
    for data in ({}, {"text": 3, "items": "x", "list": None, "run": [1], "index": True}):
        told = sentence(entry(1, type_, **data))
        assert type_ not in told
        assert "{" not in told


def test_an_unknown_type_is_told_by_name_and_data():
    """Nothing in the log is left out because this imtkit does not know it."""
    assert sentence(entry(1, "moon.landed", crew=["a", "b"])) == 'moon.landed: {"crew": ["a", "b"]}'


def test_a_correction_says_what_it_corrects():
    """A superseding entry points back."""
    assert sentence(entry(2, "note.added", text="new", supersedes=1)) == "new (Corrects entry 1.)"


def test_a_number_of_things_is_told_as_people_say_it():
    """One of a thing is one thing; its plural is an s, or what is said."""
    assert [counted(n, "chain") for n in (0, 1, 2)] == ["0 chains", "1 chain", "2 chains"]
    assert [counted(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]
    said = [sentence(entry(1, "record.built", entries=n)) for n in (1, 2)]
    assert said == ["The record was built from 1 entry", "The record was built from 2 entries"]


def test_why_an_incident_may_be_resolved_is_said_once():
    """With the reason of the log, and without one."""
    alone, told = "every alert of it is over", "every alert of the incident is over"
    proposed = [entry(1, "resolution.proposed"), entry(1, "resolution.proposed", reason=told)]
    said = [f"The incident may be resolved: {why}" for why in (alone, told)]
    assert [sentence(one) for one in proposed] == said


def test_an_address_that_only_its_page_understands_is_not_said():
    """The embedded page's is a file of its folder, which the log does not name."""
    for url, said in (
        ("history.html#INC-2026-0001", "published"),
        ("https://stspg.example/1", "published at https://stspg.example/1"),
    ):
        told = entry(1, "update.published", status="identified", page="public", url=url)
        assert sentence(told) == f"Status update 'identified' for the page public {said}"


def test_names_replace_ids_when_the_incident_is_at_hand():
    """A tick is told by its item's text and its checklist's title."""
    shown = entry(
        1, "checklist.shown", list="safe", title="Make safe", items=[{"id": "a", "text": "Stop it"}]
    )
    ticked = entry(2, "checklist.ticked", list="safe", item="a")
    incident = fold("INC-2026-0001", [shown, ticked])
    assert sentence(ticked, incident) == "Ticked: Stop it (Make safe)"
    assert sentence(ticked) == "Ticked: a (safe)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.035, "35 ms"),
        (1.24, "1.2 s"),
        (59.96, "1 min 0 s"),
        (252, "4 min 12 s"),
        (3600 * 3 + 300, "3 h 5 min"),
        (86400 * 2 + 3600, "2 d 1 h"),
        (-5, "−5.0 s"),
    ],
)
def test_spans_read_in_two_units(seconds, text):
    """Durations take the two units that read best."""
    assert span_text(timedelta(seconds=seconds)) == text


def test_sizes_read_in_one_unit():
    """Sizes take the unit that reads best."""
    assert [size_text(n) for n in (0, 1023, 3482, 5 * 2**20, 3 * 2**30)] == [
        "0 B",
        "1023 B",
        "3.4 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]


@given(st.text(st.characters(codec=None)))
def test_visible_text_can_always_be_encoded_and_holds_no_control_character(text):
    """What comes out prints safely, whatever came in, and letters are left alone."""
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(ord(char) < 32 and char not in "\t\n" for char in shown)
    assert visible(shown) == shown


def test_hostile_words_stay_text_in_every_display():
    """Markup in titles, notes, items and names is escaped, escapes and overrides are shown."""
    entries = [
        entry(1, "incident.opened", title=HOSTILE, severity=HOSTILE, mode=HOSTILE),
        entry(2, "note.added", text=HOSTILE),
        entry(3, "checklist.shown", list="l", title=HOSTILE, items=[{"id": "a", "text": HOSTILE}]),
        replace(entry(4, "checklist.ticked", list="l", item="a"), actor=HOSTILE, source=HOSTILE),
        entry(5, "role.assigned", role=HOSTILE, person=HOSTILE),
    ]
    incident = fold("INC-2026-0001", entries)
    markup = incident_html(incident) + timeline_html(incident)
    markup += checklist_html(incident.checklists[0])
    assert "<script" not in markup
    assert "&lt;script&gt;alert(1)&lt;/script&gt;␛[31m⟨U+202E⟩evil\ufffd" in markup
    text = incident_text(incident) + timeline_text(incident)
    text += checklist_text(incident.checklists[0])
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_displays_are_balanced_html():
    """Every tag that a display opens it closes, so that it cannot swallow what follows."""
    incident = fold("INC-2026-0001", [entry(1, "incident.opened", title="T", services=["a"])])

    class Balance(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    checker = Balance()
    checker.feed(incident_html(incident) + timeline_html(incident))
    checker.close()
    assert checker.open == []


def test_a_corrected_entry_is_struck_through_with_a_pointer():
    """What no longer counts stays readable and names the entry that replaced it."""
    entries = [entry(1, "note.added", text="old"), entry(2, "note.added", text="n", supersedes=1)]
    incident = fold("INC-2026-0001", entries)
    assert "<s><span" in timeline_html(incident)
    assert "see entry 2" in timeline_html(incident)
    assert "[no longer counts, see entry 2] old" in timeline_text(incident)


def test_a_drill_is_unmistakable_in_both_forms():
    """A head that is not live says so in capitals."""
    incident = fold("INC-2026-0001", [entry(1, "incident.opened", title="T", mode="drill")])
    assert "DRILL" in incident_html(incident)
    assert "[DRILL]" in incident_text(incident)
