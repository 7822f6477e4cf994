"""``imt serve`` and ``imt up`` as processes: what they say, how they end, what a kill leaves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from notebook_files import code, write_notebook
from servers import until
from serving import Served, message, serve_process, serving, with_sources
from terminal import IMT, imt_process
from watchers import free_port

from imtkit.kit import incidents, open_desk, resume
from imtkit.kit import requests as queued
from imtkit.lab import reach
from imtkit.model.entries import WORKSPACE
from imtkit.model.opening import Opening


def fingerprints(workspace: Path) -> list[str]:
    """Of all alerts that were received, each as often as it is in the log."""
    with open_desk(workspace) as desk:
        return sorted(
            str(entry.data["fingerprint"])
            for entry in desk.store.entries()
            if entry.type == "alert.received"
        )


def handled_through(workspace: Path) -> int:
    """The position up to which the log says that deliveries are handled."""
    with open_desk(workspace) as desk:
        marks = [one for one in desk.store.entries(WORKSPACE) if one.type == "deliveries.handled"]
        return int(marks[-1].data["through"]) if marks else 0


def test_kill_between_the_answer_and_the_handling_loses_and_doubles_nothing(workspace: Path):
    """Each 202 before a kill -9 is one alert after the next start, and only one."""
    with_sources(workspace)
    promised: list[str] = []
    newest = 0
    for round_ in range(3):
        with serve_process(workspace) as one, ThreadPoolExecutor(16) as pool:
            numbers = range(round_ * 40, round_ * 40 + 40)
            answers = list(pool.map(lambda n: one.post("open", message(n)), numbers))
            one.end(signal.SIGKILL)
        assert {answer.status_code for answer in answers} == {202}
        newest = max(answer.json()["delivery"] for answer in answers)
        promised += [f"{number:016x}" for number in numbers]
    assert handled_through(workspace) < newest, "the kill came too late to mean anything"
    with serving(workspace):
        until(lambda: handled_through(workspace) >= newest, 60)
    assert fingerprints(workspace) == sorted(promised)
    with open_desk(workspace) as desk:
        assert desk.store.verify() == []


def test_a_kill_while_it_receives_keeps_what_was_answered(workspace: Path):
    """Whatever a kill -9 cuts off, what was answered 202 is in the log."""
    with_sources(workspace)

    def post(number: int) -> int:
        try:
            answer = one.post("open", message(number))
        except requests.ConnectionError:
            return -1
        return number if answer.status_code == 202 else -1

    with serve_process(workspace) as one, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(post, number) for number in range(400)]
        until(lambda: sum(answer.done() for answer in answers) > 60, 30)
        one.end(signal.SIGKILL)
        promised = {f"{n:016x}" for answer in answers if (n := answer.result()) >= 0}
    assert 60 <= len(promised) < 400
    with serving(workspace):
        until(lambda: promised <= set(fingerprints(workspace)), 60)
    found = fingerprints(workspace)
    assert len(found) == len(set(found))


def test_sigterm_keeps_what_was_accepted_and_ends_in_time(workspace: Path):
    """It ends within five seconds, though somebody is still sending; nothing is said of it."""
    with_sources(workspace)
    with serve_process(workspace) as one:
        place = urlsplit(one.url)
        with socket.create_connection((place.hostname, place.port)) as slow:
            slow.sendall(b"POST /alerts/open HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            slow.sendall(b"Content-Length: 9\r\n\r\n{")
            answers = [one.post("open", message(number)) for number in range(20)]
            began_at = time.monotonic()
            code = one.end(signal.SIGTERM)
        assert time.monotonic() - began_at < 5
        assert code == -signal.SIGTERM
        assert "Traceback" not in one.err.read_text()
    with open_desk(workspace) as desk:
        kept = [one.n for one in desk.store.entries(WORKSPACE) if one.type == "delivery.received"]
    assert {answer.json()["delivery"] for answer in answers} <= set(kept)


def test_it_ends_in_time_while_the_log_is_held(workspace: Path):
    """Senders that were not answered yet hear 503 or nothing, never 202 for what is not kept."""
    with_sources(workspace)
    with serve_process(workspace) as one, ThreadPoolExecutor(8) as pool:
        one.post("open", message(0))
        log = sqlite3.connect(workspace / "outputs/imt.db", isolation_level=None)
        with closing(log) as other:
            until(lambda: handled_through(workspace) > 0)
            other.execute("BEGIN IMMEDIATE")
            answers = [pool.submit(one.post, "open", message(n)) for n in range(1, 9)]
            until(lambda: one.process.poll() is None and _waits(one))
            began_at = time.monotonic()
            one.end(signal.SIGTERM)
            assert time.monotonic() - began_at < 6
            other.execute("ROLLBACK")
        for answer in answers:
            assert answer.exception() is not None or answer.result().status_code == 503
        assert "Traceback" not in one.err.read_text()


def _waits(one: Served) -> bool:
    ready = requests.get(f"{one.url}readyz", timeout=10).json()
    return bool(ready["waiting"])


def test_ctrl_c_ends_it_without_complaint(workspace: Path):
    """Exit code 130, as for every command, and no traceback."""
    with serve_process(workspace) as one:
        assert one.end(signal.SIGINT) == 130
        assert one.err.read_text().splitlines()[-1] in ('"error": {', "}", "Stopped.")
        assert "Traceback" not in one.err.read_text()


def test_it_says_where_it_listens_and_whom_it_knows(workspace: Path):
    """The page's address opens it; without a source the table to write is shown."""
    first = subprocess.Popen(
        [*IMT, "serve", "--port", "0"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout is not None
        said = first.stdout.readline()
        assert said.startswith("Listening at http://127.0.0.1:")
        page = said.split()[-1]
        until(lambda: requests.get(page, timeout=10).status_code == 200)
        first.send_signal(signal.SIGINT)
        assert "[alerts.sources.alertmanager]" in first.communicate(timeout=20)[1]


def test_it_warns_before_the_world_and_of_secrets_that_are_not_there(workspace: Path):
    """Bound to every address without TLS, a sender whose secret cannot be had, a rule that starts
    a run for every alert.
    """
    more = '\n[alerts.sources.lost]\nkind = "grafana"\nsecrets = ["secret://env/NOT_SET"]\n'
    with_sources(workspace, more + '[[alerts.rules]]\nname = "all"\n')
    with serve_process(workspace, "--host", "0.0.0.0") as one:
        said = one.err.read_text()
        assert "is open to the network without TLS" in said
        assert "Nothing that 'lost' posts is believed" in said
        assert "NOT_SET" in said
        assert "The rule 'all' runs without a limit" in said


def test_a_port_that_is_taken_is_said(workspace: Path):
    """The address, and what to do; exit code 4."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = imt_process("serve", "--port", str(port), cwd=workspace)
    assert done.code == 4
    assert f"Another program listens on 127.0.0.1:{port} already." in done.err


def test_a_log_of_another_version_is_said_at_the_start(workspace: Path):
    """It will not mend itself; one that cannot be opened may, and is told while it is served."""
    with_sources(workspace)
    with open_desk(workspace):
        pass
    with closing(sqlite3.connect(workspace / "outputs/imt.db")) as log:
        log.execute("UPDATE alembic_version SET version_num = '9999'")
        log.commit()
    done = imt_process("serve", "--port", "0", cwd=workspace)
    assert done.code == 7
    assert "Upgrade imtkit." in done.err
    shutil.rmtree(workspace / "outputs")
    (workspace / "outputs").write_text("no folder")
    with serve_process(workspace) as one:
        assert "senders are told to come later" in one.err.read_text()
        assert one.post("open", message()).status_code == 503


def test_a_rule_that_cannot_be_meant_is_said_at_the_start(workspace: Path):
    """Not when the alert comes that it is for."""
    with (workspace / "imt.toml").open("a") as file:
        file.write('\n[[alerts.rules]]\nname = "r"\nmatch = ["x="]\nrunbooks = ["no-such"]\n')
    done = imt_process("serve", "--port", "0", cwd=workspace)
    assert done.code == 4, done.err
    assert "'r'" in done.err


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that one started, and theirs."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


UP = ("up", "--port", "0", "--actor", "Ann Example", "--jupyter=--allow-root")


@contextmanager
def begun(*words: str, workspace: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is ended, in a session of its own."""
    process = subprocess.Popen(
        [*IMT, *words],
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for one in (*children_of(process), process):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        if process.returncode is None:
            process.communicate()


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    """The first lines that it prints."""
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


@pytest.mark.parametrize("how", ["ctrl-c twice", "a dead worker"])
def test_up_starts_both_and_ends_both(workspace: Path, how: str):
    """One block says where both are; Ctrl-C ends them, and when one dies the other ends, too."""
    with_sources(workspace)
    with begun(*UP, workspace=workspace) as process:
        said = lines_of(process, 4)
        assert said[0] == "Both are up; Ctrl-C ends them.", process.communicate()
        pages, lab, alerts = (line.split(":", 1)[1].strip() for line in said[1:])
        assert requests.get(pages, timeout=10).status_code == 200
        assert requests.get(lab, timeout=10).status_code == 200
        to, _, known = alerts.partition(", NAME being ")
        assert known == "shop or open"
        posted = requests.post(to.replace("NAME", "open"), data=message(), timeout=10)
        assert posted.status_code == 202
        family = children_of(process)
        (record,) = (workspace / "outputs/.running").glob("server-*.json")
        worker = reach.read(record).process.pid
        if how == "ctrl-c twice":
            os.killpg(process.pid, signal.SIGINT)
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(worker, signal.SIGKILL)
        _, err = process.communicate(timeout=40)
        assert psutil.wait_procs(family, timeout=10)[1] == []
    if how == "ctrl-c twice":
        assert (process.returncode, err) == (130, "Stopped.\n")
    else:
        assert process.returncode == 1
        assert "'imt worker' ended (SIGKILL), and with it the other." in err


HELD = """
open('begun', 'a').write('x')
while not __import__('os').path.exists('go'): __import__('time').sleep(0.05)
"""


def asked_for(workspace: Path) -> str:
    """A run of a runbook that is held up, which waits for a worker; its id."""
    write_notebook(workspace / "runbooks" / "held.ipynb", [code("held", HELD)])
    with open_desk(workspace, actor="Ann Example") as desk:
        incident = incidents.open_(desk, Opening("Orders fail")).id
        run = queued.request(desk, incident, "held")
        with closing(queued.open_queue(desk.settings)) as queue:
            assert queued.enqueue_requested(desk, queue) == [run.id]
        return run.id


def test_up_that_is_killed_leaves_nothing_behind(workspace: Path):
    """After a kill -9 of it both its children end, and theirs; the next one has the same port, and
    its worker goes on with what the first one's was at.
    """
    run_id = asked_for(workspace)
    words = ("up", "--port", str(free_port()), *UP[3:])
    with begun(*words, workspace=workspace) as first:
        assert lines_of(first, 1) == ["Both are up; Ctrl-C ends them."], first.communicate()
        until((workspace / "begun").exists, 60)
        family = children_of(first)
        assert len(family) > 3, "no kernels were there to be left behind"
        first.kill()
        assert psutil.wait_procs(family, timeout=30)[1] == []
        first.communicate()
    (workspace / "go").touch()
    with begun(*words, workspace=workspace) as second:
        assert lines_of(second, 1) == ["Both are up; Ctrl-C ends them."], second.communicate()
        with open_desk(workspace) as desk:
            until(lambda: resume.find(desk, run_id).status == "completed", 60)
            assert resume.find(desk, run_id).attempt == 2
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=40)


def test_up_says_first_what_is_wrong(workspace: Path):
    """With the rules; with the address, and the command that takes another; nothing is begun."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = imt_process(*UP, "--port", str(port), cwd=workspace)
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"Error: Another program listens on 127.0.0.1:{port} already.")
    assert "imt up --port" in done.err
    assert len(done.err.splitlines()) == 2
    with (workspace / "imt.toml").open("a") as file:
        file.write('\n[[alerts.rules]]\nname = "r"\nmatch = ["x"]\nrunbooks = ["no-such"]\n')
    done = imt_process(*UP, cwd=workspace)
    assert (done.code, done.out, len(done.err.splitlines())) == (4, "", 2)
    assert "'r'" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked whether root is meant")
@pytest.mark.parametrize("command", ["up", "worker", "lab"])
def test_root_is_told_how_to_say_that_root_is_meant(workspace: Path, command: str):
    """In our words and with our exit code, before Jupyter starts."""
    none = {"JUPYTER_CONFIG_DIR": str(workspace / "no-configuration")}
    done = imt_process(command, "--json", cwd=workspace, environment=none)
    assert (done.code, done.out) == (4, "")
    assert done.error["type"] == "ConfigError"
    assert done.error["hint"].endswith(f"imt {command} --jupyter=--allow-root")


def test_a_worker_waits_for_its_folder_and_says_where_it_is(workspace: Path):
    """Jupyter's log is silent; Ctrl-C ends it without a word, also where nobody has a terminal."""
    (workspace / "outputs").rmdir()
    (workspace / "outputs").write_text("no folder yet")
    words = ("worker", "--actor", "Ann Example", "--jupyter=--allow-root")
    with begun(*words, workspace=workspace) as process:
        assert process.stderr is not None
        assert "imtkit | no runs here yet, it is tried again: " in process.stderr.readline()
        (workspace / "outputs").unlink()
        (workspace / "outputs").mkdir()
        said = lines_of(process, 3)
        assert said[0] == f"This worker carries out the runs of {workspace}."
        assert requests.get(said[1].split(" ")[-1], timeout=10).status_code == 200
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=40)
    assert (process.returncode, out) == (0, "")
    assert err.endswith(f"imtkit | {workspace}/outputs can be written now\n"), err
    assert not list((workspace / "outputs/.running").glob("server-*.json"))
