"""``imt.join``: from a notebook to its incident."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imtkit import config
from imtkit.config.place import place_in
from imtkit.errors import InputError, NotFoundError
from imtkit.kit import Desk, incidents, open_desk, runs
from imtkit.model.incident import Incident
from imtkit.model.opening import Opening
from imtkit.widgets import notebook
from imtkit.widgets.joined import JoinedIncident
from imtkit.widgets.magics import ImtMagics, magics_of
from imtkit.widgets.shown import line
from imtkit.widgets.sitting import Guest, Sitting

MACHINE = "automation/notebook"
"""Who acts when a notebook runs where nobody can be asked and nobody is known."""


def join(
    incident_id: str = "",
    *,
    title: str = "",
    severity: str = "",
    services: Iterable[str] = (),
    mode: str = "live",
) -> JoinedIncident:
    """The incident that this notebook works on.

    It is the one that ``incident_id`` names; else the notebook's own parameter
    ``incident_id``, the environment (IMT_INCIDENT) or the notebook's folder
    (``outputs/<incident>/``); else the one joined before. Where none is named one is opened,
    with ``title`` (else the notebook's name), and that is said.

    In IPython the cells run from here on are logged as steps. NotFoundError when an incident
    is named that does not exist.
    """
    ip = notebook.shell()
    magics = magics_of(ip)
    desk = magics.desk if magics and magics.desk else _desk(ip)
    found = _named(desk, ip, incident_id, magics)
    if found is None:
        opening = Opening(
            title or _title(ip), severity=severity, services=tuple(services), mode=mode
        )
        found = _open(desk, ip, opening)
    if magics is None:
        return JoinedIncident(desk, found.id)
    magics.desk = desk
    if magics.joined is None or magics.joined.id != found.id:
        magics.joined = JoinedIncident(desk, found.id)
    _sit_down(desk, ip, found, magics)
    return magics.joined


def _desk(ip: Any | None) -> Desk:  # noqa: ANN401 - IPython ships no types
    named = notebook.notebook_path(ip)
    start = named.parent if named is not None and named.parent.is_dir() else None
    source = config.current_source("notebook")
    if not config.current_run():
        return open_desk(start, actor=_person(ip), source=source)
    # A person is told at once that the log is away; a run has nobody who would try again.
    return runs.patient_desk(lambda: open_desk(start, actor=_person(ip), source=source))


def _person(ip: Any | None) -> str:  # noqa: ANN401
    known = config.known_person()
    if known or ip is None:
        return known
    if not notebook.can_ask(ip):
        return MACHINE
    question = "Who are you? The log says who did what: "
    while True:
        try:
            return config.remember_person(input(question))
        except InputError as error:
            question = f"{error} {error.hint} "


def _named(desk: Desk, ip: Any | None, told: str, magics: ImtMagics | None) -> Incident | None:  # noqa: ANN401
    parameter = ip.user_ns.get("incident_id", "") if ip is not None else ""
    names = (
        ("join(…)", told),
        ("the parameter incident_id", parameter if isinstance(parameter, str) else ""),
        ("IMT_INCIDENT", config.named_incident()),
        ("the notebook's folder", _folder(desk, ip)),
        ("an earlier join()", magics.joined.id if magics and magics.joined else ""),
    )
    for where, name in names:
        if name.strip():
            try:
                return incidents.get(desk, name)
            except NotFoundError as error:
                raise NotFoundError(f"{error} It is named by {where}.", hint=error.hint) from error
    return None


def _folder(desk: Desk, ip: Any | None) -> str:  # noqa: ANN401
    path = notebook.notebook_path(ip)
    for folder in (path.parent if path else None, Path.cwd()):
        if folder is None:
            continue
        try:
            parts = folder.resolve().relative_to(desk.settings.outputs.resolve()).parts
        except ValueError:
            continue
        if parts:
            return parts[0]
    return ""


def _title(ip: Any | None) -> str:  # noqa: ANN401
    path = notebook.notebook_path(ip)
    if path is None:
        return "Opened from a notebook"
    words = path.stem.replace("-", " ").replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:]}" or "Opened from a notebook"


def _open(desk: Desk, ip: Any | None, opening: Opening) -> Incident:  # noqa: ANN401
    # A kernel that is restarted keeps its id: the notebook run again opens nothing new.
    kernel = notebook.kernel_id(ip)
    key = f"join/{kernel}" if kernel else None
    opened = incidents.open_(desk, opening, key=key)
    text = f"No incident was named, so one was opened: {opened.id} · {opened.title}"
    said = line(opened, text, loud=True)
    if ip is None:
        sys.stderr.write(f"{text}\n")
        return opened
    from IPython.display import display

    display(said)
    return opened


def _sit_down(desk: Desk, ip: Any, found: Incident, magics: ImtMagics) -> None:  # noqa: ANN401
    if magics.sitting is not None and magics.sitting.incident_id == found.id:
        return
    kernel = notebook.kernel_id(ip)
    if not kernel:
        return
    events = ip.events
    if magics.sitting is not None:
        events.unregister("pre_run_cell", magics.sitting.before_cell)
        events.unregister("post_run_cell", magics.sitting.after_cell)
    sitting = _sitting(desk, ip, found, kernel)
    if sitting is None:
        return
    events.register("pre_run_cell", sitting.before_cell)
    events.register("post_run_cell", sitting.after_cell)
    sitting.begin(notebook.running_cell(ip))
    magics.sitting = sitting


def _sitting(desk: Desk, ip: Any, found: Incident, kernel: str) -> Sitting | None:  # noqa: ANN401
    """Who logs the cells; nobody where a machine's run joins an incident that is not its own."""
    run = config.current_run()
    if run:
        return Guest(desk, found.id, run) if found.run(run) is not None else None
    by_hand = notebook.has_front_end(ip)
    place = _place(desk, ip) or ("notebook" if by_hand else "")
    written = [one for one in found.runs if one.has_runner and one.output_path == place]
    if written and by_hand:  # a run's notebook on another kernel: its own is gone
        return Guest(desk, found.id, written[-1].id)
    run_id = runs.sit_down(desk, found.id, notebook=place, kernel=kernel, by_hand=by_hand)
    return Sitting(desk, found.id, run_id, by_hand=by_hand)


def _place(desk: Desk, ip: Any) -> str:  # noqa: ANN401
    path = notebook.notebook_path(ip)
    if path is None:
        return ""
    try:
        return place_in(desk.settings.root, path)
    except ValueError:
        return path.name
