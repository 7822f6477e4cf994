"""Status updates: intent first, an outbox, and nothing outside from drills or machines."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imtkit.config import load_settings
from imtkit.errors import AuthorityError, ConfigError, InputError, NotFoundError, ServiceDownError
from imtkit.kit import Desk, incidents, status
from imtkit.model.opening import Opening

WORDS = status.Words("investigating", "We are looking into failed orders.")


@pytest.fixture
def incident_id(desk: Desk) -> str:
    """A live incident of the orders service."""
    return incidents.open_(desk, Opening("Orders fail", "sev2", ("orders",))).id


def test_an_update_is_on_the_page_and_in_the_log(desk: Desk, incident_id: str):
    """The log has what was asked for, then the page's answer; the page shows it."""
    update = status.post(desk, incident_id, WORDS)
    assert update.state == "published"
    types = [e.type for e in incidents.get(desk, incident_id).entries]
    assert types[-2:] == ["update.requested", "update.published"]
    shown = status.show(desk)
    assert shown.incidents[0].title == "Orders fail"
    assert shown.components == {"orders": "partial_outage"}


def test_resolving_brings_components_back(desk: Desk, incident_id: str):
    """The last word makes the affected services operational again."""
    status.post(desk, incident_id, WORDS)
    status.post(desk, incident_id, status.Words("resolved", "Orders work again."))
    assert status.show(desk).components == {"orders": "operational"}
    assert status.show(desk).incidents == ()


@pytest.mark.parametrize("mode", ["drill", "test", "retrospective"])
def test_only_live_incidents_reach_a_page(desk: Desk, mode: str):
    """Anything else is logged as withheld, and no page is touched."""
    incident = incidents.open_(desk, Opening("Practice", mode=mode))
    assert status.post(desk, incident.id, WORDS).state == "withheld"
    assert not (desk.settings.outputs / "status").exists()


def test_machines_do_not_publish(desk: Desk, incident_id: str):
    """A person answers for what is said outside."""
    with pytest.raises(AuthorityError, match="may not publish"):
        status.post(desk.acting_as("automation/alertmanager"), incident_id, WORDS)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (status.Words("investigated", "x"), NotFoundError),
        (status.Words("identified", " "), InputError),
        (status.Words("identified", "x", components={"orders": "broken"}), NotFoundError),
    ],
)
def test_unusable_words_are_refused_before_the_log(desk: Desk, incident_id: str, words, error):
    """Unknown states and empty texts store nothing."""
    before = len(list(desk.store.entries()))
    with pytest.raises(error):
        status.post(desk, incident_id, words)
    assert len(list(desk.store.entries())) == before


def test_an_unknown_page_is_named(desk: Desk, incident_id: str):
    """The nearest page is suggested."""
    with pytest.raises(NotFoundError) as caught:
        status.post(desk, incident_id, WORDS, page="embeded")
    assert "embedded" in caught.value.hint


def test_a_page_that_is_down_leaves_the_update_in_the_outbox(
    desk: Desk, workspace: Path, monkeypatch
):
    """It is said, kept, delivered later, and the incident goes on meanwhile."""
    monkeypatch.setenv("PAGE_TOKEN", "canary")
    (workspace / "imt.toml").write_text(
        '[status_pages.down]\nurl = "cachet+http://127.0.0.1:9/api?version=3"\n'
        'token = "secret://env/PAGE_TOKEN"\n'
        '[status_pages.embedded]\nurl = "embedded:outputs/status"\n'
    )
    there = Desk(load_settings(workspace), desk.store, desk.clock, "Ann", "cli")
    incident_id = incidents.open_(there, Opening("Orders fail")).id
    with pytest.raises(ServiceDownError, match="down") as caught:
        status.post(there, incident_id, WORDS)
    assert "imt status deliver" in caught.value.hint
    (waiting,) = status.outbox(incidents.get(there, incident_id))
    assert waiting.state == "failed"
    assert "canary" not in str([e.data for e in there.store.entries()])
    (workspace / "imt.toml").write_text('[status_pages.down]\nurl = "embedded:outputs/status"\n')
    mended = Desk(load_settings(workspace), desk.store, desk.clock, "Ann", "cli")
    (delivered,) = status.deliver(mended, incident_id)
    assert delivered.state == "published"
    assert status.outbox(incidents.get(mended, incident_id)) == []


def test_a_secret_written_into_the_configuration_is_refused(desk: Desk, workspace: Path):
    """Secrets come by reference; the message does not repeat one."""
    (workspace / "imt.toml").write_text(
        '[status_pages.x]\nurl = "cachet+https://status.example.org/api"\ntoken = "canary-12"\n'
    )
    there = Desk(load_settings(workspace), desk.store, desk.clock, "Ann", "cli")
    with pytest.raises(ConfigError) as caught:
        status.show(there)
    assert "canary" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("then", ["show", "build", "post"])
def test_a_lost_page_is_told_again_from_the_log(desk: Desk, workspace: Path, then: str):
    """Without its files the page still says what the log says was published, and no more."""
    told = [incidents.open_(desk, Opening(f"Orders fail {n}", "sev1", ("orders",))) for n in (1, 2)]
    practice = incidents.open_(desk, Opening("Practice", mode="drill"))
    for incident in (*told, practice):
        status.post(desk, incident.id, WORDS)
    status.post(
        desk, told[0].id, status.Words("resolved", "Orders work.", components={"x": "operational"})
    )
    before = status.show(desk)
    assert before.status != "operational"
    assert [one.title for one in before.incidents] == ["Orders fail 2"]
    folder = workspace / "outputs" / "status"
    feed = (folder / "history.html").read_text()
    shutil.rmtree(folder)
    match then:
        case "show":
            assert [one.title for one in status.show(desk).incidents] == ["Orders fail 2"]
            assert not folder.exists()
        case "build":
            assert status.build(desk).is_file()
            assert (folder / "history.html").read_text().count("Orders fail") == feed.count(
                "Orders fail"
            )
            written = (folder / "state.json").read_text()
            status.build(desk)
            assert (folder / "state.json").read_text() == written
        case "post":
            status.post(desk, told[1].id, status.Words("identified", "We know why."))
            assert "Orders work." in (folder / "history.html").read_text()
    after = status.show(desk)
    assert (after.status, after.components) == (before.status, before.components)
