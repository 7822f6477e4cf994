"""The terminal's face: ``imt NOUN VERB``, one file a noun.

Results go to stdout, talk and errors to stderr; ``--json`` prints one JSON document. This is
the one place where errors become words and exit codes: each branch of the error tree has its
own code, a usage that cannot be read is 2, Ctrl-C is 130, a fault of imtkit itself is 1.
"""

from __future__ import annotations

import atexit
import errno
import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from imtkit.errors import ImtkitError

if TYPE_CHECKING:
    from click import ClickException

    from imtkit.cli.face import Face

COMPLETION = "_IMT_COMPLETE"
INTERRUPTED = 130
PIPE_CLOSED = 141
"""What a shell shows for a program that SIGINT or SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        from imtkit.cli.face import Face
        from imtkit.runs import later

        later.put_off_checks()
        atexit.unregister(gc.freeze)  # when it is over, nobody looks through all that was imported
        atexit.register(gc.freeze)
        return _ended(list(sys.argv[1:] if arguments is None else arguments), Face())
    except KeyboardInterrupt:  # before there was anything that could be stopped
        sys.stderr.write("Stopped.\n")
        return INTERRUPTED


def _ended(given: list[str], face: Face) -> int:
    """The exit code of one command, whatever it came to; its errors are told."""
    import click

    try:
        return _called(given, face)
    except click.ClickException as error:
        # The command line could not be read to its end, so what it says of --json may be unread.
        face.is_json = face.is_json or "--json" in given
        return _usage(error, face)
    except (click.Abort, KeyboardInterrupt):
        return _stopped(face)
    except ImtkitError as error:
        _trace(face)
        return _told(error, face)
    except BrokenPipeError:
        _close_stdout()
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 # the outermost frame of this face
        _trace(face)
        return _stopped(face) if _is_interrupt(error) else _unexpected(error, face)


def _called(given: list[str], face: Face) -> int:
    """The exit code of one command that was read and done."""
    import click

    from imtkit.cli.app import imt

    if COMPLETION in os.environ:  # a shell asks for completions; click answers and ends
        imt.main(given, prog_name="imt", complete_var=COMPLETION)
    try:
        # Not imt.main(): it ends with 1 when a pipe is closed, and 1 is for our own faults.
        with imt.make_context("imt", given, obj=face) as context:
            imt.invoke(context)
    except click.exceptions.Exit as ended:
        code: int = ended.exit_code
    else:
        code = 0
    sys.stdout.flush()
    return code


def _stopped(face: Face) -> int:
    return _failed("Stopped.", {"type": "Interrupted"}, face, INTERRUPTED)


def _is_interrupt(error: BaseException) -> bool:
    """Whether it began with Ctrl-C: Python wraps what comes while it makes a class."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, KeyboardInterrupt):
            return True
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            waiting += [one.__cause__, one.__context__]
    return False


def _usage(error: ClickException, face: Face) -> int:
    if face.is_json:
        described = {"type": "UsageError", "hint": "See --help."}
        return _failed(error.format_message(), described, face, error.exit_code)
    error.show()
    return int(error.exit_code)


def _told(error: ImtkitError, face: Face) -> int:
    described: dict[str, object] = {
        "type": type(error).__name__,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    missing = getattr(error, "missing", ())
    if missing:
        described["missing"] = list(missing)
    return _failed(str(error), described, face, error.exit_code)


def _unexpected(error: Exception, face: Face) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
        return _unwritten(error, face)
    described: dict[str, object] = {"type": type(error).__name__, "retryable": False}
    if not face.is_verbose:
        described["hint"] = "This is a fault of imtkit. Run it again with -v to see where."
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _failed(text, described, face, 1)


def _unwritten(error: OSError, face: Face) -> int:
    """What was to be printed has no room where stdout leads; what was done is done."""
    _close_stdout()  # what it still holds fails again at the end, and hides the code
    hint = "What the command did stands. Print it to another place, and it is all there."
    told = {"type": "OSError", "hint": hint, "retryable": True}
    return _failed(f"The result could not be printed: {error.strerror}.", told, face, 1)


def _failed(message: str, described: Mapping[str, object], face: Face, code: int) -> int:
    """Say on stderr what went wrong and what to do next; the exit code given."""
    from imtkit.model.words import visible

    with suppress(OSError, ValueError):  # where both lead to one place, the result stands first
        sys.stdout.flush()
    if face.is_json:
        full = {"type": "", "message": message, "hint": "", "retryable": False, **described}
        sys.stderr.write(json.dumps({"error": full}, indent=2) + "\n")
        return code
    lines = [message if code == INTERRUPTED else f"Error: {message}"]
    if described.get("hint"):
        lines.append(f"  {described['hint']}")
    sys.stderr.write(visible("\n".join(lines)) + "\n")
    return code


def _trace(face: Face) -> None:
    if face.is_verbose:
        import traceback

        from imtkit.model.words import visible

        sys.stderr.write(visible(traceback.format_exc()))


def _close_stdout() -> None:
    """Point stdout elsewhere, or Python complains at its end about the pipe that is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
