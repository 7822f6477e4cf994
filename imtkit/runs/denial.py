"""A run whose step was denied: the cells that a runbook keeps for that, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence

from imtkit.model.incident import Step
from imtkit.runs.conditions import StepEvent

TAG = "denied"
"""The tag of cells that run only after a denial: a gate expired, or a change was denied."""

ERROR = "DeniedError: "
"""How the error of a step begins that was denied what it asked for."""


def is_denial(step: StepEvent | Step) -> bool:
    """Whether a step ended because what it asked for was denied, or not answered in time."""
    return step.status == "failed" and step.error.startswith(ERROR)


def outcome(ended: Sequence[StepEvent]) -> tuple[str, str]:
    """How a run ended whose steps ended so: its status, and why.

    After a denial it has failed, by whom and why, and it says whether the cells for that ran;
    where one of these did not complete, the run ended as that one did.
    """
    at = next((at for at, event in enumerate(ended) if event.status != "completed"), None)
    if at is None:
        return "completed", ""
    bad, way = ended[at], ended[at + 1 :]
    if not is_denial(bad):
        return bad.status, bad.error
    said = bad.error.removeprefix(ERROR)
    if not way:
        return "failed", said
    last, said = way[-1], said.rstrip(".")
    if last.status == "completed":
        cells = "the cell" if len(way) == 1 else f"the {len(way)} cells"
        return "failed", f"{said}; {cells} for that ran"
    why = f": {last.error}" if last.error else ""
    name = last.title or last.id
    return last.status, f"{said}; of the cells for that, '{name}' ended as {last.status}{why}"
