"""``imt take``: from the machine's run to JupyterLab, on the kernel that ran its steps."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imtkit.cli.face import Face, Verb, pass_face, writes
from imtkit.cli.lab import become_lab

if TYPE_CHECKING:
    from imtkit.config import Settings
    from imtkit.lab.reach import Server
    from imtkit.model.incident import Run

_KERNEL = {
    "same": "Its kernel lives: what its steps made is there.",
    "renewed": "Its kernel was renewed: earlier steps are there as far as they ran again.",
    "new": "Its kernel was restarted: what its steps made is gone.",
    "none": "Its kernel is gone: JupyterLab starts a new one.",
}


@click.command(
    cls=Verb,
    examples=(
        "imt take 20261121T201600Z-1a2b3c",
        "imt take 20261121T201600Z-1a2b3c --no-browser",
    ),
)
@click.argument("run")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--jupyter", "more", multiple=True, metavar="OPTION", help="An option of Jupyter's.")
@writes
@pass_face
def take(face: Face, run: str, no_browser: bool, more: tuple[str, ...]) -> None:
    """Take a run over by hand, on its kernel where that lives."""
    from imtkit.kit import handover, running
    from imtkit.lab import reach
    from imtkit.lab.serve import check_root

    if reach.server_of(face.settings()) is None:  # this command will become one
        check_root(f"imt take {run}", more)
    with face.desk() as desk:
        running.reap(desk)
        taken, settings = handover.take(desk, run), desk.settings
    server = reach.server_of(settings, taken.id) or reach.server_of(settings)
    if server is not None:
        _point_to(face, server, taken, no_browser=no_browser)
        return
    face.say(f"Run {taken.id} is yours. {_KERNEL['none']}")
    _begin_lab(face, settings, taken, no_browser, more)


def _point_to(face: Face, server: Server, run: Run, *, no_browser: bool) -> None:
    """Tell where the living notebook is, and open it."""
    from imtkit.lab import reach

    state = reach.ask(server, "GET", f"runs/{run.id}")
    address = server.page(state["notebook"])
    said = f"Run {run.id} is yours. {_KERNEL[state['kernel']]}"
    if run.status == "running":
        said = f"Run {run.id} is yours as soon as its step has ended. {_KERNEL['same']}"
    face.give({**state, "url": address}, f"{said}\n{address}")
    if not no_browser and not face.is_json:
        webbrowser.open(address)


def _begin_lab(
    face: Face, settings: Settings, run: Run, no_browser: bool, more: tuple[str, ...]
) -> None:
    """Become a JupyterLab on the run's notebook."""
    notebook: Path = settings.root / run.output_path
    become_lab(face, settings, notebook=notebook, open_browser=not no_browser, more=more)
