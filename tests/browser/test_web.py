"""The web face in Chromium: live, by keyboard, on a phone, in the dark, without script."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from web_server import RUN, Web, ask_change, busy_incident, running_web

from imtkit.kit import Desk, gates, incidents, records
from imtkit.kit.gates import Question
from imtkit.model.opening import Opening

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SCREENSHOTS = os.environ.get("IMT_SCREENSHOTS", "")
"""A folder to keep pictures of the pages in, for somebody to look at."""
GATE = f"{RUN}-fail-over-to-the-replica".lower()
LONG = "W" * 10_000
HOSTILE = f"<img src=x onerror=\"document.title='owned'\"> \u202egnp.exe {LONG}"


@pytest.fixture
def web(workspace: Path) -> Iterator[Web]:
    """The pages of a workspace of its own."""
    with running_web(workspace) as served:
        yield served


@pytest.fixture
def bob(web: Web) -> Iterator[Desk]:
    """Bob Beispiel at a terminal elsewhere."""
    with web.desk() as desk:
        yield desk


@pytest.fixture
def incident_id(bob: Desk) -> str:
    """An incident with everything in it."""
    return busy_incident(bob)


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
        page.goto(web.link)
        if person:
            page.goto(f"{web.url}/login")
            page.get_by_label("Your name").fill(person)
            page.get_by_role("button", name="Come in").click()
            page.wait_for_url(re.compile(r"/$"))
        page.goto(web.url + path)
        return page

    yield open_one
    assert complaints == []


def test_an_entry_logged_elsewhere_appears_in_every_open_page(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """Two people look; what a third one writes stands before both within two seconds."""
    pages = [visit(f"/incidents/{incident_id}") for _ in range(2)]
    time.sleep(0.6)  # both wait for news by now
    incidents.note(bob, incident_id, "It is the lock on orders.")
    began = time.monotonic()
    for page in pages:
        line = page.locator("#live-lines > li").first
        line.get_by_text("It is the lock on orders.").wait_for(timeout=5000)
        assert time.monotonic() - began < 2
    assert pages[0].locator("#told").inner_text() == "New: It is the lock on orders."


def test_the_list_follows_without_losing_focus_or_place(
    visit: Callable[..., Page], bob: Desk, incident_id: str
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
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """Tab, type, Enter: from the skip link to the answer that the page shows as recorded."""
    page = visit(f"/incidents/{incident_id}", person="Cleo Clark")
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
    gate = gates.get(bob, incident_id, GATE)
    assert (gate.answer, gate.by, gate.reason) == ("yes", "Cleo Clark", "the lag is zero")


def test_enter_in_the_reason_answers_nothing(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """A form with several answers has none that Enter means: one is pressed on purpose."""
    page = visit(f"/incidents/{incident_id}", person="Cleo Clark")
    page.locator("input[name=reason]").first.fill("not sure yet")
    page.keyboard.press("Enter")
    page.wait_for_timeout(400)
    assert gates.get(bob, incident_id, GATE).is_waiting


def test_what_is_typed_survives_news_and_an_answer_elsewhere_is_shown(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """News come in while a reason is typed; when somebody else answers, the question goes."""
    page = visit(f"/incidents/{incident_id}", person="Cleo Clark")
    field = page.locator("input[name=reason]").first
    field.fill("half a sent")
    field.focus()
    incidents.note(bob, incident_id, "News.")
    page.locator("#live-lines").get_by_text("News.").wait_for(timeout=5000)
    assert field.input_value() == "half a sent"
    assert page.evaluate("document.activeElement.name") == "reason"
    gates.answer(bob, incident_id, GATE, "no", reason="lag")
    page.locator("#live-decisions").get_by_text("answered: no").wait_for(timeout=5000)
    assert page.locator("#live-gates form").count() == 0


def test_a_stale_page_is_told_who_was_first(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """Without news (no script) the second answer is refused in words beside the first."""
    page = visit(f"/incidents/{incident_id}", person="Cleo Clark", scripts=False, is_strict=False)
    gates.answer(bob, incident_id, GATE, "no")
    page.get_by_role("button", name="yes").click()
    assert "was answered already: no, by Bob Beispiel" in page.locator("main").inner_text()


def test_all_of_it_works_without_script(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """Times in UTC, forms that post: reloading is all the difference."""
    page = visit(f"/incidents/{incident_id}", scripts=False)
    assert re.search(r"\d\d:\d\d:\d\d UTC", page.locator("#live-lines").inner_text())
    page.locator("input[name=person]").first.fill("Cleo Clark")
    page.get_by_role("button", name="yes").click()
    assert "Recorded:" in page.locator("main").inner_text()
    assert gates.get(bob, incident_id, GATE).by == "Cleo Clark"


def test_a_broken_connection_is_said_and_taken_up_again(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """The page says that it hears nothing; connected again, it shows what it missed."""
    page = visit(f"/incidents/{incident_id}", is_strict=False)
    page.context.set_offline(True)
    page.locator("#link-state:not([hidden])").wait_for(timeout=20_000)
    assert "Not connected" in page.locator("#link-state").inner_text()
    incidents.note(bob, incident_id, "Said while nobody heard.")
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
    assert re.fullmatch(r"\d+ s", page.locator("time[data-as=age]").first.inner_text())


def test_a_run_is_cancelled_after_a_second_thought(
    visit: Callable[..., Page], bob: Desk, incident_id: str
) -> None:
    """The browser asks once more; 'no' leaves it, 'yes' ends it."""
    page = visit("/runs", person="Cleo Clark")
    button = page.get_by_role("button", name=re.compile("Cancel the run"))
    page.once("dialog", lambda dialog: dialog.dismiss())
    button.click()
    assert incidents.get(bob, incident_id).run(RUN).status == "waiting"  # type: ignore[union-attr]
    page.once("dialog", lambda dialog: dialog.accept())
    button.click()
    page.locator(f"#run-{RUN}").wait_for(state="detached")
    assert incidents.get(bob, incident_id).run(RUN).status == "cancelled"  # type: ignore[union-attr]


def test_the_next_command_is_copied_by_a_button(
    visit: Callable[..., Page], web: Web, incident_id: str
) -> None:
    """What to type is taken along with one click."""
    page = visit("/runs")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=web.url)
    page.get_by_role("button", name=f"Copy: imt take {RUN}").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"imt take {RUN}"


def everything(bob: Desk, incident_id: str) -> dict[str, str]:
    """Every page there is, by name, of a workspace with everything in it, hostile texts too."""
    ask_change(bob, incident_id)
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
        bob.draft("note.added", {"text": HOSTILE}),
        bob.draft("decision.made", {"text": HOSTILE, "reason": HOSTILE}),
    )
    gates.open_(bob, bad, Question(HOSTILE[:3000], answers=(LONG[:500], "no"), who=("Ann",)))
    records.build(bob, incident_id)
    return {
        "list": "/",
        "over": "/?show=over",
        "incident": f"/incidents/{incident_id}",
        "hostile": f"/incidents/{bad}",
        "runs": "/runs",
        "archive": "/archive",
        "trouble": "/incidents/INC-1",
        "login": "/login",
    }


@pytest.mark.parametrize("device", ["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_no_wider_than_its_screen(
    visit: Callable[..., Page], bob: Desk, incident_id: str, scheme: str, device: str
) -> None:
    """Axe finds nothing, nothing scrolls sideways, hostile texts stay texts.

    Where IMT_SCREENSHOTS names a folder, a picture of each is kept there to look at.
    """
    from axe_playwright_python.sync_playwright import Axe

    pages = everything(bob, incident_id)
    page = visit("/", scheme=scheme, device=device)
    origin = page.evaluate("location.origin")
    for name, path in pages.items():
        page.goto(origin + path)
        page.wait_for_timeout(100)
        if name == "incident":
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        results = Axe().run(page)
        assert results.violations_count == 0, f"{name}: {results.generate_report()}"
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, name
        assert page.title() != "owned"
        if SCREENSHOTS:
            page.screenshot(path=f"{SCREENSHOTS}/{name}-{device}-{scheme}.png", full_page=True)


def test_a_record_opens_in_the_archive_with_its_pages_and_pictures(
    visit: Callable[..., Page], web: Web, bob: Desk, incident_id: str
) -> None:
    """Sandboxed as it is, its own links work; nothing is asked of anybody else."""
    records.build(bob, incident_id)
    asked: list[str] = []
    page = visit("/archive")
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="Checkout answers slowly").click()
    page.wait_for_url(re.compile(r"/index\.html$"))
    assert "Fail over to the replica?" in page.inner_text("body")
    assert page.evaluate("window.origin") == "null"
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urlsplit(web.url).netloc}
    link = page.locator("a[href*='evidence/']").first
    link.click()
    page.wait_for_url(re.compile("/evidence/"))
    assert "97 of them idle" in page.inner_text("body")
