"""``imt lab``: JupyterLab in the workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from imtkit.cli.arguments import INCIDENT
from imtkit.cli.face import Face, Verb, pass_face, writes

if TYPE_CHECKING:
    from imtkit.config import Settings


@click.command(
    cls=Verb,
    examples=(
        "imt lab",
        "imt lab http-service --incident INC-2026-0042",
        "imt lab --no-browser --jupyter=--allow-root",
    ),
)
@click.argument("runbook", required=False)
@click.option("--incident", "incident_id", type=INCIDENT, default="", help="Work on this incident.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Else Jupyter chooses.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--jupyter", "more", multiple=True, metavar="OPTION", help="An option of Jupyter's.")
@writes
@pass_face
def lab(
    face: Face,
    runbook: str | None,
    incident_id: str,
    port: int,
    no_browser: bool,
    more: tuple[str, ...],
) -> None:
    """Open JupyterLab in the workspace, or a copy of a runbook in it."""
    from imtkit.lab.serve import check_root

    settings = face.settings()
    check_root("imt lab", more)
    notebook = _copy(face, runbook, incident_id) if runbook else None
    become_lab(face, settings, port=port, notebook=notebook, open_browser=not no_browser, more=more)


@click.command(cls=Verb, examples=("imt worker", "imt worker --port 8890"))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Else Jupyter chooses.")
@click.option("--jupyter", "more", multiple=True, metavar="OPTION", help="An option of Jupyter's.")
@click.option("--for-up", "is_for_up", is_flag=True, hidden=True)  # it ends with 'imt up'
@writes
@pass_face
def worker(face: Face, port: int, more: tuple[str, ...], is_for_up: bool) -> None:
    """Carry out runs on warm kernels: 'imt lab' without a browser."""
    from imtkit.lab.serve import HEADLESS, WITH_STDIN, check_root

    settings = face.settings()
    check_root("imt worker", more)
    own = (*HEADLESS, WITH_STDIN) if is_for_up else HEADLESS
    become_lab(face, settings, port=port, open_browser=False, more=(*own, *more))


def become_lab(  # each is an option of `imt lab`
    face: Face,
    settings: Settings,
    *,
    port: int = 0,
    notebook: Path | None = None,
    open_browser: bool = True,
    more: tuple[str, ...] = (),
) -> NoReturn:
    """Jupyter takes this process over, and with it the terminal and Ctrl-C."""
    from imtkit.lab.serve import lab_command

    command = lab_command(
        settings, port=port, open_browser=open_browser, notebook=notebook, actor=face.actor
    )
    os.chdir(command.folder)
    arguments = (*command.arguments, *more)
    os.execve(arguments[0], arguments, dict(command.environment))  # noqa: S606 # no shell is wanted


def _copy(face: Face, runbook: str, incident_id: str) -> Path:
    """The notebook to open: a fresh copy in the incident's folder, or the runbook itself."""
    from imtkit.kit import runbooks

    with face.desk() as desk:
        found = runbooks.find(desk.settings, runbook)
        return runbooks.copy_for(desk, found, incident_id) if incident_id else found.path
