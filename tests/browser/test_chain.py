"""The whole way, nothing of it made up: a service breaks, Prometheus sees it, Alertmanager posts,
a runbook looks and asks, a person answers in the page, the service is well, the person resolves
it there, closes it in a terminal, and reads its record in the archive.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy
from typing import TYPE_CHECKING

import pytest
from labs import ROOT
from notebook_files import code, write_notebook
from storms import Worker
from terminal import IMT, imt_process
from watchers import Shop, free_port, shop, watching

from imtkit.kit import Desk, incidents, open_desk
from imtkit.model.incident import Incident, Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SENDER, TOKEN = "the-senders-own-token", "the-token-of-the-pages"
PERSON = "Ada Lovelace"
CELLS = [
    code("values", "incident_id = ''\nurl = ''", "parameters"),
    code("join", "# Join\nimport imtkit as imt\ninc = imt.join()", "setup"),
    code(
        "look",
        "# What does the shop answer?\nimport urllib.error, urllib.request\n"
        "try:\n    status = urllib.request.urlopen(url, timeout=5).status\n"
        "except urllib.error.HTTPError as error:\n    status = error.code\n"
        "print('the shop answers', status)",
    ),
    code("ask", "# May it be restarted?\nanswer = inc.gate('Restart the shop?')"),
    code("done", "# Restart\nprint('restarted:', answer, 'after', status)"),
]
RULES = """
[serve]
port = {port}
token = "secret://env/PAGES_TOKEN"

[alerts.sources.alertmanager]
secrets = ["secret://env/SENDERS_TOKEN"]

[[alerts.rules]]
name = "shop"
match = ['service="shop"', 'severity=~"critical|page"']
runbooks = ["shop-down"]
parameters = {{ url = "annotation:url" }}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a runbook for the shop, and a rule that runs it."""
    root = tmp_path / "w"
    (root / "outputs").mkdir(parents=True)
    copy(ROOT / "templates" / "imt.toml", root)
    about = {"title": "The shop is down", "services": ["shop"]}
    write_notebook(root / "runbooks" / "shop-down.ipynb", CELLS, about=about)
    return root


@pytest.fixture
def address(workspace: Path) -> Iterator[str]:
    """Where ``imt serve`` of the workspace answers."""
    port = free_port()
    with (workspace / "imt.toml").open("a") as settings:
        settings.write(RULES.format(port=port))
    secrets = {"SENDERS_TOKEN": SENDER, "PAGES_TOKEN": TOKEN}
    with serving(workspace, secrets):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def worker(workspace: Path, address: str) -> Iterator[Worker]:
    """``imt worker`` of the workspace."""
    assert address
    one = Worker(workspace)
    try:
        yield one
    finally:
        one.end()


@contextmanager
def serving(workspace: Path, secrets: dict[str, str]) -> Iterator[None]:
    """``imt serve``, until it is told to end; it ends well."""
    log = workspace / "serve.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*IMT, "serve"], cwd=workspace, env={**os.environ, **secrets}, stdout=sink, stderr=sink
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert code in (0, -signal.SIGTERM), log.read_text()


def until(found: Callable[[], object], seconds: float = 45) -> None:
    """Wait until something is there."""
    ends_at = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends_at, "it did not come about"
        time.sleep(0.1)


def the_incident(desk: Desk) -> Incident:
    """The one incident."""
    (summary,) = desk.store.incidents()
    return incidents.get(desk, summary.id)


def the_run(desk: Desk) -> Run | None:
    """The run that the alert started, once there is one."""
    found = [run for one in desk.store.incidents() for run in incidents.get(desk, one.id).runs]
    assert len(found) < 2
    return found[0] if found else None


def answered_in_the_page(page: Page, address: str, incident: str) -> None:
    """A person comes in by the link, sees what is asked, and says yes."""
    page.goto(f"{address}incidents/{incident}?token={TOKEN}")
    gate = page.get_by_role("article").filter(has_text="Restart the shop?").first
    gate.get_by_label("Your name").fill(PERSON)
    gate.get_by_label("Reason").fill("The last deploy broke it.")
    gate.get_by_role("button", name="yes").click()
    page.get_by_text("Recorded:").wait_for()


def resolved_in_the_page(page: Page, address: str, incident: str) -> None:
    """The person sees that every alert is over, says how they know, and resolves it."""
    page.goto(f"{address}incidents/{incident}")
    page.get_by_text("It proposes its own resolution").wait_for()
    move = page.locator("#move-resolve")
    move.locator("summary").click()
    move.get_by_label("Resolution").fill("Restarted.")
    move.get_by_label("How was it verified?").fill("The shop answers 200 again.")
    move.get_by_role("button", name="Service is restored").click()
    page.get_by_text("Recorded:").wait_for()


def read_in_the_archive(page: Page, address: str, incident: str) -> str:
    """The record, and the page of the run in it, as they stand in the browser."""
    page.goto(f"{address}archive")
    page.locator(f"#{incident} h2 a").click()
    page.wait_for_url(re.compile(r"/index\.html$"))
    record = page.inner_text("body")
    page.get_by_role("link", name="The shop is down").first.click()
    page.wait_for_url(re.compile(r"-shop-down\.html$"))
    return record + page.inner_text("body")


def test_from_a_broken_service_to_its_record(
    workspace: Path, address: str, worker: Worker, tmp_path: Path, open_page: Callable[..., Page]
):
    """An alert is one incident and one run; its answer, its end and its record follow."""
    watch = tmp_path / "watch"
    watch.mkdir()
    with (
        shop() as broken,
        watching(broken, watch, url=f"{address}alerts/alertmanager", token=SENDER),
        open_desk(workspace, actor="Bo Berg") as desk,
    ):
        broken.is_well = False
        until(lambda: (run := the_run(desk)) and run.status == "waiting")
        _looked_at(desk, broken)
        page = open_page()
        answered_in_the_page(page, address, the_incident(desk).id)
        until(lambda: (run := the_run(desk)) and run.status == "completed")
        broken.is_well = True
        until(lambda: all(alert.status == "resolved" for alert in the_incident(desk).alerts))
        incident = the_incident(desk)
        assert not incident.is_over, "machines propose, people resolve"
        resolved_in_the_page(page, address, incident.id)
        closed_by_hand(incident.id, at=workspace)
        assert the_incident(desk).status == "closed"
        record = read_in_the_archive(page, address, incident.id)
    assert worker.is_up
    for words in (
        "ShopDown",
        "the shop answers 500",
        "Restart the shop?",
        "The last deploy broke it.",
        "The shop answers 200 again.",
        "A deploy.",
        PERSON,
    ):
        assert words in record, words


def closed_by_hand(incident: str, *, at: Path) -> None:
    """Ada Lovelace closes it by a command, which builds the record."""
    words = ("incident", "close", incident, "--cause", "A deploy.")
    done = imt_process(*words, cwd=at, environment={"IMT_USER": PERSON})
    assert done.code == 0, done.err


def _looked_at(desk: Desk, broken: Shop) -> None:
    """The diagnosis stands in the notebook before anybody came."""
    run = the_run(desk)
    assert run is not None
    assert "the shop answers 500" in (desk.settings.root / run.output_path).read_text()
    assert "/health" in broken.asked
