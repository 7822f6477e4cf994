"""What a verb gives back: its value, and how it looks as the last line of a cell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

from imtkit.model.words import visible
from imtkit.widgets.notebook import shell

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, repr=False)
class Shown(Generic[Value]):
    """A value of the log with its display: plain text, and HTML in the theme's colours."""

    value: Value
    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> Mapping[str, object]:
        return {"text/plain": self.text, "text/html": self.html}


def line(value: Value, text: str, *, loud: bool = False) -> Shown[Value]:
    """One sentence, escaped; ``loud`` when it must not be overlooked."""
    colour = "var(--jp-error-color1,#b42318)" if loud else "var(--jp-border-color1,#bdbdbd)"
    style = (
        f"margin:4px 0;padding:2px 10px;border-left:4px solid {colour};white-space:pre-line;"
        "color:var(--jp-content-font-color1,inherit)"
    )
    return Shown(value, visible(text), f'<p style="{style}">{escape(visible(text))}</p>')


def tell(text: str) -> None:
    """Say something that must not be overlooked: in the cell's output, else on stderr."""
    if shell() is None:
        sys.stderr.write(f"{visible(text)}\n")
        return
    from IPython.display import display

    display(line(None, text, loud=True))
