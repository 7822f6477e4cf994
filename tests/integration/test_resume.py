"""Resume: a run goes on where it stopped, and nothing that must happen once happens twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_files import code, markdown, write_notebook

from imtkit.errors import NotFoundError, ParameterError, StateError
from imtkit.kit import Desk, incidents, open_desk, resume, running, runs
from imtkit.model.incident import Run
from imtkit.model.opening import Opening
from imtkit.runs.lease import this_process

GATE = """
from pathlib import Path
from imtkit.errors import WaitingError
if not Path("answer").exists():
    raise WaitingError("Fail over?")
print("answered")
"""


def trace(name: str) -> str:
    """Code that says it ran."""
    return f"open('trace', 'a').write('{name} ')\nprint('{name}')"


@pytest.fixture
def desk(workspace: Path) -> Iterator[Desk]:
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def traced(root: Path) -> list[str]:
    """What ran so far, in order."""
    path = root / "trace"
    return path.read_text().split() if path.exists() else []


def parked(desk: Desk, workspace: Path) -> Run:
    """A run that waits at its gate."""
    cells = [
        markdown("top", "# Fail over"),
        code("params", 'site: str = "north"  # where', "parameters"),
        code("load", trace("load") + "\nclient = 'connected to ' + site", "setup"),
        code("page", trace("page"), "once"),
        code("look", trace("look")),
        code("gate", GATE),
        code("act", trace("act") + "\nprint(client)"),
    ]
    write_notebook(workspace / "runbooks" / "failover.ipynb", cells)
    return runs.start(desk, "failover", parameters={"site": "north"})


def test_a_run_parks_at_a_step_that_waits(desk: Desk, workspace: Path) -> None:
    """It is neither completed nor failed; what comes after has not run."""
    run = parked(desk, workspace)
    assert run.status == "waiting"
    assert run.error == "Fail over?"
    assert {s.id: s.status for s in run.steps}["gate"] == "waiting"
    assert {s.id: s.status for s in run.steps}["act"] == "not-run"
    assert incidents.get(desk, run.incident).entries[-1].type == "run.parked"


def test_a_run_whose_runner_died_before_its_notebook_was_written_begins(
    desk: Desk, workspace: Path
) -> None:
    """Nothing of it ran: it goes on with the runbook, under its own id, in its own place."""
    (workspace / "answer").touch()
    first = parked(desk, workspace)
    incident = incidents.open_(desk, Opening("Again"))
    place = f"outputs/{incident.id}/early.ipynb"
    dead = asdict(replace(this_process(), started="long ago"))
    about = {"run": "early", "runbook": "failover", "title": "Fail over", "output": place}
    about |= {"runbook_sha256": first.runbook_sha256, "runner": dead}
    told = {**about, "parameters": {"site": "south"}, "steps": [{"step": "load", "title": "Load"}]}
    desk.store.append(incident.id, desk.draft("run.started", told, key=runs.run_key("early")))
    (workspace / "outputs" / incident.id).mkdir()
    (workspace / place).touch()
    running.reap(desk)
    running.bury(desk, incident.id, "early")
    done = resume.resume(desk, "early")
    assert (done.status, done.attempt) == ("completed", 2)
    assert "connected to south" in (workspace / place).read_text()
    assert (workspace / first.output_path).is_file()


def test_a_resumed_run_ends_as_an_unbroken_one(desk: Desk, workspace: Path) -> None:
    """Setup runs again on the new kernel; once and completed cells do not; the rest goes on."""
    run = parked(desk, workspace)
    (workspace / "answer").touch()
    done = resume.resume(desk, run.id)
    assert done.status == "completed"
    assert done.attempt == 2
    assert traced(workspace) == ["load", "page", "look", "load", "act"]
    cells = {c.id: c for c in nbformat.read(workspace / done.output_path, 4).cells}
    assert cells["look"].outputs[0].text == "look\n"
    assert cells["act"].outputs[0].text == "act\nconnected to north\n"
    assert {s.status for s in done.steps} == {"completed"}
    assert desk.store.verify() == []


def test_values_may_be_corrected_and_that_is_recorded(desk: Desk, workspace: Path) -> None:
    """The correction is in the log, in the run and in the notebook; a wrong one is refused."""
    run = parked(desk, workspace)
    (workspace / "answer").touch()
    with pytest.raises(ParameterError):
        resume.resume(desk, run.id, parameters={"sit": "south"})
    done = resume.resume(desk, run.id, parameters={"site": "south"})
    assert done.parameters["site"] == "south"
    resumed = [e for e in incidents.get(desk, run.incident).entries if e.type == "run.resumed"]
    assert [e.data["parameters"] for e in resumed] == [{"site": "south"}]
    assert "connected to south" in (workspace / done.output_path).read_text()


def test_what_was_edited_meanwhile_is_said(desk: Desk, workspace: Path) -> None:
    """Edited cells are named in the log, and so is a runbook that changed."""
    run = parked(desk, workspace)
    path = workspace / run.output_path
    document = json.loads(path.read_text())
    for cell in document["cells"]:
        if cell["id"] == "look":
            cell["source"] = "print('other')"
    path.write_text(json.dumps(document))
    write_notebook(workspace / "runbooks" / "failover.ipynb", [code("x", "1")])
    (workspace / "answer").touch()
    resume.resume(desk, run.id)
    resumed = [e for e in incidents.get(desk, run.incident).entries if e.type == "run.resumed"]
    assert resumed[0].data["edited"] == ["look"]
    assert resumed[0].data["runbook_changed"] is True


def test_a_run_that_completed_or_is_unknown_is_not_resumed(desk: Desk, workspace: Path) -> None:
    """The state stands in the message; a mistyped id gets the nearest."""
    write_notebook(workspace / "runbooks" / "quick.ipynb", [code("a", "1")])
    run = runs.start(desk, "quick")
    with pytest.raises(StateError, match="is completed"):
        resume.resume(desk, run.id)
    with pytest.raises(NotFoundError) as caught:
        resume.resume(desk, run.id[:-1])
    assert run.id in caught.value.hint


def test_a_parked_run_without_its_notebook_says_so(desk: Desk, workspace: Path) -> None:
    """Nothing is made up: the next step is to begin anew."""
    run = parked(desk, workspace)
    (workspace / run.output_path).unlink()
    with pytest.raises(NotFoundError, match="no notebook to go on with"):
        resume.resume(desk, run.id)


KINDS = st.lists(
    st.sampled_from(["setup", "once", "plain", "failing", "denied"]), min_size=1, max_size=5
)


def random_cells(kinds: list[str]) -> list[dict]:
    """Cells that trace themselves; failing ones fail the first time they run."""
    cells = []
    for number, kind in enumerate(kinds):
        name = f"{kind}-{number}"
        if kind == "failing":
            source = (
                "from pathlib import Path\n"
                f"flag = Path('failed-{number}')\n"
                "if not flag.exists():\n    flag.touch()\n    raise OSError('not yet')\n"
            ) + trace(name)
        else:
            source = trace(name)
        cells.append(code(name, source, *([kind] if kind in ("setup", "once", "denied") else [])))
    return cells


def outputs(path: Path) -> list[str]:
    """What the notebook's cells show, in order."""
    return [c.outputs[0].text for c in nbformat.read(path, 4).cells if c.outputs]


@settings(max_examples=6)
@given(KINDS)
def test_however_often_it_breaks_every_cell_runs_as_it_should(kinds: list[str]) -> None:
    """No ``once`` cell completes twice, no cell is skipped, and the notebook is the same.

    Nothing is denied here: cells for a denial are not run, and hold nothing up.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "imt.toml").write_text("")
        write_notebook(root / "runbooks" / "random.ipynb", random_cells(kinds))
        with open_desk(root, actor="Ann Example") as desk:
            run = runs.start(desk, "random")
            for _ in kinds:
                if run.status != "completed":
                    run = resume.resume(desk, run.id)
        names = [f"{kind}-{number}" for number, kind in enumerate(kinds) if kind != "denied"]
        ran = traced(root)
        assert run.status == "completed"
        assert set(ran) == set(names)
        assert all(ran.count(n) == 1 for n in names if not n.startswith("setup"))
        assert outputs(root / run.output_path) == [f"{n}\n" for n in names]
