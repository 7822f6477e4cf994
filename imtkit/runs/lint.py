"""Whether a runbook is one: what the linter asks of every notebook in ``runbooks/``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from imtkit.errors import InputError
from imtkit.model.severity import Severities
from imtkit.runs.denial import TAG as DENIED
from imtkit.runs.runbook import METADATA, Runbook, code_cells, read_notebook, read_runbook
from imtkit.runs.runbook import source as text_of
from imtkit.runs.runbook import tags as tags_of

Document = Mapping[str, Any]
Rule = Callable[[Runbook, Document], Iterator[str]]

_ACTIONS = frozenset({"action", "remediation", "once"})


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing a runbook lacks: in which file, by which rule, in words."""

    path: Path
    rule: str
    message: str


def lint_runbook(path: Path, severities: Severities) -> list[Complaint]:
    """Everything the linter has to say of one file, in the order of the rules."""
    try:
        runbook = read_runbook(path)
        _, document = read_notebook(path)
    except InputError as error:
        return [Complaint(path, "readable", str(error))]
    found = [
        Complaint(path, name, message)
        for name, rule in _RULES.items()
        for message in rule(runbook, document)
    ]
    known = {level.name for level in severities.levels}
    found += [
        Complaint(path, "severity-hints", f"'{hint}' names no severity of {sorted(known)}.")
        for hint in runbook.severity_hints
        if not any(name in hint.lower() for name in known)
    ]
    return found


def _metadata(runbook: Runbook, _document: Document) -> Iterator[str]:
    if not runbook.has_metadata:
        yield f"has no '{METADATA}' table in its metadata. Start one with: imt runbook new"
        return
    for name, value in {
        "title": runbook.title,
        "owner": runbook.owner,
        "services": runbook.services,
        "alerts": runbook.alerts,
        "severity.hints": runbook.severity_hints,
        "roles": runbook.roles,
    }.items():
        if not value:
            yield f"says nothing of its {name}."


def _reviewed(runbook: Runbook, _document: Document) -> Iterator[str]:
    try:
        date.fromisoformat(runbook.last_reviewed)
    except ValueError:
        said = f"is {runbook.last_reviewed!r}, not" if runbook.last_reviewed else "is empty; give"
        yield f"last_reviewed {said} a date like 2026-11-21."


def _one_parameters_cell(_runbook: Runbook, document: Document) -> Iterator[str]:
    count = sum("parameters" in tags_of(cell) for cell in code_cells(document))
    if count != 1:
        yield f"has {count} cells tagged 'parameters'; it takes exactly one."


def _typed_parameters(runbook: Runbook, _document: Document) -> Iterator[str]:
    for parameter in runbook.parameters:
        if not parameter.type:
            yield f"parameter '{parameter.name}' has no type."
        if not parameter.help:
            yield f"parameter '{parameter.name}' has no description (a comment on its line)."


def _alert_parameters(runbook: Runbook, _document: Document) -> Iterator[str]:
    declared = {parameter.name for parameter in runbook.parameters}
    for name in runbook.alert_parameters:
        if name not in declared:
            yield f"alert_parameters names '{name}', which is not declared."


def _ids(_runbook: Runbook, document: Document) -> Iterator[str]:
    ids = [cell.get("id") for cell in document["cells"]]
    if any(not isinstance(one, str) or not one for one in ids):
        yield "has cells without an id; save it in JupyterLab, which gives each one."
    elif len(set(ids)) != len(ids):
        yield "has two cells of one id; a step is known by it."


def _no_outputs(_runbook: Runbook, document: Document) -> Iterator[str]:
    kept = sum(
        bool(cell.get("outputs")) or cell.get("execution_count") is not None
        for cell in code_cells(document)
    )
    if kept:
        yield f"{kept} cells hold outputs or counts; clear them before committing."
    if "widgets" in document.get("metadata", {}):
        yield "holds widget state; clear it before committing."


def _python(_runbook: Runbook, document: Document) -> Iterator[str]:
    for cell in code_cells(document):
        text = text_of(cell)
        if text.lstrip().startswith(("%", "!")):
            continue
        plain = "\n".join(
            "pass" if line.lstrip().startswith(("%", "!")) else line for line in text.splitlines()
        )
        try:
            ast.parse(plain)
        except SyntaxError as error:
            yield f"cell '{cell.get('id')}' is not Python: {error.msg} in line {error.lineno}."


def _joins(_runbook: Runbook, document: Document) -> Iterator[str]:
    if not any(".join(" in text_of(cell) for cell in code_cells(document)):
        yield "never joins an incident: inc = imt.join(incident_id)."


def _checklist(_runbook: Runbook, document: Document) -> Iterator[str]:
    if not any(".checklist(" in text_of(cell) for cell in code_cells(document)):
        yield "has no checklist: inc.checklist(name, items)."


def _diagnosis_first(_runbook: Runbook, document: Document) -> Iterator[str]:
    kinds = [
        "action" if _ACTIONS & set(tags_of(cell)) else "diagnosis"
        for cell in code_cells(document)
        if "diagnostic" in tags_of(cell) or _ACTIONS & set(tags_of(cell))
    ]
    if "diagnosis" not in kinds:
        yield "has no cell tagged 'diagnostic'."
    elif kinds[0] == "action":
        yield "acts before it diagnoses: a cell tagged 'diagnostic' must come first."


def _denied_cells(_runbook: Runbook, document: Document) -> Iterator[str]:
    is_asked = False
    for cell in code_cells(document):
        text, id_ = text_of(cell), cell.get("id")
        is_asked = is_asked or ".gate(" in text or ".change(" in text
        if DENIED not in tags_of(cell):
            continue
        if not is_asked:
            yield f"cell '{id_}' is tagged 'denied', and nothing before it asks (gate, change)."
        if ".denied" not in text:
            yield (
                f"cell '{id_}' is tagged 'denied' and would act by hand too, where nothing was "
                "denied. Begin it with: if inc.denied:"
            )


_RULES: Mapping[str, Rule] = {
    "metadata": _metadata,
    "last-reviewed": _reviewed,
    "parameters-cell": _one_parameters_cell,
    "parameters-typed": _typed_parameters,
    "alert-parameters": _alert_parameters,
    "cell-ids": _ids,
    "no-outputs": _no_outputs,
    "python": _python,
    "joins-incident": _joins,
    "checklist": _checklist,
    "diagnosis-first": _diagnosis_first,
    "denied-cells": _denied_cells,
}


def rule_names() -> Sequence[str]:
    """The names of the rules, in the order they are applied."""
    return ("readable", *_RULES, "severity-hints")
