"""What every command of the terminal shares: its options, where it prints, whom it asks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from imtkit.config import Settings
    from imtkit.kit import Desk

Command = TypeVar("Command", bound=Callable[..., Any])
PAGE_WIDTH = 120
"""How wide a page is that goes to a file or a program, where COLUMNS does not say it."""


@dataclass(slots=True)
class Face:
    """One call of ``imt``: what its options said."""

    workspace: Path | None = None
    actor: str = ""
    is_json: bool = False
    is_verbose: bool = False
    is_writing: bool = False

    def desk(self) -> Desk:
        """The desk of the workspace that the options or the working directory name.

        Whoever writes at a terminal and is nobody known is asked who they are, once.
        """
        from imtkit.kit import open_desk

        actor = self.actor or (self.person() if self.is_writing and self.is_asking else "")
        return open_desk(self._start(), actor=actor)

    def settings(self) -> Settings:
        """What the workspace says, without opening its log."""
        from imtkit import config

        return config.load_settings(config.find_workspace(self._start()))

    def person(self) -> str:
        """Who acts, as far as anybody knows: told, known, or asked and remembered; else empty."""
        from imtkit import config

        known = self.actor or config.known_person()
        if known or not self.is_asking:
            return known
        return config.remember_person(self.ask("Your name, as the log shall know it"))

    def _start(self) -> Path | None:
        """Where the workspace is looked for; an option wins over the environment."""
        if self.workspace is not None:
            os.environ.pop("IMT_WORKSPACE", None)
        return self.workspace

    @property
    def is_asking(self) -> bool:
        """Whether somebody sits at a terminal and may be asked."""
        return not self.is_json and sys.stdin.isatty() and sys.stderr.isatty()

    def give(self, document: object, text: str | Callable[[], str]) -> None:
        """Print the result: as JSON where that was asked for, else as words."""
        if self.is_json:
            self.give_json(document)
        else:
            click.echo(text if isinstance(text, str) else text())

    def give_json(self, document: object) -> None:
        """Print one JSON document; what stdout cannot encode is escaped."""
        from imtkit.kit.documents import plain

        encoding = (getattr(sys.stdout, "encoding", "") or "").lower()
        is_ascii = not encoding.startswith("utf")
        click.echo(json.dumps(plain(document), indent=2, ensure_ascii=is_ascii))

    def draw(self, part: object, *, piped_width: int = 0) -> None:
        """Print a rich part on stdout: in colour on a terminal, plain elsewhere."""
        console = self.console(piped_width=piped_width)
        if console.is_terminal:
            console.print(part)
            return
        with console.capture() as captured:
            console.print(part)
        click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def console(self, *, is_talk: bool = False, piped_width: int = 0) -> Console:
        """A console on stdout, or on stderr for talk; it takes no text for markup.

        ``piped_width`` is that of what goes to a file or a program; without it COLUMNS says it,
        where it is set.
        """
        from rich.console import Console

        file = sys.stderr if is_talk else sys.stdout
        width = None if file.isatty() else piped_width or _page_width()
        return Console(file=file, markup=False, highlight=False, emoji=False, width=width)

    def say(self, text: str) -> None:
        """Talk: on stderr, so that results can be piped."""
        from imtkit.model.words import visible

        click.echo(visible(text), err=True)

    def ask(self, question: str) -> str:
        """An answer from whoever sits at the terminal; asked again until there is one."""
        return str(click.prompt(question, err=True)).strip()


def _page_width() -> int:
    told = os.environ.get("COLUMNS", "")
    return int(told) if told.isdecimal() and int(told) else PAGE_WIDTH


pass_face = click.make_pass_decorator(Face, ensure=True)


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep an option that stands before or after the verb; the last one that is given counts."""
    if value and param.name:
        setattr(ctx.ensure_object(Face), param.name, value)


def _remember_writer(ctx: click.Context, param: click.Parameter, value: object) -> None:
    ctx.ensure_object(Face).is_writing = True
    _remember(ctx, param, value)


def everywhere(command: Command) -> Command:
    """The options that every command takes, before the noun or after the verb."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            "is_verbose",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Show tracebacks.",
        ),
        click.option(
            "--workspace",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            expose_value=False,
            callback=_remember,
            help="The workspace; else the nearest one upwards.",
        ),
        click.option(
            "--json",
            "is_json",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print one JSON document.",
        ),
    ):
        command = option(command)
    return command


def writes(command: Command) -> Command:
    """The options of a command that writes to the log: who acts, and those of every command."""
    actor = click.option(
        "--actor",
        metavar="NAME",
        expose_value=False,
        callback=_remember_writer,
        help="Who acts; else IMT_USER or git's user.name.",
    )
    return everywhere(actor(command))


class Verb(click.Command):
    """A command whose help ends with examples, to be typed as they stand."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Noun(click.Group):
    """A group that lists its verbs in the order in which they are written."""

    command_class = Verb

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)
