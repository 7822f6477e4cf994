"""What a terminal is shown, and what it is never made to do."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from clocks import FixedClock
from rich.console import Console, RenderableType

from imtkit.cli.pages import UNWRAPPED, incident_page, incident_table
from imtkit.cli.runs_table import RunsTable
from imtkit.kit import Desk, checklists, corrections, gates, incidents
from imtkit.kit.gates import Question
from imtkit.kit.turns import Turns
from imtkit.model.checklist import checklist_of
from imtkit.model.incident import Incident, Run, Step, Summary
from imtkit.model.opening import Opening

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
ROW = Summary(
    id="INC-2026-0001",
    title="Checkout fails for everybody who pays by card, since the release of this morning",
    severity="sev1",
    status="acknowledged",
    mode="live",
    category="",
    owner="payments",
    services=("orders",),
    tags=(),
    opened_at=NOW - timedelta(minutes=7),
    acknowledged_at=None,
    mitigated_at=None,
    resolved_at=None,
    closed_at=None,
    reopened=0,
)
HOSTILE = "\x1b[31mred\x1b]0;owned\x07 [bold]not bold[/] \u202egnp.exe :warning: \x9b2J"


def drawn(part: RenderableType, width: int, *, is_terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=is_terminal,
        color_system="standard" if is_terminal else None,
    )
    console.print(part)
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_list_fits_every_terminal(desk: Desk, width: int) -> None:
    """No line is wider than the terminal, the id is whole, and a cut title says so."""
    table = incident_table([ROW], desk.settings.severities, now=NOW, width=width)
    lines = drawn(table, width).splitlines()
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    assert lines[1].startswith("INC-2026-0001")
    assert ROW.title in lines[1] or "…" in lines[1]


def test_a_program_gets_whole_titles(desk: Desk) -> None:
    """What is not a terminal is not cut to one."""
    table = incident_table([ROW], desk.settings.severities, now=NOW, width=UNWRAPPED)
    assert ROW.title in drawn(table, UNWRAPPED)


def test_drills_are_told_apart_in_the_list(desk: Desk) -> None:
    """Nobody takes an exercise for the real thing."""
    rows = [replace(ROW, mode="drill", title="A drill")]
    table = incident_table(rows, desk.settings.severities, now=NOW, width=100)
    assert "[drill] A drill" in drawn(table, 100)


@pytest.fixture
def hostile(desk: Desk) -> Incident:
    """An incident whose every text is hostile."""
    opening = Opening(HOSTILE, services=(HOSTILE,), summary=HOSTILE, tags=(HOSTILE,))
    opened = incidents.open_(desk, opening)
    incidents.note(desk, opened.id, HOSTILE)
    incidents.decide(desk, opened.id, HOSTILE, reason=HOSTILE)
    incidents.set_fields(desk, opened.id, {"cause": HOSTILE})
    incidents.ask(desk, opened.id, HOSTILE, assignee=HOSTILE)
    checklists.show(desk, opened.id, checklist_of("first", [HOSTILE], title=HOSTILE))
    # The verb refuses such a name; a log may hold one all the same.
    held = desk.draft("role.assigned", {"role": "commander", "person": HOSTILE})
    desk.store.append(opened.id, held)
    return incidents.get(desk, opened.id)


def test_text_of_the_log_cannot_steer_the_terminal(desk: Desk, hostile: Incident) -> None:
    """Escapes, control characters, bidirectional overrides and markup are shown as text."""
    text = drawn(incident_page(hostile, desk.settings.severities), 100, is_terminal=True)
    ours = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", ours)
    assert "\x1b]" not in text
    assert "[bold]not bold[/]" in ours.replace("\n", "")
    assert ":warning:" in ours


def test_a_page_shows_what_a_reader_asks_for(desk: Desk) -> None:
    """People, checklists with ids and ticks, decisions with reasons, and the timeline."""
    opened = incidents.open_(desk, Opening("Checkout fails", severity="sev2"))
    incidents.assign(desk, opened.id, "commander", "Ada Example")
    checklists.show(desk, opened.id, checklist_of("first", [("logs", "Read the logs"), "Tell"]))
    checklists.tick(desk, opened.id, "first", "logs")
    incidents.decide(desk, opened.id, "Roll back", reason="errors began with v42")
    found = incidents.get(desk, opened.id)
    text = drawn(incident_page(found, desk.settings.severities), 100)
    for wanted in (
        f"{opened.id} · sev2 · open",
        "commander  Ada Example",
        "Checklist first",
        "[x]  logs  Read the logs  Ann Example",
        "[ ]  tell  Tell",
        "because errors began with v42",
        "Timeline",
    ):
        assert wanted in text


def test_corrected_entries_are_marked(desk: Desk) -> None:
    """The timeline keeps what was corrected, and says which entry did it."""
    opened = incidents.open_(desk, Opening("Checkout fails"))
    wrong = incidents.note(desk, opened.id, "It is the cache")
    corrections.correct(
        desk, opened.id, wrong.n, {"text": "It is the index"}, reason="looked again"
    )
    found = incidents.get(desk, opened.id)
    text = drawn(incident_page(found, desk.settings.severities), 100)
    assert "It is the cache (see entry 3)" in text


def test_what_was_told_later_says_so(desk: Desk, clock: FixedClock) -> None:
    """The timeline keeps the log's order; an entry of an earlier time than one above is marked."""
    id_ = incidents.open_(desk, Opening("Orders fail")).id
    opened_at = clock.now()
    clock.move(minutes=10)
    incidents.note(desk, id_, "Traffic moved")
    incidents.note(desk, id_, "The first page came", at=opened_at + timedelta(minutes=2))
    incidents.note(desk, id_, "So did the second", at=opened_at + timedelta(minutes=3))
    incidents.note(desk, id_, "A moment ago", at=clock.now() - timedelta(seconds=30))
    found = incidents.get(desk, id_)
    timeline = drawn(incident_page(found, desk.settings.severities), 100).split("Timeline")[1]
    late = [line for line in timeline.splitlines() if "(told later)" in line]
    assert len(late) == 2
    assert "The first page came" in late[0]
    assert "So did the second" in late[1]


def test_steps_that_went_well_are_left_out_of_the_timeline(desk: Desk) -> None:
    """The page says how many; what went wrong is told."""
    opened = incidents.open_(desk, Opening("Checkout fails"))
    begun = {"run": "r1", "runbook": "db"}
    desk.store.append(opened.id, desk.draft("run.started", begun))
    for step, status in (("look", "completed"), ("mend", "failed")):
        about = {"run": "r1", "step": step, "title": step.capitalize()}
        desk.store.append(opened.id, desk.draft("step.started", about))
        desk.store.append(opened.id, desk.draft("step.finished", {**about, "status": status}))
    found = incidents.get(desk, opened.id)
    timeline = drawn(incident_page(found, desk.settings.severities), 100).split("Timeline")[1]
    assert "Left out: 3 entries about steps that went well" in timeline
    assert "Mend" in timeline
    assert "Look" not in timeline


def test_gates_are_on_the_page(desk: Desk) -> None:
    """What was asked, where it stands, by whom it was answered and why."""
    id_ = incidents.open_(desk, Opening("Orders fail")).id
    gates.open_(desk, id_, Question("Fail over?"))
    gates.answer(desk, id_, "fail-over", "yes", reason="lag is 0")
    gates.open_(desk, id_, Question("And back?"))
    page = drawn(incident_page(incidents.get(desk, id_), desk.settings.severities), 140)
    told = page[page.index("Gates and changes") : page.index("Timeline")]
    for said in ("answered: yes", "Fail over?", "lag is 0", "Ann Example", "waiting", "And back?"):
        assert said in told


@pytest.mark.parametrize("width", [80, 100, 140])
def test_ids_on_the_page_are_whole(desk: Desk, width: int) -> None:
    """Of gates and runs, so that they can be copied, however long the words beside them are."""
    id_ = incidents.open_(desk, Opening("Orders fail")).id
    run = "20261121T134726Z-1a2b3c"
    desk.store.append(id_, desk.draft("run.started", {"run": run, "runbook": "book"}))
    asked = Question("May the whole of the shop be restarted? " * 3, run=run)
    gate = gates.open_(desk, id_, asked)
    gates.answer(desk, id_, gate.id, "yes", reason="because nobody can buy anything " * 5)
    page = drawn(incident_page(incidents.get(desk, id_), desk.settings.severities), width)
    words = page.split()
    assert gate.id in words
    assert run in words


def test_a_queued_run_tells_its_place_and_how_long_it_waits() -> None:
    """In the list; one that waits alone only says that it waits."""
    first = Run("r1", "book", "queued", "automation/shop", NOW - timedelta(seconds=75))
    second = replace(first, id="r2", started_at=NOW - timedelta(seconds=5))
    lines = drawn(RunsTable([second, first], NOW, Turns(("r1", "r2"), False)), 120).splitlines()
    assert "2 of 2 in the queue" in lines[1]
    assert lines[1].rstrip().endswith("5 s")
    assert "next of 2 in the queue" in lines[2]
    assert lines[2].rstrip().endswith("1 min 15 s")
    assert "waits for a worker" in drawn(RunsTable([first], NOW, Turns(("r1",), None)), 120)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_each_run_is_one_line_with_its_time_so_far(width: int) -> None:
    """Nothing wraps and no id is cut; what goes on has a time too, and UTC is said once."""
    run = Run(
        "20261121T134726Z-1a2b3c",
        "a-runbook-with-a-rather-long-name",
        "running",
        "Ann",
        NOW - timedelta(minutes=12, seconds=34),
        incident="INC-2026-0042",
        steps=(Step("a", "running", f"Look for {HOSTILE} and the longest of all queries"),),
    )
    over = replace(run, status="kernel-died", finished_at=NOW)
    head, *lines = drawn(RunsTable([run, over], NOW, Turns()), width).splitlines()
    assert len(lines) == 2
    for line, status in zip(lines, ("running", "kernel-died"), strict=True):
        assert line.startswith(run.id)
        assert line.rstrip().endswith("12 min 34 s")
        assert status in line
        assert "UTC" not in line
        assert len(line.rstrip()) <= width
    assert ("Began (UTC)" in head) == (width >= 110)
    assert ("INC-2026-0042" in lines[0]) == (width >= 80)
    assert ("Look" in lines[0]) == (width >= 80)
