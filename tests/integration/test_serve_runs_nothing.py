"""``imt serve`` cannot run code: whatever is posted, it loads no engine and starts no process."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import closing
from pathlib import Path

import psutil
import requests
from notebook_files import SOUND, code, write_notebook
from servers import until
from serving import TOKEN, message, serve_process, with_sources

from imtkit.config import load_settings
from imtkit.kit import gates, open_desk
from imtkit.kit.gates import Question
from imtkit.runs.queue import open_queue

ENGINES = {"papermill", "nbclient", "ipykernel", "jupyter_client", "nbconvert", "IPython"}

WATCHED = """
import json, sys

BEGINNINGS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
begun = []


def heard(event, told):
    if event in BEGINNINGS:
        begun.append(str(told[0]) if told else event)


sys.addaudithook(heard)
from imtkit.cli import main

try:
    code = main()
finally:
    with open("seen.json", "w") as file:
        json.dump({"modules": sorted(sys.modules), "begun": begun}, file)
sys.exit(code)
"""
"""``imt``, which writes down at its end what it loaded and which processes it began."""

RULE = '\n[[alerts.rules]]\nname = "orders"\nmatch = ["service=orders"]\nrunbooks = ["trial"]\n'


def requested(workspace: Path) -> list[tuple[str, str]]:
    """The runs that were asked for: incident and run."""
    with open_desk(workspace) as desk:
        found = [one for one in desk.store.entries() if one.type == "run.requested"]
        return [(one.incident, str(one.data["run"])) for one in found]


def test_the_listener_runs_nothing_that_it_is_sent(workspace: Path):
    """An alert asks for a run, a person answers a gate and looks: no engine, no process."""
    write_notebook(workspace / "runbooks" / "trial.ipynb", [code("a", "1")], about=SOUND)
    (workspace / "pages.secret").write_text(TOKEN)
    token = f'\n[serve]\ntoken = "secret://file{workspace}/pages.secret"\n'
    with_sources(workspace, RULE + token)
    program = (sys.executable, "-c", WATCHED)
    with (
        serve_process(workspace, program=program) as one,
        closing(open_queue(load_settings(workspace))) as queue,
    ):
        assert one.post("open", message()).status_code == 202
        until(lambda: len(requested(workspace)) == 1)
        ((incident, run),) = requested(workspace)
        until(lambda: queue.waiting([run]) == {run}, 20)
        with open_desk(workspace, actor="automation/check") as desk:
            gate = gates.open_(desk, incident, Question("Go on?")).id
        url = f"{one.url}incidents/{incident}/gates/{gate}"
        said = {"answer": "yes", "person": "Ann Example"}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert requests.post(url, data=said, headers=headers, timeout=20).status_code == 200
        for path in ("", "runs", f"runs/{run}", f"incidents/{incident}", "archive", "metrics"):
            assert one.get(path).status_code == 200
        assert psutil.Process(one.process.pid).children(recursive=True) == []
        assert one.end(signal.SIGINT) == 130
    seen = json.loads((workspace / "seen.json").read_text())
    assert "imtkit.web.app" in seen["modules"]
    assert ENGINES & set(seen["modules"]) == set()
    assert set(seen["begun"]) <= {"file"}  # by which the platform module looks at Python itself
    with open_desk(workspace) as desk:
        assert gates.get(desk, incident, gate).by == "Ann Example"
