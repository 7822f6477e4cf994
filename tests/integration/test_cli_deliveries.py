"""``imt alerts list`` and ``retry``: what senders posted, and what was refused, handled again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from alert_bodies import delivery
from meanwhile import at
from serving import handled
from terminal import Imt

from imtkit.kit import deliveries, intake, open_desk
from imtkit.kit.intake import Posted
from imtkit.model.entries import WORKSPACE

SILENCE = '[[alerts.silences]]\nreason = "moved"\nmatch = ["service=disks"]\nyears = ["1:9999"]\n'
GONE = '[alerts.sources.gone]\nkind = "alertmanager"\nproof = "none"\n'
DISKS = {"labels": {"alertname": "DiskFull", "service": "disks"}, "fingerprint": "d"}


@pytest.fixture
def imt(imt: Imt) -> Imt:
    """Calls ``imt`` in a workspace with a silence."""
    configure(SILENCE)
    return imt


def configure(text: str) -> None:
    with Path("imt.toml").open("a") as file:
        file.write(f"\n{text}")


def post(*bodies: bytes, source: str = "alertmanager") -> None:
    """Keep these deliveries and handle them, as ``imt serve`` does."""
    with open_desk(Path.cwd()) as desk:
        machine = desk.acting_as("automation/serve", "web")
        kept = [Posted(source, one.decode(), hashlib.sha256(one).hexdigest()) for one in bodies]
        intake.keep(machine, kept)
        handled(machine, intake.progress(machine))


def test_it_lists_what_came_and_what_became_of_it(imt: Imt) -> None:
    """Newest first: with the reason of what was refused, and the silence of what was held back."""
    post(delivery({}), delivery(DISKS))
    post(delivery({}), source="gone")
    found = imt("alerts", "list", "--json").json
    assert [(one["place"], one["fate"], one["source"]) for one in found] == [
        (5, "refused", "gone"),
        (3, "silenced", "alertmanager"),
        (2, "handled", "alertmanager"),
        (1, "handled", "alertmanager"),
    ]
    assert "Alert source 'gone' not found" in found[0]["reason"]
    assert (found[1]["alert"], found[1]["reason"], found[1]["until"]) == ("DiskFull", "moved", None)
    done = imt("alerts", "list")
    first, second, *_ = done.out.splitlines()
    assert first.split()[0] == "5"
    assert "refused   gone          Alert source 'gone' not found." in first
    assert "silenced" in second
    assert "DiskFull, by the silence 'moved'" in second
    assert "imt alerts retry N" in done.err
    assert [one["place"] for one in imt("alerts", "list", "--refused", "--json").json] == [5]
    assert len(imt("alerts", "list", "--limit", "2", "--json").json) == 2


def test_a_refused_delivery_is_handled_when_its_reason_is_mended(imt: Imt) -> None:
    """It says what became of it, once: again it is known, and the log stays as it is."""
    post(delivery({}), source="gone")
    still = imt("alerts", "retry", "1", "--json")
    assert still.code == 1
    assert still.json[0]["reason"].startswith("Alert source 'gone' not found")
    assert "refused still" in still.error["message"]
    configure(GONE)
    done = imt("alerts", "retry", "--all")
    assert done.code == 0, done.err
    assert done.out.startswith("1 (gone): OrdersFailing: opened INC-")
    with open_desk(Path.cwd()) as desk:
        before = len(list(desk.store.entries()))
        last = list(desk.store.entries(WORKSPACE))[-1]
        (incident,) = desk.store.incidents()
    assert (last.type, last.actor) == ("delivery.retried", "Ann Example")
    assert last.data["incidents"] == [incident.id]
    again = imt("alerts", "retry", "1")
    assert "known already" in again.out
    assert "Nothing was refused." in imt("alerts", "retry", "--all").err
    (one,) = imt("alerts", "list", "--json").json
    assert one["fate"] == "retried"
    with open_desk(Path.cwd()) as desk:
        assert len(list(desk.store.entries())) == before
        assert desk.store.verify() == []


def test_while_a_rule_cannot_be_meant_nothing_is_retried(imt: Imt) -> None:
    """The message names the rule; when it is mended, all are done, the oldest first."""
    post(delivery({}), delivery(DISKS), source="gone")
    configure(GONE)
    sound = Path("imt.toml").read_text()
    configure("[[alerts.rules]]\nname = 'bad'\nmatch = ['x=~\"(\"']\n")
    done = imt("alerts", "retry", "--all", "--json")
    assert (done.code, "'bad'" in done.error["message"]) == (4, True)
    Path("imt.toml").write_text(sound)
    found = imt("alerts", "retry", "--all", "--json").json
    assert [one["outcomes"][0]["action"] for one in found] == ["opened", "silenced"]
    assert imt("alerts", "list", "--refused", "--json").json == []


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        ((), 2, "Say which"),
        (("1", "--all"), 2, "Say which"),
        (("7",), 3, "There is no delivery 7"),
        (("2",), 3, "There is no delivery 2"),
        (("1",), 2, "Delivery 1 was not refused"),
    ],
)
def test_what_was_not_refused_is_not_retried(
    imt: Imt, words: tuple[str, ...], code: int, what: str
) -> None:
    """Neither what was handled, nor what is no delivery; the hint says where to look."""
    post(delivery({}))
    done = imt("alerts", "retry", *words, "--json")
    assert done.code == code
    assert what in done.error["message"]


def test_hostile_text_of_a_sender_is_shown_on_one_line(imt: Imt) -> None:
    """Control characters and overrides of the reading direction are shown as what they are."""
    hostile = "\x1b[2J\u202egnp\n\n<b>"
    labels = {"alertname": hostile, "service": "disks"}
    post(delivery({"labels": labels, "fingerprint": "h"}))
    done = imt("alerts", "list")
    assert len(done.out.splitlines()) == 2
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out


def test_an_empty_log_says_so(imt: Imt) -> None:
    """Nothing was posted, nothing refused."""
    assert "Nothing was posted yet." in imt("alerts", "list").err
    assert "Nothing was refused." in imt("alerts", "list", "--refused").err


def test_a_fault_of_ours_in_one_delivery_does_not_keep_it_from_the_next(imt: Imt) -> None:
    """It is refused still, in words; what comes after it is handled."""
    post(delivery({}), delivery(DISKS), source="gone")
    configure(GONE)

    def fail() -> None:
        raise TypeError("nobody thought of this")

    with open_desk(Path.cwd(), actor="Ann Example") as desk:
        places = sorted(one.place for one in deliveries.refused(desk))
        first, second = deliveries.retry(at(desk, "found", before=fail), places)
        assert first.reason == "a fault of imtkit's own: TypeError('nobody thought of this')"
        assert (second.reason, second.outcomes[0].silenced) == ("", "moved")
        assert [one.place for one in deliveries.refused(desk)] == [first.place]
        [again] = deliveries.retry(desk, [first.place])
        assert again.outcomes[0].action == "opened"
