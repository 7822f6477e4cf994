"""The runbooks that ship, run for real: on real kernels, against what is really in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from imtkit.kit import Desk, open_desk, runs
from imtkit.model.incident import Incident, Run

RUNBOOKS = Path(__file__).resolve().parents[2] / "runbooks"


@dataclass(frozen=True)
class Ran:
    """A run that ended, its incident, and the notebook that it left."""

    run: Run
    incident: Incident
    notebook: nbformat.NotebookNode

    def said(self, cell_id: str) -> str:
        """Everything that one cell showed, as plain text."""
        cell = next(one for one in self.notebook.cells if one.id == cell_id)
        return "\n".join(
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        )

    @property
    def notes(self) -> str:
        """Every note in the incident's log."""
        return "\n".join(
            entry.data["text"] for entry in self.incident.entries if entry.type == "note.added"
        )


Go = Callable[..., Ran]


@pytest.fixture(scope="session")
def font_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of fonts for all kernels: matplotlib takes seconds to make it."""
    return tmp_path_factory.mktemp("matplotlib")


@pytest.fixture
def desk(workspace: Path) -> Iterator[Desk]:
    """A desk with a log on disk, which a kernel can reach too."""
    with open_desk(workspace, actor="Ann Example") as opened:
        yield opened


@pytest.fixture
def go(desk: Desk, font_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Run a runbook by name or path with parameters, to its end; every step must complete."""
    monkeypatch.setenv("MPLCONFIGDIR", str(font_cache))

    def run(name: str, **parameters: Any) -> Ran:
        path = RUNBOOKS / f"{name}.ipynb"
        done = runs.start(desk, str(path if path.exists() else name), parameters=parameters)
        output = desk.settings.root / done.output_path
        assert done.status == "completed", done.error
        incident = desk.store.incident(output.parent.name)
        return Ran(done, incident, nbformat.read(output, 4))

    return run
