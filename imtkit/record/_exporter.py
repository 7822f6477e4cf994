"""nbconvert's HTML exporter as a record needs it. Imported late: nbconvert takes a second."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, pass_context
from jinja2.runtime import Context
from nbconvert.exporters.html import HTMLExporter
from nbconvert.filters import DataTypeFilter, Highlight2HTML, ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode, from_dict
from traitlets.config import Config

from imtkit.errors import RecordError
from imtkit.model.words import visible
from imtkit.record.clean import cleaner
from imtkit.record.seal import SHOWN

_LEXERS = frozenset(
    ("bash", "ipython", "ipython3", "javascript", "json", "julia", "python", "python3", "r", "sql")
)
_KEPT = 1024
_TROUBLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
_RGB = re.compile(r'<span(?: class="(?P<classes>[^"]*)")? style="(?P<style>[^"]*)">')


class _Markdown(IPythonRenderer):  # type: ignore[misc]  # nbconvert ships no types
    """Markdown whose headings stand below the page's own, and whose diagrams stay text."""

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        return str(super().heading(text, min(level + 1, 6), **attrs))

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre><code>{html.escape(code)}</code></pre>\n"


class RecordExporter(HTMLExporter):  # type: ignore[misc]  # nbconvert ships no types
    """Notebook -> HTML with our template; keeps highlighted code and Markdown it has seen."""

    def __init__(self, templates: Path) -> None:
        super().__init__(
            config=Config(
                {
                    "NbConvertBase": {"display_data_priority": list(SHOWN)},
                    # the default is the working directory: anybody's templates
                    "TemplateExporter": {"extra_template_basedirs": [str(templates)]},
                }
            ),
            template_name="record",
        )
        self._highlighted = lru_cache(_KEPT)(_highlighted)
        self._rendered = lru_cache(_KEPT)(_rendered)
        self.register_filter("clean_html", cleaner())
        self.register_filter("ansi2html", _ansi)
        self.register_filter("escape_html", _escaped)
        self.register_filter("highlight_code", self.highlight)
        self.register_filter("filter_data_type", DataTypeFilter(parent=self))

    def from_notebook_node(
        self, nb: NotebookNode, resources: Mapping[str, Any] | None = None, **kw: Any
    ) -> tuple[str, Any]:
        """HTMLExporter's, without its second parse of the finished page, which took half of the
        time and added what our template writes itself.
        """
        return super(HTMLExporter, self).from_notebook_node(  # type: ignore[no-any-return]
            nb, self._init_resources(resources), **kw
        )

    def _preprocess(self, nb: NotebookNode, resources: object) -> tuple[NotebookNode, object]:
        """Nothing: ``mended`` and ``seal`` have done it, and the schema check that would follow
        refuses a whole notebook for one odd key.
        """
        return nb, resources

    def draw(self, notebook: Mapping[str, Any], about: Mapping[str, Any]) -> str:
        """A sealed notebook's page; RecordError when it cannot be drawn.

        What hostile or broken notebooks can raise is caught by name: one of them must not take
        the rest of the record with it.
        """
        try:
            return self.from_notebook_node(from_dict(notebook), {"imt": about})[0]
        except (*_TROUBLE, TemplateError) as error:
            raise RecordError(f"The notebook cannot be drawn: {error!r}.") from error

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Markdown as HTML, not yet cleaned; attached images are put in."""
        attachments = context.get("cell", {}).get("attachments") or {}
        if attachments:
            return _rendered(source, attachments)
        return self._rendered(source)

    @pass_context
    def highlight(self, context: Context, source: str, metadata: object = None) -> str:
        """A cell's source in colours, by the notebook's language."""
        about = context["nb"].metadata.get("language_info", {})
        lexer = str(about.get("pygments_lexer") or about.get("name") or "ipython3")
        return self._highlighted(visible(source), lexer if lexer in _LEXERS else "text")


def _highlighted(source: str, lexer: str) -> str:
    return str(Highlight2HTML(pygments_lexer=lexer)(source))


def _rendered(source: str, attachments: Mapping[str, Mapping[str, str]] | None = None) -> str:
    renderer = _Markdown(escape=False, exclude_anchor_links=True, attachments=attachments)
    return str(MarkdownWithMath(renderer=renderer).render(visible(source)))


def _ansi(text: str) -> str:
    """Terminal colours as HTML; a returned carriage starts a line, other controls are shown."""
    lines = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return visible(_RGB.sub(_hue, str(ansi2html(lines))))


def _hue(found: re.Match[str]) -> str:
    """One of the terminal's own colours for any other, so that it reads on white and on black."""
    classes = [found["classes"]] if found["classes"] else []
    rgb = re.search(r"(?:^|; )color: rgb\((\d+),(\d+),(\d+)\)", found["style"])
    if rgb:
        classes += _nearest(*(int(one) for one in rgb.groups()))
    return f'<span class="{" ".join(classes)}">' if classes else "<span>"


def _nearest(red: int, green: int, blue: int) -> list[str]:
    most = max(red, green, blue)
    if most - min(red, green, blue) < 40:
        return []
    bright = (red > 0.6 * most, green > 0.6 * most, blue > 0.6 * most)
    name = {
        (True, False, False): "red",
        (False, True, False): "green",
        (False, False, True): "blue",
        (True, True, False): "yellow",
        (True, False, True): "magenta",
        (False, True, True): "cyan",
    }.get(bright)
    return [f"ansi-{name}-fg"] if name else []


def _escaped(text: object) -> str:
    return html.escape(visible(str(text)))
