"""Secrets as parameters: references outside the kernel, values inside.

A parameter's value ``secret://env/NAME`` or ``secret://file/PATH`` is a reference. papermill,
the notebook, the log and the process list hold the reference. The engine has the kernel put
the value in its place (``take``), in a request that is neither stored nor shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imtkit import config
from imtkit.errors import ConfigError, ParameterError
from imtkit.model.scrubber import SHORTEST, Scrubber
from imtkit.runs.runbook import Runbook


def references(values: Mapping[str, Any]) -> dict[str, str]:
    """The parameters whose value is a reference: name -> reference."""
    return {name: value for name, value in values.items() if config.is_reference(value)}


def with_secrets(runbook: Runbook, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values and the references that a runbook has as defaults, all known to be there.

    ParameterError as in ``scrubber_for``, or when the runbook's kernel speaks no Python.
    """
    defaults = {one.name: one.default for one in runbook.parameters}
    together = {**references(defaults), **values}
    found = references(together)
    if found and runbook.language != "python":
        raise ParameterError(
            f"Runbook '{runbook.name}' is not in Python, so it cannot take secrets "
            f"({', '.join(found)}) by reference."
        )
    scrubber_for(found)
    return together


def scrubber_for(values: Mapping[str, Any]) -> Scrubber:
    """A scrubber of every secret that the values refer to.

    ParameterError names the parameter, and the variable or file, of a secret that is missing
    or so short that it could not be told from other text.
    """
    return Scrubber(
        {name: _value(name, reference) for name, reference in references(values).items()}
    )


def request(values: Mapping[str, Any]) -> str:
    """The code that has a Python kernel put values in place; empty when there are none."""
    found = references(values)
    return (
        f"__import__({__name__!r}, fromlist=['take']).take(globals(), {found!r})" if found else ""
    )


def take(namespace: dict[str, Any], found: Mapping[str, str]) -> None:
    """Put each secret's value under its name. Called in the kernel, by ``request``.

    The process remembers the references, so that nothing it writes to the log holds a value.
    """
    values = {name: _value(name, reference) for name, reference in found.items()}
    config.remember_references(found)
    namespace.update(values)


def _value(name: str, reference: str) -> str:
    try:
        value = config.resolve_secret(reference)
    except ConfigError as error:
        raise ParameterError(
            f"Parameter '{name}' refers to a secret that is not there: {error}",
            hint=error.hint or "Set it where the run is started.",
        ) from error
    if len(value) < SHORTEST:
        raise ParameterError(
            f"The secret that parameter '{name}' refers to has fewer than {SHORTEST} characters, "
            "too few to keep it out of notebooks and the log.",
            hint=f"{reference} must hold a longer one.",
        )
    return value
