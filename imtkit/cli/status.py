"""``imt status``: tell the status pages, and see what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imtkit.cli.arguments import INCIDENT, PAIR
from imtkit.cli.face import Face, Noun, everywhere, pass_face, writes
from imtkit.contracts import UPDATE_STATUSES
from imtkit.model.words import moment_text, one_line

if TYPE_CHECKING:
    from imtkit.contracts import PageState
    from imtkit.model.incident import Update

page_option = click.option(
    "--page", default="", metavar="NAME", help="A page of imt.toml; else its first."
)


@click.group(cls=Noun)
def status() -> None:
    """Tell the status pages, and see what they show."""


@status.command(
    examples=(
        'imt status post INC-2026-0042 -s identified -m "We know why, and are mending it."',
        'imt status post INC-2026-0042 -s resolved -m "It works." --component orders=operational',
    )
)
@click.argument("incident_id", type=INCIDENT, metavar="ID")
@click.option("-s", "--status", "state", type=click.Choice(UPDATE_STATUSES), required=True)
@click.option("-m", "--message", required=True, help="What people outside should know.")
@click.option("--title", default="", help="Else the incident's own.")
@click.option("--component", "components", type=PAIR, multiple=True, help="orders=operational")
@click.option("--notify", is_flag=True, help="Have the service mail its subscribers.")
@page_option
@writes
@pass_face
def post(
    face: Face,
    /,
    incident_id: str,
    state: str,
    message: str,
    page: str,
    components: tuple[tuple[str, str], ...],
    **told: object,
) -> None:
    """Post an update to a status page; drills and tests reach none."""
    from imtkit.kit import status as pages

    words = pages.Words(
        state, message, str(told["title"]), dict(components), notify=told["notify"] is True
    )
    with face.desk() as desk:
        update = pages.post(desk, incident_id, words, page=page)
        where = pages.address(desk.settings, update)
    face.give(update, _line(update, where))


@status.command(examples=("imt status show", "imt status show --page public"))
@page_option
@everywhere
@pass_face
def show(face: Face, page: str) -> None:
    """Show what a page says now."""
    from imtkit.kit import status as pages

    with face.desk() as desk:
        state = pages.show(desk, page)
    face.give(state, lambda: _page_text(state))


@status.command(examples=("imt status build",))
@page_option
@everywhere
@pass_face
def build(face: Face, page: str) -> None:
    """Write the embedded page anew, from what was posted."""
    from imtkit.kit import status as pages

    with face.desk() as desk:
        index = pages.build(desk, page)
    face.give({"path": index}, str(index))


@status.command(examples=("imt status deliver INC-2026-0042",))
@click.argument("incident_id", type=INCIDENT, metavar="ID")
@writes
@pass_face
def deliver(face: Face, incident_id: str) -> None:
    """Try again what could not be delivered."""
    from imtkit.kit import status as pages

    with face.desk() as desk:
        delivered = pages.deliver(desk, incident_id)
        lines = [_line(one, pages.address(desk.settings, one)) for one in delivered]
    if delivered or face.is_json:
        face.give(delivered, "\n".join(lines))
    else:
        face.say(f"The outbox of {incident_id} is empty.")


def _line(update: Update, where: str) -> str:
    said = f"'{update.status}' for the page {update.page}: {update.state}."
    if update.state == "withheld":
        said = f"{said} Only live incidents reach a page."
    return f"{one_line(said)} {one_line(where, most=2000)}".rstrip()


def _page_text(state: PageState) -> str:
    lines = [f"The page says: {state.status}"]
    lines += [f"  {name}: {how}" for name, how in state.components.items()]
    lines += [
        f"  {one.status}: {one.title}"
        + (f" (since {moment_text(one.updated_at)})" if one.updated_at else "")
        for one in state.incidents
    ]
    return "\n".join(one_line(line) if line[0] != " " else f"  {one_line(line)}" for line in lines)
