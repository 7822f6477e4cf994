"""The pages tell what silences hold back, to who asks why nobody was told."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_bodies import delivery
from clocks import NOON, FixedClock
from web_server import Web, browser, running_web

from imtkit.config.alerts import SilenceSettings
from imtkit.contracts import Store
from imtkit.kit import Desk, alerts, incidents
from imtkit.model.opening import Opening
from imtkit.web.silenced import Silenced

MOVED = SilenceSettings("disks move", ("service=disks",), NOON, NOON + timedelta(days=3))
NIGHT = SilenceSettings("at night", ("service=web",), NOON, NOON + timedelta(hours=1))


def took(desk: Desk, *which: str, service: str = "disks") -> None:
    """Alerts of a service came."""
    labels = {"alertname": "DiskFull", "service": service}
    told = [{"labels": labels | {"disk": one}, "fingerprint": f"{service}{one}"} for one in which]
    alerts.receive(desk, delivery(*told))


@pytest.fixture
def quiet(desk: Desk) -> Desk:
    """A desk of a workspace in which silences are on."""
    told = replace(desk.settings.alerts, silences=(MOVED, NIGHT))
    return replace(desk, settings=replace(desk.settings, alerts=told))


def newest(desk: Desk) -> int:
    return max((entry.seq for entry in desk.store.entries()), default=0)


def told(desk: Desk, silenced: Silenced) -> list[tuple[str, bool, list[str]]]:
    """Each silence with whether it is on and the disks whose alerts it holds back."""
    return [
        (one.name, one.is_on, [str(card.alert.labels["disk"]) for card in one.alerts])
        for one in silenced.silences(desk, newest(desk))
    ]


def test_what_is_held_back_stands_under_its_silence(quiet: Desk, clock: FixedClock):
    """Newest first; while the silence is on as long as it holds, after its end for a day."""
    silenced = Silenced()
    assert told(quiet, silenced) == [("disks move", True, []), ("at night", True, [])]
    took(quiet, "a", "b")
    took(quiet, "a", service="web")
    took(quiet, "a", service="orders")
    assert told(quiet, silenced) == [("disks move", True, ["b", "a"]), ("at night", True, ["a"])]
    clock.move(hours=2)
    took(quiet, "c")
    held = [("disks move", True, ["c", "b", "a"]), ("at night", False, ["a"])]
    assert told(quiet, silenced) == held
    assert told(quiet, Silenced()) == held, "as a server tells it that began just now"
    assert silenced.count(quiet, newest(quiet)) == 4
    clock.move(hours=23)
    assert told(quiet, silenced) == [("disks move", True, ["c", "b", "a"])]
    clock.move(days=2)
    assert told(quiet, silenced) == []


def test_a_silence_that_is_gone_from_the_settings_is_told_for_a_day(quiet: Desk, clock: FixedClock):
    """By the name it had; its matchers are not known any more."""
    took(quiet, "a")
    plain = replace(quiet.settings, alerts=replace(quiet.settings.alerts, silences=()))
    after = replace(quiet, settings=plain)
    assert told(after, Silenced()) == [("disks move", False, ["a"])]
    clock.move(hours=25)
    assert told(after, Silenced()) == []


class Counted:
    """A log that counts how often its entries are read, and how many come of it."""

    def __init__(self, store: Store):
        self._store = store
        self.read: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def entries(self, *which: Any, **how: Any) -> Iterator[Any]:
        found = list(self._store.entries(*which, **how))
        self.read.append(len(found))
        return iter(found)


def test_only_what_is_new_is_read(quiet: Desk):
    """And nothing at all while the log has nothing more."""
    took(quiet, "a", "b")
    counted: Any = Counted(quiet.store)
    silenced, there = Silenced(), replace(quiet, store=counted)
    for _ in range(3):
        assert silenced.count(there, newest(quiet)) == 2
    took(quiet, "c")
    assert silenced.count(there, newest(quiet)) == 3
    assert counted.read == [2, 1]


SILENCES = """
[[alerts.silences]]
reason = "disks are <b>moved</b>"
match = ['service="disks"', 'disk=~"a|b"']
ends_at = 2126-01-01T00:00:00Z
"""


@pytest.fixture
def web(workspace: Path) -> Iterator[Web]:
    """The pages of a workspace with a silence."""
    with (workspace / "imt.toml").open("a") as file:
        file.write(SILENCES)
    with running_web(workspace) as served:
        yield served


def words(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page.split("<main")[1])).split())


def test_the_first_page_leads_to_what_is_held_back(web: Web):
    """With how many; the page says which, by which silence and until when, as text."""
    session = browser(web)
    assert "held back" not in words(session.get(web.url, timeout=10).text)
    assert "It holds nothing back yet." in words(
        session.get(f"{web.url}/silenced", timeout=10).text
    )
    with web.desk() as desk:
        took(desk, "a")
        incidents.open_(desk, Opening("Orders fail"))
        first = session.get(web.url, timeout=10).text
        assert '<a href="/silenced">1 alert held back by silences</a>' in first
        took(desk, "b")
    assert "2 alerts held back by silences" in words(session.get(web.url, timeout=10).text)
    assert "held back" not in words(session.get(f"{web.url}/?show=over", timeout=10).text)
    page = session.get(f"{web.url}/silenced", timeout=10).text
    assert "<b>moved" not in page
    said = words(page)
    assert "disks are <b>moved</b> 2" in said
    assert 'On until 2126-01-01 00:00:00 UTC , for service="disks" and disk=~"a|b" .' in said
    assert said.count("silenced DiskFull") == 2


def test_strangers_do_not_see_it(web: Web):
    """The page stands behind the same door as the others."""
    import requests

    answer = requests.get(f"{web.url}/silenced", timeout=10, allow_redirects=False)
    assert answer.status_code in (303, 401)
