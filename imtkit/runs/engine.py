"""papermill's engine ``imt``: executes a notebook cell by cell and says only what is true.

papermill itself stamps ``completed`` on cells that hung, died or never ran. Here every code
cell ends as one of ``lifecycle.STEP_STATUSES``, in the notebook's metadata (``imtkit``), in
papermill's own fields as far as its vocabulary reaches, and, through ``Journal``, in the log.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from papermill.engines import Engine

from imtkit.runs.conditions import ATTEMPT, Conditions
from imtkit.runs.echo import Echo
from imtkit.runs.execution import Execution
from imtkit.runs.keeper import Keeper

if TYPE_CHECKING:
    from nbformat import NotebookNode


class ImtEngine(Engine):  # type: ignore[misc]  # papermill ships no types
    """The engine that ``papermill --engine imt`` and ``imt run`` use."""

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        **options: Any,
    ) -> NotebookNode:
        """Execute a notebook and return it; papermill raises for failed cells afterwards.

        Own option: ``conditions`` (Conditions). Of papermill's, ``start_timeout`` and
        ``execution_timeout`` (both seconds), ``log_output``, ``stdout_file`` and ``stderr_file``
        are honoured.
        """
        conditions: Conditions = options.get("conditions") or Conditions()
        target = conditions.output or (Path(output_path) if output_path else None)
        echo = Echo(log_output, options.get("stdout_file"), options.get("stderr_file"))
        keeper = Keeper(nb, target, progress_bar=progress_bar, kept=conditions.kept, echo=echo)
        keeper.notebook_start()
        nb.metadata.papermill.update(conditions.paths)
        if conditions.attempt:
            nb.metadata.papermill[ATTEMPT] = conditions.attempt
        try:
            execution = Execution(keeper, kernel_name, conditions, options)
            execution.run()
        finally:
            keeper.notebook_complete()
        return keeper.nb
