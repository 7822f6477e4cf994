"""What waits long behind the web's pages keeps none of those who work at them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from buckets import name_address
from web_server import running_web

from imtkit.config import load_settings
from imtkit.errors import ServiceError
from imtkit.kit import Desk, incidents, open_desk, outputs, records
from imtkit.model.opening import Opening
from imtkit.web.archive import Elsewhere
from imtkit.web.office import Office
from imtkit.web.probe import Probe


def threads_of(name: str) -> int:
    """How many threads there are whose names begin so."""
    return sum(one.name.startswith(name) for one in threading.enumerate())


def test_who_asks_whether_the_log_takes_entries_keeps_one_thread(workspace: Path):
    """However often, while another writer holds it; pages' threads are none of them."""
    open_desk(workspace).close()
    at_work = threads_of("imt-web")

    async def asked(holder: sqlite3.Connection) -> list[str]:
        office = Office(load_settings(workspace))
        probe = Probe(office, patience=0.05)
        found = [await probe.fault() for _ in range(5)]
        assert (threads_of("imt-probe"), threads_of("imt-web")) == (1, at_work)
        holder.execute("ROLLBACK")
        patient = Probe(office, patience=30.0)
        found.append(await patient.fault())
        for one in (probe, patient, office):
            one.close()
        return found

    log = workspace / "outputs" / "imt.db"
    with closing(sqlite3.connect(log, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert asyncio.run(asked(holder)) == [*["did not answer within 0 seconds"] * 5, ""]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The folder at the address of outputs."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def at_address(workspace: Path, shared: Path) -> Iterator[Desk]:
    """A workspace whose outputs go to an address."""
    name_address(workspace, f"file://{shared}")
    with open_desk(workspace, actor="Ann Example") as desk:
        yield desk


def built(desk: Desk, incident: str, note: str) -> Path:
    """The record of an incident with one note more, here and at the address."""
    incidents.note(desk, incident, note)
    folder = records.build(desk, incident).folder
    outputs.send(desk)
    return folder


def test_the_record_that_is_here_is_shown_while_the_newest_is_not_whole_elsewhere(
    at_address: Desk, shared: Path, tmp_path: Path
):
    """One of its files is missing at the address: that keeps nobody from what is here."""
    opened = incidents.open_(at_address, Opening("The shop is slow")).id
    folder = built(at_address, opened, "the first note")
    shutil.copytree(folder, tmp_path / "first")
    built(at_address, opened, "the second note")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "first", folder)
    (shared / opened / "record" / "index.html").unlink()
    with running_web(at_address.settings.root) as web, requests.Session() as browser:
        browser.get(web.link, timeout=30)
        page = browser.get(f"{web.url}/archive/{opened}/index.html", timeout=30)
    assert page.status_code == 200
    assert "the first note" in page.text
    assert "the second note" not in page.text


def test_an_address_that_failed_is_left_alone_for_a_while(at_address: Desk, shared: Path):
    """Who looks again is told the same at once; afterwards the record is fetched."""
    opened = incidents.open_(at_address, Opening("The shop is slow")).id
    folder = built(at_address, opened, "a note")
    shutil.rmtree(folder)
    manifest = shared / opened / "record" / "manifest.json"
    manifest.rename(shared / "kept")
    manifest.mkdir()  # as good as away: it cannot be read
    elsewhere, another = Elsewhere(3600), Elsewhere(0)
    for one in (elsewhere, another):
        with pytest.raises(ServiceError, match="cannot be used now"):
            one.see_to(at_address, opened, "index.html")
    manifest.rmdir()
    (shared / "kept").rename(manifest)
    with pytest.raises(ServiceError, match="cannot be used now"):
        elsewhere.see_to(at_address, opened, "index.html")
    assert not folder.exists()
    another.see_to(at_address, opened, "index.html")
    assert (folder / "index.html").is_file()
