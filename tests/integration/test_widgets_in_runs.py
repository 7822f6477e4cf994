"""Widgets in unattended runs: what they looked like is kept, without secrets and without end."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from notebook_files import code, write_notebook

from imtkit.kit import Desk, open_desk, resume, runs
from imtkit.model.scrubber import Scrubber
from imtkit.runs.widget_state import states

CANARY = "zq-Canary/+9=7"


@pytest.fixture
def desk(workspace: Path):
    """A desk with a log on disk."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def values(workspace: Path, output: str) -> list[str]:
    """What the notebook's widgets show, those that show a value."""
    nb = nbformat.read(workspace / output, 4)
    found = (one["state"].get("value") for one in states(nb).values())
    return sorted(one for one in found if isinstance(one, str))


def test_state_is_kept_when_a_step_fails_and_over_a_resumption(desk: Desk, workspace: Path):
    """The widgets of cells that are not run again stay; those of an earlier file do not."""
    cells = [
        code("one", "import ipywidgets as w\ndisplay(w.Label('first'))", "setup"),
        code("kept", "display(w.Label('kept'))"),
        code("two", "display(w.Label('second'))\nopen('ready')"),
    ]
    path = write_notebook(workspace / "runbooks" / "w.ipynb", cells)
    nb = nbformat.read(path, 4)
    stale = {"state": {"old": {"model_name": "LabelModel", "state": {"value": "stale"}}}}
    nb.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": stale}
    nbformat.write(nb, path)
    run = runs.start(desk, "w", mode="test")
    assert run.status == "failed"
    assert values(workspace, run.output_path) == ["first", "kept", "second"]
    (workspace / "ready").touch()
    run = resume.resume(desk, run.id)
    assert run.status == "completed"
    assert {"first", "kept", "second"} == set(values(workspace, run.output_path))


def test_no_secret_is_in_a_widget(desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither in what it shows nor in the bytes it was given, nor in an Output widget."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    cells = [
        code("p", 'token = "secret://env/PD_TOKEN"', "parameters"),
        code("show", "import ipywidgets as w\nout = w.Output()\ndisplay(w.Label(token), out)"),
        code("bytes", "display(w.Image(value=b'xy' + token.encode()))\nwith out: print(token)"),
    ]
    write_notebook(workspace / "runbooks" / "s.ipynb", cells)
    run = runs.start(desk, "s", mode="test")
    assert run.status == "completed"
    text = (workspace / run.output_path).read_text(encoding="utf-8")
    assert text.count("[secret token]") >= 3
    assert not [form for form in Scrubber({"token": CANARY}).forms if form in text]


def test_a_cell_that_never_stops_printing_into_a_widget_ends(desk: Desk, workspace: Path):
    """At its time limit, with the first and last of what came kept, and the rest counted."""
    source = "import ipywidgets as w\nout = w.Output()\ndisplay(out)\nwith out:\n"
    cells = [code("mad", f"{source}    while True: print('x' * 5000)")]
    write_notebook(workspace / "runbooks" / "mad.ipynb", cells, about={"step_seconds": 3})
    run = runs.start(desk, "mad", mode="test")
    assert run.status == "timed-out"
    path = workspace / run.output_path
    assert 5_000 < path.stat().st_size < 10_000_000
    assert "left out; the whole is not kept" in path.read_text(encoding="utf-8")
