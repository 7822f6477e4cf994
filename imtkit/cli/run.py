"""``imt run``: run a runbook, and show each step as it goes."""

from __future__ import annotations

import click

from imtkit.cli.arguments import INCIDENT, PAIR
from imtkit.cli.documents import run_document
from imtkit.cli.face import Face, Verb, pass_face, writes
from imtkit.model.lifecycle import MODES


@click.command(
    cls=Verb,
    examples=("imt run http-service -p url=https://shop.example/health --incident INC-2026-0042",),
)
@click.argument("runbook")
@click.option(
    "-p", "--parameter", "pairs", type=PAIR, multiple=True, help="A parameter of the runbook."
)
@click.option("--incident", "incident_id", type=INCIDENT, default="", help="Else one is opened.")
@click.option("--mode", type=click.Choice(MODES), default="live", show_default=True)
@writes
@pass_face
def run(
    face: Face, runbook: str, pairs: tuple[tuple[str, str], ...], incident_id: str, mode: str
) -> None:
    """Run a runbook, by its name or its path."""
    from imtkit.cli.progress import watched
    from imtkit.kit import runbooks, runs

    found = runbooks.find(face.settings(), runbook)
    path, given = str(found.path), dict(pairs)
    with face.desk() as desk, watched(face, found) as on_step:
        done = runs.start(
            desk, path, incident_id=incident_id, parameters=given, mode=mode, on_step=on_step
        )
    output = desk.settings.root / done.output_path
    face.give(
        run_document(done, desk.settings.root),
        f"{done.incident}: {done.runbook} {done.status}. The notebook: {output}",
    )
    runs.require_completed(done)
