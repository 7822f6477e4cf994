"""What ``--json`` prints."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imtkit.kit import Desk, incidents
from imtkit.kit.documents import entry_document, incident_document, plain, run_document
from imtkit.model.incident import Run, Step
from imtkit.model.opening import Opening

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_an_incident_has_the_names_that_scripts_rely_on(desk: Desk) -> None:
    """Times that have not come are null; the timeline is there only when asked for."""
    opened = incidents.open_(desk, Opening("Checkout fails", services=("orders",)))
    document = incident_document(opened, desk.settings.root)
    promised = "id title severity status mode services opened_at acknowledged_at resolved_at"
    assert [*promised.split(), "closed_at"] == [
        name for name in document if name in {*promised.split(), "closed_at"}
    ]
    assert document["opened_at"] == "2026-11-21T12:00:00.000000Z"
    assert document["acknowledged_at"] is None
    assert document["services"] == ["orders"]
    assert "timeline" not in document
    told = incident_document(opened, desk.settings.root, with_timeline=True)["timeline"]
    assert told[0]["text"].startswith("Incident opened: Checkout fails")
    json.dumps(document)


def test_a_run_has_the_names_that_scripts_rely_on() -> None:
    """The path of its notebook is absolute; each step has an id, a status and its times."""
    step = Step("look", "completed", started_at=AT, finished_at=AT + timedelta(seconds=1))
    run = Run("r1", "db", "failed", "Ann", AT, output_path="outputs/a.ipynb", steps=(step,))
    document = run_document(run, Path("/somewhere"))
    first = ["id", "incident", "runbook", "status", "output_path", "steps"]
    assert list(document)[:6] == first
    assert document["output_path"] == "/somewhere/outputs/a.ipynb"
    assert {"id", "status", "started_at", "finished_at"} <= set(document["steps"][0])


def test_an_entry_has_its_sentence(desk: Desk) -> None:
    """Whoever reads JSON gets the words too."""
    opened = incidents.open_(desk, Opening("Checkout fails"))
    document = entry_document(incidents.note(desk, opened.id, "the queue drains"))
    assert document["text"] == "the queue drains"
    assert document["n"] == 2


def test_what_has_no_form_in_json_is_a_fault_of_ours() -> None:
    """Nothing is turned into text by guessing."""
    assert plain({"a": (timedelta(seconds=2), Path("x"))}) == {"a": [2.0, "x"]}
    with pytest.raises(TypeError, match="object"):
        plain(object())
