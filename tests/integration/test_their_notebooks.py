"""papermill's and nbclient's own notebooks: our engine records what the stock engine records.

But for what the stock record says falsely: there ours says what is true (``FALSE``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_core.utils import ensure_event_loop
from their_sources import NotThereError, their_sources

pytestmark = [
    pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning"),
]

NOTEBOOKS = {
    "papermill": "papermill/papermill/tests/notebooks",
    "nbclient": "nbclient/tests/files",
}
PARAMETERS: dict[str, Any] = {
    "papermill/complex_parameters": {"a": 2.5, "b": ["x"]},
    "papermill/nb_version_4.4": {"var": 7},
    "papermill/no_parameters": {"msg": "Hello"},
    "papermill/report_mode_test": {"a": 0, "b": 2},
    "papermill/result_no_exec": {"foo": 2},
    "papermill/s3/s3_in/s3-simple_notebook": {"msg": "Hello"},
    "papermill/simple_execute": {"msg": "Hello ☃"},
}
OPTIONS: dict[str, Any] = {
    "papermill/keyboard_interrupt": {"execution_timeout": 1},
    "papermill/notimplemented_translator": {"kernel_name": None, "language": None},
    "papermill/report_mode_test": {"report_mode": True},
    "nbclient/Interrupt": {"execution_timeout": 1},
    "nbclient/Output": {"execution_timeout": 8},  # see Bench.stock
}
PLAIN = (
    "papermill/binder",
    "papermill/blank-vscode",
    "papermill/broken",
    "papermill/broken1",
    "papermill/broken2",
    "papermill/complex_parameters",
    "papermill/gcs/gcs_in/gcs-simple_notebook",
    "papermill/line_magic_error",
    "papermill/nb_version_4.4",
    "papermill/no_parameters",
    "papermill/read_check",
    "papermill/report_mode_test",
    "papermill/result_no_exec",
    "papermill/s3/s3_in/s3-simple_notebook",
    "papermill/simple_execute",
    "papermill/sysexit1",
    "papermill/test_autosave",
    "papermill/test_logging",
    "papermill/test_notebooknode_io",
    "nbclient/Check_History_in_Memory",
    "nbclient/Clear_Output",
    "nbclient/Disable_Stdin",
    "nbclient/Empty_Cell",
    "nbclient/Error",
    "nbclient/Factorials",
    "nbclient/HelloWorld",
    "nbclient/Inline_Image",
    "nbclient/JupyterWidgets",
    "nbclient/Other_Comms",
    "nbclient/Output",
    "nbclient/SVG",
    "nbclient/Skip_Exceptions_with_Cell_Tags",
    "nbclient/Skip_Exceptions",
    "nbclient/Sleep1s",
    "nbclient/Unicode",
    "nbclient/UnicodePy3",
    "nbclient/update-display-id",
)
TOGETHER = ("nbclient/Parallel_Execute_A", "nbclient/Parallel_Execute_B")


@dataclass(frozen=True)
class Untrue:
    """A record of the stock engine that is not true, and what is: each code cell's status."""

    why: str
    stock: tuple[str, ...]
    ours: tuple[str, ...]
    raised: tuple[str, str] = ("", "")
    is_count_chance: bool = False


_EXITED = Untrue(
    "sys.exit(0) ended the notebook on purpose; papermill calls the cell failed, and succeeds",
    ("completed", "failed", "pending"),
    ("completed", "completed", "not-run"),
)
FALSE = {
    "papermill/keyboard_interrupt": Untrue(
        "the cell was ended at its time limit; papermill calls it completed",
        ("completed",),
        ("timed-out",),
        ("CellTimeoutError", "PapermillExecutionError"),
    ),
    "papermill/notimplemented_translator": Untrue(
        "its kernel is not installed, so that nothing ran; papermill calls the cell completed",
        ("completed",),
        ("not-run",),
        ("NoSuchKernel", "NoSuchKernel"),
    ),
    "papermill/sysexit": _EXITED,
    "papermill/sysexit0": _EXITED,
    "papermill/systemexit": _EXITED,
    "nbclient/Autokill": Untrue(
        "the kernel died; papermill calls the cell completed",
        ("completed",),
        ("kernel-died",),
        ("DeadKernelError", "PapermillExecutionError"),
        is_count_chance=True,  # whether the kernel still says which cell it began
    ),
    "nbclient/Interrupt": Untrue(
        "the first cell was ended at its time limit, the second never ran; both are 'completed'",
        ("completed", "completed"),
        ("timed-out", "not-run"),
        ("CellTimeoutError", "PapermillExecutionError"),
    ),
    "nbclient/Skip_Execution_with_Cell_Tag": Untrue(
        "a cell tagged skip-execution did not run; papermill calls it completed",
        ("completed", "completed"),
        ("not-run", "completed"),
    ),
}


@dataclass(frozen=True)
class Ran:
    """What one engine made of a notebook: the notebook it left, and what it raised."""

    nb: Any
    error: BaseException | None

    @property
    def raised(self) -> str:
        """The kind of error; empty without one."""
        return type(self.error).__name__ if self.error else ""

    def statuses(self, whose: str) -> tuple[str, ...]:
        """What it says of each code cell in which there is anything to run."""
        cells = (c for c in self.nb.cells if c.cell_type == "code" and c.source.strip())
        return tuple(cell.metadata.get(whose, {}).get("status", "") for cell in cells)


@dataclass(frozen=True)
class Bench:
    """A copy of both source distributions, and where the executed notebooks go."""

    sources: Path
    outputs: Path

    def path(self, name: str) -> Path:
        """Where a notebook of theirs lies."""
        project, _, rest = name.partition("/")
        rest = rest.replace("_", " ") if project == "nbclient" else rest
        return self.sources / NOTEBOOKS[project] / f"{rest}.ipynb"

    def run(self, name: str, engine: str) -> Ran:
        """Run a notebook in its own folder; the process must be there already."""
        output = self.outputs / engine / f"{name.replace('/', '-')}.ipynb"
        output.parent.mkdir(exist_ok=True)
        options = {"kernel_name": "python3", "language": "python", "execution_timeout": 60}
        options |= OPTIONS.get(name, {})
        if engine == "nbclient":
            # The pieces in which a stream arrives are chance; we always merge them.
            options["coalesce_streams"] = True
        error = None
        try:
            papermill.execute_notebook(
                self.path(name),
                output,
                parameters=PARAMETERS.get(name),
                engine_name=engine,
                progress_bar=False,
                **options,
            )
        except Exception as fault:  # noqa: BLE001 # whatever it is, both must raise it
            error = fault
        return Ran(nbformat.read(output, 4) if output.exists() else None, error)

    def stock(self, name: str) -> Ran:
        """The stock engine's run; anew when it lost the kernel's answer.

        It does so now and then when a cell prints into an Output widget.
        """
        for _ in range(3):
            ran = self.run(name, "nbclient")
            if ran.raised != "CellTimeoutError" or name in FALSE:
                break
        return ran


@pytest.fixture(scope="session")
def sources(request: pytest.FixtureRequest) -> Path:
    """Their source distributions; without a network, the tests that need them are skipped."""
    try:
        return their_sources(request.config.cache.mkdir("their-notebooks"))
    except NotThereError as error:
        pytest.skip(f"papermill's and nbclient's source distributions: {error}")


@pytest.fixture
def bench(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A copy to run them in: some write, one starts papermill as a command."""
    shutil.copytree(sources, tmp_path / "sources")
    (tmp_path / "outputs").mkdir()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "80")
    return Bench(tmp_path / "sources", tmp_path / "outputs")


def both(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Ran, Ran]:
    """The stock engine's run and ours, at the same time."""
    monkeypatch.chdir(bench.path(name).parent)
    with ThreadPoolExecutor(2) as pool:
        stock = pool.submit(without_its_loop, bench.stock, name)
        ours = pool.submit(without_its_loop, bench.run, name, "imt")
        return stock.result(), ours.result()


def without_its_loop(work: Callable[..., Ran], *words: str) -> Ran:
    """What the work comes to; Jupyter makes an event loop for each thread, and leaves it open."""
    try:
        return work(*words)
    finally:
        ensure_event_loop().close()


CHANCE = (
    (r"0x[0-9a-f]{7,16}", "<address>"),
    (r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", "<model id>"),  # of widgets
    (r"ipykernel_\d+", "ipykernel_<process>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "<time>"),
    (r"\d\d:\d\d<[\d:?]+, +[\d.?]+(cell/s|s/cell)", "<progress>"),  # tqdm's, in binder.ipynb
)
"""What differs from run to run of one engine, too, and what stands in its place here."""


def steady(text: str) -> str:
    """A text without what is chance in it."""
    for pattern, instead in CHANCE:
        text = re.sub(pattern, instead, text)
    return text


def told(ran: Ran, *, with_status: bool) -> dict[str, Any]:
    """A record in the terms in which two are compared.

    Left out: times, our own metadata, the output's path, and the ids that papermill makes up for
    cells of old notebooks. Widgets' states are sorted: their order is that of random ids. Without
    ``with_status``, what papermill says of success and failure, and its banners of an error.
    """
    cells = [_cell(cell, with_status) for cell in ran.nb.cells]
    metadata = json.loads(json.dumps(ran.nb.metadata))
    about = metadata["papermill"]
    left_out = {"start_time", "end_time", "duration", "output_path"}
    left_out |= set() if with_status else {"exception"}
    metadata["papermill"] = {name: one for name, one in about.items() if name not in left_out}
    if not with_status:
        metadata.pop("language_info", None)  # the stock engine asks only when all went well
    states = metadata.pop("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    widgets = sorted(
        steady(json.dumps(one, sort_keys=True)) for one in states.get("state", {}).values()
    )
    shown = [cell for cell in cells if with_status or not cell["is_banner"]]
    return {"cells": shown, "metadata": metadata, "widgets": widgets}


def _cell(cell: Mapping[str, Any], with_status: bool) -> dict[str, Any]:
    metadata = {name: one for name, one in cell["metadata"].items() if name != "imtkit"}
    about = metadata.pop("papermill", {})
    metadata.get("execution", {}).clear()  # times
    return {
        "is_banner": "papermill-error-cell-tag" in metadata.get("tags", []),
        "source": cell["source"],
        "count": cell.get("execution_count"),
        "outputs": steady(json.dumps(cell.get("outputs"), indent=1)).splitlines(),
        "metadata": metadata,
        "papermill": (about.get("status"), about.get("exception")) if with_status else (),
    }


def error_of(ran: Ran) -> str:
    """What it raised, in full."""
    return f"{ran.raised}: {steady(str(ran.error))}"


def test_every_notebook_of_theirs_is_run(sources: Path) -> None:
    """The tables here name all that the source distributions have."""
    found = {
        f"{project}/{path.relative_to(sources / folder).with_suffix('').as_posix()}"
        for project, folder in NOTEBOOKS.items()
        for path in (sources / folder).rglob("*.ipynb")
    }
    spaced = (*PLAIN, *TOGETHER, *FALSE)
    assert len(spaced) == len(set(spaced)) == 47
    assert set(spaced) == {
        name.replace(" ", "_") if name.startswith("nbclient") else name for name in found
    }


@pytest.mark.parametrize("name", PLAIN)
def test_the_record_is_the_stock_engines(
    bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, counts, statuses, parameters, widgets, the notebook's metadata, and the error."""
    stock, ours = both(bench, name, monkeypatch)
    assert error_of(ours) == error_of(stock)
    if stock.nb is None:
        assert ours.nb is None
        return
    assert told(ours, with_status=True) == told(stock, with_status=True)


@pytest.mark.parametrize("name", FALSE)
def test_where_the_stock_record_is_false_ours_is_true(
    bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs are the same; only what is said of them differs, as the table has it."""
    stock, ours = both(bench, name, monkeypatch)
    known = FALSE[name]
    records = [told(one, with_status=False) for one in (ours, stock)]
    for cell in (cell for record in records for cell in record["cells"]):
        cell["count"] = None if known.is_count_chance else cell["count"]
    assert records[0] == records[1]
    assert stock.statuses("papermill") == known.stock, known.why
    assert ours.statuses("imtkit") == known.ours
    assert (stock.raised, ours.raised) == known.raised


def test_two_that_wait_for_each_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each engine runs both at once in one process: each notebook sees the file of the other."""
    monkeypatch.chdir(bench.path(TOGETHER[0]).parent)
    ran: dict[str, list[Ran]] = {}
    for engine in ("nbclient", "imt"):
        (bench.outputs / f"meet-{engine}").mkdir()
        monkeypatch.setenv("NBEXECUTE_TEST_PARALLEL_TMPDIR", str(bench.outputs / f"meet-{engine}"))
        with ThreadPoolExecutor(2) as pool:
            each = [pool.submit(without_its_loop, bench.run, name, engine) for name in TOGETHER]
            ran[engine] = [one.result() for one in each]
    for stock, ours in zip(ran["nbclient"], ran["imt"], strict=True):
        assert (ours.raised, stock.raised) == ("", "")
        assert told(ours, with_status=True) == told(stock, with_status=True)
