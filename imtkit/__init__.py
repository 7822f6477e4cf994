"""Runbooks, incident log, checklists and records for incident management teams.

In a notebook: ``import imtkit as imt`` and ``inc = imt.join()``. The names are loaded when
they are first used; ``import imtkit`` itself loads nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imtkit.errors import ImtkitError
    from imtkit.kit import Desk, open_desk
    from imtkit.model.checklist import Checklist
    from imtkit.model.entries import Entry
    from imtkit.model.incident import Incident
    from imtkit.model.opening import Opening
    from imtkit.widgets.checklist import LiveChecklist
    from imtkit.widgets.door import join
    from imtkit.widgets.joined import JoinedIncident

    __version__: str

__all__ = [
    "Checklist",
    "Desk",
    "Entry",
    "ImtkitError",
    "Incident",
    "JoinedIncident",
    "LiveChecklist",
    "Opening",
    "__version__",
    "join",
    "open_desk",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its own type, given above
    if name == "__version__":
        from importlib.metadata import version

        return version("imtkit")
    from importlib import import_module

    homes = {
        "Checklist": "imtkit.model.checklist",
        "Desk": "imtkit.kit",
        "Entry": "imtkit.model.entries",
        "ImtkitError": "imtkit.errors",
        "Incident": "imtkit.model.incident",
        "JoinedIncident": "imtkit.widgets.joined",
        "LiveChecklist": "imtkit.widgets.checklist",
        "Opening": "imtkit.model.opening",
        "join": "imtkit.widgets.door",
        "open_desk": "imtkit.kit",
    }
    if name not in homes:
        raise AttributeError(f"module 'imtkit' has no attribute '{name}'")
    return getattr(import_module(homes[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ip: Any) -> None:  # noqa: ANN401 - IPython ships no types
    """``%load_ext imtkit``: the magic ``%imt``."""
    from imtkit.widgets.magics import magics_of

    magics_of(ip)
