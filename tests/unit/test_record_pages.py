"""What is done to a notebook before it is drawn: mended, sealed, each cell with its step."""

from __future__ import annotations

from copy import deepcopy

import pytest
from record_examples import ID, MIME_TYPE, Log, code, markdown, notebook, printed, shown

from imtkit.record.notebook import mended
from imtkit.record.page import Pages, by_hand, cell_steps, hands, stale_text
from imtkit.record.seal import seal

WIDGET = "application/vnd.jupyter.widget-view+json"


def sealed(output, log=None):
    """The data of one displayed output after sealing."""
    node = mended(notebook(code("a", "x", output)))
    seal(node, (log or Log()).incident)
    return node["cells"][0]["outputs"][0]["data"]


@pytest.fixture
def log():
    """A log with a checklist of two items, the first ticked."""
    made = Log()
    items = [{"id": "a", "text": "First"}, {"id": "b", "text": "Second"}]
    made.add("checklist.shown", {"list": "safe", "title": "Make safe", "items": items})
    made.add("checklist.ticked", {"list": "safe", "item": "a"})
    return made


def test_a_checklist_is_drawn_as_the_log_has_it_now(log):
    """The HTML that was stored at display time is stale, and is not used."""
    data = {MIME_TYPE: {"incident": ID, "list": "safe"}, "text/html": "<p>0 of 2 done</p>"}
    html = sealed(shown(data), log)["text/html"]
    assert "1 of 2 done" in html
    assert "Ada Lovelace" in html
    assert "0 of 2" not in html


def test_a_checklist_nobody_knows_is_said_to_be_unknown(log):
    """A display that names a list which the log does not have is not believed."""
    for name in ("moon", "<script>", None):
        data = {MIME_TYPE: {"incident": ID, "list": name}, "text/html": "all done"}
        html = sealed(shown(data), log)["text/html"]
        assert "has no checklist" in html
        assert "<script>" not in html


def test_a_checklist_of_another_incident_is_left_to_its_record(log):
    """What another log holds is not for this one to say."""
    data = {MIME_TYPE: {"incident": "INC-2020-0001", "list": "safe"}}
    assert "INC-2020-0001" in sealed(shown(data), log)["text/html"]


def test_live_forms_go_in_favour_of_a_form_that_stands_alone():
    """A widget with a text beside it becomes the text; our own types become their HTML."""
    assert sealed(shown({WIDGET: {"model_id": "1"}, "text/plain": "Slider(3)"})) == {
        "text/plain": "Slider(3)"
    }
    ours = {"application/vnd.imtkit.timeline+json": {"x": 1}, "text/html": "<p>t</p>"}
    assert sealed(shown(ours)) == {"text/html": "<p>t</p>"}


@pytest.mark.parametrize("mime", ["application/javascript", "text/vnd.mermaid", "application/x"])
def test_an_output_with_no_other_form_leaves_its_source_as_text(mime):
    """Nothing vanishes without a word."""
    text = sealed(shown({mime: "alert(1)"}))["text/plain"]
    assert "stood here" in text
    assert "alert(1)" in text


def test_widget_state_is_dropped():
    """The stale state that front ends keep must not contradict the log."""
    node = mended(notebook(widgets={"x": 1}))
    seal(node, Log().incident)
    assert "widgets" not in node["metadata"]


def test_misshapen_notebooks_are_mended():
    """Missing ids, lists of lines, odd outputs and doubled ids do not stop a page."""
    raw = notebook(
        {"cell_type": "code", "source": ["a\n", "b"], "outputs": ["?", {"output_type": "new"}]},
        code("x", "1"),
        code("x", "2"),
        {"cell_type": "mystery"},
        {"cell_type": "code", "source": None, "outputs": {"no": "list"}, "metadata": []},
    )
    cells = mended(raw)["cells"]
    assert cells[0]["source"] == "a\nb"
    assert cells[0]["outputs"][1]["text"].startswith("[An unknown output]")
    assert len({cell["id"] for cell in cells}) == 5
    assert cells[3]["cell_type"] == "raw"
    assert cells[4]["outputs"] == []


def test_mending_leaves_the_original_alone():
    """The caller's notebook is not changed."""
    raw = notebook(code("a", "x", printed("y")))
    before = deepcopy(raw)
    seal(mended(raw), Log().incident)
    assert raw == before


def test_each_code_cell_says_what_the_log_says_of_it():
    """Status and duration come from the log; what never ran says so, whatever it is stamped."""
    log = Log()
    log.add("run.started", {"run": "r", "runbook": "b"})
    log.add("step.started", {"run": "r", "step": "a", "index": 0})
    log.add("step.finished", {"run": "r", "step": "a", "index": 0, "status": "timed-out"})
    stamped = {"papermill": {"status": "completed"}}
    cells = mended(
        notebook(
            code("a", "1"),
            code("b", "2", count=None, **stamped),
            code("c", "3", count=3, **stamped),
            code("d", "4", count=4),
            code("e", " "),
            code("f", "5", tags=["injected-parameters"], imtkit={"status": "completed"}),
            code("g", "6", count=None, imtkit={"status": "running"}),
            markdown("m", "text"),
            code("h", "7", count=None, imtkit={"status": "not-run"}, tags="odd"),
        )
    )["cells"]
    steps = cell_steps(cells, log.incident.runs)
    assert {id_: (one.number, one.label) for id_, one in steps.items()} == {
        "a": (1, "timed out"),
        "b": (2, "not run"),
        "c": (3, "completed, not in the log"),
        "d": (4, "ran, not in the log"),
        "f": (6, "parameters as given"),
        "g": (7, "running, not in the log"),
        "h": (9, "not run"),
    }
    assert steps["a"].span == "40.0 s"


def test_a_cell_run_by_hand_is_never_said_not_to_have_run():
    """In a sitting the log holds only what ran after joining; of the rest nothing is claimed."""
    log = Log()
    log.add("run.started", {"run": "s", "runbook": "b", "by_hand": True})
    cells = mended(
        notebook(
            code("a", "1", count=2),
            code("b", "2", printed("2\n"), count=None),
            code("c", "3", count=None),
        )
    )["cells"]
    steps = cell_steps(cells, log.incident.runs)
    assert [one.label for one in steps.values()] == [
        "ran, not in the log",
        "ran, not in the log",
        "not recorded",
    ]


def test_a_notebook_that_was_not_saved_since_its_cells_ran_is_told_by_the_log():
    """Cells that ran by hand and hold neither number nor output were not saved."""
    log = Log()
    log.add("run.started", {"run": "s", "runbook": "b", "by_hand": True})
    for cell in ("a", "b", "c", "gone"):
        log.add("step.finished", {"run": "s", "step": cell, "status": "completed"})
    saved = [code("a", "1"), code("b", "2", printed("2\n"), count=None)]
    lost, never = code("c", "3", count=None), code("never", "4", count=None)
    runs = log.incident.runs
    assert stale_text(mended(notebook(*saved, never))["cells"], runs) == ""
    said = stale_text(mended(notebook(*saved, lost, never))["cells"], runs)
    assert said == (
        "The saved notebook is older than the log: 1 cell ran whose results it does not hold. "
        "Save it and build the record again."
    )


def test_who_ran_each_cell_is_said_where_several_did():
    """The machine's steps, a person's cells, and the run's ways between them, with their times."""
    log = Log()
    log.add("run.started", {"run": "r", "runbook": "b"}, actor="Ann", source="cli")
    done = {"run": "r", "status": "completed"}
    log.add("step.finished", {**done, "step": "a"}, actor="Ann", source="cli")
    cells = mended(notebook(code("a", "1"), code("b", "2"), code("c", "3")))["cells"]
    alone = log.incident
    assert cell_steps(cells, alone.runs, by_hand(alone, alone.runs))["a"].who == ""
    log.add("run.taken", {"run": "r"}, actor="Bo")
    log.add("step.finished", {**done, "step": "b"}, actor="Bo", source="notebook")
    log.add("run.given", {"run": "r"}, actor="Bo")
    log.add("run.given", {"run": "other"}, actor="Bo")
    log.add("step.finished", {**done, "step": "c"}, actor="Bo", source="lab")
    shared = log.incident
    steps = cell_steps(cells, shared.runs, by_hand(shared, shared.runs))
    assert [one.who for one in steps.values()] == ["Ann", "Bo, by hand", "Bo"]
    told = [(words, entry.actor) for words, entry in hands(shared, shared.runs)["r"]]
    assert told == [("taken over", "Bo"), ("given back to the machine", "Bo")]
    page = Pages().page(notebook(code("a", "1")), shared, shared.runs)
    assert "taken over by Bo, 2026-11-21 20:18:06 UTC" in page
