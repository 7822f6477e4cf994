"""``imt``: the table of nouns. Each noun's module is imported when it is called, not before."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from imtkit.cli.face import everywhere

COMMANDS: Mapping[str, tuple[str, str]] = {
    # name -> (where the command is, its help in one line as `imt --help` shows it)
    "demo": ("demo:demo", "Break a real small service, and bring it through an incident."),
    "init": ("init:init", "Make a folder a workspace; what is there already stays as it is."),
    "lab": ("lab:lab", "Open JupyterLab in the workspace, or a copy of a runbook in it."),
    "worker": ("lab:worker", "Carry out runs on warm kernels: 'imt lab' without a browser."),
    "serve": ("serve:serve", "Listen to senders of alerts, and show incidents in the browser."),
    "up": ("up:up", "Start 'imt serve' and one 'imt worker' together; Ctrl-C ends both."),
    "run": ("run:run", "Run a runbook, by its name or its path."),
    "runs": ("runs:runs", "See runs wherever they run, end them, clear up after the lost."),
    "take": ("take:take", "Take a run over by hand, on its kernel where that lives."),
    "incident": ("incident:incident", "Open incidents, move them on, write down what happens."),
    "gate": ("gate:gate", "See what waits for an answer, and answer it."),
    "runbook": ("runbook:runbook", "List, show, make and check runbooks."),
    "status": ("status:status", "Tell the status pages, and see what they show."),
    "record": ("record:record", "Build, open and verify the archive of incidents."),
    "outputs": ("outputs:outputs", "Send what runs leave behind to its address, or fetch it."),
    "alerts": ("alerts:alerts", "Take in alerts."),
    "store": ("store:store", "Look after the log."),
}

BEGINNINGS: Mapping[str, str] = {
    "imt demo": "See it all work.",
    "imt init .": "Make this folder a workspace.",
    'imt incident open --title "…"': "Say that something is wrong.",
    "imt incident open --help": "Every command explains itself.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"imtkit.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Begin with"):
            formatter.write_dl(list(BEGINNINGS.items()))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _show_version(ctx: click.Context, _param: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"imt {version('imtkit')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@everywhere
def imt() -> None:
    """Runbooks, incident log, checklists and records for incident management teams."""
