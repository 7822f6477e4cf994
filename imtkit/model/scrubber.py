"""Takes secrets out of texts by their value, in every form they are known to travel in."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Characters. What is shorter stands in too many innocent words to be taken out of them."""

_LINE = 12
"""Characters from which one line of a secret of many lines is taken out by itself."""


class Scrubber:
    """Replaces secrets in texts by ``[secret NAME]``.

    A secret is known as it is, as JSON, as Python and HTML write it, percent-encoded, in
    hexadecimal, and in base64 (RFC 4648 sections 4 and 5) at any of the three places of a
    group where it may begin. ``secrets`` are values by name; an empty value stands for none.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._marks = {
            form: f"[secret {name}]" for name, value in secrets.items() for form in _forms(value)
        }
        # The longest first, so that a form is never left half there by a shorter one.
        self.forms = tuple(sorted(self._marks, key=lambda form: (-len(form), form)))
        self._pattern = re.compile("|".join(map(re.escape, self.forms)) or r"(?!)")
        self._first = frozenset(form[0] for form in self.forms)
        self._longest = len(self.forms[0]) if self.forms else 0

    def __bool__(self) -> bool:
        return bool(self.forms)

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._pattern.sub(lambda found: self._marks[found[0]], text)

    def data(self, value: object) -> object:
        """JSON data without secrets: every text in it, and every key."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return self.table(value)
            case list() | tuple():
                return [self.data(one) for one in value]
        return value

    def table(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """A table of JSON data without secrets; the same one when none are known."""
        if not self:
            return table
        return {self.text(str(key)): self.data(one) for key, one in table.items()}

    def begun(self, text: str) -> tuple[str, str]:
        """A text that goes on later: what is safe to pass on, and the rest to put before more.

        The rest is the end of the text that may be the beginning of a secret.
        """
        out: list[str] = []
        at = 0
        held = self._held_from(text, at)
        while True:
            found = self._pattern.search(text, at)
            if found is None or found.start() >= held:
                out.append(text[at:held])
                return "".join(out), text[held:]
            out += [text[at : found.start()], self._marks[found[0]]]
            at = found.end()
            if at > held:
                held = self._held_from(text, at)

    def past(self, text: str, at: int) -> int:
        """The first place from ``at`` on where a cut leaves no secret in two."""
        while True:
            ends = [
                found + len(form)
                for form in self.forms
                if (found := text.find(form, max(0, at - len(form) + 1), at + len(form) - 1)) >= 0
            ]
            if not ends:
                return at
            at = max(ends)

    def _held_from(self, text: str, at: int) -> int:
        for place in range(max(at, len(text) - self._longest + 1), len(text)):
            if text[place] in self._first:
                end = text[place:]
                if any(len(form) > len(end) and form.startswith(end) for form in self.forms):
                    return place
        return len(text)


def _forms(value: str) -> set[str]:
    """Every form of a value that is long enough to be told from other text."""
    if not value:
        return set()
    lines = [line.strip() for line in value.splitlines()]
    parts = {line for line in lines if len(line) >= _LINE and not line.startswith("-----")}
    return {form for part in {value, *parts} for form in _written(part) if len(form) >= SHORTEST}


def _written(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    content = value.encode("utf-8", errors="surrogatepass")
    yield repr(content)[2:-1]
    yield content.hex()
    yield content.hex().upper()
    for encoded in (quote(content), quote(content, safe=""), quote_plus(content)):
        yield encoded
        yield re.sub("%..", lambda found: found[0].lower(), encoded)
    for encoded in _base64(content):
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")


def _base64(content: bytes) -> Iterator[str]:
    """What is the same in base64 wherever the content stands in a longer one."""
    yield b64encode(content).decode()
    for before in range(3):
        encoded = b64encode(bytes(before) + content).decode().rstrip("=")
        shared = (before + len(content)) % 3 != 0  # the last character carries what follows, too
        yield encoded[(0, 2, 3)[before] : len(encoded) - shared]
