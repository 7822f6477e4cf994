"""Every command explains itself, and takes what every command takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
import pytest

from imtkit.cli.app import COMMANDS, imt
from imtkit.cli.face import Face

SILENT = {"imt lab"}
"""Commands that become another program, and print nothing of their own."""


def commands(
    command: click.Command = imt, words: str = "imt"
) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from commands(below, f"{words} {name}")


EVERY = dict(commands())
VERBS = {words: one for words, one in EVERY.items() if not isinstance(one, click.Group)}


def test_the_terminal_has_the_verbs_that_were_promised() -> None:
    """The commands that the docs and other people's scripts rely on."""
    wanted = {
        "imt": "init run lab demo",
        "imt incident": "open ack mitigate list show note decide set assign resolve close reopen "
        "review tick",
        "imt runbook": "list show new lint",
        "imt runs": "list show cancel reap",
        "imt status": "post show build",
        "imt record": "build open verify",
        "imt store": "migrate verify rebuild heads",
        "imt alerts": "replay",
        "imt gate": "list show answer settle",
    }
    for noun, verbs in wanted.items():
        for verb in verbs.split():
            assert f"{noun} {verb}" in VERBS


@pytest.mark.parametrize("words", sorted(EVERY))
def test_every_command_has_help(words: str) -> None:
    """Help begins with a sentence; every option but the self-evident ones says what it is for."""
    command = EVERY[words]
    assert command.help
    assert command.help.split("\n\n")[0].rstrip().endswith(".")
    text = command.get_help(click.Context(command, info_name=words))
    assert text.startswith(f"Usage: {words}")


@pytest.mark.parametrize("words", sorted(VERBS))
def test_every_verb_shows_an_example_that_it_would_accept(words: str) -> None:
    """The examples are this command's, and parse."""
    examples = getattr(VERBS[words], "examples", ())
    assert examples
    for example in examples:
        assert words in example


@pytest.mark.parametrize("words", sorted(VERBS))
def test_every_verb_takes_the_common_options(words: str) -> None:
    """--json, --workspace and -v are accepted after the verb, and remembered."""
    options = {name for one in VERBS[words].params for name in one.opts}
    assert {"--json", "--workspace", "--verbose"} <= options


def test_help_lines_of_the_table_are_those_of_the_commands() -> None:
    """``imt --help`` loads no command, so what it says of each must be kept true."""
    for name, (_, line) in COMMANDS.items():
        assert EVERY[f"imt {name}"].get_short_help_str(limit=200) == line


def test_options_count_before_the_noun_and_after_the_verb() -> None:
    """What stands first is kept unless it is said again later."""
    face = Face()
    with imt.make_context("imt", ["--json", "store", "heads"], obj=face) as context:
        assert context.obj is face
        assert face.is_json
        assert not face.is_verbose


@pytest.mark.parametrize("words", sorted(VERBS))
def test_commands_are_short(words: str) -> None:
    """A command calls a verb and prints: its body has at most fifteen statements' lines."""
    callback = VERBS[words].callback
    assert callback is not None
    source = inspect.getsource(inspect.unwrap(callback))
    body = source.split('"""', 2)[2].strip().splitlines()
    code = [line for line in body if line.strip() and "import " not in line]
    assert len(code) <= 15, words
