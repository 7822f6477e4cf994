"""``imt runbook``: list, show, make and check runbooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imtkit.cli.face import Face, Noun, everywhere, pass_face
from imtkit.errors import InputError
from imtkit.model.words import counted, one_line, visible

if TYPE_CHECKING:
    from imtkit.runs.runbook import Runbook


@click.group(cls=Noun)
def runbook() -> None:
    """List, show, make and check runbooks."""


@runbook.command("list", examples=("imt runbook list --alert HighErrorRate",))
@click.option("--alert", default="", metavar="NAME", help="Those that answer alerts of this name.")
@everywhere
@pass_face
def list_(face: Face, alert: str) -> None:
    """List runbooks: the workspace's own, and those that ship with imtkit."""
    from imtkit.kit import runbooks

    settings = face.settings()
    found = runbooks.answering(settings, alert) if alert else runbooks.list_(settings)
    if face.is_json:
        face.give_json(found)
    elif not found:
        face.say("No runbook answers that. Make one with: imt runbook new NAME")
    else:
        _draw_list(face, found, settings.root)
    for why in runbooks.broken(settings):
        face.say(f"Left out: {why}")


@runbook.command(examples=("imt runbook show http-service",))
@click.argument("name")
@everywhere
@pass_face
def show(face: Face, name: str) -> None:
    """Show a runbook: whose it is, what it answers, its parameters and steps."""
    from imtkit.kit import runbooks
    from imtkit.runs.execute import planned_steps

    found = runbooks.find(face.settings(), name)
    steps = [{"id": id_, "title": title} for id_, title in planned_steps(found).items()]
    if face.is_json:
        from imtkit.kit.documents import plain

        face.give_json({**plain(found), "steps": steps})
    else:
        _draw(face, found, [step["title"] for step in steps])


@runbook.command(
    examples=('imt runbook new queue-backlog --title "The queue does not drain" --owner payments',)
)
@click.argument("name")
@click.option("--title", default="")
@click.option("--owner", default="", help="The team or person that keeps it true.")
@click.option("--replace", is_flag=True, help="Even where one of that name ships with imtkit.")
@everywhere
@pass_face
def new(face: Face, name: str, title: str, owner: str, replace: bool) -> None:
    """Make a runbook from the starting notebook."""
    from imtkit.kit import runbooks

    settings = face.settings()
    path = runbooks.new(settings, name, title=title, owner=owner, replace=replace)
    face.give({"path": path}, f"{path} is there.")
    for complaint in runbooks.lint(settings, [str(path)]):
        face.say(f"Still to fill in: {complaint.rule}: {complaint.message}")
    face.say(f"Next: open it with imt lab, then: imt runbook lint {name}")


@runbook.command(examples=("imt runbook lint",))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@everywhere
@pass_face
def lint(face: Face, names: tuple[str, ...]) -> None:
    """Check runbooks: metadata, parameters, order, no outputs. Without names, all of its own."""
    from imtkit.kit import runbooks

    complaints = runbooks.lint(face.settings(), names)
    lines = [f"{c.path.name}: {c.rule}: {one_line(c.message, most=300)}" for c in complaints]
    face.give({"complaints": complaints}, "\n".join(lines) or "Nothing to complain about.")
    if complaints:
        count = len({c.path for c in complaints})
        raise InputError(
            f"{counted(len(complaints), 'complaint')} about {counted(count, 'runbook')}.",
            hint="Each line says what is lacking; 'imt runbook new' starts from a sound one.",
        )


def _draw_list(face: Face, found: list[Runbook], root: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)
    for name in ("Name", "Title", "Owner", "Answers", "From"):
        table.add_column(name, no_wrap=name == "Name", overflow="fold")
    for one in found:
        origin = "workspace" if one.path.is_relative_to(root / "runbooks") else "imtkit"
        cells = (one.name, one.title, one.owner, ", ".join(one.alerts), origin)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    face.draw(table)


def _draw(face: Face, found: Runbook, steps: list[str]) -> None:
    from rich.console import Group, RenderableType
    from rich.padding import Padding
    from rich.text import Text

    from imtkit.cli.pages import QUIET, grid

    facts = (
        ("File", str(found.path)),
        ("Owner", found.owner),
        ("Services", ", ".join(found.services)),
        ("Answers", ", ".join(found.alerts)),
        ("Roles", ", ".join(found.roles)),
        ("Severity", "; ".join(found.severity_hints)),
        ("Reviewed", found.last_reviewed),
        ("SHA-256", found.sha256),
    )
    parameters = [
        (
            Text(p.name, "bold"),
            Text(p.type, QUIET),
            Text(_default(p.default, p.is_required)),
            Text(visible(p.help)),
        )
        for p in found.parameters
    ]
    told = [(Text(name, QUIET), Text(visible(said))) for name, said in facts if said]
    numbered = [(Text(f"{n}"), Text(visible(title))) for n, title in enumerate(steps, start=1)]
    parts: list[RenderableType] = [Text(visible(found.title), "bold")]
    for title, rows in (("", told), ("Parameters", parameters), ("Steps", numbered)):
        if rows:
            parts += [Text(title and f"\n{title}", "bold"), Padding.indent(grid(rows), 2)]
    face.draw(Group(*parts))


def _default(value: object, is_required: bool) -> str:
    return "required" if is_required else visible(repr(value))
