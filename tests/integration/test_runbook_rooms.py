"""Runbooks as files: found, listed, made, linted, copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from notebook_files import SOUND, code, markdown, write_notebook

from imtkit.errors import InputError, NotFoundError
from imtkit.kit import Desk, incidents, runbooks
from imtkit.model.opening import Opening
from imtkit.runs.lint import rule_names

GOOD = [
    markdown("top", "# Trial"),
    code("p", 'incident_id: str = ""  # the incident', "parameters"),
    code("join", "import imtkit as imt\ninc = imt.join(incident_id)"),
    code("look", "1 + 1", "diagnostic"),
    code("list", 'inc.checklist("t", ["One"])'),
    code("act", "2 + 2", "action"),
]


def complaints(desk: Desk, workspace: Path, cells, about=SOUND) -> set[str]:
    """The rules that a notebook of these cells breaks."""
    write_notebook(workspace / "runbooks" / "t.ipynb", cells, about=about)
    return {one.rule for one in runbooks.lint(desk.settings, ["t"])}


def test_a_sound_runbook_has_no_complaints(desk: Desk, workspace: Path):
    """Everything the linter asks for is there."""
    assert complaints(desk, workspace, GOOD) == set()


def test_each_rule_is_heard(desk: Desk, workspace: Path):
    """For each rule there is a notebook that breaks it, and only it."""
    changed = {
        "metadata": (GOOD, {**SOUND, "owner": ""}),
        "last-reviewed": (GOOD, {**SOUND, "last_reviewed": "soon"}),
        "severity-hints": (GOOD, {**SOUND, "severity": {"hints": ["bad"]}}),
        "parameters-cell": ([*GOOD, code("p2", "x: int = 1  # x", "parameters")], SOUND),
        "parameters-typed": ([*GOOD[:1], code("p", "x = f()", "parameters"), *GOOD[2:]], SOUND),
        "alert-parameters": (GOOD, {**SOUND, "alert_parameters": ["url"]}),
        "cell-ids": ([*GOOD, code("look", "3")], SOUND),
        "python": ([*GOOD, code("bad", "x = = 1")], SOUND),
        "joins-incident": ([*GOOD[:2], *GOOD[3:]], SOUND),
        "checklist": ([*GOOD[:4], GOOD[5]], SOUND),
        "diagnosis-first": ([*GOOD[:3], GOOD[5], GOOD[3], GOOD[4]], SOUND),
    }
    for rule, (cells, about) in changed.items():
        assert complaints(desk, workspace, cells, about) == {rule}
    for cells in (
        [*GOOD, code("no", "if inc.denied: 1", "denied")],
        [*GOOD, code("ask", 'inc.gate("Go?")'), code("no", "print('no')", "denied")],
    ):
        assert complaints(desk, workspace, cells) == {"denied-cells"}
    sound = [*GOOD, code("ask", 'inc.gate("Go?")'), code("no", "if inc.denied: 1", "denied")]
    assert complaints(desk, workspace, sound) == set()
    with_output = [dict(cell) for cell in GOOD]
    with_output[3] = {**with_output[3], "execution_count": 1}
    assert complaints(desk, workspace, with_output) == {"no-outputs"}
    (workspace / "runbooks" / "broken.ipynb").write_text("no")
    (broken,) = [c for c in runbooks.lint(desk.settings) if c.path.stem == "broken"]
    assert {*changed, "no-outputs", "denied-cells", broken.rule} == set(rule_names())


def test_a_new_runbook_is_made_once(desk: Desk, workspace: Path):
    """It starts from the template, says what is still owed, and is never overwritten."""
    path = runbooks.new(desk.settings, "db-failover", title="Fail over", owner="data")
    assert json.loads(path.read_text())["metadata"]["imtkit"]["title"] == "Fail over"
    rules = {one.rule for one in runbooks.lint(desk.settings, ["db-failover"])}
    assert rules == {"metadata", "last-reviewed"}
    with pytest.raises(InputError, match="exists already"):
        runbooks.new(desk.settings, "db-failover")
    for name in ("../x", "A B", "", "x/y"):
        with pytest.raises(InputError):
            runbooks.new(desk.settings, name)


def test_the_workspaces_own_runbook_hides_the_one_that_ships(desk: Desk, workspace: Path):
    """A team can replace a shipped runbook under its own name."""
    assert runbooks.find(desk.settings, "http-service").path.parent != workspace / "runbooks"
    write_notebook(workspace / "runbooks" / "http-service.ipynb", GOOD, about=SOUND)
    assert runbooks.find(desk.settings, "http-service").path.parent == workspace / "runbooks"


def test_an_unknown_runbook_and_paths_that_leave_are_not_found(desk: Desk):
    """The nearest name is suggested; a name is never a way out of the folders."""
    with pytest.raises(NotFoundError) as caught:
        runbooks.find(desk.settings, "http-servcie")
    assert caught.value.hint == "Did you mean 'http-service'?"
    for name in ("../imt", "..", "", "/etc/passwd"):
        with pytest.raises(NotFoundError):
            runbooks.find(desk.settings, name)


def test_a_copy_to_work_in_is_the_runbook_itself(desk: Desk, workspace: Path):
    """It lies in the incident's folder under the time, and nothing is overwritten."""
    write_notebook(workspace / "runbooks" / "t.ipynb", GOOD, about=SOUND)
    incident = incidents.open_(desk, Opening("Orders fail"))
    book = runbooks.find(desk.settings, "t")
    first = runbooks.copy_for(desk, book, incident.id)
    second = runbooks.copy_for(desk, book, incident.id)
    assert first.read_bytes() == book.path.read_bytes()
    assert first.name == "20261121T120000Z-t.ipynb"
    assert second.name == "20261121T120000Z-t-2.ipynb"
