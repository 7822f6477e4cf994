"""Outputs at an address while several work at once: nothing that is to be sent is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from buckets import depot_credentials
from machines import ann, bob, machine, notebook, sent
from meanwhile import at

from imtkit.errors import ServiceError, StoreDownError
from imtkit.kit import Desk, copies, evidence, handover, incidents, outputs, records, runs
from imtkit.model.fold import fold
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening
from imtkit.web.office import Office

__all__ = ["ann", "bob", "depot_credentials", "machine"]

FALLS = "The machine fell."


@contextmanager
def killed() -> Iterator[Callable[[], None]]:
    """Ends what it is called in, as a kill does: what would follow is not done."""

    def kill() -> None:
        raise StoreDownError(FALLS)

    with pytest.raises(StoreDownError, match=FALLS):
        yield kill


def opened(desk: Desk) -> str:
    return incidents.open_(desk, Opening("The shop is slow")).id


def test_evidence_that_is_told_while_all_is_sent_is_sent_next(ann: Desk) -> None:
    """A pass between the file and its entry does not see what it is for."""
    incident = opened(ann)
    busy = at(ann, "change", before=lambda: outputs.send(ann))
    evidence.keep(busy, incident, "Seen", b"it", name="seen.txt", media_type="text/plain")
    assert outputs.waiting(ann).waiting == (incident,)
    assert outputs.send(ann).files == 1
    assert outputs.waiting(ann).waiting == ()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_record_is_sent_whatever_happens_when_it_is_told(
    ann: Desk, tmp_path: Path, when: str
) -> None:
    """A pass before the log has it; a kill just after."""
    incident = opened(ann)
    if when == "before":
        records.build(at(ann, "append", before=lambda: outputs.send(ann)), incident)
    else:
        with killed() as kill:
            records.build(at(ann, "append", after=kill), incident)
        assert outputs.send(ann).files > 1
    assert (tmp_path / "shared" / incident / "record" / "manifest.json").is_file()
    assert outputs.waiting(ann).waiting == ()


def test_a_run_taken_over_while_it_is_sent_is_sent_again(ann: Desk, tmp_path: Path) -> None:
    """What its new holder writes into the notebook goes, too."""
    run = runs.start(ann, "fails")
    outputs.send(at(ann, "change", before=lambda: handover.take(ann, run.id)))
    assert outputs.waiting(ann).waiting == (run.incident,)
    path = ann.settings.root / run.output_path
    path.write_text(path.read_text().replace("the first half", "my own words"))
    assert outputs.send(ann).files == 1
    there = tmp_path / "shared" / run.incident / path.name
    assert there.read_text() == notebook(ann, run)


class Past:
    """A log that tells once how an incident was after so many of its entries."""

    def __init__(self, store: Any, entries: int) -> None:
        self._store, self._entries = store, entries
        self._is_told = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def incident(self, incident_id: str) -> Incident:
        found = self._store.incident(incident_id)
        if self._is_told:
            return found
        self._is_told = True
        return fold(incident_id, found.entries[: self._entries])


def test_a_run_that_ends_while_other_things_are_sent_is_sent_next(ann: Desk) -> None:
    """Its notebook was not, as it was still running when the pass began."""
    run = runs.start(ann, "fails")
    evidence.keep(ann, run.incident, "Seen", b"it", name="seen.txt", media_type="text/plain")
    entries = incidents.get(ann, run.incident).entries
    ended = next(n for n, one in enumerate(entries) if one.type == "run.finished")
    outputs.send(replace(ann, store=Past(ann.store, ended)))  # type: ignore[arg-type]
    assert sent(ann, run) == []
    assert outputs.waiting(ann).waiting == (run.incident,)
    outputs.send(ann)
    assert sent(ann, run) == [1]


def test_a_record_is_never_a_mixture_of_two(ann: Desk, bob: Desk, tmp_path: Path) -> None:
    """A file that is not its manifest's keeps that from being sent; the next record is whole."""
    incident = opened(ann)
    with killed() as kill:
        records.build(at(ann, "append", after=kill), incident)
    log = ann.folder(incident) / "record" / "log.jsonl"
    log.write_text(json.dumps({"of": "another record"}))
    outputs.send(ann, is_everything=True)
    there = tmp_path / "shared" / incident / "record"
    assert not (there / "manifest.json").exists()
    records.build(ann, incident)
    assert copies.fetch_record(bob, incident)
    assert records.verify_incident(bob, incident) == []


def test_outputs_that_cannot_be_written_do_not_make_a_server_take_its_log_for_broken(
    ann: Desk,
) -> None:
    """It is a fault of the sending: the desk stays open, and the log is well."""
    (ann.settings.outputs / ".unsent").write_text("a file is in the way")
    assert ".unsent/.lock cannot be written" in outputs.send_if_possible(ann)
    office = Office(ann.settings)
    try:
        first = office.now(lambda desk: desk.store)
        with pytest.raises(ServiceError, match="cannot be written"):
            office.now(outputs.send)
        assert office.fault_within(60) == ""
        assert office.now(lambda desk: desk.store) is first
    finally:
        office.close()


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_fetching(ann: Desk, bob: Desk) -> None:
    """An incident's other files are told of, and nobody takes the log for broken."""
    run = runs.start(ann, "fails")
    outputs.send(ann)
    (bob.settings.outputs / run.incident).write_text("a file is in the way")
    [problem] = copies.fetch_incident(bob, run.incident)
    assert "cannot be written" in problem
