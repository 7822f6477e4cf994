"""Calling ``imt`` in tests: in this process for speed, as a process or on a terminal for truth."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

IMT = (sys.executable, "-c", "import sys; from imtkit.cli import main; sys.exit(main())")
Imt = Callable[..., "Called"]


@dataclass(frozen=True)
class Called:
    """What a call of ``imt`` came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Mapping[str, Any]:
        """The error on stderr, after whatever talk stands before it."""
        return json.loads(self.err[self.err.index('{\n  "error"') :])["error"]  # type: ignore[no-any-return]


def caller(capsys: pytest.CaptureFixture[str]) -> Imt:
    """Calls ``imt`` in this process: ``imt("incident", "list")``."""
    from imtkit.cli import main

    def call(*words: str) -> Called:
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return Called(code, said.out, said.err)

    return call


def imt_process(
    *words: str, cwd: Path, text: str = "", environment: Mapping[str, str] | None = None
) -> Called:
    """Calls ``imt`` as a process of its own."""
    done = subprocess.run(
        [*IMT, *words],
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return Called(done.returncode, done.stdout, done.stderr)


def imt_on_terminal(
    words: Sequence[str], *, cwd: Path, answers: Mapping[str, str], seconds: float = 60
) -> tuple[int, str]:
    """Calls ``imt`` on a terminal and types an answer when its question shows.

    Returns the exit code and all that the terminal showed.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.execv(IMT[0], [*IMT, *words])  # noqa: S606 # no shell is wanted
    shown, waiting, ends_at = b"", dict(answers), time.monotonic() + seconds
    try:
        while time.monotonic() < ends_at:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            for question in [one for one in waiting if one.encode() in shown]:
                os.write(terminal, f"{waiting.pop(question)}\n".encode())
        else:
            os.kill(child, 9)
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")
