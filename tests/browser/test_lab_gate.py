"""The gate in real JupyterLab, in Chromium: an answer shows only when the log has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from labs import TOKEN, Lab, a_workspace, running_lab, stored_gate, write_notebook
from labs import anns_desk as desk

from imtkit.kit import Desk, gates, incidents
from imtkit.kit.gates import Question
from imtkit.model.opening import Opening

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = ["desk"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

PERSON = "Ada Lovelace"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab in a workspace, as ``imt lab`` starts it for Ada Lovelace."""
    workspace = a_workspace(tmp_path_factory.mktemp("workspace"))
    with running_lab(workspace, person=PERSON) as started:
        yield started


@pytest.fixture
def incident_id(desk: Desk) -> str:
    """A new incident."""
    return incidents.open_(desk, Opening("Checkout answers 502")).id


@pytest.fixture
def show(
    lab: Lab, open_page: Callable[..., Page], desk: Desk, incident_id: str
) -> Callable[[Question], Locator]:
    """Opens a gate, and a notebook that keeps it; what JupyterLab draws of it."""

    def open_gate(question: Question) -> Locator:
        gate = gates.open_(desk, incident_id, question)
        path = lab.workspace / "outputs" / incident_id / f"{gate.id}.ipynb"
        write_notebook(path, "1", outputs={0: stored_gate(incident_id, gate.id)})
        page = open_page()
        page.goto(f"{lab.url}lab/tree/{path.relative_to(lab.workspace)}?token={TOKEN}&reset")
        live = page.locator('.imt-live-gate[data-state="live"]')
        live.wait_for(timeout=60_000)
        return live

    return open_gate


def test_a_click_answers_and_the_cell_run_again_goes_on(
    lab: Lab, open_page: Callable[..., Page], desk: Desk, incident_id: str
) -> None:
    """The gate stops "Run All"; answered with a reason, the same cells reach the end."""
    path = write_notebook(
        lab.workspace / "outputs" / incident_id / "work.ipynb",
        "import imtkit as imt\ninc = imt.join()",
        "answer = inc.gate('Fail over?', within='30m')",
        "print('the answer was', answer)",
    )
    page = open_page()
    page.goto(f"{lab.url}lab/tree/{path.relative_to(lab.workspace)}?token={TOKEN}&reset")
    page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget")
    run_all(page)
    live = page.locator('.imt-live-gate[data-state="live"]')
    live.wait_for(timeout=60_000)
    page.get_by_text("WaitingError").first.wait_for()
    assert page.get_by_text("the answer was").count() == 1  # the source of the third cell
    live.get_by_label("Why").fill("lag is 0")
    live.get_by_role("button", name="yes").click()
    live.get_by_text("Run the cell again to go on").wait_for()
    live.get_by_text(f"{PERSON}, ").first.wait_for()
    assert live.get_by_role("button", name="yes").count() == 0
    (gate,) = incidents.get(desk, incident_id).gates
    assert (gate.answer, gate.by, gate.via, gate.reason) == ("yes", PERSON, "lab", "lag is 0")
    assert gate.step == "cell-1"
    run_all(page)
    page.get_by_text("the answer was yes").wait_for()


def run_all(page: Page) -> None:
    """Begin to run every cell of the notebook in front; their end is not waited for."""
    page.evaluate(
        """async () => {
          const { commands, shell, restored } = window.jupyterapp;
          await restored;
          await shell.currentWidget.sessionContext.ready;
          commands.execute("notebook:run-all-cells");
        }"""
    )


def test_nothing_shows_as_answered_that_is_not_recorded(
    show: Callable[[Question], Locator], desk: Desk, incident_id: str
) -> None:
    """Without an answer a click is 'NOT RECORDED'; with it lost, the log is asked; keyboard too."""
    live = show(Question("Go?"))
    live.page.route("**/imtkit/api/**", lambda route: route.abort())
    live.get_by_role("button", name="no").press("Enter")
    alert = live.page.get_by_role("alert").get_by_text("NOT RECORDED")
    alert.wait_for()
    assert gates.get(desk, incident_id, "go").is_waiting
    live.page.unroute("**/imtkit/api/**")
    live.page.get_by_role("button", name="Try again").click()
    live.wait_for()

    def lose_the_answer(route: Any) -> None:
        if route.request.method == "POST":
            route.fetch()
            route.abort()
        else:
            route.continue_()

    live.page.route("**/imtkit/api/**", lose_the_answer)
    live.get_by_role("button", name="no").press("Space")
    live.get_by_text("Recorded: no").wait_for()
    assert gates.get(desk, incident_id, "go").answer == "no"
    live.page.unroute("**/imtkit/api/**")


def test_another_persons_answer_comes_by_itself(
    show: Callable[[Question], Locator], desk: Desk, incident_id: str
) -> None:
    """The buttons go; so they do when the time is over."""
    live = show(Question("Go?"))
    gates.answer(desk, incident_id, "go", "yes", reason="it is time")
    live.get_by_text("it is time").wait_for()
    assert live.get_by_role("button").count() == 0
    live = show(Question("Quick?", within=timedelta(milliseconds=1)))
    live.get_by_text("It takes no answer any more").wait_for()
    assert live.get_by_role("button").count() == 0


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_gate_is_accessible_in_both_themes(
    show: Callable[[Question], Locator], theme: str, desk: Desk, incident_id: str
) -> None:
    """An audit (axe) finds no fault, hostile text stays text, who may not is told why."""
    from axe_playwright_python.sync_playwright import Axe

    live = show(Question("Drop <b>all</b>?", ("yes", "<img src=x>"), who=("commander",), name="a"))
    live.page.evaluate(
        "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", theme
    )
    live.get_by_text("commander may").wait_for()
    button = live.get_by_role("button", name="yes")
    assert button.get_attribute("aria-disabled") == "true"
    button.click(force=True)
    assert gates.get(desk, incident_id, "a").is_waiting
    assert live.locator("b, img").count() == 0
    assert live.get_by_role("group", name="Drop <b>all</b>?").is_visible()
    found = Axe().run(live.page, context=".imt-live-gate")
    assert found.violations_count == 0, found.generate_report()
    incidents.assign(desk, incident_id, "commander", PERSON)
    live.get_by_label("Why").wait_for()
    found = Axe().run(live.page, context=".imt-live-gate")
    assert found.violations_count == 0, found.generate_report()
