"""Run one runbook: papermill loads and parameterises it, our engine executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imtkit.errors import KernelError, RunError
from imtkit.errors import suggestion as near
from imtkit.runs.conditions import Conditions
from imtkit.runs.denial import TAG
from imtkit.runs.kernels import specs_with
from imtkit.runs.runbook import SKIPPED, Runbook, read_notebook, source, step_titles, tags

if TYPE_CHECKING:
    from nbformat import NotebookNode


def check_kernel(runbook: Runbook) -> None:
    """KernelError when the kernel that a runbook names is not installed."""
    installed = specs_with(runbook.kernel).find_kernel_specs()
    if runbook.kernel not in installed:
        raise KernelError(
            f"Runbook '{runbook.name}' wants the kernel '{runbook.kernel}', "
            "which is not installed here.",
            hint=near(runbook.kernel, installed) or "Install one with: pip install ipykernel",
        )


def load_engine() -> None:
    """Import all that a run needs, so that the first run of a process does not wait for it."""
    import papermill  # noqa: F401 # loaded ahead

    from imtkit.runs import engine, outputs  # noqa: F401 # loaded ahead


def planned_steps(runbook: Runbook, *, is_denied: bool = True) -> dict[str, str]:
    """The steps a run of this runbook will take, in order: cell id -> title.

    Without ``is_denied`` those for a denial are left out. Cells of an old notebook without ids
    get theirs when it runs, and are not planned.
    """
    _, document = read_notebook(runbook.path)
    cells = document["cells"]
    return {
        str(cells[index]["id"]): title
        for index, title in step_titles(document).items()
        if cells[index].get("id") and source(cells[index]).strip()
        if SKIPPED not in tags(cells[index]) and (is_denied or TAG not in tags(cells[index]))
    }


def execute(runbook: Runbook, parameters: Mapping[str, Any], conditions: Conditions) -> None:
    """Run a notebook to its end or to the first step that does not complete.

    The output notebook (``conditions.output``) is whole at every moment. RunError when its
    files could not be read or written, KernelError when no kernel came up. Which step did not
    complete, and why, the journal is told.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillException

    output = conditions.output or Path()
    told = replace(
        conditions,
        titles=planned_steps(runbook),
        paths={"input_path": runbook.path.name, "output_path": output.name},
    )
    try:
        nb = _parameterised(runbook, parameters)
        options = {"progress_bar": False, "conditions": told}
        papermill_engines.execute_notebook_with_engine("imt", nb, runbook.kernel, **options)
    except NoSuchKernel as error:
        raise KernelError(f"The kernel '{runbook.kernel}' is not installed here.") from error
    except OSError as error:
        raise RunError(
            f"The run of '{runbook.name}' stopped: {error}.",
            hint=f"What was done until then is in {output.name} and in the log.",
            retryable=True,
        ) from error
    except (PapermillException, RuntimeError) as error:
        raise KernelError(f"The run of '{runbook.name}' stopped: {error}") from error


def _parameterised(runbook: Runbook, parameters: Mapping[str, Any]) -> NotebookNode:
    """The notebook with its values put in.

    ``papermill.execute_notebook`` would do this too, but it keeps a working directory for the
    whole process meanwhile, and writes every notebook once more for nobody.
    """
    from papermill.execute import remove_error_markers
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    nb = load_notebook_node(str(runbook.path))
    if parameters:
        language = {"kernel_name": runbook.kernel, "language": runbook.language}
        nb = parameterize_notebook(nb, dict(parameters), engine_name="imt", **language)
    return remove_error_markers(nb)
