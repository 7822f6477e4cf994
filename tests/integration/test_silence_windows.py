"""Silences that come again: read from imt.toml, held against what senders send again and again."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_bodies import delivery
from clocks import FixedClock
from serving import handled, message, serving, with_sources

from imtkit.config import Settings, load_settings
from imtkit.config.alerts import SourceSettings
from imtkit.config.windows import Window
from imtkit.errors import ConfigError
from imtkit.kit import Desk, intake, open_desk
from imtkit.kit.intake import Certificates
from imtkit.model.entries import WORKSPACE, Entry, utc_text

OPEN = SourceSettings("open", "alertmanager", proof="none")
BACKUPS = """
[[alerts.silences]]
reason = "sunday backups"
match = ['service="orders"']
weekdays = ["sunday"]
times = ["02:00-04:00"]
location = "Europe/Berlin"
"""


def settings_with(workspace: Path, text: str) -> Settings:
    """What an imt.toml with this at its end says."""
    with (workspace / "imt.toml").open("a") as file:
        file.write(text)
    return load_settings(workspace)


class Sender:
    """Posts one body again and again; what is kept is handled at once."""

    def __init__(self, desk: Desk) -> None:
        told = replace(desk.settings.alerts, sources={"open": OPEN})
        self.desk = replace(desk, settings=replace(desk.settings, alerts=told))
        self.silences = intake.silences_of(desk.settings)

    def send(self, number: int = 1) -> list[Entry]:
        """What the body left in the workspace's chain, but for how far deliveries are handled."""
        now = self.desk.clock.now()
        posted = intake.read(
            OPEN, {}, message(number), now=now, certificates=Certificates(), silences=self.silences
        )
        before = len(list(self.desk.store.entries(WORKSPACE)))
        intake.keep(self.desk, [posted])
        handled(self.desk, intake.progress(self.desk))
        found = list(self.desk.store.entries(WORKSPACE, after=before))
        return [entry for entry in found if entry.type != "deliveries.handled"]


def test_what_still_fires_after_its_window_counts(
    desk: Desk, workspace: Path, clock: FixedClock
) -> None:
    """The same body, sent again: written down once in the window, and an incident after it."""
    sender = Sender(replace(desk, settings=settings_with(workspace, BACKUPS)))
    clock.moment = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
    assert [one.type for one in sender.send()] == ["delivery.received", "alert.silenced"]
    clock.move(minutes=20)
    assert sender.send() == []
    clock.move(minutes=70)
    assert [one.type for one in sender.send()] == ["delivery.received"]
    (incident,) = desk.store.incidents()
    assert incident.services == ("orders",)
    clock.move(hours=5)
    assert sender.send() == []


def test_each_window_writes_a_held_back_alert_down_anew(
    desk: Desk, workspace: Path, clock: FixedClock
) -> None:
    """With the end of its own window, on the sunday on which the clocks went back too."""
    sender = Sender(replace(desk, settings=settings_with(workspace, BACKUPS)))
    untils = []
    for day in (datetime(2026, 10, 18, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)):
        for minutes in (0, 30):
            clock.moment = day + timedelta(minutes=minutes)
            untils += [one.data["until"] for one in sender.send() if one.type == "alert.silenced"]
    assert untils == ["2026-10-18T02:00:00.000000Z", "2026-10-25T03:00:00.000000Z"]
    assert desk.store.incidents() == []


def test_a_window_that_begins_while_a_delivery_waits_loses_nothing(
    desk: Desk, workspace: Path, clock: FixedClock
) -> None:
    """Read a moment before it, kept a moment after: it still counts when it is sent again."""
    sender = Sender(replace(desk, settings=settings_with(workspace, BACKUPS)))
    clock.moment = datetime(2026, 11, 22, 1, tzinfo=UTC) - timedelta(seconds=2)
    early = intake.read(
        OPEN,
        {},
        message(),
        now=clock.now(),
        certificates=Certificates(),
        silences=sender.silences,
    )
    clock.move(seconds=3)
    intake.keep(sender.desk, [early])
    handled(sender.desk, intake.progress(sender.desk))
    assert desk.store.incidents() == []
    clock.move(hours=3)
    sender.send()
    assert len(desk.store.incidents()) == 1


def test_a_plain_silence_that_is_over_lets_what_still_fires_count(
    desk: Desk, workspace: Path, clock: FixedClock
) -> None:
    """One that ends at a time is no different, nor is what never ends in sight."""
    until = "[[alerts.silences]]\nmatch = ['service=\"orders\"']\nends_at = 2026-11-21T13:00:00Z\n"
    ever = until.replace("ends_at = 2026-11-21T13:00:00Z", 'weekdays = ["sunday:saturday"]')
    sender = Sender(replace(desk, settings=settings_with(workspace, until)))
    assert [one.type for one in sender.send()] == ["delivery.received", "alert.silenced"]
    clock.move(hours=1)
    sender.send()
    assert len(desk.store.incidents()) == 1
    sender = Sender(replace(desk, settings=settings_with(workspace, ever)))
    assert [one.data.get("until") for one in sender.send(2)] == [None, ""]
    clock.move(hours=5)
    assert sender.send(2) == []


def test_the_server_keeps_what_is_held_back_by_the_silence(workspace: Path) -> None:
    """The same body is kept once while the silence is on, under a key that ends with it."""
    always = BACKUPS.replace('times = ["02:00-04:00"]', "").replace('"sunday"', '"sunday:saturday"')
    with serving(with_sources(workspace, always)) as served:
        places = [served.post("open", message()).json()["delivery"] for _ in range(2)]
        other = served.post("open", message(2, service="pay")).json()["delivery"]
    assert places == [places[0]] * 2
    with open_desk(workspace) as desk:
        keys = {one.n: one.key or "" for one in desk.store.entries(WORKSPACE)}
    assert keys[places[0]].endswith("/held/for-good")
    assert "/held/" not in keys[other]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("reason = 'x'", "'x' does not say when it ends"),
        ("times = ['22:00-02:00']", "'1': times '22:00-02:00' does not end after it begins"),
        ("ends_at = 2026-11-22T10:00:00", "says 2026-11-22T10:00:00, which has no time zone"),
        ("weekday = ['sunday']", "'alerts.silences.0.weekday' is not a setting imtkit knows"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_named(workspace: Path, text: str, what: str) -> None:
    """By file, table and what stands there, with a hint."""
    with pytest.raises(ConfigError) as refused:
        settings_with(workspace, f"[[alerts.silences]]\nmatch = ['a=b']\n{text}\n")
    assert what in str(refused.value)
    assert str(workspace / "imt.toml") in str(refused.value)
    assert refused.value.hint


class Counted(Window):
    """A window that tells how often somebody looked for its end."""

    def __init__(self, window: Window, looks: list[datetime]) -> None:
        super().__init__(**{one.name: getattr(window, one.name) for one in fields(Window)})
        object.__setattr__(self, "looks", looks)

    def ends_after(self, at: datetime) -> datetime | None:
        """Its end; the look is counted."""
        self.looks.append(at)  # type: ignore[attr-defined]
        return super().ends_after(at)


def test_the_end_of_a_window_is_looked_for_once_for_all_alerts_of_a_delivery(
    workspace: Path, clock: FixedClock
) -> None:
    """It takes long, while all senders wait: for now, and for when the delivery may be kept."""
    clock.moment = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
    (silence,) = intake.silences_of(settings_with(workspace, BACKUPS))
    assert silence.settings.window is not None
    looks: list[datetime] = []
    window = Counted(silence.settings.window, looks)
    counted = replace(silence, settings=replace(silence.settings, window=window))
    body = delivery(*({"fingerprint": f"{n:016x}"} for n in range(30)))
    posted = intake.read(
        OPEN, {}, body, now=clock.now(), certificates=Certificates(), silences=[counted]
    )
    assert posted.held_until == utc_text(datetime(2026, 11, 22, 3, tzinfo=UTC))
    assert len(looks) == 2
