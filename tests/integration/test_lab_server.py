"""The server extension in a real Jupyter server: who may ask, and what errors say."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy

import pytest
import requests
from jupyter_client.blocking.client import BlockingKernelClient
from labs import ROOT, TOKEN, Lab, running_lab, write_notebook
from labs import anns_desk as desk

from imtkit.kit import Desk, checklists, incidents, open_desk
from imtkit.model.checklist import checklist_of
from imtkit.model.entries import utc_text
from imtkit.model.opening import Opening

__all__ = ["desk"]

NAME = "before-failover"


def a_workspace(folder: Path) -> Path:
    """A workspace with one runbook and one service, whose log waits two seconds for its turn."""
    (folder / "outputs").mkdir()
    copy(ROOT / "templates" / "imt.toml", folder)
    with (folder / "imt.toml").open("a") as file:
        file.write('\n[services.orders]\nowner = "payments"\n')
    write_notebook(folder / "runbooks" / "db-failover.ipynb", "1")
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server whose login is a mere token; the machine knows Ada Lovelace."""
    workspace = a_workspace(tmp_path_factory.mktemp("workspace"))
    log = {"IMT_STORE_URL": f"sqlite:///{workspace}/outputs/imt.db?timeout=2"}
    with running_lab(workspace, person="Ada Lovelace", environment=log) as started:
        yield started


@pytest.fixture
def place(desk: Desk) -> str:
    """The address of a new checklist with the items a, b and c."""
    incident = incidents.open_(desk, Opening("Checkout answers 502"))
    checklists.show(desk, incident.id, checklist_of(NAME, [("a", "A"), ("b", "B"), ("c", "C")]))
    return f"incidents/{incident.id}/checklists/{NAME}"


def test_only_people_with_a_login_are_answered(lab: Lab, place: str) -> None:
    """Without the token every address answers 403, and a cookie alone may not write (XSRF)."""
    for path in ("me", "workspace", "incidents", "runbooks", place, place.partition("/ch")[0]):
        assert requests.get(f"{lab.url}imtkit/api/{path}", timeout=30).status_code == 403
    for path in ("me", "incidents", "copies", place):
        assert requests.post(f"{lab.url}imtkit/api/{path}", json={}, timeout=30).status_code == 403
    browser = requests.Session()
    browser.get(f"{lab.url}tree?token={TOKEN}", timeout=30)
    assert browser.get(f"{lab.url}imtkit/api/{place}", timeout=30).status_code == 200
    click = {"item": "a", "checked": True}
    refused = browser.post(f"{lab.url}imtkit/api/{place}", json=click, timeout=30)
    assert (refused.status_code, "_xsrf" in refused.json()["message"]) == (403, True)
    assert lab.get(place).json()["items"][0]["by"] == ""


def test_a_click_is_recorded_with_who_and_through_what(lab: Lab, place: str) -> None:
    """The answer is the list as the log has it; the same click twice is one entry."""
    click = {"item": "b", "checked": True, "nonce": "n1"}
    answers = [lab.post(place, click) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    item = answers[1].json()["items"][1]
    assert (item["by"], item["via"], item["at"][-1]) == ("Ada Lovelace", "lab", "Z")
    assert answers[0].json()["items"] == answers[1].json()["items"]
    assert answers[0].json()["person"] == "Ada Lovelace"
    assert lab.post(place, {"item": "b", "checked": False}).json()["items"][1]["by"] == ""


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("incidents/INC-1999-0001/checklists/x", None, 404, "INC-1999-0001"),
        ("{place}x", None, 404, "before-failoverx"),
        ("{place}", {"item": "nothing", "checked": True}, 404, "nothing"),
        ("{place}", {"item": "a"}, 400, "checked"),
        ("{place}", ["a"], 400, "JSON object"),
        ("{place}", {"item": "a", "checked": True, "not_after": "{past}"}, 409, "too late"),
        ("incidents", {"title": "  "}, 400, "title"),
        ("incidents", {"title": "T", "severity": "sev9"}, 404, "sev9"),
        ("copies", {"runbook": "db-failver", "incident": "INC-1999-0001"}, 404, "db-failver"),
        ("copies", {"runbook": "db-failover", "incident": "../../x"}, 404, "../../X"),
        ("me", {"name": "anonymous Carme"}, 400, "nobody's name"),
    ],
)
def test_errors_say_what_and_the_next_step(
    lab: Lab, place: str, path: str, body: object, status: int, word: str
) -> None:
    """Each kind of error has its status; the message names what, and there is always a hint."""
    if isinstance(body, dict) and "not_after" in body:
        body["not_after"] = utc_text(datetime.now(UTC) - timedelta(seconds=1))
    address = path.format(place=place)
    answer = lab.get(address) if body is None else lab.post(address, body)
    assert answer.status_code == status
    assert word in answer.json()["message"]
    assert "hint" in answer.json()
    assert "Traceback" not in answer.text


def test_a_place_that_cannot_be_one_is_not_looked_for(lab: Lab) -> None:
    """Ids are checked before anything is read: traversal ends at the address."""
    for path in ("incidents/..%2f..%2fetc", "incidents/a%00b", "incidents/-x"):
        assert lab.get(path).status_code == 404


def test_a_busy_log_is_said_and_stops_nobody_else(lab: Lab, place: str) -> None:
    """While another writer holds the log a click waits, then is 503; readers are answered."""
    database = sqlite3.connect(lab.workspace / "outputs" / "imt.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(4) as hands:
        click = hands.submit(lab.post, place, {"item": "a", "checked": True})
        began = time.monotonic()
        assert requests.get(f"{lab.url}api", timeout=30).ok
        assert lab.get(place).ok
        assert time.monotonic() - began < 1.5
        answer = click.result()
    database.execute("ROLLBACK")
    database.close()
    assert answer.status_code == 503
    assert answer.json()["hint"]
    assert lab.get(place).json()["items"][0]["by"] == ""
    assert lab.post(place, {"item": "a", "checked": True}).ok


def test_many_clicks_at_once_are_each_recorded_once(lab: Lab, desk: Desk, place: str) -> None:
    """Eight people tick the same three items at the same time: three ticks are in the log."""
    with ThreadPoolExecutor(8) as hands:
        clicks = [
            {"item": item, "checked": True, "nonce": f"{n}"} for item in "abc" for n in "1234"
        ]
        codes = [answer.status_code for answer in hands.map(lambda c: lab.post(place, c), clicks)]
    assert set(codes) == {200}
    entries = incidents.get(desk, place.split("/")[1]).entries
    assert sorted(e.data["item"] for e in entries if e.type == "checklist.ticked") == [
        "a",
        "b",
        "c",
    ]


def test_a_new_incident_and_a_fresh_copy(lab: Lab, desk: Desk) -> None:
    """Opening one answers its id; a copy of a runbook lies in its folder, to be opened."""
    made = lab.post("incidents", {"title": "Slow", "severity": "SEV2", "service": "orders"})
    assert made.status_code == 201
    incident = incidents.get(desk, made.json()["id"])
    assert (incident.severity, incident.owner, incident.opened_by) == (
        "sev2",
        "payments",
        "Ada Lovelace",
    )
    assert incident.id in [one["id"] for one in lab.get("incidents").json()["incidents"]]
    assert lab.get(f"incidents/{incident.id}").json()["status"] == "open"
    copied = lab.post("copies", {"runbook": "db-failover", "incident": incident.id.lower()})
    path = copied.json()["path"]
    assert path.startswith(f"outputs/{incident.id}/")
    assert (lab.workspace / path).is_file()
    assert {"name": "db-failover", "title": "db-failover"} in lab.get("runbooks").json()["runbooks"]
    assert lab.get("workspace").json()["services"] == ["orders"]


def test_kernels_open_no_port_and_keep_no_history(lab: Lab) -> None:
    """A kernel talks over sockets in a private folder, and its history is in memory only."""
    answer = requests.post(
        f"{lab.url}api/kernels",
        json={"name": "python3"},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=60,
    )
    assert answer.status_code == 201
    name = f"kernel-{answer.json()['id']}.json"
    (file,) = Path(tempfile.gettempdir()).glob(f"imt-*/{name}")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    assert client.transport == "ipc"
    client.start_channels()
    try:
        where = {"where": "get_ipython().history_manager.hist_file"}
        reply = client.execute("", user_expressions=where, reply=True, timeout=60)
    finally:
        client.stop_channels()
    told = reply["content"]["user_expressions"]["where"]["data"]["text/plain"]
    assert told == "':memory:'"


def test_the_login_says_who_acts(tmp_path: Path) -> None:
    """Where the server knows its people, that name is recorded, and no other is remembered."""
    extra = ("--ServerApp.identity_provider_class=logins.KnownLogin", f"--KnownLogin.token={TOKEN}")
    paths = {"PYTHONPATH": str(ROOT / "tests")}
    workspace = a_workspace(tmp_path)
    with running_lab(workspace, person="Ada Lovelace", environment=paths, extra=extra) as lab:
        assert lab.get("me").json() == {"person": "Grace Hopper"}
        assert lab.post("me", {"name": "Somebody Else"}).json() == {"person": "Grace Hopper"}
        assert lab.post("incidents", {"title": "Slow"}).status_code == 201
    with open_desk(workspace) as desk:
        assert incidents.get(desk, "INC-2026-0001").opened_by == "Grace Hopper"


def test_without_a_workspace_every_answer_says_so(tmp_path: Path) -> None:
    """A server outside any workspace answers 409 with the command that makes one."""
    with running_lab(a_workspace(tmp_path), is_workspace_gone=True) as lab:
        answer = lab.get("incidents")
    assert answer.status_code == 409
    assert "imt init" in answer.json()["hint"]
