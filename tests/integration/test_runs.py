"""Runs: real kernels, real papermill, and what the log says afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from notebook_files import code, markdown, write_notebook

from imtkit.contracts import Query
from imtkit.errors import InputError, KernelError, NotFoundError, ParameterError, StepError
from imtkit.kit import Desk, open_desk, runs

TRIAL = [
    markdown("top", "# Trial"),
    code("params", "x: int = 1  # a number", "parameters"),
    code("first", "print('x is', x)"),
    markdown("risk", "## Divide"),
    code("divide", "1 / (x - 2)"),
    code("last", "print('end')"),
]


@pytest.fixture
def desk(workspace: Path):
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def statuses(run):
    """Step statuses by id."""
    return {step.id: step.status for step in run.steps}


def test_a_run_completes_and_is_in_the_log_step_by_step(desk: Desk, workspace: Path):
    """Every step is there before and after it ran; the notebook is where the log says."""
    write_notebook(workspace / "runbooks" / "trial.ipynb", TRIAL)
    run = runs.start(desk, "trial", parameters={"x": "5"})
    assert run.status == "completed"
    assert list(statuses(run)) == ["params", "first", "divide", "last"]
    assert set(statuses(run).values()) == {"completed"}
    assert run.parameters == {"x": 5}
    types = [e.type for e in desk.store.entries() if e.data.get("step") == "divide"]
    assert types == ["step.started", "step.finished"]
    output = nbformat.read(workspace / run.output_path, 4)
    texts = [o.text for c in output.cells for o in c.get("outputs", []) if "text" in o]
    assert texts == ["x is 5\n", "end\n"]
    assert str(workspace) not in (workspace / run.output_path).read_text()


def test_a_failing_step_stops_the_run_and_nothing_is_called_completed(desk: Desk, workspace: Path):
    """What failed is failed, what did not run did not run: in the log and in the notebook."""
    write_notebook(workspace / "runbooks" / "trial.ipynb", TRIAL)
    run = runs.start(desk, "trial", parameters={"x": 2})
    assert run.status == "failed"
    assert statuses(run) == {
        "params": "completed",
        "first": "completed",
        "divide": "failed",
        "last": "not-run",
    }
    cells = {c.id: c for c in nbformat.read(workspace / run.output_path, 4).cells}
    assert cells["divide"].metadata["imtkit"]["status"] == "failed"
    assert cells["last"].metadata["imtkit"]["status"] == "not-run"
    assert cells["last"].metadata["papermill"]["status"] == "pending"
    with pytest.raises(StepError, match=r"Divide.*ZeroDivisionError"):
        runs.require_completed(run)


def test_a_kernel_that_dies_is_said_to_have_died(desk: Desk, workspace: Path):
    """Papermill calls such cells completed; here the step died, and the rest did not run."""
    cells = [
        code("one", "print('kept')"),
        code("die", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        code("never", "print('never')"),
    ]
    write_notebook(workspace / "runbooks" / "deadly.ipynb", cells)
    run = runs.start(desk, "deadly")
    assert run.status == "kernel-died"
    assert statuses(run) == {"one": "completed", "die": "kernel-died", "never": "not-run"}
    assert "kept" in (workspace / run.output_path).read_text()


def test_bad_requests_are_refused_before_anything_is_stored(desk: Desk, workspace: Path):
    """Unknown runbook, unknown parameter, wrong type, missing kernel, no notebook."""
    write_notebook(workspace / "runbooks" / "trial.ipynb", TRIAL)
    write_notebook(workspace / "runbooks" / "exotic.ipynb", TRIAL, kernel="pyhton3")
    (workspace / "runbooks" / "broken.ipynb").write_text("{")
    for name, parameters, error, hint in [
        ("trail", {}, NotFoundError, "'trial'"),
        ("trial", {"y": 1}, ParameterError, "'x'"),
        ("trial", {"x": "many"}, ParameterError, ""),
        ("trial", {"x=1\nimport os": 1}, ParameterError, "'x'"),
        ("exotic", {}, KernelError, "'python3'"),
        ("broken", {}, InputError, ""),
    ]:
        with pytest.raises(error) as caught:
            runs.start(desk, name, parameters=parameters)
        assert hint in caught.value.hint
    assert list(desk.store.entries()) == []
    assert desk.store.incidents(Query()) == []


def test_parameters_without_a_parameters_cell_are_refused(desk: Desk, workspace: Path):
    """Papermill would run on with the defaults; that would be a lie."""
    write_notebook(workspace / "runbooks" / "plain.ipynb", [code("a", "x = 1")])
    with pytest.raises(ParameterError, match="takes no parameters"):
        runs.start(desk, "plain", parameters={"x": 2})
    assert runs.start(desk, "plain").status == "completed"


def test_braces_in_paths_and_values_are_only_characters(tmp_path: Path):
    """Papermill formats paths with values; here a brace is a brace."""
    root = tmp_path / "a{x}b {0}"
    (root / "runbooks").mkdir(parents=True)
    (root / "imt.toml").write_text("")
    cells = [code("p", 'x: str = ""  # text', "parameters"), code("show", "print(x)")]
    write_notebook(root / "runbooks" / "braces.ipynb", cells)
    hostile = '{x.__class__} \'"\\n"""; import os\n!ls %%bash \u2028 é'
    with open_desk(root, actor="Ann") as desk:
        run = runs.start(desk, "braces", parameters={"x": hostile})
    assert run.status == "completed"
    cells_out = nbformat.read(root / run.output_path, 4).cells
    assert cells_out[-1].outputs[0].text == hostile + "\n"


def test_sys_exit_zero_ends_a_run_well(desk: Desk, workspace: Path):
    """A runbook may stop on purpose; what comes after did not run."""
    cells = [code("stop", "import sys; sys.exit(0)"), code("after", "1")]
    write_notebook(workspace / "runbooks" / "stop.ipynb", cells)
    run = runs.start(desk, "stop")
    assert statuses(run) == {"stop": "completed", "after": "not-run"}
    assert run.status == "completed"


def test_a_notebook_of_an_old_format_without_ids_still_runs(desk: Desk, workspace: Path):
    """Cells get ids when they run; the linter is who complains."""
    old = {
        "cells": [{**code("x", "print('old')"), "id": None}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 2,
    }
    del old["cells"][0]["id"]
    (workspace / "runbooks" / "old.ipynb").write_text(json.dumps(old))
    run = runs.start(desk, "old")
    assert [step.status for step in run.steps] == ["completed"]


def test_two_runs_in_one_second_have_a_notebook_each(desk: Desk, workspace: Path):
    """Output names never collide."""
    write_notebook(workspace / "runbooks" / "quick.ipynb", [code("a", "1")])
    first = runs.start(desk, "quick")
    incident = next(iter(desk.store.incidents())).id
    second = runs.start(desk, "quick", incident_id=incident)
    assert first.output_path != second.output_path


def test_plain_papermill_runs_the_same_notebook(workspace: Path, tmp_path: Path):
    """A runbook is an ordinary notebook, with the stock engine and with ours."""
    path = write_notebook(tmp_path / "trial.ipynb", TRIAL)
    for engine in (None, "imt"):
        out = tmp_path / f"out-{engine}.ipynb"
        nb = papermill.execute_notebook(
            path, out, parameters={"x": 4}, engine_name=engine, progress_bar=False
        )
        assert [c.metadata.papermill.status for c in nb.cells] == ["completed"] * 7
        assert out.exists()


RUNNER = """
import sys
from pathlib import Path
from imtkit.kit import open_desk, runs
with open_desk(Path(sys.argv[1]), actor="Ann") as desk:
    runs.start(desk, "slow", on_step=lambda e: print(e.id, e.status, flush=True))
"""


@pytest.mark.parametrize(("stop", "last"), [("INT", "cancelled"), ("KILL", "running")])
def test_stopping_the_runner_leaves_the_truth(desk: Desk, workspace: Path, stop: str, last: str):
    """Ctrl-C keeps outputs and marks the step cancelled; after kill -9 nothing is 'completed'."""
    cells = [
        code("one", "print('kept')"),
        code("long", "import time; print('begun', flush=True); time.sleep(60)"),
        code("never", "1"),
    ]
    write_notebook(workspace / "runbooks" / "slow.ipynb", cells)
    environment = {**os.environ, "IMT_WORKSPACE": str(workspace)}
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(workspace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("long running"):
                break
        time.sleep(0.7)
        process.send_signal(getattr(signal, f"SIG{stop}"))
        process.wait(30)
    (summary,) = desk.store.incidents()
    (run,) = desk.store.incident(summary.id).runs
    assert statuses(run) == {"one": "completed", "long": last, "never": "not-run"}
    document = nbformat.read(workspace / run.output_path, 4)
    by_id = {cell.id: cell for cell in document.cells}
    assert by_id["one"].outputs[0].text == "kept\n"
    assert by_id["never"].metadata.get("imtkit", {}).get("status") != "completed"
    if stop == "INT":
        assert run.status == "cancelled"
        assert "begun" in by_id["long"].outputs[0].text
    assert desk.store.verify() == []


def test_a_notebook_that_names_no_kernel_and_no_language_runs(desk: Desk, workspace: Path):
    """It is taken for Python's; papermill would stop at it."""
    bare = {"cells": TRIAL, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (workspace / "runbooks" / "bare.ipynb").write_text(json.dumps(bare))
    run = runs.start(desk, "bare", parameters={"x": 3})
    assert run.status == "completed"
    assert run.incident == desk.store.incidents()[0].id


def test_a_run_that_the_log_stops_is_not_left_running(desk: Desk, workspace: Path):
    """Whatever ends a run, its end is in the log, and what never ran did not run."""

    def burst(event):
        if event.id == "first" and event.status == "completed":
            raise LookupError(event.id)

    write_notebook(workspace / "runbooks" / "trial.ipynb", TRIAL)
    with pytest.raises(LookupError):
        runs.start(desk, "trial", on_step=burst)
    (run,) = desk.store.incident(desk.store.incidents()[0].id).runs
    assert run.status == "failed"
    assert statuses(run)["last"] == "not-run"
