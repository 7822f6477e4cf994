"""The checklist in real JupyterLab, in Chromium: a tick shows only when the log has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy
from typing import TYPE_CHECKING, Any

import pytest
from labs import TOKEN, Lab, a_workspace, running_lab, stored_checklist, write_notebook
from labs import anns_desk as desk

from imtkit.contracts import Query
from imtkit.kit import Desk, checklists, incidents, open_desk
from imtkit.model.checklist import checklist_of
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["desk"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

PERSON = "Ada Lovelace"
NAME = "before-failover"
ITEMS = ("Check the replica lag", "Look at the dashboards", "Tell the service desk")
LIVE = '.imt-live[data-state="live"]'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab in a workspace, as ``imt lab`` starts it for Ada Lovelace."""
    workspace = a_workspace(tmp_path_factory.mktemp("workspace"))
    write_notebook(workspace / "runbooks" / "db-failover.ipynb", "import imtkit as imt\nimt.join()")
    with running_lab(workspace, person=PERSON) as started:
        yield started


@pytest.fixture(scope="module")
def window(lab: Lab, chromium: Browser) -> Iterator[Page]:
    """One JupyterLab window that the tests open their own notebooks in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    load(page, lab)
    yield page
    context.close()


@pytest.fixture
def incident(desk: Desk) -> Incident:
    """A new incident with a checklist that nobody has ticked."""
    opened = incidents.open_(desk, Opening("Checkout answers 502"))
    checklists.show(desk, opened.id, checklist_of(NAME, ITEMS, title="Before the failover"))
    return opened


def load(page: Page, lab: Lab) -> None:
    """Load JupyterLab with an empty desk and wait until it is there."""
    page.goto(f"{lab.url}lab?reset&token={TOKEN}")
    page.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
    page.evaluate("window.jupyterapp.restored.then(() => true)")
    page.locator(".jp-Launcher").wait_for()


def command(page: Page, name: str, **arguments: Any) -> None:
    """Run a command of JupyterLab."""
    page.evaluate(
        "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)",
        [name, arguments],
    )


def run_all(page: Page) -> None:
    """Begin to run every cell of the notebook in front; their end is not waited for."""
    page.evaluate(
        """async () => {
          const { commands, shell } = window.jupyterapp;
          await shell.currentWidget.sessionContext.ready;
          commands.execute("notebook:run-all-cells");
        }"""
    )


def open_notebook(page: Page, lab: Lab, path: Path) -> Locator:
    """Open a notebook in the window; its panel."""
    place = path.relative_to(lab.workspace).as_posix()
    command(page, "docmanager:open", path=place)
    panel = page.locator(".jp-NotebookPanel:visible")
    panel.locator(".jp-Cell").first.wait_for()
    return panel


def written(lab: Lab, incident: Incident, *sources: str) -> Path:
    """A notebook in the incident's folder that shows the checklist from its stored output."""
    path = lab.workspace / "outputs" / incident.id / f"{time.monotonic_ns()}.ipynb"
    shown = {0: stored_checklist(incident.id, NAME)}
    return write_notebook(path, "inc.checklist('before-failover')", *sources, outputs=shown)


def until(is_so: Callable[[], object], seconds: float = 15) -> None:
    """Wait for something outside the browser."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.1)


def ticked(desk: Desk, incident: Incident) -> dict[str, tuple[str, str]]:
    """Who ticked what through which face, by the item's text."""
    found = checklists.get(desk, incident.id, NAME)
    return {item.text: (item.by, item.via) for item in found.items if item.is_ticked}


def row(panel: Locator | Page, text: str) -> Locator:
    """The line of an item."""
    return panel.locator(".imt-item:visible", has_text=text)


@contextmanager
def answering(page: Page, how: Callable[[Any], None]) -> Iterator[None]:
    """Between JupyterLab and our server extension, ``how`` decides what arrives."""
    page.route("**/imtkit/api/**", how)
    try:
        yield
    finally:
        page.unroute("**/imtkit/api/**")


def test_a_tick_is_recorded_whatever_the_kernel_does(
    lab: Lab, window: Page, chromium: Browser, desk: Desk, incident: Incident
) -> None:
    """Mouse, keyboard, a busy kernel, a killed one: the tick is in the log and in the archive."""
    path = write_notebook(
        lab.workspace / "outputs" / incident.id / "work.ipynb",
        "import imtkit as imt\ninc = imt.join()\ninc",
        f"inc.checklist({NAME!r}, {list(ITEMS)!r}, title='Before the failover')",
        "# Wait\nimport time\ntime.sleep(60)",
    )
    panel = open_notebook(window, lab, path)
    run_all(window)
    panel.locator(LIVE).wait_for()
    until(lambda: panel.locator(".jp-InputPrompt", has_text="[*]").count())

    row(panel, ITEMS[0]).get_by_role("checkbox").click()
    row(panel, ITEMS[0]).get_by_text(f"{PERSON}, ").wait_for()
    assert ticked(desk, incident) == {ITEMS[0]: (PERSON, "lab")}

    row(panel, ITEMS[1]).get_by_role("checkbox").focus()
    window.keyboard.press("Space")
    row(panel, ITEMS[1]).get_by_text(f"{PERSON}, ").wait_for()

    (kernel,) = lab.kernels()
    kernel.kill()
    row(panel, ITEMS[2]).get_by_role("checkbox").press("Space")
    row(panel, ITEMS[2]).get_by_text(f"{PERSON}, ").wait_for()
    assert ticked(desk, incident) == dict.fromkeys(ITEMS, (PERSON, "lab"))
    assert panel.get_by_text("3 of 3 done").is_visible()

    window.get_by_role("dialog", name="Kernel Restarting").get_by_role("button").click()

    run = incidents.get(desk, incident.id).runs[0]
    assert run.by_hand
    assert [step.id for step in run.steps] == ["cell-0", "cell-1"]

    incidents.resolve(desk, incident.id, fields={"resolution": "Failed over."})
    incidents.move(desk, incident.id, "close", fields={"cause": "a long transaction"})
    archived = chromium.new_context(java_script_enabled=False, offline=True).new_page()
    archived.goto((desk.folder(incident.id) / "record" / "index.html").as_uri())
    for item in ITEMS:
        assert archived.locator("li", has_text=item).get_by_text(PERSON).first.is_visible()
    archived.context.close()


def test_two_people_at_an_untrusted_notebook_see_the_same(
    lab: Lab, window: Page, chromium: Browser, desk: Desk, incident: Incident
) -> None:
    """Nobody ran a cell and nothing is trusted: two windows stay the same, also after a reload."""
    path = written(lab, incident)
    here = open_notebook(window, lab, path)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    there = context.new_page()
    there.goto(f"{lab.url}lab/tree/{path.relative_to(lab.workspace)}?token={TOKEN}")
    row(there, ITEMS[0]).wait_for()
    row(here, ITEMS[0]).wait_for()
    assert not window.evaluate(
        "window.jupyterapp.shell.currentWidget.content.model.cells.get(0).trusted"
    )

    row(here, ITEMS[0]).get_by_role("checkbox").click()
    row(there, ITEMS[1]).get_by_role("checkbox").click()
    for place in (here, there):
        for item in ITEMS[:2]:
            row(place, item).get_by_text(f"{PERSON}, ").wait_for()

    # There the window looks away, and so clicks what it does not know to be ticked.
    there.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    row(here, ITEMS[2]).get_by_role("checkbox").click()
    row(here, ITEMS[2]).get_by_text(f"{PERSON}, ").wait_for()
    row(there, ITEMS[2]).get_by_role("checkbox").click()
    row(there, ITEMS[2]).get_by_text(f"{PERSON}, ").wait_for()
    ticks = [e for e in incidents.get(desk, incident.id).entries if e.type == "checklist.ticked"]
    assert sorted(entry.data["text"] for entry in ticks) == sorted(ITEMS)

    row(here, ITEMS[0]).get_by_role("checkbox").click()
    there.reload()
    row(there, ITEMS[1]).get_by_text(f"{PERSON}, ").wait_for()
    assert row(there, ITEMS[0]).get_by_role("checkbox").is_checked() is False
    assert set(ticked(desk, incident)) == set(ITEMS[1:])
    context.close()


def test_nothing_shows_as_ticked_that_is_not_recorded(
    lab: Lab, window: Page, desk: Desk, incident: Incident
) -> None:
    """Without an answer a click is 'NOT RECORDED'; with the answer lost, the log is asked."""
    panel = open_notebook(window, lab, written(lab, incident))
    row(panel, ITEMS[0]).wait_for()
    first, second, third = (row(panel, item) for item in ITEMS)

    with answering(window, lambda route: route.abort()):
        first.get_by_role("checkbox").click()
        first.get_by_text("NOT RECORDED").wait_for()
        panel.get_by_role("alert").get_by_text("Nothing can be ticked now").wait_for()
        second.get_by_role("checkbox").click(force=True)
        assert panel.locator(".imt-live input:checked").count() == 0
        assert ticked(desk, incident) == {}
    panel.get_by_role("button", name="Try again").click()
    panel.locator(LIVE).wait_for()

    def lose_the_answer(route: Any) -> None:
        if route.request.method == "POST":
            route.fetch()
            route.abort()
        else:
            route.continue_()

    with answering(window, lose_the_answer):
        third.get_by_role("checkbox").click()
        third.get_by_text(f"{PERSON}, ").wait_for()
    assert set(ticked(desk, incident)) == {ITEMS[2]}


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_list_is_accessible_in_both_themes(
    lab: Lab, window: Page, desk: Desk, incident: Incident, theme: str
) -> None:
    """An audit (axe) finds no fault, hostile text stays text, and times tell UTC on request."""
    from axe_playwright_python.sync_playwright import Axe

    hostile = "<img src=x onerror=\"document.title='owned'\"> <b>bold</b>"
    longer = checklist_of(NAME, [*ITEMS, hostile], title="Before the failover", required=True)
    checklists.show(desk, incident.id, longer)
    checklists.tick(desk, incident.id, NAME, ITEMS[0])
    command(window, "apputils:change-theme", theme=theme)
    panel = open_notebook(window, lab, written(lab, incident))
    row(panel, "onerror").wait_for()
    by = row(panel, ITEMS[0]).locator("time")
    assert str(by.get_attribute("title")).endswith(" UTC")
    assert panel.locator(".imt-live b, .imt-live img").count() == 0
    assert panel.get_by_role("group", name="Before the failover").is_visible()
    assert panel.get_by_role("checkbox", name=ITEMS[0]).is_checked()
    found = Axe().run(window, context=".jp-NotebookPanel:not(.lm-mod-hidden) .imt-live")
    assert found.violations_count == 0, found.generate_report()


def test_a_runbook_opens_from_the_launcher_in_a_new_incident(
    lab: Lab, window: Page, desk: Desk
) -> None:
    """The card asks for the incident, opens one, and opens a fresh copy in its folder."""
    command(window, "launcher:create")
    window.locator(".jp-LauncherCard:visible", has_text="db-failover").click()
    dialog = window.get_by_role("dialog")
    dialog.get_by_label("Incident").select_option("")
    dialog.get_by_label("What is wrong").fill("Payments are slow")
    dialog.get_by_label("Severity").select_option("sev2")
    dialog.get_by_role("button", name="Open runbook").click()
    status = window.locator(".imt-incident-status", has_text="Payments are slow")
    status.wait_for()
    (opened,) = [one for one in incidents.list_(desk, Query()) if one.title == "Payments are slow"]
    assert (opened.severity, opened.status) == ("sev2", "open")
    assert str(status.text_content()).startswith(f"{opened.id} · SEV2 · open")
    (path,) = desk.folder(opened.id).glob("*-db-failover.ipynb")
    assert window.locator(f'.lm-TabBar-tab:visible:has-text("{path.name}")').count() == 1


def test_a_person_nobody_knows_is_asked_before_the_first_tick(
    lab: Lab, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    """Without a name nothing is ticked; the name is asked once, remembered, and recorded."""
    copy(lab.workspace / "imt.toml", tmp_path)
    (tmp_path / "outputs").mkdir()
    with running_lab(tmp_path) as other, open_desk(tmp_path, actor="Ann Example") as desk:
        opened = incidents.open_(desk, Opening("Nobody is known"))
        checklists.show(desk, opened.id, checklist_of(NAME, ITEMS))
        page = open_page()
        place = written(other, opened).relative_to(tmp_path).as_posix()
        page.goto(f"{other.url}doc/tree/{place}?token={TOKEN}")
        row(page, ITEMS[0]).get_by_role("checkbox").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        row(page, ITEMS[0]).get_by_text("NOT RECORDED").wait_for()
        assert ticked(desk, opened) == {}
        row(page, ITEMS[0]).get_by_role("checkbox").click()
        page.get_by_role("dialog").get_by_role("textbox").fill("Grace Hopper")
        page.keyboard.press("Enter")
        row(page, ITEMS[0]).get_by_text("Grace Hopper, ").wait_for()
        row(page, ITEMS[1]).get_by_role("checkbox").click()
        row(page, ITEMS[1]).get_by_text("Grace Hopper, ").wait_for()
        assert ticked(desk, opened) == dict.fromkeys(ITEMS[:2], ("Grace Hopper", "lab"))
