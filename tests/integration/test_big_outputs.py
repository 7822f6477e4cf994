"""Big outputs from real kernels: a run survives a cell that never stops talking."""

from __future__ import annotations

import hashlib
import resource
import time
from pathlib import Path

import nbformat
import pytest
from notebook_files import code, write_notebook

from imtkit.kit import Desk, open_desk, runs
from imtkit.model.scrubber import Scrubber


@pytest.fixture
def desk(workspace: Path):
    """A desk with a log on disk."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def test_the_whole_of_a_long_output_is_beside_the_notebook(desk: Desk, workspace: Path):
    """First and last lines in the notebook, all of it in a file that the log names."""
    cells = [
        code(
            "long",
            "import sys\nfor n in range(5000): print('line', n)\nprint('!', file=sys.stderr)",
        ),
        code("short", "print('short')"),
    ]
    write_notebook(workspace / "runbooks" / "long.ipynb", cells, about={"output_lines": 10})
    run = runs.start(desk, "long")
    assert run.status == "completed"
    output = workspace / run.output_path
    long, short = nbformat.read(output, 4).cells
    lines = {one.name: one.text.splitlines() for one in long.outputs}
    assert lines["stdout"][:5] + lines["stdout"][-5:] == [
        f"line {n}" for n in (*range(5), *range(4995, 5000))
    ]
    assert lines["stderr"] == ["!"]
    assert "4,990 lines" in lines["stdout"][5]
    assert short.outputs[0].text == "short\n"
    entry = next(e for e in desk.store.entries() if "whole_output" in e.data)
    told = entry.data["whole_output"]
    content = (output.parent / told["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    assert set(content.decode().splitlines()) == {"!", *(f"line {n}" for n in range(5000))}
    assert entry.data["step"] == "long"


@pytest.mark.parametrize(
    "line", ["print('x' * 60)", "print('y', flush=True)", "display('z' * 999)"]
)
def test_a_cell_that_never_stops_talking_ends_at_its_limit(desk: Desk, workspace: Path, line: str):
    """Its time limit still works, disk and memory stay bounded, and the log is true."""
    cells = [code("mad", f"while True: {line}"), code("after", "print('after')")]
    write_notebook(workspace / "runbooks" / "mad.ipynb", cells, about={"step_seconds": 3})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    run = runs.start(desk, "mad")
    assert time.monotonic() - begun < 40
    assert run.status == "timed-out"
    assert {s.id: s.status for s in run.steps} == {"mad": "timed-out", "after": "not-run"}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000  # kB
    kept = sum(one.stat().st_size for one in (workspace / run.output_path).parent.iterdir())
    assert kept < 60_000_000
    assert (workspace / run.output_path).stat().st_size < 3_000_000


def test_the_file_beside_the_notebook_holds_no_secret(
    desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is too much for the notebook is scrubbed as well."""
    canary = "zq-Canary/+9=7"
    monkeypatch.setenv("PD_TOKEN", canary)
    cells = [
        code("params", 'token: str = "secret://env/PD_TOKEN"', "parameters"),
        code("mad", "for n in range(3000): print(n, token)"),
    ]
    write_notebook(workspace / "runbooks" / "leak.ipynb", cells)
    run = runs.start(desk, "leak")
    whole = next((workspace / run.output_path).parent.glob("*.mad.txt")).read_text()
    assert whole.count("[secret token]") == 3000
    assert not [form for form in Scrubber({"token": canary}).forms if form in whole]


def test_what_was_displayed_between_two_lines_stays_between_them(desk: Desk, workspace: Path):
    """In the order of JupyterLab; standard error stands after the standard output it meets."""
    said = "import sys\nprint('a')\nprint('b')\ndisplay('X')\nprint('e', file=sys.stderr)\n"
    cells = [code("mixed", f"{said}print('c')\nsys.stdout.flush()\ndisplay('Y')\nprint('d')")]
    write_notebook(workspace / "runbooks" / "mixed.ipynb", cells)
    run = runs.start(desk, "mixed")
    [cell] = nbformat.read(workspace / run.output_path, 4).cells
    shown = [one.text if one.output_type == "stream" else "display" for one in cell.outputs]
    assert shown == ["a\nb\n", "display", "c\n", "e\n", "display", "d\n"]
