"""The web face in Chromium: live, by keyboard, on a phone, in the dark, without script."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import pytest
from web_server import TOKEN, Web, ask_change, busy_incident, running_web

from imtkit.kit import Desk, checklists, gates, incidents, records
from imtkit.kit.gates import Question
from imtkit.model.checklist import checklist_of
from imtkit.model.entries import WORKSPACE
from imtkit.model.opening import Opening

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SCREENSHOTS = os.environ.get("IMT_SCREENSHOTS", "")
"""A folder to keep pictures of the pages in, for somebody to look at."""
ROOT = Path(__file__).resolve().parents[2]
SEEN_AGAIN = ("list", "incident", "run", "runs", "silenced", "trouble", "login")
"""The pages that have between them all there is to be seen: axe looks at them in the dark too."""
LONG = "W" * 3_000
HOSTILE = f"<img src=x onerror=\"document.title='owned'\"> \u202egnp.exe {LONG}"


@dataclass(frozen=True)
class Busy:
    """An incident with everything in it, its parked run, and that run's gate."""

    id: str
    run: str

    @property
    def gate(self) -> str:
        return f"{self.run}-fail-over-to-the-replica".lower()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One server for all tests of this module, each of which has incidents of its own."""
    root = tmp_path_factory.mktemp("web") / "workspace"
    for folder in ("runbooks", "outputs"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "templates" / "imt.toml", root / "imt.toml")
    with (root / "imt.toml").open("a") as file:
        file.write(f'\n[[alerts.silences]]\nreason = "{LONG}"\nmatch = ["quiet=yes"]\n')
        file.write("ends_at = 2126-01-01T00:00:00Z\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in [one for one in os.environ if one.startswith("IMT_")]:
            patch.delenv(name)
        with running_web(root) as served:
            yield served


@pytest.fixture(scope="module")
def bob(web: Web) -> Iterator[Desk]:
    """Bob Beispiel at a terminal elsewhere."""
    with web.desk() as desk:
        yield desk


@pytest.fixture
def busy(bob: Desk) -> Busy:
    """An incident with everything in it."""
    mark = uuid4().hex[:6]
    run = f"20261121T201700Z-{mark}"
    return Busy(busy_incident(bob, run=run, failed=f"20261121T201500Z-{mark}"), run)


@pytest.fixture
def visit(open_page: Callable[..., Page], web: Web) -> Iterator[Callable[..., Page]]:
    """Opens a page of ours in a browser that was let in; what its console complains of fails."""
    complaints: list[str] = []

    def hear(message: Any) -> None:
        if message.type == "error" and "status of 404" not in message.text:
            complaints.append(message.text)

    def open_one(path: str, *, person: str = "", is_strict: bool = True, **how: Any) -> Page:
        page = open_page(**how)
        if is_strict:
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", hear)
        mark = "&" if "?" in path else "?"
        page.goto(f"{web.url}{path}{mark}token={TOKEN}")
        if person:
            page.goto(f"{web.url}/login?{urlencode({'next': path})}")
            page.get_by_label("Your name").fill(person)
            page.get_by_role("button", name="Come in").click()
            page.wait_for_url(web.url + path)
        return page

    yield open_one
    assert complaints == []


def test_an_entry_logged_elsewhere_appears_in_every_open_page(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """Two people look; what a third one writes stands before both within two seconds."""
    pages = [visit(f"/incidents/{busy.id}") for _ in range(2)]
    time.sleep(0.6)  # both wait for news by now
    incidents.note(bob, busy.id, "It is the lock on orders.")
    began = time.monotonic()
    for page in pages:
        line = page.locator("#live-lines > li").first
        line.get_by_text("It is the lock on orders.").wait_for(timeout=5000)
        assert time.monotonic() - began < 2
    assert pages[0].locator("#told").inner_text() == "New: It is the lock on orders."


def test_the_list_follows_without_losing_focus_or_place(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """A new and worse incident comes in above; who reads further down stays where they are."""
    others = [incidents.open_(bob, Opening(f"Small {n}", severity="sev4")).id for n in range(12)]
    page = visit("/")
    link = page.locator(f"#{others[2]} h2 a")
    link.focus()
    link.scroll_into_view_if_needed()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(200)
    before = link.bounding_box()
    new = incidents.open_(bob, Opening("All is down", severity="sev1")).id
    page.locator(f"#{new}").wait_for(timeout=5000)
    after = link.bounding_box()
    assert page.evaluate("document.activeElement.textContent") == "Small 2"
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 2


def test_a_gate_is_answered_by_keyboard_alone(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """Tab, type, Enter: from the skip link to the answer that the page shows as recorded."""
    page = visit(f"/incidents/{busy.id}", person="Cleo Clark")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "reason":
            break
    page.keyboard.type("the lag is zero")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "yes"
    page.keyboard.press("Enter")
    page.get_by_text("Recorded:").wait_for()
    assert page.evaluate("document.activeElement.id") == "answered"
    gate = gates.get(bob, busy.id, busy.gate)
    assert (gate.answer, gate.by, gate.reason) == ("yes", "Cleo Clark", "the lag is zero")


def test_enter_in_the_reason_answers_nothing(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """A form with several answers has none that Enter means: one is pressed on purpose."""
    page = visit(f"/incidents/{busy.id}", person="Cleo Clark")
    page.locator("input[name=reason]").first.fill("not sure yet")
    page.keyboard.press("Enter")
    page.wait_for_timeout(400)
    assert gates.get(bob, busy.id, busy.gate).is_waiting


def test_what_is_typed_survives_news_and_an_answer_elsewhere_is_shown(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """News come in while a reason is typed; when somebody else answers, the question goes."""
    page = visit(f"/incidents/{busy.id}", person="Cleo Clark")
    field = page.locator("input[name=reason]").first
    field.fill("half a sent")
    field.focus()
    incidents.note(bob, busy.id, "News.")
    page.locator("#live-lines").get_by_text("News.").wait_for(timeout=5000)
    assert field.input_value() == "half a sent"
    assert page.evaluate("document.activeElement.name") == "reason"
    gates.answer(bob, busy.id, busy.gate, "no", reason="lag")
    page.locator("#live-decisions").get_by_text("answered: no").wait_for(timeout=5000)
    assert page.locator("#live-gates form").count() == 0


def test_a_stale_page_is_told_who_was_first(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """Without news (no script) the second answer is refused in words beside the first."""
    page = visit(f"/incidents/{busy.id}", person="Cleo Clark", scripts=False, is_strict=False)
    gates.answer(bob, busy.id, busy.gate, "no")
    page.get_by_role("button", name="yes").click()
    assert "was answered already: no, by Bob Beispiel" in page.locator("main").inner_text()


def test_all_of_it_works_without_script(visit: Callable[..., Page], bob: Desk, busy: Busy) -> None:
    """Times in UTC, forms that post: reloading is all the difference."""
    page = visit(f"/incidents/{busy.id}", scripts=False)
    assert re.search(r"\d\d:\d\d:\d\d UTC", page.locator("#live-lines").inner_text())
    page.locator("input[name=person]").first.fill("Cleo Clark")
    page.get_by_role("button", name="yes").click()
    assert "Recorded:" in page.locator("main").inner_text()
    assert gates.get(bob, busy.id, busy.gate).by == "Cleo Clark"


def test_a_broken_connection_is_said_and_taken_up_again(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """The page says that it hears nothing; connected again, it shows what it missed."""
    page = visit(f"/incidents/{busy.id}", is_strict=False)
    page.context.set_offline(True)
    incidents.note(bob, busy.id, "Said as the line broke.")  # ends the question that is held
    page.locator("#link-state:not([hidden])").wait_for(timeout=20_000)
    assert "Not connected" in page.locator("#link-state").inner_text()
    incidents.note(bob, busy.id, "Said while nobody heard.")
    page.context.set_offline(False)
    page.locator("#live-lines").get_by_text("Said while nobody heard.").wait_for(timeout=15_000)
    page.locator("#link-state").wait_for(state="hidden", timeout=5000)


def test_times_are_the_readers_own(visit: Callable[..., Page], bob: Desk, web: Web) -> None:
    """In the browser's zone on the page, with the whole of it to hover; ages count on."""
    id_ = incidents.open_(bob, Opening("Now")).id
    page = visit(f"/incidents/{id_}")
    line = page.locator("#live-lines time").first
    shown = page.evaluate(
        "t => new Date(t).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit',"
        " second: '2-digit', hour12: false})",
        line.get_attribute("datetime"),
    )
    assert line.inner_text() == shown
    assert line.get_attribute("title")
    age = page.locator("time[data-as=age]").first
    page.wait_for_function("e => /^open for \\d+ s$/.test(e.textContent)", arg=age.element_handle())


@pytest.mark.parametrize("scripts", [True, False])
def test_a_run_is_cancelled_after_a_second_thought(
    visit: Callable[..., Page], bob: Desk, busy: Busy, *, scripts: bool
) -> None:
    """The button stands behind words that are opened first, by keyboard too."""
    page = visit(f"/runs/{busy.run}", person="Cleo Clark", scripts=scripts)
    sure = page.get_by_role("button", name="Cancel it for good")
    assert not sure.is_visible()
    page.locator("details.cancel > summary").focus()
    page.keyboard.press("Enter")
    assert "What it did and wrote so far stays." in page.locator("main").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".pill", has_text="cancelled").wait_for()
    assert incidents.get(bob, busy.id).run(busy.run).status == "cancelled"  # type: ignore[union-attr]


def test_the_next_command_is_copied_by_a_button(
    visit: Callable[..., Page], web: Web, busy: Busy
) -> None:
    """What to type is taken along with one click."""
    page = visit(f"/runs/{busy.run}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=web.url)
    page.get_by_role("button", name=f"Copy: imt take {busy.run}").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"imt take {busy.run}"


def everything(bob: Desk, incident_id: str, run: str) -> dict[str, str]:
    """Every page there is, by name, of a workspace with everything in it, hostile texts too."""
    ask_change(bob, incident_id)
    checklists.show(bob, incident_id, checklist_of("restore", ["Drain it", "Tell support"]))
    checklists.tick(bob, incident_id, "restore", "Drain it")
    incidents.open_(bob, Opening("Drill: lose the primary", severity="sev2", mode="drill"))
    bad = incidents.open_(bob, Opening(HOSTILE, services=(HOSTILE[:500],), severity="sev4")).id
    alert = {"fingerprint": "f", "name": HOSTILE, "labels": {HOSTILE: HOSTILE}, "annotations": {}}
    alert["started_at"] = "2026-11-21T20:16:00Z"
    steps = [{"step": "s", "title": HOSTILE}]
    bob.store.append(
        bad,
        bob.draft("alert.received", alert),
        bob.draft("run.started", {"run": "r1", "title": HOSTILE, "steps": steps}, key="run/r1"),
        bob.draft("run.finished", {"run": "r1", "status": "failed", "error": HOSTILE}),
        bob.draft("run.requested", {"run": "r2", "title": "Look", "rule": HOSTILE}, key="r2"),
        bob.draft("runbook.proposed", {"runbook": HOSTILE, "reason": HOSTILE}),
        *(bob.draft("alert.received", {**alert, "fingerprint": f"s{n}"}) for n in range(9)),
        bob.draft("note.added", {"text": HOSTILE}),
        bob.draft("decision.made", {"text": HOSTILE, "reason": HOSTILE}),
    )
    gates.open_(bob, bad, Question(HOSTILE[:3000], answers=(LONG[:500], "no"), who=("Ann",)))
    records.build(bob, incident_id)
    silenced = {"silence": LONG, "until": "2126-01-01T00:00:00.000000Z"}
    for n in range(25):
        held = {**(alert if n == 24 else {"name": "DiskFull"}), **silenced, "fingerprint": f"q{n}"}
        bob.store.append(WORKSPACE, bob.draft("alert.silenced", held))
    return {
        "list": "/",
        "over": "/?show=over",
        "incident": f"/incidents/{incident_id}",
        "hostile": f"/incidents/{bad}",
        "runs": "/runs?show=all",
        "run": f"/runs/{run}",
        "queued": "/runs/r2",
        "astray": "/nowhere",
        "archive": "/archive",
        "silenced": "/silenced",
        "trouble": "/incidents/INC-1",
        "login": "/login",
    }


@pytest.fixture(scope="module")
def pages(bob: Desk) -> dict[str, str]:
    """The address of every kind of page, by its name."""
    run = "20261121T201700Z-every1"
    return everything(bob, busy_incident(bob, run=run, failed=f"{run}f"), run)


@pytest.mark.parametrize(("scheme", "device"), [("light", "desktop"), ("dark", "phone")])
def test_every_page_is_accessible_and_no_wider_than_its_screen(
    visit: Callable[..., Page], pages: dict[str, str], scheme: str, device: str
) -> None:
    """Axe finds nothing; nothing scrolls sideways, nor enlarged twice; hostile texts stay texts.

    Where IMT_SCREENSHOTS names a folder, a picture of each is kept there to look at.
    """
    from axe_playwright_python.sync_playwright import Axe

    page = visit("/", scheme=scheme, device=device, person="Cleo Clark")
    origin = page.evaluate("location.origin")
    for name, path in pages.items():
        page.goto(origin + path)
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        if device == "desktop" or name in SEEN_AGAIN:
            results = Axe().run(page, options={"resultTypes": ["violations"]})
            assert results.violations_count == 0, f"{name}: {results.generate_report()}"
        sizes = ["390x844"] if device == "phone" else ["1280x900", "640x450"]
        for size in sizes:
            width, height = map(int, size.split("x"))
            page.set_viewport_size({"width": width, "height": height})
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{name} at {size}"
        assert page.title() != "owned"
        if SCREENSHOTS:
            page.screenshot(path=f"{SCREENSHOTS}/{name}-{device}-{scheme}.png", full_page=True)


def test_on_a_phone_an_incident_is_taken_noted_and_ticked(
    visit: Callable[..., Page], bob: Desk
) -> None:
    """With thumbs: acknowledge, write, tick; each is shown as recorded, as whom is said."""
    id_ = incidents.open_(bob, Opening("Search is slow", severity="sev2")).id
    checklists.show(bob, id_, checklist_of("restore", ["Drain it", "Tell support"]))
    page = visit(f"/incidents/{id_}", device="phone", scheme="dark", person="Cleo Clark")
    assert "the name you gave yourself" in page.locator(".note").inner_text()
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_text("Recorded: Acknowledged").wait_for()
    page.get_by_label("Write a note").fill("It is the index.")
    page.get_by_role("button", name="Write it down").click()
    page.get_by_text("Recorded: It is the index.").wait_for()
    page.locator("details.checklist > summary").click()
    page.get_by_role("button", name="Tick: Drain it").click()
    page.get_by_text("Recorded: Ticked").wait_for()
    assert page.locator("details.checklist").get_attribute("open") is not None
    for button in page.get_by_role("button").filter(visible=True).all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 28, button.inner_text()
    types = [entry.type for entry in incidents.get(bob, id_).entries]
    assert types.count("incident.acknowledged") == types.count("note.added") == 1


def test_what_waits_stands_first_and_counts_down(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """For eyes and for screen readers: a timer with words, before all else."""
    gates.open_(bob, busy.id, Question("Soon?", within=timedelta(minutes=5)))
    for path in ("/", f"/incidents/{busy.id}"):
        page = visit(path)
        timer = page.get_by_role("timer").last
        timer.wait_for()
        words = page.locator("main").inner_text()
        assert words.index("Waiting for an answer") < words.index(
            "Timeline" if busy.id in path else "Any severity"
        )
    soon = page.locator("article", has_text="Soon?").get_by_role("timer")
    first = soon.inner_text()
    assert re.fullmatch(r"4 min \d+ s left", first)
    page.wait_for_function("([e, t]) => e.textContent !== t", arg=[soon.element_handle(), first])
    said = page.locator("article", has_text="Soon?").aria_snapshot()
    assert 'heading "Soon?" [level=3]' in said
    assert "timer" in said
    assert 'button "yes"' in said


def test_news_does_not_move_for_who_wants_no_motion(
    visit: Callable[..., Page], bob: Desk, busy: Busy
) -> None:
    """With prefers-reduced-motion what is new appears without an animation; on paper no buttons."""
    page = visit(f"/incidents/{busy.id}", person="Cleo Clark")
    page.emulate_media(reduced_motion="reduce")
    incidents.note(bob, busy.id, "Still.")
    line = page.locator("#live-lines > li.is-new", has_text="Still.")
    line.wait_for()
    assert line.evaluate("e => getComputedStyle(e).animationName") == "none"
    page.emulate_media(media="print")
    assert page.get_by_role("button").filter(visible=True).count() == 0
    assert page.get_by_text("Still.").first.is_visible()


def test_a_record_opens_in_the_archive_with_its_pages_and_pictures(
    visit: Callable[..., Page], web: Web, bob: Desk, busy: Busy
) -> None:
    """Sandboxed as it is, its own links work; nothing is asked of anybody else."""
    records.build(bob, busy.id)
    asked: list[str] = []
    page = visit("/archive")
    page.on("request", lambda request: asked.append(request.url))
    page.locator(f"#{busy.id} h2 a").click()
    page.wait_for_url(re.compile(r"/index\.html$"))
    assert "Fail over to the replica?" in page.inner_text("body")
    assert page.evaluate("window.origin") == "null"
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urlsplit(web.url).netloc}
    link = page.locator("a[href*='evidence/']").first
    link.click()
    page.wait_for_url(re.compile("/evidence/"))
    assert "97 of them idle" in page.inner_text("body")
