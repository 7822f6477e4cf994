"""Write the pages of docs/ that are made from the code: run it after changing a command, an
entry type, an error or the configuration. ``tests/house/test_docs.py`` sees to it.

    python docs/build.py
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from imtkit import config, errors
from imtkit.cli import app
from imtkit.model.entries import CATALOGUE

HERE = Path(__file__).resolve().parent
MADE = "<!-- Made by docs/build.py from the code; edit that. -->"


def pages() -> dict[str, str]:
    """Every page that is made from the code: file name -> text."""
    return {
        "cli.md": cli_page(),
        "configuration.md": configuration_page(),
        "log-entries.md": entries_page(),
        "errors.md": errors_page(),
    }


def cli_page() -> str:
    """Every command, as it explains itself."""
    lines = [
        "# The command line",
        "",
        MADE,
        "",
        "Results go to stdout, talk and errors to stderr. Every command that prints takes `--json`",
        "and then prints one JSON document; errors are then a JSON document on stderr:",
        '`{"error": {"type", "message", "hint", "retryable"}}`.',
        "Exit codes: [errors.md](errors.md).",
        "",
        "Shells complete commands, options and incident ids:",
        "",
        "```sh",
        'eval "$(_IMT_COMPLETE=bash_source imt)"   # in bash; in zsh with zsh_source',
        "_IMT_COMPLETE=fish_source imt | source    # in fish",
        "```",
        "",
    ]
    for words, command in commands(app.imt, ("imt",)):
        lines += [
            f"{'#' * min(len(words) + 1, 3)} {' '.join(words)}",
            "",
            "```",
            *_help(words, command),
        ]
        lines += ["```", ""]
    return "\n".join(lines)


def commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, with the words that call each."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from commands(below, (*words, name))


def _help(words: tuple[str, ...], command: click.Command) -> list[str]:
    context = click.Context(command, info_name=" ".join(words), max_content_width=96)
    context.terminal_width = 96
    return [line.rstrip() for line in command.get_help(context).splitlines()]


def configuration_page() -> str:
    """imt.toml as it ships, and the environment."""
    shipped = (config.shipped("templates") / config.FILE).read_text(encoding="utf-8")
    lines = ["# Configuration", "", MADE, "", "## imt.toml", "", "```toml", *shipped.splitlines()]
    lines += ["```", "", "## Environment", "", "| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in config.ENVIRONMENT.items()]
    return "\n".join([*lines, ""])


def entries_page() -> str:
    """The catalogue of entry types."""
    lines = ["# Entries of the log", "", MADE, "", "| type | says | in lists |", "|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.prose} | {'yes' if one.changes_summary else ''} |"
        for one in sorted(CATALOGUE.values(), key=lambda one: one.name)
    ]
    return "\n".join([*lines, ""])


def errors_page() -> str:
    """The tree of errors with exit codes, as the code has it."""
    lines = ["# Errors and exit codes", "", MADE, ""]
    lines += ["Every error has a `hint` (what to do next) and says whether it is `retryable`."]
    lines += ["", "| exit code | error | means |", "|---|---|---|", "| 0 | | it worked |"]
    for depth, error in error_tree(errors.ImtkitError):
        meaning = inspect.getdoc(error) or ""
        indent = "&nbsp;&nbsp;" * depth
        lines.append(
            f"| {error.exit_code} | {indent}`{error.__name__}` | {meaning.splitlines()[0]} |"
        )
    lines += [
        "| 2 | | the command line cannot be read |",
        "| 130 | | stopped by Ctrl-C |",
        "| 141 | | whoever read the output went away |",
        "",
        "A fault of imtkit itself ends with 1 and one line; `-v` shows where.",
        "",
    ]
    return "\n".join(lines)


def error_tree(
    error: type[errors.ImtkitError], depth: int = 0
) -> Iterator[tuple[int, type[errors.ImtkitError]]]:
    """An error and all below it, with how deep each stands."""
    yield depth, error
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from error_tree(below, depth + 1)


def main() -> int:
    """Write what has changed; 0."""
    for name, text in pages().items():
        path = HERE / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
