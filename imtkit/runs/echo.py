"""What a notebook puts out, told elsewhere too: papermill's --log-output and its two files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Echo:
    """Tells papermill's log, or files of the caller's, what cells put out as it comes.

    It holds no secret: it is told what the notebook is told.
    """

    to_log: bool = False
    stdout: TextIO | None = None
    stderr: TextIO | None = None

    def cell(self, word: str, number: int) -> None:
        """A cell begins or ends, in the words of papermill's own log."""
        if self.to_log:
            _log().info(f"{word} Cell {number:-<40}")

    def said(self, name: str, text: str) -> None:
        """A piece of a stream."""
        file = self.stderr if name == "stderr" else self.stdout
        if file is not None:
            file.write(text)
            file.flush()
        if self.to_log:
            tell = _log().warning if name == "stderr" else _log().info
            tell(text)

    def showed(self, content: Mapping[str, Any]) -> None:
        """A result or a display; what has no plain text is not told."""
        text = content.get("data", {}).get("text/plain")
        if self.to_log and text:
            _log().info("".join(text))


def _log() -> Any:  # noqa: ANN401 # papermill ships no types
    from papermill.log import logger

    return logger
