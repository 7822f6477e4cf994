"""One executed notebook as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imtkit.config import shipped
from imtkit.model.entries import Entry
from imtkit.model.incident import Incident, Run, Step
from imtkit.model.lifecycle import STEP_STATUSES
from imtkit.model.words import run_name, span_text, visible
from imtkit.record._templates import environment, state_class
from imtkit.record.notebook import mended, read_notebook
from imtkit.record.seal import seal

if TYPE_CHECKING:
    from imtkit.record._exporter import RecordExporter

MODE_WORDS: Mapping[str, str] = {
    "drill": "an exercise, not a real incident.",
    "test": "a test of the tools, not a real incident.",
    "retrospective": "a real incident, written down afterwards.",
}


@dataclass(frozen=True, slots=True)
class _CellStep:
    """What a page says beside a code cell."""

    number: int
    state: str
    label: str
    span: str = ""
    at: str = ""
    who: str = ""


class Pages:
    """Makes pages. Keep one for the life of the process: its first page costs two seconds of
    imports, each later one milliseconds.
    """

    def __init__(self) -> None:
        self._jinja = environment()
        self._exporter: RecordExporter | None = None

    def page(
        self, notebook: Path | Mapping[str, Any], incident: Incident, runs: Sequence[Run] = ()
    ) -> str:
        """The page of a notebook (a path, or its tables) that these runs of the incident wrote.

        No script, no style sheet or image from elsewhere, no live content; the same notebook
        and the same log give the same text. RecordError when the notebook cannot be drawn.
        """
        tables = read_notebook(notebook) if isinstance(notebook, Path) else mended(notebook)
        name = notebook.stem if isinstance(notebook, Path) else "notebook"
        seal(tables, incident)
        title = run_name(runs[-1]) if runs else visible(name)
        about = {
            "title": page_title(incident, title),
            "head": self._head(incident, runs, title, stale=stale_text(tables["cells"], runs)),
            "foot": self._jinja.get_template("foot.html.j2").render(incident=incident),
            "steps": cell_steps(tables["cells"], runs, by_hand(incident, runs)),
        }
        return self._started().draw(tables, about)

    def _started(self) -> RecordExporter:
        if self._exporter is None:
            from imtkit.record._exporter import RecordExporter

            self._exporter = RecordExporter(shipped("templates"))
        return self._exporter

    def _head(self, incident: Incident, runs: Sequence[Run], title: str, *, stale: str) -> str:
        alarms = [
            f"The run {run.id} had not ended when this record was built; what is below is what "
            "it had written by then."
            for run in runs
            if run.status == "running" and not run.by_hand
        ]
        alarms += [stale] if stale else []
        return self._jinja.get_template("head.html.j2").render(
            incident=incident,
            runs=runs,
            hands=hands(incident, runs),
            title=title,
            alarms=alarms,
            mode_words=MODE_WORDS.get(incident.mode, "not a live incident."),
        )


def page_title(incident: Incident, title: str) -> str:
    """A page's title; what is not a live incident says so first."""
    mode = "" if incident.mode == "live" else f"[{incident.mode.upper()}] "
    return visible(f"{mode}{title} – {incident.id}")


def stale_text(cells: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> str:
    """That a notebook was not saved since its cells ran by hand; empty when it holds them all."""
    ran = {step.id for run in runs if run.by_hand for step in run.steps}
    lost = sum(
        cell["id"] in ran and cell["cell_type"] == "code" and not _holds_a_result(cell)
        for cell in cells
    )
    if not lost:
        return ""
    cells_ran = "1 cell ran whose results" if lost == 1 else f"{lost} cells ran whose results"
    return (
        f"The saved notebook is older than the log: {cells_ran} it does not hold. "
        "Save it and build the record again."
    )


def _holds_a_result(cell: Mapping[str, Any]) -> bool:
    return cell.get("execution_count") is not None or bool(cell.get("outputs"))


def hands(incident: Incident, runs: Sequence[Run]) -> dict[str, list[tuple[str, Entry]]]:
    """By run, its ways between the machine and people, in words, each with its entry."""
    words = {"run.taken": "taken over", "run.given": "given back to the machine"}
    found: dict[str, list[tuple[str, Entry]]] = {run.id: [] for run in runs}
    for entry in incident.entries:
        run = str(entry.data.get("run", ""))
        if entry.type in words and run in found:
            found[run].append((words[entry.type], entry))
    return found


def by_hand(incident: Incident, runs: Sequence[Run]) -> frozenset[str]:
    """The steps, by id, of machines' runs that a person ran last, in a notebook."""
    last = {
        str(entry.data.get("step", "")): entry.source
        for entry in incident.entries
        if entry.type == "step.finished"
        and any(run.has_runner and run.id == entry.data.get("run") for run in runs)
    }
    return frozenset(step for step, source in last.items() if source == "notebook")


def cell_steps(
    cells: Sequence[Mapping[str, Any]], runs: Sequence[Run], by_hand: Collection[str] = ()
) -> dict[str, _CellStep]:
    """What to say beside each code cell, by cell id: from the log, else from the cell.

    Who ran it is said where that is not the one who began the run, or where several did.
    """
    logged = {
        step.id: (step, _who(step, run, by_hand=step.id in by_hand))
        for run in runs
        for step in run.steps
    }
    # Whoever works by hand may run a cell that is never logged: before joining, or elsewhere.
    untold = "not recorded" if any(run.by_hand for run in runs) else "not run"
    return {
        cell["id"]: _from_log(number, *logged[cell["id"]])
        if cell["id"] in logged
        else _from_cell(number, cell, untold)
        for number, cell in enumerate(cells, start=1)
        if cell["cell_type"] == "code" and cell["source"].strip()
    }


def _who(step: Step, run: Run, *, by_hand: bool) -> str:
    actors = {one.actor for one in run.steps if one.actor}
    who = step.actor if step.actor != run.actor or len(actors) > 1 else ""
    return f"{who or step.actor}, by hand" if by_hand else who


def _from_log(number: int, step: Step, who: str) -> _CellStep:
    began, ended = step.started_at, step.finished_at
    return _CellStep(
        number,
        state_class(step.status),
        visible(step.status.replace("-", " ")),
        span_text(ended - began) if began and ended else "",
        began.strftime("%H:%M:%S UTC") if began else "",
        visible(who),
    )


def _from_cell(number: int, cell: Mapping[str, Any], untold: str) -> _CellStep:
    """What a cell says of itself, where the log says nothing; ``untold`` where it says nothing.

    papermill's own stamps are not believed of a cell that never ran: it stamps 'completed' on
    cells that it skipped.
    """
    ours, ran = _stamp(cell, "imtkit"), _holds_a_result(cell)
    said = ours or (_stamp(cell, "papermill") if ran else "")
    if said == "completed" and "injected-parameters" in cell["metadata"].get("tags", ()):
        return _CellStep(number, "", "parameters as given")
    if said in ("", "not-run") and not ran:
        return _CellStep(number, "", untold)
    if said in STEP_STATUSES or said == "running":
        return _CellStep(number, state_class(said), f"{said.replace('-', ' ')}, not in the log")
    return _CellStep(number, "", "ran, not in the log")


def _stamp(cell: Mapping[str, Any], key: str) -> str:
    about = cell["metadata"].get(key)
    status = about.get("status") if isinstance(about, Mapping) else None
    return status if isinstance(status, str) else ""
