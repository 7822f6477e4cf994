"""Regular expressions that a workspace writes, held against text that strangers write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imtkit.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

LONGEST = 1_000
"""Characters that a regular expression may have."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that a whole text fits or does not.

    It is carried out by an automaton (Rust's, as RE2 is Go's): its time grows with the length of
    the text alone, whatever the text is. Python's own could be kept busy for ever by one alert.
    """

    text: str
    automaton: SchemaValidator = field(repr=False, compare=False)

    def fits(self, text: str) -> bool:
        """Whether the whole text fits; half characters count as U+FFFD, as they do in Go."""
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return self.automaton.isinstance_python(whole)


def pattern_from_text(text: str) -> Pattern:
    """The pattern of a regular expression; ConfigError says why it is none.

    It is written as for RE2: no look-around and no back-references. ``.`` is any character but
    a newline.
    """
    if len(text) > LONGEST:
        raise ConfigError(
            f"A regular expression of {len(text):,} characters is longer than {LONGEST:,}.",
            hint="Write several rules, or give such alerts a label of their own.",
        )
    _automaton(text, text)  # alone first: "a)|(b" is sound only between the brackets of the next
    return Pattern(text, _automaton(f"^(?:{text})$", text))


def _automaton(expression: str, written: str) -> SchemaValidator:
    from pydantic_core import SchemaError, SchemaValidator
    from pydantic_core import core_schema as core

    try:
        return SchemaValidator(core.str_schema(pattern=expression, regex_engine="rust-regex"))
    except SchemaError as error:
        why = str(error).rpartition("rror: ")[2].strip().rstrip(".")
        raise ConfigError(
            f"The regular expression {written!r} cannot be used: {why}.",
            hint="Write it as Alertmanager takes it: pay.*|orders. A bracket to be found is \\(.",
        ) from error
