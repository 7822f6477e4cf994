"""Outputs at an address: what runs leave goes there, and from there to other machines."""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from buckets import S3, depot_credentials, name_address, s3
from labs import running_lab
from machines import ann, answered, bob, machine, notebook, sent
from notebook_files import code, write_notebook
from servers import until
from terminal import Imt, caller
from web_server import running_web

from imtkit.errors import ConfigError, NotFoundError, RecordError, ServiceError
from imtkit.kit import (
    Desk,
    copies,
    evidence,
    handover,
    incidents,
    outputs,
    records,
    resume,
    running,
    runs,
)
from imtkit.kit import requests as requested
from imtkit.lab import reach
from imtkit.model.opening import Opening
from imtkit.model.words import sentence
from imtkit.runs.queue import Request

__all__ = ["ann", "bob", "depot_credentials", "machine", "s3"]


@pytest.fixture(autouse=True)
def _with_credentials(depot_credentials: None) -> None:
    """The machines of these tests may use the S3 server."""


def test_a_run_parks_on_one_machine_and_ends_on_another(
    machine: Callable[..., Desk], s3: S3, postgres_database: str
) -> None:
    """With S3 and PostgreSQL between them: the notebook has both halves, on both machines, and
    the record that the other one builds has all of it.
    """
    address = f"s3://{s3.bucket()}/ops"
    ann = machine("ann", address, url=s3.url, log=postgres_database)
    bob = machine("bob", address, url=s3.url, log=postgres_database)
    parked = runs.start(ann, "asks")
    assert parked.status == "waiting"
    assert outputs.send(ann).waiting == ()
    answered(bob, parked)

    done = resume.resume(bob, parked.id)
    assert done.status == "completed", done.error
    text = notebook(bob, done)
    assert "the first half" in text
    assert "the second half" in text
    assert "the second half" not in notebook(ann, done)
    assert outputs.send(bob).waiting == ()
    assert sent(bob, done) == [1, 2]

    record = records.build(bob, done.incident)
    assert record.problems == ()
    page = next(record.folder.glob("*-asks.html")).read_text(encoding="utf-8")
    assert "the first half" in page
    assert "the second half" in page
    assert list((record.folder / "evidence").iterdir())
    assert list((record.folder / "outputs").iterdir())

    assert copies.fetch_incident(ann, done.incident) == []
    assert notebook(ann, done) == text
    assert copies.fetch_record(ann, done.incident)
    assert records.verify_incident(ann, done.incident) == []
    there = s3.files().find(address.removeprefix("s3://"))
    assert f"{address.removeprefix('s3://')}/{done.incident}/record/index.html" in there
    assert not [name for name in there if "/." in name or name.endswith(".db")]


def test_a_record_on_another_machine_has_evidence_and_whole_outputs(ann: Desk, bob: Desk) -> None:
    """Nothing is missing of what was sent to a shared folder."""
    parked = runs.start(ann, "asks")
    evidence.keep(
        ann, parked.incident, "Seen", b"by hand", name="seen.txt", media_type="text/plain"
    )
    outputs.send(ann)
    record = records.build(bob, parked.incident)
    assert record.problems == ()
    assert len(list((record.folder / "evidence").iterdir())) == 2
    assert records.entries_since(incidents.get(bob, parked.incident)) == 0


def test_without_its_notebook_a_record_says_what_is_missing(ann: Desk, bob: Desk) -> None:
    """What the other machine has not sent yet is told, and the rest is archived."""
    run = runs.start(ann, "fails")
    record = records.build(bob, run.incident)
    assert any("missing" in problem for problem in record.problems)
    with pytest.raises(NotFoundError, match=r"is on the machine that ran it .*not sent"):
        resume.resume(bob, run.id)
    outputs.send(ann)
    assert records.build(bob, run.incident).problems == ()


def test_an_older_copy_never_takes_a_newer_ones_place(ann: Desk, bob: Desk, tmp_path: Path) -> None:
    """The machine that ran the earlier attempt sends nothing any more, and gets the newer one
    before it goes on itself.
    """
    first = runs.start(ann, "fails")
    outputs.send(ann)
    second = resume.resume(bob, first.id)
    assert second.attempt == 2
    outputs.send(bob)
    newer = notebook(bob, second)
    assert notebook(ann, second) != newer
    outputs.send(ann, is_everything=True)
    assert (
        tmp_path / "shared" / second.incident / Path(second.output_path).name
    ).read_text() == newer
    third = resume.resume(ann, first.id)
    assert third.attempt == 3
    assert outputs.send(ann).files == 1
    assert sent(ann, third) == [1, 2, 3]


def test_what_a_person_wrote_into_an_older_copy_is_kept(ann: Desk, bob: Desk) -> None:
    """The newer one takes its place; the other stands beside it."""
    first = runs.start(ann, "fails")
    outputs.send(ann)
    resume.resume(bob, first.id)
    outputs.send(bob)
    path = ann.settings.root / first.output_path
    path.write_text(path.read_text().replace("the first half", "my own words"))
    copies.fetch_run(ann, resume.find(ann, first.id))
    assert "my own words" not in path.read_text()
    [kept] = path.parent.glob("*-kept-*.ipynb")
    assert "my own words" in kept.read_text()


def test_who_takes_a_run_over_elsewhere_has_its_newest_notebook(
    ann: Desk, bob: Desk, tmp_path: Path
) -> None:
    """And what they write into it is sent, as long as it is theirs."""
    run = runs.start(ann, "fails")
    outputs.send(ann)
    taken = handover.take(bob, run.id)
    assert notebook(bob, taken) == notebook(ann, run)
    path = bob.settings.root / taken.output_path
    path.write_text(path.read_text().replace("assert False", "assert True"))
    assert outputs.send(bob).waiting == (run.incident,)
    assert "assert True" in (tmp_path / "shared" / run.incident / path.name).read_text()
    # It goes on, edited, where it was edited, whoever has sent what.
    assert resume.resume(bob, run.id).status == "completed"
    assert outputs.send(bob).waiting == ()


def test_twice_is_once(ann: Desk) -> None:
    """What is there already is not sent again, nor told again."""
    run = runs.start(ann, "asks")
    assert outputs.send(ann).files == 3
    assert outputs.send(ann).files == 0
    assert outputs.send(ann, is_everything=True).files == 0
    assert sent(ann, run) == [1]


DIES = """
import os, signal, sys
from pathlib import Path
from imtkit.kit import open_desk, runs
desk = open_desk(Path(sys.argv[1]), actor="Ann Example")
run = runs.start(desk, "fails")
print(run.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_between_end_and_sending_loses_nothing(
    machine: Callable[..., Desk], s3: S3
) -> None:
    """The log has the end; whoever looks next sends what is left over."""
    ann = machine("ann", f"s3://{s3.bucket()}", url=s3.url)
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(ann.settings.root)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    run = resume.find(ann, done.stdout.strip())
    assert run.status == "failed"
    assert outputs.waiting(ann).waiting == (run.incident,)
    assert outputs.send(ann).files == 1
    assert sent(ann, run) == [1]


HANGS = [
    code("first", "print('the first half', flush=True)"),
    code("wait", "import time; time.sleep(600)"),
]


def test_a_killed_runs_notebook_is_sent_when_it_was_mended(ann: Desk, tmp_path: Path) -> None:
    """While it may still run nothing is sent; once it is known to be lost, its truth is."""
    write_notebook(ann.settings.root / "runbooks" / "hangs.ipynb", HANGS)
    runner = subprocess.Popen(
        [sys.executable, "-c", DIES.replace("fails", "hangs"), str(ann.settings.root)]
    )
    until(
        lambda: any(
            s.status == "running" and s.id == "wait" for r in running.list_(ann) for s in r.steps
        ),
        60,
    )
    assert outputs.send(ann).files == 0
    runner.kill()
    runner.wait()
    [lost] = running.reap(ann)
    assert lost.status == "lost"
    assert outputs.send(ann).files == 1
    assert outputs.waiting(ann).waiting == ()
    assert (
        "kernel-died"
        in (tmp_path / "shared" / lost.incident / Path(lost.output_path).name).read_text()
    )


CARRIES_OUT = """
import sys
from pathlib import Path
from imtkit.kit import open_desk, requests
from imtkit.runs.queue import Request
desk = open_desk(Path(sys.argv[1]), actor="automation/worker")
requests.carry_out(desk, Request(*sys.argv[2:]), is_gone=lambda process: process.is_gone)
"""


@pytest.mark.parametrize("address", ["", "file://{}/shared"], ids=["no address", "an address"])
def test_a_worker_goes_on_although_the_notebook_is_gone_with_a_machine(
    machine: Callable[..., Desk], tmp_path: Path, address: str
) -> None:
    """By the log: what is done once stays done, and where its output lies is said."""
    go_on = tmp_path / "go on"
    waits = [
        code("ready", "import pathlib, time", "setup"),
        code("first", f"open({str(tmp_path / 'done')!r}, 'a').write('x')", "once"),
        code("wait", f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)"),
    ]
    ann, bob = (machine(name, address.format(tmp_path)) for name in ("ann", "bob"))
    for desk in (ann, bob):
        write_notebook(desk.settings.root / "runbooks" / "waits.ipynb", waits)
    opened = incidents.open_(ann, Opening("The shop is slow")).id
    asked = requested.request(ann, opened, "waits")
    words = [sys.executable, "-c", CARRIES_OUT, str(ann.settings.root), asked.id, opened]
    worker = subprocess.Popen(words)

    def is_waiting() -> bool:
        return any(
            step.id == "wait" and step.status == "running"
            for step in incidents.get(ann, opened).runs[0].steps
        )

    until(is_waiting, 60)
    worker.kill()
    worker.wait()
    go_on.touch()
    run = requested.carry_out(bob, Request(asked.id, opened), is_gone=lambda _: True)
    assert (run.status, run.attempt) == ("completed", 2)
    assert (tmp_path / "done").read_text() == "x"
    [resumed] = [e for e in incidents.get(bob, opened).entries if e.type == "run.resumed"]
    assert resumed.data["left_on"] == platform.node()
    assert "what earlier steps printed is on" in sentence(resumed)


def test_a_depot_that_is_away_costs_no_run(
    machine: Callable[..., Desk], s3: S3, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run ends as it does, it is said that its notebook is still here, and it is sent later."""
    imt: Imt = caller(capsys)
    address = f"s3://{s3.bucket()}/ops"
    ann = machine("ann", address, url="http://127.0.0.1:9")
    here = ("--workspace", str(ann.settings.root))
    called = imt("run", "fails", *here, "--actor", "Ann Example")
    assert called.code == 8
    assert f"Not sent yet: {address} cannot be used now" in called.err
    assert "imt outputs send" in called.err
    [run] = running.list_(ann)
    listed = imt("outputs", "list", *here, "--json").json
    assert listed["waiting"] == [run.incident]
    assert "cannot be used now" in listed["fault"]
    assert imt("outputs", "send", *here).code == 9

    closed = imt("record", "build", run.incident, *here, "--actor", "Ann Example")
    assert closed.code == 0
    assert "Not sent yet" in closed.err

    name_address(ann.settings.root, address, url=s3.url)
    done = imt("outputs", "send", *here, "--json")
    assert done.code == 0, done.err
    assert done.json["waiting"] == []
    assert imt("outputs", "list", *here, "--json").json["fault"] == ""
    there = s3.files().find(address.removeprefix("s3://"))
    assert any(name.endswith("-fails.ipynb") for name in there)
    assert any(name.endswith("record/manifest.json") for name in there)


def test_what_was_tampered_with_at_the_address_is_not_taken(
    ann: Desk, bob: Desk, tmp_path: Path
) -> None:
    """The log says what was sent; anything else is refused, and nothing here is touched."""
    run = runs.start(ann, "fails")
    outputs.send(ann)
    path = tmp_path / "shared" / run.incident / Path(run.output_path).name
    path.write_text(path.read_text().replace("the first half", "something else"))
    with pytest.raises(ServiceError, match="is not what the log names"):
        resume.resume(bob, run.id)
    assert not (bob.settings.root / run.output_path).exists()
    assert [one.name for one in bob.settings.outputs.rglob("*.part")] == []


def test_a_record_that_was_tampered_with_at_the_address_is_not_taken(
    ann: Desk, bob: Desk, tmp_path: Path
) -> None:
    """A file that is not the manifest's, and a manifest that is not the log's."""
    opened = incidents.open_(ann, Opening("The shop is slow")).id
    records.build(ann, opened)
    there = tmp_path / "shared" / opened / "record"
    (there / "index.html").write_text("nothing happened")
    with pytest.raises(RecordError, match=r"index.html .* is not what was archived"):
        copies.fetch_record(bob, opened)
    (there / "manifest.json").write_text("{}")
    assert not copies.fetch_record(bob, opened)
    assert not list(bob.folder(opened).glob("*record*/*"))


def test_a_server_sends_by_itself(ann: Desk, tmp_path: Path) -> None:
    """As soon as a run has ended there, without anybody's doing."""
    with running_lab(ann.settings.root, person="Ann Example") as lab:
        until(lambda: reach.server_of(ann.settings), 60)
        lab.post("runs", {"runbook": "fails"})
        [run] = running.list_(ann)
        until(lambda: sent(ann, run) == [1], 60)
    path = tmp_path / "shared" / run.incident / Path(run.output_path).name
    assert path.read_text() == notebook(ann, run)


@pytest.mark.postgres
def test_a_worker_goes_on_with_what_another_machines_worker_left(
    machine: Callable[..., Desk], s3: S3, postgres_database: str
) -> None:
    """It parked there and was sent; that worker is killed, somebody answers, this one goes on."""
    address = f"s3://{s3.bucket()}/ops"
    ann = machine("ann", address, url=s3.url, log=postgres_database)
    bob = machine("bob", address, url=s3.url, log=postgres_database)
    opened = incidents.open_(ann, Opening("The shop is slow")).id
    asked = requested.request(ann, opened, "asks", priority=1)
    with ExitStack() as queue:
        waiting = requested.open_queue(ann.settings)
        queue.callback(waiting.close)
        with running_lab(ann.settings.root) as lab:
            requested.enqueue_requested(ann, waiting)
            until(lambda: sent(ann, asked) == [1], 90)
            lab.process.kill()
            lab.process.wait()
        answered(bob, resume.find(bob, asked.id))
        with running_lab(bob.settings.root):
            until(lambda: sent(bob, asked) == [1, 2], 90)
    done = resume.find(bob, asked.id)
    assert done.status == "completed", done.error
    assert "the second half" in notebook(bob, done)
    assert records.build(bob, opened).problems == ()


def test_the_archive_shows_another_machines_record(ann: Desk, bob: Desk, tmp_path: Path) -> None:
    """It is listed, and fetched when somebody reads it; also when it was built anew since."""
    opened = incidents.open_(ann, Opening("The shop is slow")).id
    for verb in ("acknowledge", "mitigate", "resolve", "close"):
        fields = {"resolve": {"resolution": "restarted"}, "close": {"cause": "a leak"}}.get(verb)
        incidents.move(ann, opened, verb, fields=fields)
    with running_web(bob.settings.root) as web, requests.Session() as browser:
        browser.get(web.link, timeout=30)
        assert opened in browser.get(f"{web.url}/archive", timeout=30).text
        page = browser.get(f"{web.url}/archive/{opened}/index.html", timeout=30)
        assert page.status_code == 200
        assert "The shop is slow" in page.text
        assert "written later" not in page.text
        incidents.note(ann, opened, "written later")
        records.build(ann, opened)
        page = browser.get(f"{web.url}/archive/{opened}/index.html", timeout=30)
        assert "written later" in page.text
        shutil.rmtree(tmp_path / "shared")
        assert browser.get(f"{web.url}/archive/{opened}/index.html", timeout=30).status_code == 200


def test_without_an_address_nothing_changes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs stay where they are; nothing is kept in mind, and sending is refused in words."""
    opened = incidents.open_(desk, Opening("The shop is slow")).id
    evidence.keep(desk, opened, "Seen", b"1", name="seen.txt", media_type="text/plain")
    records.build(desk, opened)
    assert not (desk.settings.outputs / ".unsent").exists()
    assert copies.fetch_incident(desk, opened) == []
    with pytest.raises(ConfigError, match="no address"):
        outputs.send(desk)
