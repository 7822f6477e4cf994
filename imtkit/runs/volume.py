"""Big outputs: how much of them stays in the notebook, and where the whole goes.

A stream's first and last lines stay. Once that is not all of it, the whole of a cell's streams,
in the order they came, goes to a file beside the notebook. What would be too much even for the
file is counted and dropped: a cell is never stopped for talking, because it may be at work on
something that must not be left half done. Time limits end what talks for ever.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

LINES = 400
"""Lines of each stream that stay in the notebook, half of them first ones, half last ones."""

_CHARACTERS = 100_000
"""Characters that each half may have, however long its lines are."""

_CELL_BYTES = 50_000_000
_RUN_BYTES = 200_000_000
"""What the file of one cell, and the files of one run, may take on the disk."""

_DISPLAYS = 1_000
_DISPLAY_BYTES = 50_000_000
"""Results and displays that one cell may leave in the notebook, and their size together."""

_WIDGET_BYTES = 2_000_000
"""The same of what goes into Output widgets: each piece has all of it sent to the kernel."""


class Excerpt:
    """The first and the last lines of a text that arrives in pieces."""

    def __init__(self, lines: int) -> None:
        self._lines = max(1, lines // 2)
        self._head_lines, self._head_characters = self._lines, _CHARACTERS
        self._head = ""
        self._tail = ""
        self._lines_out = 0
        self._characters_out = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return not self._characters_out

    def divided(self) -> Excerpt | None:
        """An excerpt that goes on where this one ends; None once lines may be left out."""
        lines = self._head_lines - self._head.count("\n")
        characters = self._head_characters - len(self._head)
        if self._tail or lines <= 0 or characters <= 0:
            return None
        rest = Excerpt(2 * self._lines)
        rest._head_lines, rest._head_characters = lines, characters
        return rest

    def add(self, text: str) -> None:
        """Take in what comes next."""
        if not self._tail:
            lines = self._head_lines - self._head.count("\n")
            first = _first(text, lines, self._head_characters - len(self._head))
            self._head += first
            text = text[len(first) :]
        together = self._tail + text
        self._tail = _last(together, self._lines, _CHARACTERS)
        cut = len(together) - len(self._tail)
        self._characters_out += cut
        self._lines_out += together.count("\n", 0, cut)

    def skip(self, text: str, until: int) -> None:
        """Leave out what was last so far, and this text until a place."""
        self._characters_out += len(self._tail) + until
        self._lines_out += self._tail.count("\n") + text.count("\n", 0, until)
        self._tail = ""

    def text(self, where: str) -> str:
        """The text as it is shown; ``where`` says where the whole is."""
        if self.is_whole:
            return self._head + self._tail
        between = "" if self._head.endswith("\n") else "\n"
        out = f"{self._lines_out:,} lines ({self._characters_out:,} characters) left out; {where}"
        return f"{self._head}{between}[imtkit: {out}]\n{self._tail}"


class Budget:
    """How many bytes the files of one run may still take."""

    def __init__(self, left: int = _RUN_BYTES) -> None:
        self.left = left


class Transcript:
    """A file with the whole of a cell's streams; made when it is first written."""

    def __init__(self, path: Path | None, budget: Budget, most: int = _CELL_BYTES) -> None:
        self._path = path
        self._budget = budget
        self._left = most
        self._file: BinaryIO | None = None
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._dropped = 0
        self._fault = "" if path else "no output file was named"

    @property
    def is_begun(self) -> bool:
        """Whether anything was meant to be written."""
        return bool(self._size or self._dropped)

    @property
    def is_full(self) -> bool:
        """Whether nothing more will be written."""
        return self._dropped > 0

    def skip(self, text: str, until: int) -> None:
        """Count a text until a place as dropped."""
        for start in range(0, until, _CHARACTERS):
            part = text[start : min(until, start + _CHARACTERS)]
            self._dropped += len(part.encode("utf-8", "replace"))

    def write(self, text: str) -> None:
        """Add to the file, as far as there is room; the rest is counted."""
        content = text.encode("utf-8", "replace")
        room = 0 if self._fault else min(self._left, self._budget.left)
        kept = content
        if len(content) > room:
            kept = content[:room].decode("utf-8", "ignore").encode()
        self._dropped += len(content) - self._written(kept)
        if self._dropped:
            self._left = 0  # nothing after a gap

    def _written(self, content: bytes) -> int:
        done = 0
        try:
            while done < len(content):
                wrote = self._opened().write(content[done:]) or 0
                self._sha256.update(content[done : done + wrote])
                done += wrote
        except OSError as error:
            self._fault = error.strerror or "the disk refused it"
        self._size += done
        self._left -= done
        self._budget.left -= done
        return done

    def _opened(self) -> BinaryIO:
        if self._file is None and self._path is not None:
            stem, number = self._path.stem, 1
            while self._file is None:
                try:
                    self._file = self._path.open("xb", buffering=0)
                except FileExistsError:
                    number += 1  # of an earlier attempt, and named in the log
                    self._path = self._path.with_name(f"{stem}-{number}.txt")
        if self._file is None:
            raise OSError("there is no file")
        return self._file

    def close(self) -> None:
        """See that the file is on disk, and let go of it."""
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            self._fault = error.strerror or "the disk refused it"

    def where(self) -> str:
        """In words: where the whole is, and what is missing from it."""
        name = self._path.name if self._path else ""
        fault = f" ({self._fault})" if self._fault else ""
        if not self._size:
            return f"the whole is not kept{fault}"
        if not self._dropped:
            return f"the whole is in {name}, SHA-256 {self._sha256.hexdigest()}"
        return (
            f"its first {self._size:,} bytes are in {name}, SHA-256 {self._sha256.hexdigest()}, "
            f"{self._dropped:,} bytes are not kept{fault}"
        )

    def told(self) -> dict[str, Any]:
        """For the log: file, SHA-256, bytes kept and bytes dropped; empty when it was not begun."""
        if not self.is_begun:
            return {}
        told: dict[str, Any] = {"size": self._size, "dropped": self._dropped}
        if self._path is not None and self._size:
            told |= {"file": self._path.name, "sha256": self._sha256.hexdigest()}
        return told


class Volume:
    """What one cell has said so far."""

    def __init__(self, lines: int, transcript: Transcript) -> None:
        self.transcript = transcript
        self._lines = lines
        self._streams: dict[str, Excerpt] = {}
        self._early: list[str] = []
        self._displays = 0
        self._display_bytes = 0
        self._unshown = 0

    def skimmed(self, name: str, text: str, past: Callable[[str, int], int]) -> str:
        """The part of a piece that still matters: its end, once the file is full.

        So a flood costs little more than receiving it. ``past`` says where, from a place on,
        the text may be cut.
        """
        stream = self._streams.get(name)
        cut = len(text) - _CHARACTERS
        if stream is None or stream.is_whole or not self.transcript.is_full or cut <= 0:
            return text
        cut = past(text, cut)
        stream.skip(text, cut)
        self.transcript.skip(text, cut)
        return text[cut:]

    def said(self, name: str, text: str) -> str:
        """Take in the next piece of a stream; the stream as it is to be shown now."""
        excerpt = self._streams.setdefault(name, Excerpt(self._lines))
        excerpt.add(text)
        self._early.append(text)
        if self.transcript.is_begun or not excerpt.is_whole:
            for one in self._early:
                self.transcript.write(one)
            self._early = []
        return excerpt.text("the cell is still running")

    def divides(self, name: str) -> bool:
        """Whether what a stream says next may be shown apart from what it has said so far."""
        rest = self._streams[name].divided() if name in self._streams else None
        if rest is not None:
            self._streams[name] = rest
        return rest is not None

    def cleared(self) -> None:
        """Begin anew, because the cell cleared its output."""
        self._streams, self._early = {}, []
        self._displays = self._display_bytes = 0

    def has_room(self, content: Mapping[str, Any], *, is_in_widget: bool = False) -> bool:
        """Whether one more result or display fits, or what goes into an Output widget."""
        self._displays += 1
        self._display_bytes += weight(content)
        most = _WIDGET_BYTES if is_in_widget else _DISPLAY_BYTES
        if self._displays <= _DISPLAYS and self._display_bytes <= most:
            return True
        self._unshown += 1
        return False

    def ended(self) -> tuple[dict[str, str], str]:
        """The streams of which only a part is shown, as they stay, and what else to say."""
        self.transcript.close()
        where = self.transcript.where()
        cut = {name: one.text(where) for name, one in self._streams.items() if not one.is_whole}
        words = f"[imtkit: {self._unshown:,} further outputs were too much for the notebook]\n"
        return cut, words if self._unshown else ""


def shortened(text: str) -> str:
    """A text whose middle is left out where it is too long for a notebook."""
    if len(text) <= 2 * _CHARACTERS:
        return text
    excerpt = Excerpt(2 * len(text))
    excerpt.add(text)
    return excerpt.text("the whole is not kept")


def overwritten(text: str) -> str:
    """A text as a terminal leaves it: what stands before a carriage return is written over."""
    if "\r" not in text:
        return text
    lines = text.split("\n")
    return "\n".join(line[line.rfind("\r", 0, len(line) - 1) + 1 :] for line in lines)


def _first(text: str, lines: int, characters: int) -> str:
    end = -1
    for _ in range(lines):
        end = text.find("\n", end + 1)
        if end < 0:
            return text[:characters]
    return text[: min(end + 1, characters)]


def _last(text: str, lines: int, characters: int) -> str:
    text = text[-characters:]
    start = len(text) - text.endswith("\n")
    for _ in range(lines):
        start = text.rfind("\n", 0, start)
        if start < 0:
            return text
    return text[start + 1 :]


def weight(value: object) -> int:
    """About how many bytes a piece of JSON data takes."""
    match value:
        case str() | bytes():
            return len(value)
        case Mapping():
            return sum(len(str(key)) + weight(one) for key, one in value.items())
        case list() | tuple():
            return sum(map(weight, value))
    return 8
