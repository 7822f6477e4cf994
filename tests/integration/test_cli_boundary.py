"""How the terminal's face ends: words, exit codes, nothing half done, no traceback without -v."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from terminal import IMT, Imt, imt_process

SLOW = """
import json, pathlib
cells = [
    {"cell_type": "code", "id": "wait", "metadata": {}, "outputs": [],
     "execution_count": None, "source": "import time; time.sleep(60)"},
]
pathlib.Path("slow.ipynb").write_text(json.dumps(
    {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
"""


def test_version_and_help_need_no_workspace(tmp_path: Path) -> None:
    """They answer anywhere, at once, on stdout."""
    assert re.fullmatch(r"imt \d+\.\d+\S*\n", imt_process("--version", cwd=tmp_path).out)
    shown = imt_process("--help", cwd=tmp_path)
    assert shown.code == 0
    assert "incident  Open incidents" in shown.out
    assert imt_process(cwd=tmp_path).code == 2


def test_without_a_workspace_the_next_step_is_named(tmp_path: Path) -> None:
    """Exit code 4, and how to make one."""
    done = imt_process("incident", "list", cwd=tmp_path)
    assert (done.code, done.out) == (4, "")
    assert "imt init ." in done.err
    assert "Traceback" not in done.err


def test_a_named_workspace_is_used_from_anywhere(workspace: Path, tmp_path: Path) -> None:
    """--workspace may stand before the noun or after the verb."""
    for words in (
        ("--workspace", str(workspace), "incident", "list", "--json"),
        ("incident", "list", "--json", "--workspace", str(workspace)),
    ):
        assert imt_process(*words, cwd=tmp_path).json == []


def test_nobody_is_asked_who_they_are_for_reading(workspace: Path) -> None:
    """Reading works for nobody in particular; writing says how to be somebody (exit code 6)."""
    assert imt_process("incident", "list", cwd=workspace).code == 0
    refused = imt_process("incident", "open", "--title", "x", cwd=workspace)
    assert refused.code == 6
    assert "IMT_USER" in refused.err
    named = imt_process("incident", "open", "--title", "x", "--actor", "Ann", cwd=workspace)
    assert named.code == 0


def test_broken_configuration_is_named_with_its_place(workspace: Path, imt: Imt) -> None:
    """Malformed TOML, unknown keys: exit code 4, the file and the place, no traceback."""
    (workspace / "imt.toml").write_text("[severity\n")
    done = imt("incident", "list")
    assert done.code == 4
    assert "imt.toml" in done.err
    (workspace / "imt.toml").write_text("[sevrity]\n")
    assert "Did you mean 'severity'?" in imt("incident", "list").err


def test_columns_says_how_wide_a_page_is(imt: Imt, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds for a page that goes to a program too; the list of incidents has whole titles."""
    imt("incident", "open", "--title", "long " * 30)

    def widest(noun: str, *more: str) -> int:
        return max(map(len, imt("incident", noun, *more).out.splitlines()))

    monkeypatch.setenv("COLUMNS", "60")
    assert widest("show", "INC-2026-0001") <= 60
    assert widest("list") > 150
    for columns in ("many", "0", ""):
        monkeypatch.setenv("COLUMNS", columns)
        assert 80 < widest("show", "INC-2026-0001") <= 120


def test_a_usage_that_cannot_be_read_is_json_too(imt: Imt) -> None:
    """Scripts that ask for JSON get their errors as JSON, wherever --json stands."""
    for words in (("incident", "open", "--json"), ("incident", "frobnicate", "--json")):
        done = imt(*words)
        assert (done.code, done.out) == (2, "")
        assert done.error["type"] == "UsageError"
    assert "--title" in imt("incident", "open").err


def test_a_store_that_cannot_be_written_says_so(workspace: Path, imt: Imt) -> None:
    """A database of somebody else's, or none at all: exit code 7, and nothing is made of it."""
    (workspace / "outputs" / "imt.db").write_bytes(b"not a database" * 100)
    done = imt("incident", "open", "--title", "x", "--json")
    assert done.code == 7
    assert done.error["type"] == "StoreError"
    assert (workspace / "outputs" / "imt.db").read_bytes() == b"not a database" * 100


def test_a_newer_database_is_left_alone(workspace: Path, imt: Imt) -> None:
    """Tables of a newer imtkit are refused with what to do."""
    imt("incident", "list")
    with sqlite3.connect(workspace / "outputs" / "imt.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    for words in (("incident", "list"), ("store", "migrate")):
        done = imt(*words)
        assert done.code == 7
        assert "Upgrade imtkit" in done.err


def test_a_changed_entry_is_named(workspace: Path, imt: Imt) -> None:
    """``imt store verify`` names the first bad entry and ends with 7; the list can be rebuilt."""
    id_ = imt("incident", "open", "--title", "Checkout fails", "--json").json["id"]
    imt("incident", "note", id_, "one")
    heads = workspace / "heads.json"
    heads.write_text(imt("store", "heads", "--json").out)
    assert imt("store", "verify", "--against", str(heads)).code == 0
    database = sqlite3.connect(workspace / "outputs" / "imt.db")
    for (name,) in database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        database.execute(f"DROP TRIGGER {name}")
    database.execute("UPDATE entries SET data = replace(data, 'one', 'two')")
    database.commit()
    database.close()
    done = imt("store", "verify", "--json")
    assert done.code == 7
    assert done.json["faults"][0]["n"] == 2
    assert f"entry 2 of {id_}" in done.error["message"]
    assert imt("store", "rebuild", "--json").json == {"incidents": 1}
    heads.write_text('{"heads": 3}')
    assert imt("store", "verify", "--against", str(heads)).code == 2


@pytest.mark.parametrize("words", [("--help",), ("incident", "show", "INC-2026-0001", "--json")])
def test_a_reader_that_goes_away_is_no_fault(
    imt: Imt, workspace: Path, words: tuple[str, ...]
) -> None:
    """``imt … | head`` ends quietly, with the code of a program that SIGPIPE ended."""
    imt("incident", "open", "--title", "x", "--at", "2026-11-21T12:00:00Z")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*IMT, *words], cwd=workspace, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_behind_stdout_is_said(imt: Imt, workspace: Path) -> None:
    """What could not be printed is an error, not a success."""
    imt("incident", "list")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*IMT, "store", "heads", "--json"],
            cwd=workspace,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_a_run_and_the_log_says_so(imt: Imt, workspace: Path) -> None:
    """Interrupted in the middle of a step: exit code 130, no traceback, the run is cancelled."""
    subprocess.run([sys.executable, "-c", SLOW], cwd=workspace, check=True)
    process = subprocess.Popen(
        [*IMT, "run", "slow.ipynb"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = workspace / "outputs" / "imt.db"
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        if log.exists() and _count(log, "step.started"):
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Stopped." in err
    assert out == ""
    runs = imt("incident", "show", "INC-2026-0001", "--json").json["runs"]
    assert [run["status"] for run in runs] == ["cancelled"]


@pytest.mark.parametrize("seconds", [0.2, 0.3, 0.5])
def test_ctrl_c_while_modules_are_loaded_is_no_fault_of_ours(
    workspace: Path, seconds: float
) -> None:
    """Whatever a command of the terminal is at when it is interrupted, it ends with 130."""
    subprocess.run([sys.executable, "-c", SLOW], cwd=workspace, check=True)
    words = [*IMT, "run", "slow.ipynb", "--here", "--actor", "Ann"]
    with subprocess.Popen(words, cwd=workspace, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    # Before our first line runs, all is Python's own: it says so, and dies of the signal.
    if process.returncode != -signal.SIGINT:
        assert process.returncode == 130, said
        assert said.endswith("Stopped.\n")
        assert "Error" not in said
    assert list(workspace.glob("outputs/.running/*.json")) == []


def test_an_interrupt_that_python_wrapped_is_one(workspace: Path) -> None:
    """Ctrl-C while a class is made comes as a RuntimeError; so do errors that follow on it."""
    script = (
        "import sys\n"
        "from imtkit.cli import app, main\n"
        "class Field:\n"
        "    def __set_name__(self, owner, name): raise KeyboardInterrupt\n"
        "def broken(self, ctx, name):\n"
        "    try:\n"
        "        type('Model', (), {'field': Field()})\n"
        "    except RuntimeError as error:\n"
        "        raise ValueError('unusable') from error\n"
        "app.LazyGroup.get_command = broken\n"
        "sys.exit(main())\n"
    )
    words = [sys.executable, "-c", script, "store", "heads"]
    done = subprocess.run(
        words, cwd=workspace, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


def test_a_result_and_the_error_after_it_keep_their_order(workspace: Path) -> None:
    """Where both lead to one pipe: the steps, the result, then why it is not what was wanted."""
    fails = SLOW.replace("time.sleep(60)", "1/0")
    subprocess.run([sys.executable, "-c", fails], cwd=workspace, check=True)
    done = subprocess.run(
        [*IMT, "run", "slow.ipynb", "--here", "--actor", "Ann"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    starts = ("Running slow", "  [1/1]", "INC-2026-0001: slow failed", "Error: Run of 'slow'")
    lines = done.stdout.splitlines()
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=False)] == [
        True
    ] * 4


def test_outputs_that_is_a_file_is_named(workspace: Path, imt: Imt) -> None:
    """Exit code 7 and where the log cannot be; the kernel begun ahead is ended all the same."""
    subprocess.run([sys.executable, "-c", SLOW], cwd=workspace, check=True)
    (workspace / "outputs").rmdir()
    (workspace / "outputs").touch()
    done = imt("run", "slow.ipynb", "--here")
    assert done.code == 7
    assert done.err.startswith(f"Error: The folder {workspace / 'outputs'} for the log cannot be")


def _count(log: Path, type_: str) -> int:
    database = sqlite3.connect(log)
    try:
        found = database.execute("SELECT count(*) FROM entries WHERE type = ?", (type_,))
        return int(found.fetchone()[0])
    except sqlite3.OperationalError:  # the tables are still to come
        return 0
    finally:
        database.close()


def test_a_fault_of_our_own_is_one_line_and_a_traceback_with_v(workspace: Path) -> None:
    """An error nobody expected ends with 1; -v shows where, without it nobody is scared."""
    script = (
        "import sys, click\n"
        "from imtkit.cli import app, main\n"
        "def broken(ctx, name): raise ValueError('a fault \\x1b[31m')\n"
        "app.LazyGroup.get_command = lambda self, ctx, name: broken(ctx, name)\n"
        "sys.exit(main())\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=workspace,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    plain = run("store", "heads")
    assert plain.returncode == 1
    assert plain.stderr.startswith("Error: ValueError: a fault ␛[31m")
    assert "-v" in plain.stderr
    assert "Traceback" not in plain.stderr
    loud = run("-v", "store", "heads")
    assert "Traceback" in loud.stderr
    assert json.loads(run("--json", "store", "heads").stderr)["error"]["type"] == "ValueError"
