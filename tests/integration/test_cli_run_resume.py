"""``imt run``, ``imt gate answer`` and ``imt runs resume``: a run that waits, and goes on."""

from __future__ import annotations

from pathlib import Path

from notebook_files import code, write_notebook
from terminal import Imt


def test_a_run_waits_is_answered_and_goes_on(imt: Imt, workspace: Path) -> None:
    """It says for whom it waits and what to type; afterwards everything has run."""
    cells = [
        code("p", 'site: str = "north"  # where', "parameters"),
        code("join", "import imtkit as imt\ninc = imt.join()", "setup"),
        code("gate", 'answer = inc.gate("Fail over?", within="30m")\nprint(answer)'),
        code("act", "print('to', site)"),
    ]
    write_notebook(workspace / "runbooks" / "failover.ipynb", cells)
    parked = imt("run", "failover", "--json")
    assert parked.code == 8
    assert parked.json["status"] == "waiting"
    assert parked.error["type"] == "WaitingError"
    run, incident = parked.json["id"], parked.json["incident"]
    assert f"imt runs resume {run}" in parked.error["hint"]
    (waiting,) = imt("gate", "list", "--json").json
    imt("gate", "answer", incident, waiting["gate"]["id"], "yes", "--reason", "all replicas are up")
    done = imt("runs", "resume", run, "-p", "site=south", "--json").json
    assert (done["status"], done["parameters"]["site"]) == ("completed", "south")
    assert [step["status"] for step in done["steps"]] == ["completed"] * 4
    assert imt("runs", "resume", run).code == 5
