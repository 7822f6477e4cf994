"""Status pages that several processes write at once, and the embedded page's own troubles."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from page_server import FakeTime, Service, serving
from pages import LATER, MESSAGE, TOKEN, Cachet2, Cachet3, Statuspage, address_of

from imtkit.errors import ServiceDownError, ServiceError
from imtkit.statuspage import EmbeddedPage, Wire, open_statuspage

PACED = """
import sys
from pathlib import Path
from imtkit.statuspage import Wire, open_statuspage
page = open_statuspage(sys.argv[1], token=sys.argv[2], root=Path(sys.argv[3]),
                       wire=Wire(pace_seconds=0.2))
for _ in range(2):
    page.show()
"""


def test_processes_keep_pace_together(tmp_path: Path) -> None:
    """Two processes with one token stay under its limit between them."""
    service = Statuspage()
    service.limited = False
    with serving(service) as host:
        args = [address_of(service, host), TOKEN, str(tmp_path)]
        run = [subprocess.Popen([sys.executable, "-c", PACED, *args]) for _ in range(2)]
        assert [process.wait(60) for process in run] == [0, 0]
    assert len(service.arrivals) == 8
    # Seven gaps of 0.2 s, less what a busy machine may deliver late; alone each needs but 0.6 s.
    assert service.arrivals[-1] - service.arrivals[0] >= 1.0


PUBLISHED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from imtkit.contracts import Message
from imtkit.statuspage import Wire, open_statuspage
url, token, root, name, many = sys.argv[1:]
page = open_statuspage(url, token=token, root=Path(root), wire=Wire(pace_seconds=0))
for number in range(int(many)):
    page.publish(Message(f"{name}-{number}", "INC-2026-0042", "Orders are slow", "investigating",
                         f"Said by {name}: {number}.", datetime.now(UTC)))
    print(number, flush=True)
"""


LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
"""


def publishing(url: str, root: Path, name: str, many: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHED, url, TOKEN, str(root), name, str(many)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("kind", [Statuspage, Cachet2, Cachet3])
def test_two_processes_make_one_incident(kind: type[Service], tmp_path: Path) -> None:
    """Two processes with the first word about the same incident make one, with both words."""
    service = kind()
    service.slow_posts_seconds = 0.5  # both have looked, and seen nothing, unless one waits
    if isinstance(service, Statuspage):
        service.limited = False
    with serving(service) as host:
        run = [publishing(address_of(service, host), tmp_path, name, 2) for name in "ab"]
        for process in run:
            process.communicate(timeout=60)
            assert process.returncode == 0
    expected = [f"Said by {name}: {number}." for name in "ab" for number in range(2)]
    [one] = service.shown()
    told = "\n".join(one["texts"])
    assert [told.count(text) for text in expected] == [1] * 4


def test_embedded_page_loses_no_update_of_two_processes(tmp_path: Path) -> None:
    """Two processes that publish at once leave every update on the page."""
    run = [publishing("embedded:status", tmp_path, name, 10) for name in "ab"]
    for process in run:
        process.communicate(timeout=60)
        assert process.returncode == 0
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    texts = sorted(update["body"] for update in told["incidents"][0]["incident_updates"])
    assert texts == sorted(f"Said by {name}: {number}." for name in "ab" for number in range(10))


def test_embedded_page_survives_kill_9(tmp_path: Path) -> None:
    """Killed in the middle, the page is whole and has everything it said was published."""
    process = publishing("embedded:status", tmp_path, "a", 500)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    said += process.communicate(timeout=60)[0].splitlines()
    page = open_statuspage("embedded:status", root=tmp_path)
    page.publish(MESSAGE)
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    texts = {update["body"] for update in told["incidents"][0]["incident_updates"]}
    assert {f"Said by a: {int(line)}." for line in said if line.strip()} <= texts
    ET.parse(tmp_path / "status" / "feed.atom")


def test_damaged_state_is_not_overwritten(tmp_path: Path) -> None:
    """A state file that is not ours, or of a newer version, is left as it is, and named."""
    page = open_statuspage("embedded:status", name="ours", root=tmp_path)
    page.publish(MESSAGE)
    state = tmp_path / "status" / "state.json"
    for text, words in (
        ("{", "not what imtkit wrote"),
        ("[]", "not what imtkit wrote"),
        ('{"version": 1}', "not what imtkit wrote"),
        ('{"version": 2}', "version 2"),
    ):
        state.write_text(text)
        with pytest.raises(ServiceError, match=words) as caught:
            page.publish(LATER)
        assert str(state) in str(caught.value)
        assert state.read_text() == text


def test_full_disk_leaves_the_old_page(tmp_path: Path) -> None:
    """When a file cannot be written whole, the old one stands and nothing else is left behind."""
    page = open_statuspage("embedded:status", root=tmp_path)
    page.publish(MESSAGE)
    before = {path: path.read_bytes() for path in (tmp_path / "status").rglob("*.*")}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED + PUBLISHED, "embedded:status", "", str(tmp_path), "a", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ServiceError: Status page 'status'" in done.stderr
    assert "could not be written (File too large)" in done.stderr
    after = {path: path.read_bytes() for path in (tmp_path / "status").rglob("*.*")}
    assert after == before


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be is named, with what to do."""
    (tmp_path / "file").write_text("")
    page = open_statuspage("embedded:file/status", name="ours", root=tmp_path)
    with pytest.raises(ServiceError) as caught:
        page.publish(MESSAGE)
    assert "file/status" in str(caught.value)
    assert caught.value.hint


def test_lock_held_for_too_long(tmp_path: Path) -> None:
    """A process that hangs with the page in its hand stops others only for a while."""
    fake_time = FakeTime()
    page = open_statuspage("embedded:status", root=tmp_path, wire=Wire(sleep=fake_time.sleep))
    page.publish(MESSAGE)
    with (tmp_path / "status" / ".lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ServiceDownError, match="another process") as caught:
            page.publish(LATER)
    assert caught.value.retryable
    page.publish(LATER)


def test_repeated_publish_mends_the_files(tmp_path: Path) -> None:
    """A message published again writes the page anew, in case it was cut off the first time."""
    page = open_statuspage("embedded:status", root=tmp_path)
    page.publish(MESSAGE)
    front = tmp_path / "status" / "index.html"
    front.unlink()
    page.publish(MESSAGE)
    assert "We are looking into it." in front.read_text()


def test_build_makes_a_page_before_anything_happened(tmp_path: Path) -> None:
    """A page can stand before its first incident, and keeps its feed's id from then on."""
    page = EmbeddedPage(
        tmp_path / "status", name="ours", title="Ours", components={"a": "Part A"}, wire=Wire()
    )
    front = page.build()
    assert "All systems operational" in front.read_text()
    assert "Part A" in front.read_text()
    before = (tmp_path / "status" / "feed.atom").read_text()
    page.build()
    assert (tmp_path / "status" / "feed.atom").read_text() == before


class Seen(HTMLParser):
    """The tags and the addresses that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        assert not [name for name in named if name.startswith("on")]
        self.addresses += [named[name] or "" for name in ("href", "src") if name in named]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = (
    "</h3><script>alert(1)</script><img src=http://evil.example onerror=alert(1)> \"'& {{7*7}}"
)


def test_embedded_files_are_safe_and_well_formed(tmp_path: Path) -> None:
    """Hostile text stays text in HTML, feed and JSON; no script, and no address but our own."""
    page = open_statuspage(
        "embedded:status", root=tmp_path, title=HOSTILE, components={"orders": HOSTILE}
    )
    page.publish(replace(MESSAGE, title=HOSTILE, body=HOSTILE))
    folder = tmp_path / "status"
    for name in ("index.html", "history.html"):
        seen = Seen()
        seen.feed((folder / name).read_text(encoding="utf-8"))
        assert not {"script", "img", "iframe", "object"} & seen.tags
        assert not [a for a in seen.addresses if ":" in a and a != "data:,"]
        assert {"header", "main", "footer", "h1", "h2", "h3"} <= seen.tags
        assert HOSTILE in " ".join("".join(seen.texts).split())
        assert "default-src 'none'" in (folder / name).read_text().replace("&#39;", "'")
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ET.parse(folder / "feed.atom").getroot()
    entries = feed.findall(f"{atom}entry")
    for element in (feed, *entries):
        for needed in ("id", "title", "updated"):
            assert element.find(f"{atom}{needed}") is not None
    ids = [entry.findtext(f"{atom}id") for entry in entries]
    assert len(ids) == len(set(ids)) == 1
    assert entries[0].findtext(f"{atom}content") == HOSTILE


def test_summary_has_the_shape_that_tools_read(tmp_path: Path) -> None:
    """summary.json has the fields of Statuspage's public API v2."""
    page = open_statuspage("embedded:status", root=tmp_path, title="Ours")
    page.publish(MESSAGE)
    page.publish(LATER)
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    assert told == json.loads((tmp_path / "status" / "api/v2/summary.json").read_text())
    assert set(told) == {"page", "status", "components", "incidents", "scheduled_maintenances"}
    assert told["page"]["name"] == "Ours"
    assert told["status"] == {"indicator": "major", "description": "Partial outage"}
    [part] = told["components"]
    assert (part["name"], part["status"]) == ("orders", "partial_outage")
    [one] = told["incidents"]
    assert (one["name"], one["status"], one["impact"]) == ("Orders are slow", "identified", "minor")
    assert [update["status"] for update in one["incident_updates"]] == [
        "identified",
        "investigating",
    ]
    page.publish(replace(MESSAGE, marker="three", status="resolved"))
    told = json.loads((tmp_path / "status" / "summary.json").read_text())
    assert told["status"]["indicator"] == "none"
    assert told["incidents"] == []
