"""Secrets as parameters, with real kernels: the value is used, and is nowhere to be read."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from notebook_files import code, write_notebook

from imtkit.errors import KernelError, ParameterError
from imtkit.kit import Desk, alerts, incidents, open_desk, records, resume, runbooks, runs
from imtkit.model.incident import Alert
from imtkit.model.scrubber import Scrubber

CANARY = "zq-Canary/+9=é&7"
PARAMETERS = code("params", 'token: str = ""  # a token\nurl: str = ""  # where', "parameters")
LEAKY = [
    PARAMETERS,
    code("use", "print(len(token), token, flush=True); token"),
    code("pieces", "import time\nfor c in token: print(c, end='', flush=True); time.sleep(.02)"),
    code(
        "forms",
        "import base64, json, sys, urllib.parse\n"
        "print(base64.b64encode(b'u:' + token.encode()), urllib.parse.quote_plus(token))\n"
        "print(json.dumps([token]), repr(token), token.encode().hex(), file=sys.stderr)\n"
        "from IPython.display import HTML, display\n"
        "display(HTML(f'<b>{token}</b>'))\n"
        "display({'application/json': {token: token}}, raw=True)\n"
        "display({'text/plain': 'x', 'image/png': token}, raw=True, metadata={token: token})\n"
        "shown = display(display_id=True); shown.update(token)",
    ),
    code(
        "history",
        "lines = get_ipython().history_manager.get_range(raw=True)\n"
        "print('in history:', sum(token in line for _, _, line in lines))",
    ),
    code(
        "kit",
        "import imtkit as imt, os\ninc = imt.join()\ninc.note(f'called with {token}')\n"
        "inc.evidence(f'answer {token}', f'Authorization: Bearer {token}')\n"
        "inc.evidence('raw', base64.b64encode(token.encode()))\n"
        "inc.decide(f'keep {token}', 'because')\nos.environ['PD_TOKEN']",
    ),
    code("raise", "raise RuntimeError(f'refused: {token}')"),
]


@pytest.fixture
def desk(workspace: Path):
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


def traces(root: Path) -> dict[str, list[str]]:
    """The forms of the canary that stand in any file of a folder, by the file's name."""
    scrubber = Scrubber({"token": CANARY})
    found = {}
    for path in (one for one in root.rglob("*") if one.is_file()):
        content = path.read_bytes()
        forms = [form for form in scrubber.forms if form.encode() in content]
        if forms:
            found[path.name] = forms
    return found


def test_a_secret_is_used_and_stands_nowhere(
    desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not in the notebook, database, journal, traceback, evidence, record or process list."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    write_notebook(workspace / "runbooks" / "leaky.ipynb", LEAKY)
    processes: list[str] = []

    def look(_event: object) -> None:
        shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, check=True)
        processes.append(shown.stdout.decode())

    given = {"token": "secret://env/PD_TOKEN"}
    run = runs.start(desk, "leaky", parameters=given, on_step=look)
    assert {s.id: s.status for s in run.steps} == dict.fromkeys(
        ["params", "use", "pieces", "forms", "history", "kit"], "completed"
    ) | {"raise": "failed"}
    assert run.error == "RuntimeError: refused: [secret token]"
    assert run.parameters["token"] == "secret://env/PD_TOKEN"
    records.build(desk, run.incident)
    assert traces(workspace) == {}
    assert not any(form in shown for form in (CANARY, quote_plus(CANARY)) for shown in processes)
    text = (workspace / run.output_path).read_text()
    assert text.count("[secret token]") >= 12
    assert f"{len(CANARY)} [secret token]" in text
    assert "in history: 0" in text
    note = next(e for e in desk.store.entries(run.incident) if e.type == "note.added")
    assert note.data["text"] == "called with [secret token]"


def test_a_secret_from_a_file_may_be_a_runbooks_default(
    desk: Desk, workspace: Path, tmp_path: Path
):
    """What the runbook refers to by itself is resolved too, and the log says what it used."""
    kept = tmp_path / "token"
    kept.write_text(f"{CANARY}\n")
    cells = [
        code("params", f'token: str = "secret://file{kept}"  # a token', "parameters"),
        code("use", "import hashlib; print(hashlib.sha256(token.encode()).hexdigest())"),
    ]
    write_notebook(workspace / "runbooks" / "own.ipynb", cells)
    run = runs.start(desk, "own")
    assert run.status == "completed"
    assert run.parameters == {"token": f"secret://file{kept}"}
    expected = hashlib.sha256(CANARY.encode()).hexdigest()
    assert expected in (workspace / run.output_path).read_text()


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "PD_TOKEN is not set"), ("short", "fewer than 6 characters")],
)
def test_missing_and_short_secrets_are_refused_first(
    desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
):
    """Nothing is stored, no kernel starts; the variable is named, its value is not."""
    if value is not None:
        monkeypatch.setenv("PD_TOKEN", value)
    write_notebook(workspace / "runbooks" / "leaky.ipynb", LEAKY)
    with pytest.raises(ParameterError, match=said) as caught:
        runs.start(desk, "leaky", parameters={"token": "secret://env/PD_TOKEN"})
    assert "'token'" in str(caught.value)
    assert "short" not in f"{caught.value} {caught.value.hint}"
    assert list(desk.store.entries()) == []


def test_a_parameter_of_another_type_takes_no_secret(
    desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """A secret is a text."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    cells = [code("params", "count: int = 1  # how many", "parameters")]
    write_notebook(workspace / "runbooks" / "counting.ipynb", cells)
    with pytest.raises(ParameterError, match="a whole number"):
        runs.start(desk, "counting", parameters={"count": "secret://env/PD_TOKEN"})


def test_a_run_that_goes_on_has_its_secrets_again(
    desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """A new kernel takes them anew, scrubbed as before; one that is gone is refused first."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    cells = [
        PARAMETERS,
        code("once", "print('first', token)"),
        code("check", "assert (__import__('pathlib').Path('ready')).exists(), token"),
        code("use", "print('then', len(token), token)"),
    ]
    write_notebook(workspace / "runbooks" / "twice.ipynb", cells)
    run = runs.start(desk, "twice", parameters={"token": "secret://env/PD_TOKEN"})
    assert (run.status, run.error) == ("failed", "AssertionError: [secret token]")
    (workspace / "ready").touch()
    known = len(incidents.get(desk, run.incident).entries)
    monkeypatch.delenv("PD_TOKEN")
    with pytest.raises(ParameterError, match="PD_TOKEN"):
        resume.resume(desk, run.id)
    assert len(incidents.get(desk, run.incident).entries) == known
    monkeypatch.setenv("PD_TOKEN", CANARY)
    again = resume.resume(desk, run.id)
    assert again.status == "completed"
    assert f"then {len(CANARY)} [secret token]" in (workspace / run.output_path).read_text()
    assert traces(workspace) == {}


def test_an_alert_names_no_secret(desk: Desk, workspace: Path):
    """Else whoever can send an alert could have any secret sent to an address of theirs."""
    about = {"alert_parameters": ["url"]}
    write_notebook(workspace / "runbooks" / "probing.ipynb", [PARAMETERS], about=about)
    book = runbooks.find(desk.settings, "probing")
    labels = {"url": "secret://env/PD_TOKEN"}
    alert = Alert("f", "A", "alertmanager", "firing", desk.clock.now(), labels=labels)
    assert alerts.parameters_for(book, alert) == {}


def test_papermill_with_our_engine_keeps_secrets_too(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """``papermill --engine imt`` resolves the reference and scrubs as ``imt run`` does."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    cells = [PARAMETERS, code("use", "print(token == __import__('os').environ['PD_TOKEN'], token)")]
    write_notebook(tmp_path / "in.ipynb", cells)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "papermill", "--engine", "imt", "in.ipynb", "out.ipynb"),
            *("-p", "token", "secret://env/PD_TOKEN"),
        ],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "True [secret token]" in (tmp_path / "out.ipynb").read_text()
    assert traces(tmp_path) == {}
    assert CANARY not in done.stdout + done.stderr
    assert b64encode(CANARY.encode()).decode() not in done.stdout + done.stderr


def test_a_secret_that_goes_away_before_the_kernel_takes_it_ends_the_run(
    desk: Desk, workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """The kernel says what it could not find; the run is over, and no step ran without it."""
    monkeypatch.setenv("PD_TOKEN", CANARY)
    gone = code("params", "import os; del os.environ['PD_TOKEN']\ntoken: str = ''", "parameters")
    write_notebook(workspace / "runbooks" / "gone.ipynb", [gone, code("use", "print(token)")])
    with pytest.raises(KernelError, match="PD_TOKEN is not set"):
        runs.start(desk, "gone", parameters={"token": "secret://env/PD_TOKEN"})
    entries = list(desk.store.entries())
    assert entries[-1].type == "run.finished"
    assert entries[-1].data["status"] == "failed"
    assert "use" not in [e.data.get("step") for e in entries]
