"""A notebook's face on real kernels: cells by hand, papermill, and the widget's comm."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from labs import write_notebook
from notebook_files import code
from notebook_files import write_notebook as write_runbook

from imtkit.kit import Desk, handover, incidents, open_desk, records, running, runs
from imtkit.model.checklist import MIME_TYPE
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening

JOIN = "import imtkit as imt\ninc = imt.join()"
WIDGET = "application/vnd.jupyter.widget-view+json"


class Notebook:
    """A person at a kernel: runs cells as JupyterLab does, with ids, and can be asked things."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, **environment})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.asked: list[str] = []

    def run(
        self, source: str, cell: str = "", *, answer: str = "", stdin: bool = True
    ) -> dict[str, Any]:
        """Run a cell; its reply, with ``data`` of what it displayed and ``text`` it printed."""
        seen: dict[str, Any] = {"data": {}, "text": "", "displays": []}

        def hear(message: Mapping[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] in ("execute_result", "display_data"):
                seen["data"] = content["data"]
                seen["displays"].append(content["data"])
            elif message["msg_type"] == "stream":
                seen["text"] += content["text"]

        def be_asked(message: Mapping[str, Any]) -> None:
            self.asked.append(message["content"]["prompt"])
            self.client.input(answer)

        session = self.client.session
        message = session.msg
        if cell:  # as JupyterLab sends it
            session.msg = lambda *a, **k: _with_cell(message(*a, **k), cell)
        try:
            reply = self.client.execute_interactive(
                source, output_hook=hear, stdin_hook=be_asked, allow_stdin=stdin, timeout=60
            )
        finally:
            session.msg = message
        return {**reply["content"], **seen}

    def end(self) -> None:
        """Stop the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def _with_cell(message: dict[str, Any], cell: str) -> dict[str, Any]:
    if message["msg_type"] == "execute_request":
        message["metadata"]["cellId"] = cell
    return message


@pytest.fixture
def log(workspace: Path) -> Iterator[Desk]:
    """The test's own view of the workspace's log."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


@pytest.fixture
def incident(log: Desk) -> Incident:
    """A new incident."""
    return incidents.open_(log, Opening("Checkout answers 502"))


@pytest.fixture
def notebook(workspace: Path, incident: Incident) -> Iterator[Notebook]:
    """Ada Lovelace at a notebook in the incident's folder."""
    started = Notebook(workspace / "outputs" / incident.id, {"IMT_USER": "Ada Lovelace"})
    yield started
    started.end()


def test_cells_run_by_hand_are_steps(log: Desk, incident: Incident, notebook: Notebook) -> None:
    """Each cell is logged with its id, times and outcome; joining again doubles nothing."""
    notebook.run(f"# Find the incident\n{JOIN}", "c-join")
    notebook.run("import time; time.sleep(0.2)", "c-wait")
    notebook.run("1 / 0", "c-fail")
    notebook.run("raise KeyboardInterrupt", "c-stop")
    notebook.run("this is no Python", "c-syntax")
    notebook.run(JOIN, "c-join-again")
    notebook.run("'one more'")
    (run,) = incidents.get(log, incident.id).runs
    assert run.by_hand
    assert run.actor == "Ada Lovelace"
    assert [(step.id, step.status) for step in run.steps] == [
        ("c-join", "completed"),
        ("c-wait", "completed"),
        ("c-fail", "failed"),
        ("c-stop", "cancelled"),
        ("c-syntax", "failed"),
        ("c-join-again", "completed"),
        ("in-7", "completed"),
    ]
    join, wait, fail = run.steps[:3]
    assert join.title == "Find the incident"
    assert wait.started_at
    assert wait.finished_at
    assert (wait.finished_at - wait.started_at).total_seconds() >= 0.2
    assert fail.error == "ZeroDivisionError: division by zero"
    steps = [e for e in incidents.get(log, incident.id).entries if e.type == "step.finished"]
    assert len(steps) == 7


def test_a_runs_notebook_on_another_kernel_goes_on_with_the_run(
    log: Desk, incident: Incident, workspace: Path
) -> None:
    """Its own kernel is gone: what a person runs there is a step of the run, by its holder."""
    cells = [code("join", JOIN, "setup"), code("breaks", "1 / 0"), code("after", "'after'")]
    write_runbook(workspace / "runbooks" / "breaks.ipynb", cells)
    run = runs.start(log, "breaks", incident_id=incident.id)
    handover.take(log.acting_as("Ada Lovelace"), run.id)
    named = {"JPY_SESSION_NAME": str(workspace / run.output_path), "IMT_USER": "Bo Berg"}
    person = Notebook((workspace / run.output_path).parent, named)
    try:
        person.run(JOIN, "join")
        person.run("x = 1", "breaks")
    finally:
        person.end()
    (again,) = incidents.get(log, incident.id).runs
    assert [(step.id, step.status) for step in again.steps] == [
        ("join", "completed"),
        ("breaks", "completed"),
        ("after", "not-run"),
    ]
    assert [step.actor for step in again.steps[:2]] == ["Ada Lovelace"] * 2


def test_a_machines_cells_at_a_persons_kernel_are_not_theirs(
    log: Desk, incident: Incident, notebook: Notebook
) -> None:
    """A run that is resumed on the kernel a person sits at logs its own steps."""
    notebook.run(JOIN, "c-join")
    notebook.run("1 / 0", "c-machine", stdin=False)
    notebook.run("'by hand'", "c-hand")
    (run,) = incidents.get(log, incident.id).runs
    assert [step.id for step in run.steps] == ["c-join", "c-hand"]


def test_a_cell_that_cannot_be_logged_still_runs(
    workspace: Path, log: Desk, incident: Incident
) -> None:
    """While the log is held the cell's work is done, and its output says loudly what is missing."""
    database = workspace / "outputs" / "imt.db"
    url = f"sqlite:///{database}?timeout=0.5"
    here = Notebook(workspace, {"IMT_USER": "Ada", "IMT_STORE_URL": url})
    here.run(f"{JOIN[:-1]}'{incident.id}')", "c-join")
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ran = here.run("print(6 * 7)", "c-busy")
    other.execute("ROLLBACK")
    other.close()
    here.run("print(1)", "c-after")
    here.end()
    assert ran["status"] == "ok"
    assert "42" in ran["text"]
    assert "NOT IN THE LOG" in ran["text"]
    (run,) = incidents.get(log, incident.id).runs
    assert [step.id for step in run.steps] == ["c-join", "c-after"]


def test_magics_take_words_as_they_are(log: Desk, incident: Incident, notebook: Notebook) -> None:
    """Braces and dollars stay words; decisions need a reason; nonsense is a usage error."""
    notebook.run("import os; secret = 'hunter2'\n%load_ext imtkit")
    notebook.run("%imt note pool at {secret} and $secret {1+1}, can't connect")
    notebook.run("%imt decide Fail over --because the primary is gone")
    notebook.run("%%imt note\nfirst line\nsecond line")
    assert notebook.run("%imt decide Fail over")["ename"] == "UsageError"
    assert notebook.run("%imt not a word")["ename"] == "UsageError"
    state = incidents.get(log, incident.id)
    notes = [entry.data["text"] for entry in state.entries if entry.type == "note.added"]
    assert notes == [
        "pool at {secret} and $secret {1+1}, can't connect",
        "first line\nsecond line",
    ]
    assert (state.decisions[0].text, state.decisions[0].reason) == (
        "Fail over",
        "the primary is gone",
    )
    assert "Fail over" in notebook.run("%imt timeline")["data"]["text/html"]


def test_the_widget_ticks_through_the_kernel(
    log: Desk, incident: Incident, notebook: Notebook
) -> None:
    """At a front end a checklist has its widget; a click over its comm is recorded and answered."""
    notebook.run(JOIN)
    data = notebook.run("inc.checklist('checks', ['A', 'B'])")["data"]
    assert {WIDGET, MIME_TYPE, "text/html", "text/plain"} <= set(data)
    comm = data[WIDGET]["model_id"]
    words = {"kind": "click", "nonce": "n1", "item": "b", "checked": True}
    message = notebook.client.session.msg(
        "comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": words}}
    )
    notebook.client.shell_channel.send(message)
    while True:
        told = notebook.client.get_iopub_msg(timeout=30)
        if told["msg_type"] == "comm_msg" and told["content"]["data"].get("method") == "custom":
            break
    content = told["content"]["data"]["content"]
    assert content["nonce"] == "n1"
    assert [item["by"] for item in content["list"]["items"]] == ["", "Ada Lovelace"]
    (entry,) = [e for e in incidents.get(log, incident.id).entries if e.type == "checklist.ticked"]
    assert (entry.actor, entry.source) == ("Ada Lovelace", "notebook")


def test_a_person_nobody_knows_is_asked_once(workspace: Path, log: Desk) -> None:
    """At a front end the name is asked for, refused when it is nobody's, and remembered."""
    first = Notebook(workspace, {})
    joined = first.run(f"{JOIN}\ninc", answer="Grace Hopper")
    first.end()
    assert len(first.asked) == 1
    assert "one was opened" in joined["displays"][0]["text/plain"]
    second = Notebook(workspace, {})
    second.run(JOIN)
    second.end()
    assert second.asked == []
    assert {incidents.get(log, f"INC-2026-000{n}").opened_by for n in (1, 2)} == {"Grace Hopper"}


def test_a_restarted_kernel_opens_no_second_incident(workspace: Path, log: Desk) -> None:
    """The notebook run again after a restart joins the incident it opened before."""
    notebook = Notebook(workspace, {"IMT_USER": "Ada Lovelace"})
    first = notebook.run(f"{JOIN}\ninc.id")["data"]["text/plain"]
    notebook.manager.restart_kernel(now=True)
    notebook.client.wait_for_ready(timeout=60)
    again = notebook.run(f"{JOIN}\ninc.id")["data"]["text/plain"]
    notebook.end()
    assert again == first
    assert len(incidents.get(log, first.strip("'")).runs) == 1


def test_plain_papermill_runs_the_same_notebook(
    workspace: Path, log: Desk, incident: Incident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody looks there is no widget and no question; a machine acts, and steps are kept."""
    import papermill

    path = write_notebook(
        workspace / "plain.ipynb",
        "incident_id = ''\ndone = []",
        JOIN,
        "inc.checklist('checks', ['A', 'B'], answers=done)",
    )
    document = nbformat.read(path, 4)
    document.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(document, path)
    made = workspace / "made.ipynb"
    values = {"incident_id": incident.id, "done": ["A"]}
    monkeypatch.setenv("PATH", os.defpath)
    for _ in range(2):
        papermill.execute_notebook(
            path, made, parameters=values, cwd=str(workspace), progress_bar=False
        )
    executed = nbformat.read(made, 4)
    (shown,) = executed.cells[-1].outputs
    assert set(shown.data) == {MIME_TYPE, "text/html", "text/plain"}
    assert "Still open: B" in shown.data["text/plain"]
    assert "widgets" not in executed.metadata
    state = incidents.get(log, incident.id)
    ticks = [entry for entry in state.entries if entry.type == "checklist.ticked"]
    assert [(tick.data["item"], tick.actor) for tick in ticks] == [("a", "automation/notebook")]
    assert [step.status for step in state.runs[0].steps] == ["completed", "completed"]
    for run in state.runs:
        assert (run.by_hand, run.status) == (False, "without runner")
        assert run.title == "run without imtkit's runner"
        assert (run.output_path, run.actor) == ("", "automation/notebook")
        assert run.id.startswith("machine-")
    record = records.build(log, incident.id)
    assert record.problems == ()
    html = record.index.read_text(encoding="utf-8")
    assert "Its notebook is kept by whoever ran it." in html
    assert "by hand" not in html.lower()
    assert running.list_(log) == []


def test_each_run_of_papermill_with_our_engine_is_its_own(
    workspace: Path, log: Desk, incident: Incident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs without imtkit's runner are two, whatever their kernels' files are called."""
    import papermill

    path = write_notebook(workspace / "plain.ipynb", JOIN)
    monkeypatch.setenv("IMT_INCIDENT", incident.id)
    for made in ("one.ipynb", "two.ipynb"):
        papermill.execute_notebook(
            path, workspace / made, engine_name="imt", cwd=str(workspace), progress_bar=False
        )
    first, second = incidents.get(log, incident.id).runs
    assert first.id != second.id
    assert {first.status, second.status} == {"without runner"}


def test_a_run_of_ours_logs_its_steps_once(workspace: Path, log: Desk, incident: Incident) -> None:
    """In ``imt run`` the engine logs the steps and the notebook's hook keeps still."""
    write_notebook(workspace / "runbooks" / "checks.ipynb", "done = []", JOIN, "inc.note('hello')")
    path = workspace / "runbooks" / "checks.ipynb"
    document = nbformat.read(path, 4)
    document.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(document, path)
    run = runs.start(log, "checks", incident_id=incident.id)
    state = incidents.get(log, incident.id)
    assert run.status == "completed"
    assert [one.by_hand for one in state.runs] == [False]
    assert {entry.actor for entry in state.entries} == {"Ann Example"}
