"""The record's own pages: the door to Jinja2, with escaping on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imtkit.config import shipped
from imtkit.model.words import cell_name, moment_text, size_text, span_text, value_text, visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def environment() -> Environment:
    """Templates of ``templates/record``; every value is escaped, an unknown name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = shipped("templates") / "record"
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters.update(
        state_class=state_class,
        cell_name=cell_name,
        moment=moment_text,
        size=size_text,
        span=span_text,
        value_text=value_text,
        visible=visible,
    )
    return made


def state_class(word: object) -> str:
    """The class of a state's colours; a word that is no state's gets none."""
    return f"rec-is-{word}" if re.fullmatch(r"[a-z-]{1,20}", str(word)) else ""


def _finalize(value: object) -> object:
    """Every text that reaches a page is made visible first, whoever forgot to."""
    return visible(value) if type(value) is str else value


def style() -> Markup:
    """The style sheet, as it stands in a page."""
    from markupsafe import Markup

    path = shipped("templates") / "record" / "style.css"
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - our own file
