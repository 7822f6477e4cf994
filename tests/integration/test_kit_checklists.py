"""Checklists and evidence as people use them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import NOON, FixedClock

from imtkit.errors import InputError, MissingFieldsError, NotFoundError, StateError, StoreError
from imtkit.kit import Desk, checklists, corrections, evidence, incidents
from imtkit.model.checklist import checklist_of
from imtkit.model.incident import Evidence
from imtkit.model.opening import Opening
from imtkit.store import open_store

CHECKS = checklist_of("checks", ["Look at the disk", "Tell the team"])


@pytest.fixture
def incident_id(desk: Desk) -> str:
    """An incident that has just been opened."""
    return incidents.open_(desk, Opening("Orders fail")).id


def count(desk: Desk, incident_id: str, type_: str) -> int:
    return sum(entry.type == type_ for entry in desk.store.entries(incident_id))


def test_a_list_is_shown_once(desk: Desk, incident_id: str) -> None:
    """The same definition again logs nothing, a changed one is logged, ticks stay."""
    checklists.show(desk, incident_id, CHECKS)
    checklists.tick(desk, incident_id, "checks", "look-at-the-disk")
    again = checklists.show(desk, incident_id.lower(), CHECKS)
    assert again.item("look-at-the-disk").by == "Ann Example"
    assert count(desk, incident_id, "checklist.shown") == 1
    longer = checklist_of("checks", ["Breathe", "Look at the disk"])
    changed = checklists.show(desk, incident_id, longer)
    assert [item.is_ticked for item in changed.items] == [False, True]
    assert count(desk, incident_id, "checklist.shown") == 2


def test_a_tick_says_who_when_and_through_what(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """By id or by text; a second tick logs nothing and leaves the first."""
    checklists.show(desk, incident_id, CHECKS)
    clock.move(minutes=1)
    checklists.tick(desk.acting_as("Bo", "web"), incident_id, "checks", "Tell the team")
    ticked = checklists.tick(desk, incident_id, "checks", "tell-the-team").item("tell-the-team")
    assert (ticked.by, ticked.via, ticked.at) == ("Bo", "web", NOON + timedelta(minutes=1))
    assert count(desk, incident_id, "checklist.ticked") == 1


def test_a_tick_can_be_taken_back_and_given_again(desk: Desk, incident_id: str) -> None:
    """All of it stays in the log; unticking what is open logs nothing."""
    checklists.show(desk, incident_id, CHECKS)
    checklists.untick(desk, incident_id, "checks", "tell-the-team")
    for _ in range(2):
        checklists.tick(desk, incident_id, "checks", "tell-the-team")
        left = checklists.untick(desk, incident_id, "checks", "tell-the-team")
    assert len(left.open_items) == 2
    assert count(desk, incident_id, "checklist.ticked") == 2
    assert count(desk, incident_id, "checklist.unticked") == 2


def test_a_retried_click_is_one_click(desk: Desk, incident_id: str) -> None:
    """A click that comes again after it was taken back does not tick again."""
    checklists.show(desk, incident_id, CHECKS)
    checklists.tick(desk, incident_id, "checks", "tell-the-team", nonce="1")
    checklists.untick(desk, incident_id, "checks", "tell-the-team", nonce="2")
    late = checklists.tick(desk, incident_id, "checks", "tell-the-team", nonce="1")
    assert not late.item("tell-the-team").is_ticked
    assert checklists.tick(desk, incident_id, "checks", "tell-the-team", nonce="3").open_items


def test_a_click_that_comes_too_late_is_refused(
    desk: Desk, incident_id: str, clock: FixedClock
) -> None:
    """Its sender was told that it was not recorded, and that stays true."""
    checklists.show(desk, incident_id, CHECKS)
    clock.move(seconds=10)
    with pytest.raises(StateError, match="came too late") as caught:
        checklists.tick(desk, incident_id, "checks", "tell-the-team", not_after=NOON)
    assert caught.value.hint == "Click again."
    assert count(desk, incident_id, "checklist.ticked") == 0
    in_time = NOON + timedelta(seconds=10)
    checklists.tick(desk, incident_id, "checks", "tell-the-team", not_after=in_time)


def test_unknown_lists_and_items_are_named(desk: Desk, incident_id: str) -> None:
    """With the nearest that exists, and where it was looked for."""
    checklists.show(desk, incident_id, CHECKS)
    with pytest.raises(NotFoundError, match="Checklist 'cheks' not found on INC-") as caught:
        checklists.tick(desk, incident_id, "cheks", "x")
    assert caught.value.hint == "Did you mean 'checks'?"
    with pytest.raises(NotFoundError, match="Item 'tell' not found in checklist 'checks'"):
        checklists.tick(desk, incident_id, "checks", "tell")


def test_many_people_tick_at_once(desk: Desk, workspace: Path) -> None:
    """Each item is ticked once, by the one who was first."""
    log = f"sqlite:///{workspace}/outputs/imt.db"
    desk = replace(desk, store=open_store(log, clock=desk.clock))
    incident_id = incidents.open_(desk, Opening("x")).id
    checklists.show(desk, incident_id, checklist_of("many", [f"item {n}" for n in range(5)]))

    def tick_all(person: int) -> None:
        at_desk = desk.acting_as(f"Person {person}")
        for n in range(5):
            checklists.tick(at_desk, incident_id, "many", f"item {n}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tick_all, range(4)))
    assert checklists.get(desk, incident_id, "many").open_items == ()
    assert count(desk, incident_id, "checklist.ticked") == 5
    desk.close()


def test_a_required_list_keeps_the_incident_from_closing(desk: Desk, incident_id: str) -> None:
    """Until its last item is ticked."""
    checklists.show(desk, incident_id, replace(CHECKS, is_required=True))
    incidents.resolve(desk, incident_id, fields={"resolution": "x"})
    checklists.tick(desk, incident_id, "checks", "look-at-the-disk")
    with pytest.raises(MissingFieldsError, match="checklist checks"):
        incidents.move(desk, incident_id, "close", fields={"cause": "disk"})
    checklists.tick(desk, incident_id, "checks", "tell-the-team")
    closed = incidents.move(desk, incident_id, "close", fields={"cause": "disk"})
    assert closed.status == "closed"


# Evidence


def keep(desk: Desk, incident_id: str, title: str = "Disk", name: str = "df.txt") -> Evidence:
    return evidence.keep(
        desk, incident_id, title, b"98% used\n", name=name, media_type="text/plain"
    )


def test_evidence_is_a_file_and_its_hash(desk: Desk, incident_id: str) -> None:
    """The file lies in the incident's folder under its hash; the log names both."""
    kept = keep(desk, incident_id)
    path = desk.folder(incident_id) / kept.path
    assert path.read_bytes() == b"98% used\n"
    assert kept.sha256 == hashlib.sha256(b"98% used\n").hexdigest()
    assert (kept.size, kept.media_type, kept.actor) == (9, "text/plain", "Ann Example")
    assert kept.path == f"evidence/{kept.sha256[:12]}-df.txt"
    assert incidents.get(desk, incident_id).evidence == (kept,)


def test_the_same_bytes_under_the_same_title_are_kept_once(desk: Desk, incident_id: str) -> None:
    """Blanks around a title do not matter; another title is another entry."""
    first = keep(desk, incident_id)
    assert keep(desk, incident_id, "  Disk ") == first
    other = keep(desk, incident_id, "Disk, later")
    assert (other.n, other.path) == (first.n + 1, first.path)


def test_withdrawn_evidence_can_be_kept_again(desk: Desk, incident_id: str) -> None:
    """What was taken back does not stand in the way."""
    first = keep(desk, incident_id)
    corrections.withdraw(desk, incident_id, first.n, reason="wrong host")
    again = keep(desk, incident_id)
    assert again.n > first.n
    assert incidents.get(desk, incident_id).evidence == (again,)


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("../../etc/passwd", "-passwd"),
        ("plot.PNG", "-plot.png"),
        ("a b/ç d.tar.gz", "-d-tar.gz"),
        ("", "-item"),
        (".bashrc", "-bashrc"),
        ("x" * 300 + ".txt", "-" + "x" * 48 + ".txt"),
        ("null\x00byte.txt", "-null-byte.txt"),
    ],
)
def test_a_file_name_cannot_lead_elsewhere(
    desk: Desk, incident_id: str, name: str, ends: str
) -> None:
    """Whatever a file was called, it is kept beside the others."""
    kept = keep(desk, incident_id, name=name)
    assert kept.path == f"evidence/{kept.sha256[:12]}{ends}"
    assert (desk.folder(incident_id) / kept.path).is_file()


def test_evidence_needs_a_title_and_an_incident(desk: Desk, incident_id: str) -> None:
    """Nothing is written when either is missing."""
    with pytest.raises(InputError, match="needs a title"):
        keep(desk, incident_id, " ")
    with pytest.raises(NotFoundError):
        keep(desk, "INC-2020-0001")
    assert not desk.folder(incident_id).exists()


def test_evidence_that_cannot_be_written_is_not_logged(desk: Desk, incident_id: str) -> None:
    """A file where the folder should be: StoreError, and the log says nothing of it."""
    desk.folder(incident_id).write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        keep(desk, incident_id)
    assert incidents.get(desk, incident_id).evidence == ()


def test_a_required_list_stays_required_and_a_closed_incidents_stand(
    desk: Desk, incident_id: str
) -> None:
    """Showing it again is no way out, and ticks do not change after the end."""
    checklists.show(desk, incident_id, checklist_of("c", ["a", "b"], required=True))
    assert checklists.show(desk, incident_id, checklist_of("c", ["a", "b"])).is_required
    for item in ("a", "b"):
        checklists.tick(desk, incident_id, "c", item)
    incidents.resolve(desk, incident_id, fields={"resolution": "done"})
    incidents.move(desk, incident_id, "close", fields={"cause": "a full disk"})
    with pytest.raises(StateError, match="is closed"):
        checklists.untick(desk, incident_id, "c", "a")
