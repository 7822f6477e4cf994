"""What the command line says to a line that somebody copied, without doing what it asks."""

from __future__ import annotations

import shlex

import click

from imtkit.cli.app import imt


def problem_of(line: str) -> str:
    """Why a line that begins with ``imt`` cannot be typed as it stands; empty where it can.

    Files that it names need not be there.
    """
    words = shlex.split(line)[1:]
    group: click.Command = imt
    context = click.Context(imt, info_name="imt")
    try:
        while isinstance(group, click.Group):
            name, found, words = group.resolve_command(context, words)
            assert found is not None
            group, parent = found, context
            context = click.Context(found, parent=parent, info_name=name)
        group.make_context(name, list(words), parent=parent)
    except click.ClickException as error:
        said = error.format_message()
        return "" if said.endswith("does not exist.") else said
    return ""
