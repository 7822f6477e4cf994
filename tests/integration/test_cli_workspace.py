"""Workspaces, runs and alerts from the terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from terminal import IMT, Imt, imt_on_terminal, imt_process


def write_notebook(path: Path, *cells: str, parameters: str = "") -> None:
    """A notebook without any metadata of ours."""
    sources = [(["parameters"], parameters)] if parameters else []
    sources += [([], source) for source in cells]
    document = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {"tags": tags},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for number, (tags, source) in enumerate(sources, start=1)
        ],
        "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))


# imt init


def test_any_folder_becomes_a_workspace(tmp_path: Path) -> None:
    """Configuration, a runbook to start from, outputs that git leaves alone, and the next step."""
    done = imt_process("init", "new/team", cwd=tmp_path)
    assert done.code == 0
    root = tmp_path / "new" / "team"
    made = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert made == {"imt.toml", "runbooks/first-steps.ipynb", "outputs/.gitkeep", ".gitignore"}
    assert "cd new/team && imt incident open" in done.err
    assert imt_process("incident", "list", "--json", cwd=root).json == []
    assert imt_process("runbook", "show", "first-steps", "--json", cwd=root).json["steps"]


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    """What somebody wrote stays; a .gitignore that is there only gains the missing lines."""
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "imt.toml").write_text('[workspace]\nname = "Ours"\n')
    first = imt_process("init", ".", "--json", cwd=tmp_path).json
    assert str(tmp_path / "imt.toml") not in first["made"]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert imt_process("init", ".", "--json", cwd=tmp_path).json["made"] == []
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ignored = (tmp_path / ".gitignore").read_text()
    assert ignored.startswith("*.log\n")
    assert ignored.count("/outputs/*") == 1


def test_git_sees_no_outputs(tmp_path: Path) -> None:
    """After an incident, only the workspace itself is there to be committed."""
    imt_process("init", ".", cwd=tmp_path)
    imt_process("incident", "open", "--title", "x", "--actor", "Ann Example", cwd=tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    done = subprocess.run(
        ["git", "status", "--porcelain", "-uall"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "imt.toml" in done.stdout
    assert "imt.db" not in done.stdout


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be: exit code 4, no traceback."""
    (tmp_path / "outputs").write_text("a file")
    done = imt_process("init", ".", cwd=tmp_path)
    assert done.code == 4
    assert "outputs" in done.err
    assert "Traceback" not in done.err


# imt run


def test_a_run_is_shown_as_it_goes_and_printed_as_json(imt: Imt, workspace: Path) -> None:
    """Any notebook runs; each step is told on stderr, and the notebook is where it says."""
    write_notebook(workspace / "any.ipynb", "# Double it\nprint(x * 2)", parameters="x: int = 1")
    done = imt("run", "any.ipynb", "-p", "x=21", "--mode", "test", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert (told["runbook"], told["status"]) == ("any", "completed")
    assert [step["status"] for step in told["steps"]] == ["completed", "completed"]
    assert "42" in Path(told["output_path"]).read_text()
    assert Path(told["output_path"]).parent.name == told["incident"]
    assert "[2/2] Double it: completed" in done.err
    assert imt("incident", "show", told["incident"], "--json").json["mode"] == "test"


def test_a_run_that_fails_is_printed_and_ends_with_8(imt: Imt, workspace: Path) -> None:
    """The truth of each step is told, and what went wrong, without a traceback of ours."""
    write_notebook(workspace / "bad.ipynb", "1 / 0", "print('never')")
    done = imt("run", "bad.ipynb", "--json")
    assert done.code == 8
    assert done.json["status"] == "failed"
    assert [step["status"] for step in done.json["steps"]] == ["failed", "not-run"]
    assert done.error["type"] == "StepError"
    assert "ZeroDivisionError" in done.error["message"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("no-such",), 3, "no-such"),
        (("http-servce",), 3, "Did you mean 'http-service'?"),
        (("http-service", "-p", "urll=http://x"), 2, "Did you mean 'url'?"),
        (("http-service", "-p", "url=http://x", "-p", "count=many"), 2, "a whole number"),
        (("http-service",), 2, "-p url=…"),
        (("http-service", "-p", "url=http://x", "-p", "url=http://y"), 2, "'url' is given twice"),
        (("postgres",), 2, "-p dsn=…"),
        (("http-service", "-p", "count"), 2, "name=value"),
        (("http-service", "-p", "url=http://x", "--incident", "INC-1999-0001"), 3, "INC-1999-0001"),
        (("broken.ipynb",), 2, "broken.ipynb"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_stored(
    imt: Imt, workspace: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """Unknown runbook, parameter or incident, a wrong type, no notebook: nothing is left."""
    (workspace / "broken.ipynb").write_text("{")
    done = imt("run", *words)
    assert (done.code, done.out) == (code, ""), done.err
    assert said in done.err
    assert "Running" not in done.err
    assert imt("incident", "list", "--json").json == []


def test_a_terminal_sees_each_step(workspace: Path) -> None:
    """The step's title, how it ended and how long it took; the result comes after them."""
    write_notebook(workspace / "any.ipynb", "# Look around\nprint('seen')")
    code, shown = imt_on_terminal(
        ["run", "any.ipynb", "--actor", "Ann Example"], cwd=workspace, answers={}
    )
    assert code == 0, shown
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"Look around +completed +\d+ ms", plain)
    assert re.search(r"any completed, run \S+\. The notebook:", " ".join(plain.split()))


# imt alerts, imt lab


def payload(status: str = "firing") -> str:
    """What Alertmanager posts, written from its documentation."""
    alert = {
        "status": status,
        "labels": {"alertname": "HttpErrorRateHigh", "service": "shop", "severity": "warning"},
        "annotations": {"summary": "The shop fails", "measure_error_rate": "0.07"},
        "startsAt": "2026-11-21T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "0123456789abcdef",
    }
    return json.dumps({"version": "4", "status": status, "alerts": [alert]})


def test_an_alert_from_a_file_opens_an_incident_once(imt: Imt, workspace: Path) -> None:
    """Replayed again it is known; the runbook that answers it is named."""
    (workspace / "alert.json").write_text(payload())
    (outcome,) = imt("alerts", "replay", "alert.json", "--json").json
    assert outcome["action"] == "opened"
    assert "http-service" in outcome["runbooks"]
    again = imt("alerts", "replay", "alert.json")
    assert f"known already, in {outcome['incident']}" in again.out
    found = imt("incident", "show", outcome["incident"], "--json").json
    assert (found["title"], found["severity"]) == ("The shop fails", "sev2")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"version": "3"}', "\x00\xff"])
def test_what_is_no_payload_is_refused(workspace: Path, body: str) -> None:
    """Nothing of it is stored; exit code 2, no traceback."""
    done = imt_process("alerts", "replay", "-", "--json", cwd=workspace, text=body)
    assert (done.code, done.out) == (2, "")
    assert done.error["type"] == "PayloadError"
    assert imt_process("incident", "list", "--json", cwd=workspace).json == []


def end(process: subprocess.Popen[str]) -> None:
    """End a Jupyter Server: it misses a SIGTERM that comes just before its loop begins."""
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.communicate()


def test_the_lab_opens_in_the_workspace(workspace: Path) -> None:
    """``imt lab`` becomes JupyterLab in the workspace, with whatever options Jupyter is given."""
    with subprocess.Popen(
        [*IMT, "lab", "--no-browser", "--jupyter=--allow-root", "--actor", "Ann Example"],
        cwd=workspace / "runbooks",
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "JUPYTER_RUNTIME_DIR": str(workspace / "runtime")},
    ) as process:
        assert process.stderr is not None
        told = []
        try:
            for line in process.stderr:
                told.append(line)
                if "/lab?token=" in line:
                    break
        finally:
            end(process)
    text = "".join(told)
    assert f"Serving notebooks from local directory: {workspace}" in text
    assert re.search(r"http://(localhost|127\.0\.0\.1):\d+/lab", text)


def test_a_new_runbook_says_what_is_still_to_fill_in(imt: Imt, workspace: Path) -> None:
    """What the linter would ask of it is told at once."""
    made = imt("runbook", "new", "queue-backlog", "--owner", "payments")
    assert made.code == 0, made.err
    assert "Still to fill in: last-reviewed: last_reviewed is empty; give a date" in made.err
    assert "Still to fill in: metadata: says nothing of its" in made.err


def test_a_shipped_runbook_is_replaced_only_when_asked(imt: Imt, workspace: Path) -> None:
    """A runbook of its name is refused, and made with --replace."""
    refused = imt("runbook", "new", "http-service")
    assert refused.code == 2
    assert "--replace" in refused.err
    assert not (workspace / "runbooks" / "http-service.ipynb").exists()
    assert imt("runbook", "new", "http-service", "--replace").code == 0


def test_a_list_of_runbooks_names_the_broken_ones(imt: Imt, workspace: Path) -> None:
    """What cannot be read is left out of the list, and said to be."""
    (workspace / "runbooks" / "torn.ipynb").write_text("{")
    listed = imt("runbook", "list", "--json")
    assert listed.code == 0
    assert "torn" not in listed.out
    assert "Left out: " in listed.err
    assert "torn.ipynb" in listed.err
