"""Every status page keeps the same promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from page_server import FakeTime, Service, serving
from pages import TOKEN, Cachet2, Cachet3, Statuspage, address_of

from imtkit.contracts import Message, StatusPage
from imtkit.errors import ConfigError, InputError
from imtkit.statuspage import Wire, open_statuspage

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MESSAGE = Message(
    marker="INC-2026-0042/update/1",
    incident="INC-2026-0042",
    title="Orders are slow",
    status="investigating",
    body="Orders take minutes.\n\nWe are looking into it.",
    at=AT,
    impact="major",
    components={"orders": "partial_outage"},
)


@dataclass
class Rig:
    """A page of one kind, and what its readers see."""

    kind: str
    page: StatusPage
    again: Callable[[], StatusPage]
    shown: Callable[[], list[dict[str, Any]]]
    components: Callable[[], dict[str, str]]
    service: Service | None


def embedded_rig(root: Path) -> Rig:
    components = {"orders": "Order service", "search": "Search"}
    folder = root / "outputs" / "status"

    def again() -> StatusPage:
        return open_statuspage(
            "embedded:outputs/status", name="ours", root=root, components=components
        )

    def shown() -> list[dict[str, Any]]:
        told = json.loads((folder / "api/v2/incidents.json").read_text())
        return [
            {
                "title": one["name"],
                "status": one["status"],
                "texts": [update["body"] for update in one["incident_updates"]],
            }
            for one in told["incidents"]
        ]

    def states() -> dict[str, str]:
        told = json.loads((folder / "summary.json").read_text())
        names = {"Order service": "101", "Search": "102"}
        return {names[one["name"]]: one["status"] for one in told["components"]}

    return Rig("embedded", again(), again, shown, states, None)


def service_rig(service: Service, host: str, root: Path, time: FakeTime) -> Rig:
    def again() -> StatusPage:
        return open_statuspage(
            address_of(service, host),
            name="public",
            token=TOKEN,
            components={"orders": "101", "search": "102"},
            root=root,
            wire=Wire(sleep=time.sleep, clock=time.clock, chance=lambda: 0.5),
        )

    kind = type(service).__name__.lower()
    return Rig(kind, again(), again, service.shown, service.shown_components, service)


@pytest.fixture(params=["embedded", "statuspage", "cachet2", "cachet3"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Each kind of page in turn."""
    if request.param == "embedded":
        yield embedded_rig(tmp_path)
        return
    time = FakeTime()
    kinds = {"statuspage": Statuspage, "cachet2": Cachet2, "cachet3": Cachet3}
    service = kinds[request.param](time.clock)
    with ExitStack() as stack:
        host = stack.enter_context(serving(service))
        yield service_rig(service, host, tmp_path, time)


def following(number: int, status: str, **changes: Any) -> Message:
    """A later message about the same incident."""
    return replace(
        MESSAGE,
        marker=f"INC-2026-0042/update/{number}",
        status=status,
        body=f"Update {number}.",
        at=AT + timedelta(minutes=10 * number),
        **changes,
    )


def text_of(rig: Rig) -> str:
    """All that is written on the page about the one incident there."""
    [one] = rig.shown()
    return "\n".join(one["texts"])


def test_unknown_incident_is_not_found(rig: Rig) -> None:
    """find() says None for an incident that was never published."""
    assert rig.page.find("INC-2026-0042") is None


def test_first_message_makes_the_incident(rig: Rig) -> None:
    """The first message is seen with title, status and text, and is found again."""
    receipt = rig.page.publish(MESSAGE)
    [one] = rig.shown()
    assert (one["title"], one["status"]) == ("Orders are slow", "investigating")
    assert "We are looking into it." in one["texts"][0]
    assert rig.again().find("INC-2026-0042") == receipt.remote_id
    assert receipt.url


def test_no_incident_is_mistaken_for_another(rig: Rig) -> None:
    """An id that begins like another's is not found by it."""
    rig.page.publish(replace(MESSAGE, incident="INC-2026-00421"))
    assert rig.page.find("INC-2026-0042") is None


@pytest.mark.parametrize("knows_id", [True, False])
def test_same_marker_is_published_once(rig: Rig, knows_id: bool) -> None:
    """A message published again, by whomever, is on the page once."""
    receipt = rig.page.publish(MESSAGE)
    known = receipt.remote_id if knows_id else None
    assert rig.again().publish(MESSAGE, remote_id=known).remote_id == receipt.remote_id
    later = following(2, "identified")
    rig.page.publish(later, remote_id=known)
    rig.again().publish(later, remote_id=known)
    rig.again().publish(MESSAGE, remote_id=known)
    assert len(rig.shown()) == 1
    assert text_of(rig).count("Update 2.") == 1
    assert text_of(rig).count("We are looking into it.") == 1


def test_updates_run_through_every_status(rig: Rig) -> None:
    """Later messages add to the incident, newest first, and move its status."""
    rig.page.publish(MESSAGE)
    for number, status in enumerate(("identified", "monitoring", "resolved"), start=2):
        rig.page.publish(following(number, status))
        assert rig.shown()[0]["status"] == status
    told = text_of(rig)
    places = [told.index(text) for text in ("Update 4.", "Update 3.", "Update 2.", "Orders take")]
    assert places == sorted(places)


def test_resolved_incident_is_found_and_reopened(rig: Rig) -> None:
    """A message after the resolution goes to the same incident."""
    first = rig.page.publish(MESSAGE)
    rig.page.publish(following(2, "resolved"))
    again = rig.again().publish(following(3, "investigating"))
    assert again.remote_id == first.remote_id
    assert [one["status"] for one in rig.shown()] == ["investigating"]


def test_components_follow_and_are_reset(rig: Rig) -> None:
    """Components show the state they are given; resolving makes them operational."""
    rig.page.publish(MESSAGE)
    assert rig.components() == {"101": "partial_outage", "102": "operational"}
    rig.page.publish(following(2, "resolved"))
    assert rig.components() == {"101": "operational", "102": "operational"}


def test_a_component_stays_down_while_another_incident_holds_it(rig: Rig) -> None:
    """Resolving one incident does not make good what another open one says is down."""
    if rig.kind == "cachet2":
        return  # Cachet 2 does not tell which incidents hold a component; the docs say so.
    rig.page.publish(MESSAGE)
    other = replace(MESSAGE, incident="INC-2026-0043", marker="other", title="Another")
    rig.page.publish(other)
    rig.page.publish(following(2, "resolved"))
    assert rig.components()["101"] == "partial_outage"
    rig.page.publish(replace(other, marker="other/2", status="resolved"))
    assert rig.components()["101"] == "operational"


def test_nobody_is_notified_unless_asked(rig: Rig) -> None:
    """Whatever the service's own default is, subscribers hear only what notify sends them."""
    quiet = [MESSAGE, following(2, "monitoring"), following(3, "resolved")]
    for message in quiet:
        rig.page.publish(message)
    assert rig.service is None or rig.service.notified == []


def test_notify_notifies(rig: Rig) -> None:
    """notify=True reaches subscribers, for the first message and for later ones."""
    if rig.service is None:
        return  # The embedded page has no subscribers: they read its feed.
    rig.page.publish(replace(MESSAGE, notify=True))
    assert rig.service.notified
    before = len(rig.service.notified)
    rig.page.publish(following(2, "identified", notify=True))
    assert len(rig.service.notified) > before
    before = len(rig.service.notified)
    rig.page.publish(following(3, "resolved"))
    assert len(rig.service.notified) == before
    assert rig.shown()[0]["status"] == "resolved"


def test_show_tells_what_is_open(rig: Rig) -> None:
    """show() names components as we do, lists open incidents, and has one word for it all."""
    rig.page.publish(MESSAGE)
    state = rig.page.show()
    assert state.components == {"orders": "partial_outage", "search": "operational"}
    assert [(one.title, one.status) for one in state.incidents] == [
        ("Orders are slow", "investigating")
    ]
    assert state.incidents[0].updated_at is not None
    assert state.status == "partial_outage"
    rig.page.publish(following(2, "resolved"))
    state = rig.page.show()
    assert (state.status, state.incidents) == ("operational", ())


def test_component_that_no_page_knows(rig: Rig) -> None:
    """A service without a component does not keep the word from getting out, and is named."""
    receipt = rig.page.publish(replace(MESSAGE, components={"mail": "major_outage"}))
    assert len(rig.shown()) == 1 if rig.service else "mail" in rig.page.show().components
    assert "mail" in receipt.answer or rig.service is None


HOSTILE = "<script>alert(1)</script> \u202egpj.exe \x00\x1b[31m 🚢 שלום & ]]> \ud800 "


def test_hostile_text_is_cleaned(rig: Rig) -> None:
    """Controls, direction overrides and half characters never reach a page; the rest does."""
    rig.page.publish(replace(MESSAGE, title=HOSTILE, body=HOSTILE))
    [one] = rig.shown()
    for text in (one["title"], one["texts"][0]):
        assert not set("\u202e\x00\x1b\ud800") & set(text)
        assert "🚢 שלום" in text
    assert one["title"].startswith("<script>alert(1)</script> gpj.exe [31m")


def test_long_text_is_cut_where_the_reader_sees_it(rig: Rig) -> None:
    """Titles end in an ellipsis, bodies say how long they were; the service takes both."""
    receipt = rig.page.publish(replace(MESSAGE, title="t" * 400, body="b" * 30_000))
    [one] = rig.shown()
    assert len(one["title"]) == 255
    assert one["title"].endswith("…")
    assert "[Shortened: the whole text has 30000 characters.]" in one["texts"][0]
    assert rig.page.find("INC-2026-0042") == receipt.remote_id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "monitorin"}, "monitoring"),
        ({"impact": "huge"}, "minor"),
        ({"components": {"orders": "down"}}, "operational"),
        ({"title": " \x00 "}, "title"),
        ({"body": ""}, "body"),
        ({"marker": "m" * 65}, "marker"),
        ({"at": AT.replace(tzinfo=None)}, "time zone"),
    ],
)
def test_what_cannot_be_meant_is_refused(rig: Rig, change: dict[str, Any], words: str) -> None:
    """A wrong status, impact, state, text, marker or time is refused before anything is sent."""
    with pytest.raises(InputError) as caught:
        rig.page.publish(replace(MESSAGE, **change))
    assert words in f"{caught.value} {caught.value.hint}"
    assert rig.service is None or rig.service.seen == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("statuspge+https://api.statuspage.io/v1?page=x", "statuspage+https"),
        ("https://status.example.org", "is no kind of page"),
        ("statuspage+https://api.statuspage.io/v1", "page=''"),
        ("statuspage+https://api.statuspage.io/v1?pge=x", "page"),
        ("statuspage+https://api.statuspage.io/v1?page=../x", "not usable"),
        ("statuspage+http://api.statuspage.io/v1?page=x", "plain http"),
        ("cachet+https://user:pass@example.org/api", "without user"),
        ("cachet+https://example.org/api?version=4", "version='4'"),
        ("embedded:", "names no folder"),
        ("embedded://host/path", "names no folder"),
    ],
)
def test_addresses_that_cannot_be_meant(url: str, words: str) -> None:
    """A wrong address is refused at once, with the nearest right one; no secret is repeated."""
    with pytest.raises(ConfigError) as caught:
        open_statuspage(url, token=TOKEN)
    told = f"{caught.value} {caught.value.hint}"
    assert words in told
    assert "user:pass" not in told


def test_a_service_needs_a_token() -> None:
    """Without a token the error says where to name one."""
    with pytest.raises(ConfigError) as caught:
        open_statuspage("cachet+https://example.org/api")
    assert "secret://env/CACHET_TOKEN" in caught.value.hint
