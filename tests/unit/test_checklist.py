"""Checklists: ids that stay with their texts, ticks that stay with their items."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.errors import InputError, NotFoundError
from imtkit.model.checklist import Checklist, checklist_of, marked, shown, slug

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_ids_are_made_from_texts() -> None:
    """Readable, lower case, ASCII; given ids are kept; equal ones are told apart."""
    made = checklist_of("l", ["Check the disk!", ("mine", "Mine"), "check the DISK", "mine"])
    assert [i.id for i in made.items] == ["check-the-disk", "mine", "check-the-disk-2", "mine-2"]
    assert made.title == "l"


LISTS = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6)


@given(LISTS)
def test_ids_are_unique_whatever_the_texts(texts: list[str]) -> None:
    """Any texts at all make a list whose items can be told apart."""
    made = checklist_of("l", texts)
    assert len({i.id for i in made.items}) == len(texts)
    assert [i.text for i in made.items] == texts


@pytest.mark.parametrize(
    "texts",
    [
        ["检查数据库", "通知客户"],
        ["Disk füllen", "Disk fallen"],
        ["x" * 60 + "a", "x" * 60 + "b"],
        ["???", "!!!"],
    ],
)
def test_an_items_id_does_not_depend_on_its_place(texts: list[str]) -> None:
    """Else a tick would move to another item when the list is put in another order."""
    there = {i.text: i.id for i in checklist_of("l", texts).items}
    back = {i.text: i.id for i in checklist_of("l", texts[::-1]).items}
    assert there == back


@pytest.mark.parametrize("name", ["", "a b", "../x", "-a", ".a", "ü", "a" * 65, "a/b", "a\n"])
def test_a_name_that_cannot_stand_in_a_file_name_is_refused(name: str) -> None:
    """The hint says which characters do."""
    with pytest.raises(InputError, match="is not usable") as caught:
        checklist_of(name, ["x"])
    assert "letters, digits" in caught.value.hint


def test_a_list_without_items_or_with_an_empty_one_is_refused() -> None:
    """There would be nothing to tick."""
    with pytest.raises(InputError, match="'l' has no items"):
        checklist_of("l", [])
    with pytest.raises(InputError, match="An item of checklist 'l' is empty"):
        checklist_of("l", ["a", " "])


def test_an_item_is_found_by_id_before_text() -> None:
    """Where one item's text is another's id, the id counts."""
    made = checklist_of("l", [("a", "b"), ("b", "c")])
    assert made.item("b").text == "c"
    assert made.item("c").id == "b"
    with pytest.raises(NotFoundError, match="Item 'd' not found in checklist 'l'"):
        made.item("d")


def test_ticks_stay_with_their_items_when_the_list_changes() -> None:
    """Items that keep their id keep their tick; new ones are open, old ones are gone."""
    first = marked(checklist_of("l", ["a", "b"], required=True), "a", "Ann", NOW, "web")
    changed = shown(first, checklist_of("l", ["c", ("a", "A, better said")], title="T").as_data())
    assert [(i.id, i.text, i.by, i.at, i.via) for i in changed.items] == [
        ("c", "c", "", None, ""),
        ("a", "A, better said", "Ann", NOW, "web"),
    ]
    assert (changed.title, changed.is_required) == ("T", False)
    assert [i.id for i in changed.open_items] == ["c"]


def test_a_tick_can_be_taken_back() -> None:
    """Nothing of it stays on the item; an unknown item changes nothing."""
    made = checklist_of("l", ["a"])
    ticked = marked(made, "a", "Ann", NOW, "web")
    assert ticked.item("a").is_ticked
    assert marked(ticked, "a", "", NOW, "web") == made
    assert marked(made, "zzz", "Ann", NOW, "web") == made


@given(LISTS, st.booleans())
def test_a_definition_comes_back_from_its_data(texts: list[str], required: bool) -> None:
    """What ``checklist.shown`` logs is the whole definition."""
    made: Checklist = checklist_of("l", texts, title="T", required=required)
    assert shown(None, made.as_data()) == made


@given(st.text())
def test_slugs_are_plain(text: str) -> None:
    """Lower case ASCII, digits and hyphens, never empty, at most 48 long."""
    made = slug(text)
    assert 0 < len(made) <= 48
    assert made.isascii()
    assert made.replace("-", "a").isalnum()
    assert made == made.lower()
