"""The main job, as people and scripts run it; nothing of it is pretended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import IMT, Called, imt_on_terminal, imt_process

from imtkit.demo.play import MACHINE
from imtkit.demo.scene import Scene, scene_played
from imtkit.probes import health, http


def demo(folder: Path, *words: str) -> Called:
    return imt_process("demo", "--json", *words, cwd=folder)


def ticked(incident: dict[str, Any]) -> dict[str, str]:
    """Who ticked which item of the runbook's checklist."""
    (shown,) = incident["checklists"]
    return {item["id"]: item["by"] for item in shown["items"] if item["by"]}


def entries(called: Called, folder: Path) -> list[dict[str, Any]]:
    """The timeline of the incident that a demo played in this workspace."""
    id_ = called.json["incident"]["id"]
    shown = imt_process("incident", "show", id_, "--json", "--workspace", str(folder), cwd=folder)
    found: list[dict[str, Any]] = shown.json["timeline"]
    return found


def process_states() -> dict[int, tuple[str, int]]:
    """State and parent of every process, by id."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended while we looked
        found[int(place.name)] = (state, int(parent))
    return found


def children_of(parent: int) -> set[int]:
    """The processes that a process has started, by id."""
    return {one for one, (_, its) in process_states().items() if its == parent}


def running(processes: set[int]) -> set[int]:
    """Those of the processes that have not ended; a zombie has, whoever should bury it."""
    return {one for one, (state, _) in process_states().items() if state != "Z"} & processes


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene of its own."""
    with scene_played() as played:
        yield played


def test_a_real_fault_goes_from_the_alert_to_the_archive(tmp_path: Path) -> None:
    """The diagnosis blames what was broken, it is repaired, measured again, told and archived."""
    done = demo(tmp_path)
    assert done.code == 0, done.err
    told, incident = done.json, done.json["incident"]
    assert told["doubts"] == []
    assert (incident["status"], incident["severity"], incident["mode"]) == (
        "closed",
        "sev1",
        "live",
    )
    assert [alert["status"] for alert in incident["alerts"]] == ["resolved"]
    assert [run["status"] for run in incident["runs"]] == ["completed", "completed"]
    assert told["blamed"] == ["inventory"]
    assert told["repaired"] == "inventory"
    assert any("no answer within" in one["grounds"] for one in told["found"])
    assert {one["level"] for one in told["afterwards"]} == {"ok"}
    assert [one["text"] for one in incident["decisions"]] == ["Restart inventory."]
    assert [one["state"] for one in incident["updates"]] == ["published", "published"]
    assert "demo-orders" in Path(told["page"]).read_text()
    record = Path(told["record"])
    assert "Restart inventory." in record.read_text()
    workspace = str(tmp_path / "imt-demo")
    for check in (("record", "verify", incident["id"]), ("store", "verify")):
        assert imt_process(*check, "--workspace", workspace, cwd=tmp_path).code == 0


def test_with_nobody_there_no_person_is_said_to_have_decided_or_ticked(tmp_path: Path) -> None:
    """The machine signs what it measured and decided; what only people know stays open."""
    done = demo(tmp_path, "--actor", "Ann Example", "--fault", "crash")
    assert done.code == 0, done.err
    incident = done.json["incident"]
    measured = ("impact", "changes", "dependency", "verified")
    assert ticked(incident) == dict.fromkeys(measured, MACHINE)
    assert done.json["left_open"] == [
        "The status page says what users see",
        "What to do is decided, with the reason",
    ]
    assert [one["actor"] for one in incident["decisions"]] == [MACHINE]
    assert incident["owner"] == "Ann Example"
    assert "Nobody is at the terminal: the demo decides." in done.err
    assert "Left open, for a person: The status page says what users see" in done.err
    assert "Closed by Ann Example." in done.err
    hers = {
        one["type"] for one in entries(done, tmp_path / "imt-demo") if one["actor"] == "Ann Example"
    }
    assert {"update.requested", "incident.closed"} <= hers
    assert not {
        one for one in hers if one in ("decision.made", "checklist.ticked", "incident.acknowledged")
    }


def test_without_a_fault_nothing_is_found_and_nothing_repaired(workspace: Path) -> None:
    """No alert, a diagnosis that finds nothing, and no word to the outside; still archived."""
    done = demo(workspace, "--no-fault")
    assert done.code == 0, done.err
    told, incident = done.json, done.json["incident"]
    assert (told["blamed"], told["repaired"], told["page"]) == ([], "", None)
    assert {one["level"] for one in told["found"]} == {"ok"}
    assert incident["mode"] == "drill"
    assert incident["alerts"] == incident["updates"] == []
    assert [one["text"] for one in incident["decisions"]] == ["Change nothing."]
    assert [one["actor"] for one in incident["decisions"]] == [MACHINE]
    assert ticked(incident) == {"changes": MACHINE}
    assert Path(told["record"]).is_relative_to(workspace / "outputs")


def test_on_a_terminal_somebody_is_asked_before_anything_is_repaired(tmp_path: Path) -> None:
    """Who says no leaves the incident open, and is told where it is."""
    words = ["demo", "--fault", "crash", "--actor", "Ann Example"]
    code, shown = imt_on_terminal(
        words, cwd=tmp_path, answers={"Restart inventory?": "n"}, seconds=120
    )
    assert code == 5, shown
    assert "Connection refused" in shown
    assert "is left open. Nobody agreed to restart inventory." in shown
    listed = imt_process("incident", "list", "--json", cwd=tmp_path / "imt-demo").json
    assert [row["status"] for row in listed] == ["acknowledged"]
    asked = ("incident", "show", listed[0]["id"], "--json")
    left = imt_process(*asked, cwd=tmp_path / "imt-demo").json
    assert (ticked(left), left["decisions"], left["updates"]) == ({}, [], [])


def test_on_a_terminal_a_tick_is_what_the_person_answered(tmp_path: Path) -> None:
    """Each item is asked; a no leaves it open, and a yes stands under the person's name."""
    answers = {
        "Restart inventory?": "y",
        "identified.": "y",
        "resolved.": "n",
        "Tick 'Who is affected": "y",
        "Tick 'Deployments": "n",
        "Tick 'The part that fails": "y",
        "Tick 'The status page": "n",
        "Tick 'What to do": "y",
        "Tick 'The service was": "n",
        "Close INC": "y",
    }
    words = ["demo", "--fault", "crash", "--actor", "Ann Example"]
    code, shown = imt_on_terminal(words, cwd=tmp_path, answers=answers, seconds=120)
    assert code == 0, shown
    (row,) = imt_process("incident", "list", "--json", cwd=tmp_path / "imt-demo").json
    asked = ("incident", "show", row["id"], "--json")
    incident = imt_process(*asked, cwd=tmp_path / "imt-demo").json
    assert incident["status"] == "closed"
    assert ticked(incident) == dict.fromkeys(("impact", "dependency", "decision"), "Ann Example")
    assert [one["actor"] for one in incident["decisions"]] == ["Ann Example"]
    assert [one["status"] for one in incident["updates"]] == ["identified"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_nothing_outlives_the_demo(tmp_path: Path, how: signal.Signals) -> None:
    """Stopped in the middle, with its dependency hanging, it leaves no process behind."""
    command = [*IMT, "demo"]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "acknowledged" in line:
                break
        parts = children_of(process.pid)
        assert len(parts) >= 2
        os.kill(process.pid, how)
        rest = process.stderr.read()
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    assert "Traceback" not in rest
    ends_at = time.monotonic() + 10
    while running(parts) and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert not running(parts)


def test_the_scene_is_well_until_it_is_broken_and_again_afterwards(scene: Scene) -> None:
    """Each fault shows in real requests and in the service's own health document."""
    assert http.probe(scene.url, count=3, interval_seconds=0).error_rate == 0
    for fault, reason in (("hang", "no answer within"), ("crash", "Connection refused")):
        scene.break_inventory(fault)
        assert http.probe(scene.url, count=2, interval_seconds=0).error_rate == 1
        told = health.read(scene.health_url)
        assert told.http_status == 503
        assert reason in told.checks[0].reason
        scene.restart("inventory")
        assert health.read(scene.health_url).checks[0].status == "pass"
