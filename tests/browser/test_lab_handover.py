"""A run's notebook in real JupyterLab, in Chromium: from the machine to a person, and back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from labs import KERNEL, TOKEN, Lab, a_workspace, running_lab
from labs import bos_desk as desk
from nbformat.v4 import new_code_cell, new_notebook

from imtkit.config import load_settings
from imtkit.kit import Desk, gates, handover, incidents, records, resume, running
from imtkit.lab import reach
from imtkit.model.incident import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["desk"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PERSON = "Ada Lovelace"
CELLS = (
    ("incident_id = ''", "parameters"),
    ("# Begin\nimport os, time\nimport imtkit as imt\ninc = imt.join()\nbase = 40", "setup"),
    ("# Look at the replicas\nfound = base + 2\nprint('pid', os.getpid(), found)", ""),
    ("# The gate\nanswer = inc.gate('Fail over?')", ""),
    ("# Fail over\ntime.sleep(1.5)\nprint('went on:', answer, found, os.getpid())", ""),
    ("# Look again\nprint('the end', found)", ""),
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A Jupyter server that carries out runs, as ``imt worker`` starts it for Ada Lovelace."""
    workspace = a_workspace(tmp_path_factory.mktemp("workspace"))
    cells = []
    for n, (source, tag) in enumerate(CELLS):
        cells.append(new_code_cell(source, id=f"cell-{n}"))
        cells[-1].metadata["tags"] = [tag] if tag else []
    metadata = {"kernelspec": KERNEL, "imtkit": {"title": "Fail over"}}
    (workspace / "runbooks").mkdir()
    path = workspace / "runbooks" / "fail-over.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    with running_lab(workspace, person=PERSON) as started:
        yield started


@pytest.fixture
def server(lab: Lab) -> reach.Server:
    """The server, as the terminal finds it."""
    until(lambda: reach.server_of(load_settings(lab.workspace)))
    found = reach.server_of(load_settings(lab.workspace))
    assert found is not None
    return found


@pytest.fixture
def parked(server: reach.Server, desk: Desk) -> Run:
    """A run that nobody watched; it waits at its gate."""
    lines = list(reach.follow(server, "runs", {"runbook": "fail-over", "actor": "Ann Example"}))
    run = resume.find(desk, lines[0]["begun"]["run"])
    assert run.status == "waiting"
    return run


@pytest.fixture(scope="module")
def window(lab: Lab, chromium: Browser) -> Iterator[Page]:
    """One JupyterLab window that the tests open their own notebooks in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(f"{lab.url}lab?reset&token={TOKEN}")
    page.locator(".jp-Launcher").wait_for(timeout=60_000)
    yield page
    context.close()


@pytest.fixture
def opened(window: Page) -> Callable[[Run], Page]:
    """Opens a run's notebook in the window, alone, and waits until its banner is there."""

    def open_one(run: Run) -> Page:
        window.evaluate(
            """async (path) => {
              const { commands, shell } = window.jupyterapp;
              for (const widget of Array.from(shell.widgets("main"))) widget.dispose();
              await commands.execute("docmanager:open", { path });
            }""",
            run.output_path,
        )
        return shown(window)

    return open_one


@pytest.fixture
def loaded(server: reach.Server, open_page: Callable[..., Page]) -> Callable[..., Page]:
    """Loads JupyterLab anew with a run's notebook, and waits until its banner is there."""

    def load(address: str | Run, **how: Any) -> Page:
        if isinstance(address, Run):
            address = server.page(address.output_path)
        page = open_page(**how)
        page.goto(f"{address}&reset")
        return shown(page)

    return load


def shown(page: Page) -> Page:
    """The page, once the notebook in front has its banner and its kernel."""
    banner(page).wait_for(timeout=60_000)
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready.then(() => null)")
    return page


def until(is_so: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something outside the browser."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.1)


def banner(page: Page) -> Locator:
    """What stands above the notebook's cells."""
    return page.locator(".jp-NotebookPanel:visible .imt-run")


def says(page: Page, words: str) -> None:
    """Wait until the banner says this."""
    banner(page).get_by_text(words).first.wait_for()


def dialogs(page: Page) -> int:
    """How many dialogs are open."""
    return page.locator(".jp-Dialog").count()


def in_notebook(page: Page, script: str) -> Any:
    """What JavaScript makes of the notebook in front: `panel`, `notebook`, `commands`."""
    return page.evaluate(
        f"""async () => {{
          const {{ commands, shell }} = window.jupyterapp;
          const panel = shell.currentWidget, notebook = panel.content;
          {script}
        }}"""
    )


def add_cell(page: Page, source: str, *, run: bool = True) -> None:
    """Add a cell at the notebook's end, as a person does, and run it."""
    in_notebook(
        page,
        f"""notebook.activeCellIndex = notebook.widgets.length - 1;
        await commands.execute("notebook:insert-cell-below");
        notebook.activeCell.model.sharedModel.setSource({json.dumps(source)});
        {'await commands.execute("notebook:run-cell");' if run else ""}""",
    )


def answer(desk: Desk, run: Run) -> None:
    """Answer the gate of a run from elsewhere."""
    (gate,) = incidents.get(desk, run.incident).waiting_gates
    gates.answer(desk, run.incident, gate.id, "yes")


def imt(lab: Lab, *arguments: str, person: str = PERSON) -> str:
    """What a command prints that a person gives in a terminal."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("imt")), *arguments],
        cwd=lab.workspace,
        env={**os.environ, "IMT_USER": person},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_person_takes_a_run_over_and_gives_it_back(
    lab: Lab, desk: Desk, parked: Run, loaded: Callable[..., Page]
) -> None:
    """One kernel from the machine's first step to its last; log and archive say who did which."""
    said = imt(lab, "take", parked.id, "--no-browser")
    assert "Its kernel lives" in said
    page = loaded(said.strip().splitlines()[-1])
    says(page, "You have taken this run over. It stopped at “The gate”.")
    says(page, "This is the kernel that ran the steps above.")
    (pid,) = re.findall(r"pid (\d+) 42", page.locator(".jp-Notebook").inner_text())
    add_cell(page, "# Look by hand\nprint('by hand', found, os.getpid())")
    page.get_by_text(f"by hand 42 {pid}").wait_for()
    page.locator(".imt-live-gate").get_by_role("button", name="yes").click()
    page.get_by_text("Recorded: yes").wait_for()
    banner(page).get_by_role("button", name="Give back").click()
    page.get_by_text(f"went on: yes 42 {pid}").wait_for()
    says(page, "Completed.")
    page.get_by_text("the end 42").wait_for()
    assert page.get_by_text(f"by hand 42 {pid}").is_visible()
    assert dialogs(page) == 0
    run = resume.find(desk, parked.id)
    assert (run.status, run.holder, run.attempt) == ("completed", "", 2)
    told = [
        (entry.type, entry.actor)
        for entry in incidents.get(desk, run.incident).entries
        if entry.type in ("run.started", "run.parked", "run.taken", "run.given", "run.finished")
    ]
    assert told == [
        ("run.started", "Ann Example"),
        ("run.parked", "Ann Example"),
        ("run.taken", PERSON),
        ("run.given", PERSON),
        ("run.finished", PERSON),
    ]
    who = {step.title: step.actor for step in run.steps if step.status == "completed"}
    assert who["Look at the replicas"] == "Ann Example"
    assert who["Look by hand"] == PERSON
    records.build(desk, run.incident)
    (archived,) = (desk.folder(run.incident) / "record").glob(f"{Path(run.output_path).stem}*.html")
    page.goto(archived.as_uri())
    for words in ("taken over by", "given back to the machine by"):
        assert page.get_by_text(f"{words} {PERSON}, 20").is_visible()
    cells = page.locator(".rec-step").all_inner_texts()
    assert [re.findall(f"Ann Example|{PERSON}(?:, by hand)?", cell) for cell in cells] == [
        ["Ann Example"],
        [],
        ["Ann Example"],
        ["Ann Example"],
        [PERSON],
        [PERSON],
        [PERSON],
        [f"{PERSON}, by hand"],
    ]


def test_an_answer_is_enough_for_the_machine_to_go_on(
    desk: Desk, parked: Run, opened: Callable[[Run], Page]
) -> None:
    """The page shows the machine's new outputs by itself, and nothing that stayed moves."""
    page = opened(parked)
    says(page, "Waiting at “The gate”: answer it below, then the machine goes on.")
    in_notebook(page, "notebook.widgets[2].node.dataset.seen = 'x';")
    page.locator(".imt-live-gate").get_by_role("button", name="yes").click()
    says(page, "The machine runs this: step 5 of 6, “Fail over”.")
    assert in_notebook(page, "return notebook.widgets.map((cell) => cell.readOnly);")[5]
    page.get_by_text("went on: yes 42").wait_for()
    says(page, "Completed.")
    page.get_by_text("the end 42").wait_for()
    stayed = "return [notebook.activeCellIndex, notebook.widgets[2].node.dataset.seen];"
    assert in_notebook(page, stayed) == [4, "x"]
    in_notebook(page, "await panel.context.save();")
    assert dialogs(page) == 0
    assert not in_notebook(page, "return notebook.widgets.some((cell) => cell.readOnly);")
    run = resume.find(desk, parked.id)
    assert (run.status, run.steps[-1].actor) == ("completed", "automation/server")
    told = nbformat.read(desk.settings.root / run.output_path, 4)
    assert all("editable" not in cell.metadata for cell in told.cells)


def test_what_a_person_typed_is_kept_beside_it(
    lab: Lab, desk: Desk, parked: Run, opened: Callable[[Run], Page]
) -> None:
    """Typed and not saved when the machine goes on: a copy has it, and a notice leads there."""
    page = opened(parked)
    add_cell(page, "# a thought of mine", run=False)
    answer(desk, parked)
    page.get_by_text("the end 42").wait_for()
    page.get_by_text("What you typed is kept in").first.wait_for()
    folder = (lab.workspace / parked.output_path).parent
    (kept,) = folder.glob("*.ada-lovelace-*.ipynb")
    assert nbformat.read(kept, 4).cells[-1].source == "# a thought of mine"
    assert "a thought" not in (lab.workspace / parked.output_path).read_text()
    in_notebook(page, "await commands.execute('docmanager:save');")
    assert dialogs(page) == 0
    page.get_by_role("button", name="Open it").click()
    page.locator(".jp-NotebookPanel:visible").get_by_text("# a thought of mine").wait_for()


def test_what_was_saved_and_written_over_is_kept_too(
    lab: Lab, parked: Run, opened: Callable[[Run], Page]
) -> None:
    """The machine may have read the notebook just before a person's save, and write it after."""
    page = opened(parked)
    path = lab.workspace / parked.output_path
    as_the_machine_read_it = path.read_bytes()
    add_cell(page, "# saved in time, as I thought", run=False)
    in_notebook(page, "await panel.context.save();")
    assert "as I thought" in path.read_text()
    path.write_bytes(as_the_machine_read_it)
    until(lambda: list(path.parent.glob("*.ada-lovelace-*.ipynb")))
    (kept,) = path.parent.glob("*.ada-lovelace-*.ipynb")
    until(lambda: "as I thought" in kept.read_text())
    page.locator(".jp-Notebook:visible").get_by_text("as I thought").wait_for(state="detached")
    assert dialogs(page) == 0


def test_a_save_never_writes_over_the_machines_outputs(
    lab: Lab, desk: Desk, parked: Run, opened: Callable[[Run], Page]
) -> None:
    """JupyterLab's own save meets a newer file without a dialog, whatever was typed."""
    page = opened(parked)
    # The page does not hear of the machine's turn in time.
    page.route("**/imtkit/api/runs/*", lambda route: route.abort())
    says(page, "Cannot reach the Jupyter server.")
    add_cell(page, "# typed meanwhile", run=False)
    answer(desk, parked)
    until(lambda: resume.find(desk, parked.id).status == "completed")
    page.unroute("**/imtkit/api/runs/*")
    in_notebook(page, "await panel.context.save();")
    page.get_by_text("the end 42").wait_for()
    assert dialogs(page) == 0
    assert "the end 42" in (lab.workspace / parked.output_path).read_text()
    (kept,) = (lab.workspace / parked.output_path).parent.glob("*.ada-lovelace-*.ipynb")
    assert "typed meanwhile" in kept.read_text()


def test_a_fresh_kernel_is_not_passed_off_as_the_old_one(
    desk: Desk, parked: Run, opened: Callable[[Run], Page]
) -> None:
    """After a restart the banner says what is gone; its button runs the setup cells."""
    page = opened(parked)
    says(page, "This is the kernel that ran the steps above.")
    in_notebook(page, "await panel.sessionContext.session.kernel.restart();")
    says(page, "The kernel is not the one that ran the steps above: what they made is gone.")
    banner(page).get_by_role("button", name="Run the setup cells").click()
    says(page, "You have taken this run over.")
    add_cell(page, "print('again', base, 'found' in dir())")
    page.get_by_text("again 40 False").wait_for()
    says(page, "The kernel is not the one that ran the steps above")
    assert resume.find(desk, parked.id).holder == PERSON


def test_whose_turn_it_is_follows_what_others_do(
    desk: Desk, parked: Run, opened: Callable[[Run], Page], loaded: Callable[..., Page]
) -> None:
    """Taken by somebody else, taken from them, ended elsewhere; two clicks are one."""
    page = opened(parked)
    handover.take(desk, parked.id)
    says(page, "Bo Berg has taken this run over. It stopped at “The gate”.")
    banner(page).get_by_role("button", name="Take over").dblclick()
    says(page, "You have taken this run over.")
    page.get_by_role("button", name="Give back").wait_for()
    entries = incidents.get(desk, parked.incident).entries
    assert [e.actor for e in entries if e.type == "run.taken"] == ["Bo Berg", PERSON]
    second = loaded(parked)
    second.get_by_role("button", name="Give back").press("Enter")
    says(page, "Waiting at “The gate”")
    running.cancel(desk, parked.id)
    says(page, "Cancelled at “The gate”: cancelled by Bo Berg.")
    assert page.get_by_role("button", name="Take over").count() == 0


def test_the_banner_does_not_say_what_it_cannot_know(
    parked: Run, opened: Callable[[Run], Page]
) -> None:
    """No server, no right, a notebook that was moved: it says so, and nothing is done unseen."""
    page = opened(parked)
    page.route("**/imtkit/api/runs/**", lambda route: route.abort())
    says(page, "Cannot reach the Jupyter server. This may be old: Waiting at “The gate”")
    banner(page).get_by_role("button", name="Take over").click()
    alert = banner(page).get_by_role("alert")
    alert.get_by_text("Cannot reach the Jupyter server.").wait_for()
    page.unroute("**/imtkit/api/runs/**")
    page.route("**/imtkit/api/runs/**", lambda r: r.fulfill(status=403, json={"message": "No."}))
    says(page, "No. This may be old:")
    page.unroute("**/imtkit/api/runs/**")
    page.locator(".imt-run[data-turn=gate]").wait_for()
    assert banner(page).get_by_text("may be old").count() == 0
    assert alert.count() == 0
    in_notebook(page, "await panel.context.rename('moved.ipynb');")
    says(page, f"This file was moved: the run's notebook is {parked.output_path}")
    assert dialogs(page) == 0


def test_a_cell_run_by_a_person_takes_the_run_over(
    desk: Desk, parked: Run, opened: Callable[[Run], Page]
) -> None:
    """Who runs a cell of a run that is nobody's has it in hand, and is told."""
    page = opened(parked)
    add_cell(page, "print('mine', found)")
    page.get_by_text("mine 42").wait_for()
    says(page, "You have taken this run over.")
    page.get_by_text("You ran a cell: by that you have taken the run over.").first.wait_for()
    run = resume.find(desk, parked.id)
    assert (run.holder, run.status) == (PERSON, "waiting")
    until(lambda: len(resume.find(desk, parked.id).steps) > len(parked.steps))
    assert resume.find(desk, parked.id).steps[-1].actor == PERSON
    add_cell(page, "import time; time.sleep(60)", run=False)
    in_notebook(page, "commands.execute('notebook:run-cell');")
    page.locator(".jp-InputPrompt", has_text="[*]").wait_for()
    page.get_by_role("button", name="Give back").click()
    page.get_by_text("A cell of yours still runs.").wait_for()
    assert resume.find(desk, parked.id).holder == PERSON
    in_notebook(page, "await panel.sessionContext.session.kernel.interrupt();")


@pytest.mark.parametrize(
    ("theme", "device"), [("JupyterLab Light", "desktop"), ("JupyterLab Dark", "phone")]
)
def test_the_banner_is_accessible(
    parked: Run, loaded: Callable[..., Page], theme: str, device: str
) -> None:
    """An audit (axe) finds no fault in either theme; on a phone nothing is cut off."""
    from axe_playwright_python.sync_playwright import Axe

    page = loaded(parked, device=device)
    page.evaluate(
        "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", theme
    )
    if device == "phone":
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        page.locator(".imt-run[data-narrow=true]").wait_for()
    page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
    for words, button in (("Waiting at", "Take over"), ("You have taken", "Give back")):
        says(page, words)
        found = Axe().run(page, context=".imt-run")
        assert found.violations_count == 0, found.generate_report()
        assert in_notebook(page, CUT_OFF) == []
        if button == "Take over":
            banner(page).get_by_role("button", name=button).click()


CUT_OFF = """const root = panel.node.querySelector(".imt-run"), box = root.getBoundingClientRect();
return [...root.querySelectorAll("p, button")].filter((node) => {
  const own = node.getBoundingClientRect();
  return own.right > box.right + 1 || own.bottom > box.bottom + 1;
}).map((node) => node.textContent);"""
