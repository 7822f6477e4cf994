"""Values for a runbook's parameters, from what an alert says. Alert text is hostile: it is data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imtkit.config import is_reference
from imtkit.errors import InputError, ParameterError
from imtkit.model.words import one_line
from imtkit.runs.parameters import Parameter, checked_values
from imtkit.runs.runbook import Runbook
from imtkit.store.chain import canonical

Texts = Mapping[str, str]
_OURS = "incident_id"
"""The parameter that says which incident a run is of; no alert says that."""


def given_values(
    runbook: Runbook, wanted: Mapping[str, Any], labels: Texts, annotations: Texts
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values that a rule and an alert have for a runbook, and why others were left out.

    ``wanted`` is a rule's: a value, or the place in the alert it is taken from (``label:NAME``,
    ``annotation:NAME``), for any parameter that the runbook declares. An alert's annotations and
    labels go by themselves only into parameters of their name that the runbook's
    ``alert_parameters`` list. Each is data of the declared type; what does not fit is left to
    the default.
    """
    declared = {parameter.name: parameter for parameter in runbook.parameters}
    values: dict[str, Any] = {}
    left_out = [
        f"{one_line(name)}: {runbook.name} declares no such parameter"
        for name in wanted
        if name not in declared
    ]
    for name, parameter in declared.items():
        said = annotations.get(name, labels.get(name))
        try:
            if name in wanted:
                values[name] = _wanted(parameter, wanted[name], (labels, annotations), runbook)
            elif said is not None and name in runbook.alert_parameters:
                values[name] = _said(parameter, said, runbook)
        except InputError as error:
            left_out.append(f"{name}: {one_line(str(error))}")
    return values, tuple(left_out)


def _wanted(parameter: Parameter, wanted: object, alert: tuple[Texts, Texts], book: Runbook) -> Any:  # noqa: ANN401
    place, separator, name = wanted.partition(":") if isinstance(wanted, str) else ("", "", "")
    if not separator or place not in ("label", "annotation"):
        return _fitting(parameter, wanted, book)
    said = alert[place == "annotation"].get(name, "")
    if not said:
        raise ParameterError(f"the alert has no {place} {name}")
    return _said(parameter, said, book)


def _said(parameter: Parameter, said: str, book: Runbook) -> Any:  # noqa: ANN401
    """A value from the text of an alert."""
    if parameter.name == _OURS:
        raise ParameterError("no alert says which incident a run is of")
    value = _fitting(parameter, said, book)
    if _holds_reference(value):  # its sender could have any secret sent anywhere
        raise ParameterError("an alert names no secret")
    return value


def _holds_reference(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_reference, (*value, *value.values())))
    if isinstance(value, list):
        return any(map(_holds_reference, value))
    return is_reference(value)


def _fitting(parameter: Parameter, value: object, book: Runbook) -> Any:  # noqa: ANN401
    """The value as the declared type has it, and as the log can keep it; else InputError."""
    try:
        checked = checked_values([parameter], {parameter.name: value}, runbook=book.name)
    except RecursionError as error:
        raise ParameterError("it is nested too deep") from error
    canonical(checked, "run.requested")
    return checked[parameter.name]
